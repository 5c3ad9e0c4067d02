"""What does not end must not grow: 2,000 decodes and 500 search steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_memory_grows_by_less_than_a_twentieth_and_open_files_do_not(motion_manifest, tmp_path):
    done = subprocess.run(
        [sys.executable, "tests/end_to_end/soak.py", str(motion_manifest), str(tmp_path), "2000", "500"],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    looks = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for phase, total in (("decode", 2000), ("search", 500)):
        first, *_, last = (look for look in looks if look["phase"] == phase)
        assert (first["done"], last["done"]) == (total // 5, total)
        assert last["bytes"] < 1.05 * first["bytes"]
        assert last["files"] <= first["files"]
