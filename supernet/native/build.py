"""The kernels of `kernels.cpp`, built once per machine with the compiler that is there, and loaded.

Nothing needs them: where no compiler is found, or `MOVINAS_NATIVE=0` is set, torch's own operators run.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

SWITCH = "MOVINAS_NATIVE"
SOURCES, HEADERS = ("training.cpp", "inference.cpp"), ("vectors.h", "depthwise.h", "matrix.h")
FLAGS = ("-std=c++20", "-O3", "-march=native", "-fno-math-errno", "-fPIC", "-fopenmp")
BUILD_TIMEOUT_S = 120
_log = logging.getLogger(__name__)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The kernels, or None where there are none."""
    if os.environ.get(SWITCH, "1") == "0":
        return None
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if compiler is None or platform.system() != "Linux":
        return None
    try:
        return ctypes.CDLL(str(_built(compiler)))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        _log.warning("without kernels of its own, movinas is slower: %s could not build them: %s", compiler, error)
        return None


def _built(compiler: str) -> Path:
    """The shared library, in the user's cache, under a name that changes with all it depends on."""
    sources = {name: files("supernet.native").joinpath(name).read_bytes() for name in (*SOURCES, *HEADERS)}
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=BUILD_TIMEOUT_S).stdout
    key = hashlib.sha256(
        b"\0".join((*sources.values(), version, " ".join(FLAGS).encode(), _processor().encode()))
    ).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "movinas" / "native"
    path = cache / f"kernels-{key[:32]}.so"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        built = Path(folder) / "kernels.so"
        for name, text in sources.items():
            (Path(folder) / name).write_bytes(text)
        objects = [str(Path(folder) / f"{name}.o") for name in SOURCES]
        commands = [
            [compiler, *FLAGS, "-c", "-o", made, str(Path(folder) / name)]
            for name, made in zip(SOURCES, objects, strict=True)
        ]
        with ThreadPoolExecutor() as pool:  # side by side, for somebody waits
            list(pool.map(_run, commands))
        _run([compiler, *FLAGS, "-shared", "-o", str(built), *objects])
        built.replace(path)  # whole or not at all: several processes may build at once
    return path


def _run(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, check=True, timeout=BUILD_TIMEOUT_S)


def _processor() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    except OSError:
        return platform.processor()
