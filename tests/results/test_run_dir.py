import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import faults
import pytest

from results import run_dir
from results.run_dir import create_run, environment, environment_differences, is_locked, lock, open_run
from search_spaces.errors import RunExistsError, RunFolderError

FILES = {"config.yaml": "seed: 1\n", "env.json": "{}", "space.json": "{}", "model/spec.json": "{}"}
ROOT = Path(run_dir.__file__).parents[1]


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def message_of(operation):
    try:
        operation()
    except RunFolderError as error:
        return str(error)
    return ""


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", kind="search", files=FILES)


@pytest.mark.parametrize("name", ["run", "a b/ünïcode/-x", "deep/er/run.1"])
def test_a_new_run_is_whole(tmp_path, name):
    run = create_run(tmp_path / name, kind="retrain", files=FILES)
    assert open_run(tmp_path / name) == open_run(tmp_path / name, kind="retrain") == run
    assert run.config_path.read_text() == FILES["config.yaml"]
    assert (run.model_path / "spec.json").read_text() == "{}"
    assert run.journal_path.read_bytes() == run.telemetry_path.read_bytes() == b""
    assert run.checkpoints_path.is_dir()
    assert run.specs_path.is_dir()
    assert json.loads((run.path / "run.json").read_text()) == {"schema": 1, "kind": "retrain"}
    assert not list(run.path.parent.glob(".*"))


def test_of_two_that_make_a_run_at_the_same_moment_the_second_is_told(tmp_path, monkeypatch):
    rename = os.rename

    def late(old, new):
        shutil.copytree(old, new)
        rename(old, new)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(RunExistsError, match=r"run: must not exist yet, a run is never overwritten, but it does"):
        create_run(tmp_path / "run", kind="retrain", files=FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_paths(run):
    parts = (
        "config",
        "journal",
        "telemetry",
        "checkpoints",
        "specs",
        "report",
        "env",
        "space",
        "model",
        "test",
        "lock",
    )
    names = [getattr(run, f"{part}_path").relative_to(run.path).as_posix() for part in parts]
    assert names == [
        "config.yaml",
        "journal.jsonl",
        "telemetry.jsonl",
        "checkpoints",
        "specs",
        "report.html",
        "env.json",
        "space.json",
        "model",
        "test.json",
        ".lock",
    ]


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_an_existing_path_is_refused_and_unchanged(tmp_path, make):
    path = tmp_path / "run"
    make(path)
    before = os.lstat(path)
    with pytest.raises(RunFolderError, match=r"run: must not exist yet, a run is never overwritten, but it does"):
        create_run(path, kind="search", files=FILES)
    assert os.lstat(path) == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../x", "/x", "", ".hidden", "a/../b", "journal.jsonl", "run.json", "a\0"])
def test_a_file_outside_or_of_ours_is_refused(tmp_path, name):
    with pytest.raises(RunFolderError, match=r"a file of a run must have a plain name, but got "):
        create_run(tmp_path / "run", kind="search", files={name: ""})
    assert not list(tmp_path.iterdir())


def test_a_parent_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"must be a folder that can be made, but got File exists at .*/file$"):
        create_run(tmp_path / "file" / "run", kind="search", files={})


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_leaves_nothing_or_the_whole(tmp_path, code):
    number = 0
    while True:
        number += 1
        path = tmp_path / str(number) / "run"
        with faults.at_call(number, faults.fails(code)) as seen:
            errors = message_of(partial(create_run, path, kind="search", files=FILES))
        assert not errors or f"must be a folder that can be made, but got {os.strerror(code)}" in errors
        if path.exists():
            assert set(FILES) < set(tree(open_run(path).path))
        if path.parent.exists():
            assert set(path.parent.iterdir()) <= {path}
        if len(seen) < number:
            break
    assert number > 20


def test_killed_at_any_call_leaves_nothing_or_the_whole(tmp_path):
    whole = create_run(tmp_path / "whole", kind="search", files=FILES)
    number, killed = 0, True
    while killed:
        number += 1
        path = tmp_path / f"run{number}"
        killed = faults.killed_at(number, partial(create_run, path, kind="search", files=FILES))
        if not path.exists():
            create_run(path, kind="search", files=FILES)
        assert tree(path) == tree(whole.path)
        assert not list(tmp_path.glob(".*"))
    assert number > 20


def test_what_is_not_a_run_is_not_opened(tmp_path, run):
    with pytest.raises(RunFolderError, match="nowhere: must be a run folder, but got nothing there"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match="must be a run folder, but got a file"):
        open_run(run.config_path)
    with pytest.raises(RunFolderError, match=r"must be a run folder, but run.json must be a readable file, but got No"):
        open_run(tmp_path)
    with pytest.raises(RunFolderError, match="must be a retrain run, but got a search run"):
        open_run(run.path, kind="retrain")
    for text in ('{"schema": 2, "kind": "search"}', '{"schema": 1, "kind": "party"}', "[]"):
        (run.path / "run.json").write_text(text)
        with pytest.raises(RunFolderError, match=r"must be a run folder of schema 1, but run.json holds "):
            open_run(run.path)
    (run.path / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"must be a run folder, but run.json a document must be JSON"):
        open_run(run.path)


HOLD = """
import os, sys, time
from pathlib import Path
from results.run_dir import lock, open_run
with lock(open_run(Path(sys.argv[1]))):
    child = os.fork() if sys.argv[2] == "fork" else 1
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


def hold(run, mode="alone"):
    command = [sys.executable, "-c", HOLD, str(run.path), mode]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return process, int(process.stdout.readline())


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_until_the_first_is_killed(run):
    process, _ = hold(run)
    try:
        before = tree(run.path)
        assert is_locked(run)
        message = f"run: must not be in use, but process {process.pid} holds it"
        with pytest.raises(RunFolderError, match=message), lock(run):
            pass
        assert tree(run.path) == before
    finally:
        end(process)
    assert not is_locked(run)
    with lock(run):
        assert is_locked(run)
        assert run.lock_path.read_text().split()[0] == str(os.getpid())


def test_workers_that_outlive_a_killed_process_do_not_hold_its_lock(run):
    process, child = hold(run, "fork")
    try:
        end(process)
        os.kill(child, 0)
        with lock(run):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_that_ends_does_not_free_the_lock_of_its_parent(run):
    with lock(run):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert is_locked(run)
    assert not is_locked(run)


def test_a_lock_is_not_taken_twice_in_one_process(run):
    with lock(run), pytest.raises(RunFolderError, match=f"process {os.getpid()} holds it"), lock(run):
        pass
    with lock(run):
        pass


def test_one_process_may_write_on_behalf_of_another_that_holds_the_run(run):
    with lock(run), lock(run, as_writer=True):
        assert is_locked(run)
        with pytest.raises(RunFolderError, match=f"process {os.getpid()} holds it"), lock(run, as_writer=True):
            pass


def test_the_holder_may_be_elsewhere_or_unknown(run):
    with lock(run):
        run.lock_path.write_text("12 another-boot\n")
        with pytest.raises(RunFolderError, match="but process 12 of another machine holds it"), lock(run):
            pass
        run.lock_path.write_text("")
        with pytest.raises(RunFolderError, match="but another process holds it"), lock(run):
            pass


def test_a_lock_that_nobody_holds_is_stale_whatever_it_says(run):
    for text in (f"1 {run_dir._boot_id()}\n", "12 another-boot\n", "rubbish", ""):
        run.lock_path.write_text(text)
        assert not is_locked(run)
        with lock(run):
            assert run.lock_path.read_text() == f"{os.getpid()} {run_dir._boot_id()}\n"


def test_the_holder_may_have_begun_another_that_holds_it(run):
    with lock(run):
        run.lock_path.write_text(f"99999999 {run_dir._boot_id()}\n")
        message = "process 99999999, which is not to be seen here, or one that it began, holds it"
        with pytest.raises(RunFolderError, match=message), lock(run):
            pass


@pytest.mark.parametrize("name", ["flock", "ftruncate", "pwrite"])
def test_a_disk_that_cannot_lock_is_an_error_of_one_line(run, monkeypatch, name):
    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(run_dir.fcntl if name == "flock" else os, name, fail)
    message = "run/.lock: must be a file that can be locked, but got No locks available"
    with pytest.raises(RunFolderError, match=message), lock(run):
        pass
    monkeypatch.undo()
    with lock(run):
        pass


def test_readers_that_look_at_the_lock_do_not_keep_a_writer_out(run):
    with lock(run):
        pass
    looks = [
        sys.executable,
        "-c",
        f"""
import time
from pathlib import Path
from results.run_dir import is_locked, open_run
run = open_run(Path({str(run.path)!r}))
end = time.monotonic() + 2.0
print(flush=True)
while time.monotonic() < end:
    is_locked(run)
""",
    ]
    process = subprocess.Popen(looks, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    process.stdout.readline()
    try:
        for _ in range(20):
            with lock(run):
                time.sleep(0.001)
    finally:
        end(process)


def test_a_folder_that_cannot_be_locked(run):
    missing = replace(run, path=run.path / "nowhere")
    with pytest.raises(RunFolderError, match="nowhere: must be writable, but got No such file"), lock(missing):
        pass
    assert not is_locked(missing)


def test_environment_and_its_differences():
    here = environment()
    assert json.loads(json.dumps(here)) == here
    assert {"python", "torch", "numpy", "av", "platform", "cpu", "cores"} <= set(here)
    assert here["torch"] != "absent"
    assert "torch" not in vars(run_dir)
    assert environment_differences(here, here) == []
    there = {**here, "torch": "1.0", "threads": 4}
    assert environment_differences(there, here) == ["threads: 4 -> absent", f"torch: 1.0 -> {here['torch']}"]


def test_importing_results_imports_no_torch_ray_or_av():
    code = """
import sys
import results.checkpoint, results.report, results.run_dir
print([name for name in ("torch", "ray", "av") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
