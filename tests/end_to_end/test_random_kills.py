"""A share of the kills at random moments; all are `random_kills.py FOLDER --search=50 --retrain=25 --sweep=5`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_killed_or_told_to_end_at_random_moments_every_run_ends_in_equal_bytes(tmp_path, name):
    program = [sys.executable, "tests/end_to_end/random_kills.py", str(tmp_path / "kills"), f"--signal={name}"]
    done = subprocess.run(
        [*program, "--search=4", "--retrain=3", "--sweep=1"],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "8 of 8"
