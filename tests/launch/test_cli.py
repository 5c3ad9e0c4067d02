"""The program's front door: verbs, help, exit codes, one line per error."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from program import call

from launch.cli import VERBS


def test_every_verb_has_a_command_with_options_and_help(capsys):
    for verb, (module, _) in VERBS.items():
        assert importlib.import_module(module).Options.__doc__
        code, out, _ = call(capsys, *verb.split(), "--help")
        assert code == 0
        assert f"usage: movinas {verb}" in out
        assert "--json" in out


def test_the_overview_names_every_verb(capsys):
    code, out, _ = call(capsys, "--help")
    assert code == 0
    assert all(verb in out for verb in VERBS)
    assert call(capsys)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serach"], "must be a verb of movinas, but got 'serach'; did you mean search?"),
        (["data"], "movinas data must be followed by one of synth, index, check"),
        (["space", "draw"], "movinas space must be followed by one of show, sample"),
        (["cost"], "these arguments must be given, but are missing: SPEC"),
        (["cost", "published:A0", "--clases", "3"], "unrecognized arguments: --clases 3"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_line(capsys, arguments, message):
    code, out, err = call(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_light_verbs_do_not_import_torch():
    program = (
        "import sys; from launch.cli import main; "
        "codes = [main(a.split()) for a in ('cost published:A0 --json', 'bench cost --num 100 --repeats 1 --json')]; "
        "assert codes == [0, 0] and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def unread():
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("cost published:A0", 0),
        ("cost published:A0 --json", 0),
        ("bench cost --num=10 --repeats=1", 0),
        ("--help", 0),
        ("cost --help", 0),
        ("cost published:A9", 2),
    ],
)
def test_a_reader_that_has_gone_ends_the_program_quietly(unread, arguments, expected):
    command = [sys.executable, "-m", "launch", *arguments.split()]
    folder = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=folder, stdout=unread, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == expected
    assert done.stderr.count("\n") == (1 if expected else 0), done.stderr


def test_an_error_that_nobody_reads_keeps_its_exit_code(unread):
    command = [sys.executable, "-m", "launch", "cost", "published:A9"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], stdout=unread, stderr=unread, check=False)
    assert done.returncode == 2
