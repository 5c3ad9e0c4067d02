"""The program in processes of its own, which tests kill, alone or one of several ranks."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(*arguments, program=("-m", "launch"), stderr=subprocess.PIPE, **variables) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        process_group=0,
    )


def finish(process) -> None:
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, out + err


def wait_for_lines(process, run, count) -> None:
    """Wait until the journal is there and has so many lines."""
    deadline = time.monotonic() + 400
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


def ray_workers(ancestor: int, name: str = "ray::RayTrainWorker") -> list[int]:
    """The workers of Ray so named, ranks of Ray Train where nothing is said, that descend from a process, in order."""
    return sorted(pid for pid in children(ancestor) if _command(pid).startswith(name))


def children(ancestor: int) -> list[int]:
    """All processes that descend from one."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])

    def descends(pid):
        return parents.get(pid) == ancestor or (pid in parents and descends(parents[pid]))

    return [pid for pid in parents if descends(pid)]


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""
