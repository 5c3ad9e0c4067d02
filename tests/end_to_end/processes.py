"""The program in processes of its own, which tests kill, alone or one of several ranks."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(*arguments, program=("-m", "launch"), **variables) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def finish(process) -> None:
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, out + err


def wait_for_lines(process, run, count) -> None:
    """Wait until the journal is there and has so many lines."""
    deadline = time.monotonic() + 240
    journal = run / "journal.jsonl"
    while process.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)
    process.kill()
    raise AssertionError(f"no journal of {count} lines: {process.communicate()}")


def rank_processes(parent: int) -> list[int]:
    """The ranks that a process started, in order."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat, line = (path / "stat").read_text(), (path / "cmdline").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == parent and "spawn_main" in line:
            found.append(int(path.name))
    return sorted(found)


def wait_for_the_group_to_end(group) -> None:
    """All processes of a group: ranks, and those that read clips for them."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"processes of group {group} are left")


def on_ranks(command, port, *more) -> list[subprocess.Popen]:
    """Both ranks as torchrun starts them, but with nobody who watches."""
    variables = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_WORLD_SIZE": "2"}
    return [start(*command, *more, RANK=str(rank), LOCAL_RANK=str(rank), **variables) for rank in range(2)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ray_workers(ancestor: int) -> list[int]:
    """The ranks that Ray Train started for a process, in order."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat, names[int(path.name)] = (path / "stat").read_text(), (path / "cmdline").read_text()
        except OSError:
            continue
        parents[int(path.name)] = int(stat.rpartition(")")[2].split()[1])

    def descends(pid):
        return pid == ancestor or (pid in parents and descends(parents[pid]))

    return sorted(pid for pid, name in names.items() if name.startswith("ray::RayTrainWorker") and descends(pid))
