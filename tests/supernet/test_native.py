"""The kernels are built where a compiler is, and nothing needs them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from supernet import native
from supernet.native import build

SCRIPT = """
import torch
from supernet import native
print(native.library() is not None, native.usable(torch.zeros(1)))
"""


def answers(**environment):
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return process.stdout.split(), process.stderr


def test_the_switch_turns_the_kernels_off():
    assert answers(MOVINAS_NATIVE="0")[0] == ["False", "False"]


def test_without_a_compiler_torch_does_the_work():
    assert answers(PATH="/nowhere", CXX="no-such-compiler")[0] == ["False", "False"]


def test_a_compiler_that_fails_is_no_error_but_is_said(tmp_path):
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 1\ntest $1 = --version\n")
    compiler.chmod(0o755)
    found, said = answers(CXX=str(compiler), XDG_CACHE_HOME=str(tmp_path))
    assert found == ["False", "False"]
    assert "movinas is slower" in said


def test_without_a_home_there_is_no_place_to_build(monkeypatch, caplog):
    def homeless():
        raise RuntimeError("no home")

    if native.library() is None:
        pytest.skip("no compiler here")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert build.library.__wrapped__() is None
    assert "could not build them: no home" in caplog.text


def test_a_kernel_beyond_what_a_spec_allows_is_not_run():
    with pytest.raises(AssertionError, match="at most 15 wide"):
        native.shape_of((1, 1, 1, 40, 8), (1, 1, 40), (1, 1, 17), 1, (0, 0, 8))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler here")
def test_where_a_compiler_is_the_kernels_are():
    assert answers()[0] == ["True", "True"]


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """What was compiled to, by a compiler that does nothing."""
    made = []

    def run(command):
        made.append(Path(command[command.index("-o") + 1]))
        made[-1].touch()

    monkeypatch.setattr(build, "_run", run)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return made


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler here")
def test_the_library_is_built_once(compiled, tmp_path):
    first = build._built("g++")
    assert len(compiled) == len(build.SOURCES) + 1
    assert build._built("g++") == first
    assert len(compiled) == len(build.SOURCES) + 1
    assert list((tmp_path / "movinas" / "native").iterdir()) == [first]


@pytest.mark.skipif(native.library() is None, reason="no compiler here")
def test_only_fp32_on_the_cpu_goes_through_the_kernels():
    assert native.usable(torch.zeros(1))
    assert not native.usable(torch.zeros(1, dtype=torch.bfloat16))
    assert not native.usable(torch.zeros(1), torch.zeros(1, device="meta"))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler here")
@pytest.mark.usefixtures("compiled")
def test_the_name_of_the_library_depends_on_source_compiler_and_processor(monkeypatch):
    names = [build._built("g++").name]
    for name, value in (
        ("FLAGS", (*build.FLAGS, "-DOTHER")),
        ("HEADERS", build.HEADERS[:-1]),
        ("_processor", lambda: "abacus"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(build, name, value)
            names.append(build._built("g++").name)
    assert len(set(names)) == 4
