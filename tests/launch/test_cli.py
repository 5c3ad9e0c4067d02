"""The program's front door: verbs, help, exit codes, one line per error."""

import importlib
import subprocess
import sys

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
