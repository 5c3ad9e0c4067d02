"""Names of files that programs stumble over, and a disk that becomes full in the middle of a search."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program import SEARCH, TARGET, call

ROOT = Path(__file__).parents[2]


def test_paths_with_spaces_other_scripts_and_a_leading_dash(capsys, motion_manifest, tmp_path, monkeypatch):
    def done(*arguments):
        code, out, err = call(capsys, *arguments)
        assert code == 0, err
        return out

    monkeypatch.chdir(tmp_path)
    shutil.copytree(motion_manifest.parent / "videos", "-ви део")
    done("data", "index", "--json", "--", "-ви део", "-ma nifést.jsonl")
    steps = ["--search.steps=2", "--search.checkpoint_every=1"]
    out = "-läufe/erster lauf 一"
    done("search", "--space=nano", "--data=-ma nifést.jsonl", f"--target={TARGET}", f"--out={out}", *SEARCH, *steps)
    done("resume", "--", out)
    assert json.loads(done("inspect", "--json", "--", out))["status"] == "finished"
    (row,) = json.loads(done("export", "--top=1", "--out=-spe zs ü", "--json", "--", out))
    assert json.loads(done("cost", "--json", "--", row["path"]))[0]["fingerprint"] == row["fingerprint"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["-läufe", "-ma nifést.jsonl", "-spe zs ü", "-ви део"]


def test_a_path_with_a_leading_dash_that_looks_like_an_option_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, "inspect", "-run")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "Traceback" not in err


FULL = """
import json, pathlib, subprocess, sys
disk, first_bytes, *command = pathlib.Path(sys.argv[1]), *sys.argv[2:]
mount = lambda options: subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], check=True)
program = lambda *given: subprocess.run([sys.executable, "-m", "launch", *given], capture_output=True, text=True)
mount(f"size={first_bytes}")
first = program(*command, f"--out={disk}/run")
left = sorted(str(path.relative_to(disk)) for path in disk.glob("run/checkpoints/*"))
mount("remount,size=256m")
second = program("resume", f"{disk}/run")
journal = (disk / "run/journal.jsonl").read_bytes()
newest = sorted((disk / "run/checkpoints").glob("step_*"))[-1]
newest = {path.name: path.read_bytes().hex() for path in newest.iterdir()}
print(json.dumps([first.returncode, first.stderr, left, second.returncode, second.stderr, journal.decode(), newest]))
"""


@pytest.mark.slow
def test_a_search_whose_disk_becomes_full_says_so_and_goes_on_once_there_is_room(search_run, motion_manifest, tmp_path):
    """On a disk of our own, with room for one checkpoint and half of another."""
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"], check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    newest = sorted((search_run / "checkpoints").iterdir())[-1]
    checkpoint_bytes = sum(path.stat().st_size for path in newest.iterdir())
    others_bytes = sum(path.stat().st_size for path in search_run.rglob("*") if path.suffix in (".json", ".jsonl"))
    command = ["search", "--space=nano", f"--data={motion_manifest}", f"--target={TARGET}", *SEARCH]
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        [*namespace, sys.executable, "-c", FULL, disk, str(checkpoint_bytes * 3 // 2 + others_bytes), *command],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    code, err, left, code_after, err_after, journal, blobs = json.loads(done.stdout)
    assert code == 2, err
    assert f"movinas: {disk}/run/checkpoints/step_00000006/" in err.splitlines()[-1]
    assert err.splitlines()[-1].endswith("must be writable, but got No space left on device")
    assert left == ["run/checkpoints/step_00000003"]
    assert code_after == 0, err_after
    assert journal == (search_run / "journal.jsonl").read_text()
    assert blobs == {path.name: path.read_bytes().hex() for path in newest.iterdir()}
