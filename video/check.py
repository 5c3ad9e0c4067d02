"""Decoding every video in processes that can be killed, and remembering how each one went.

A decoder that hangs or crashes on a file loses that file and nothing else. What is remembered holds for a file of the
same size and time of change, decoded by the same decoder.
"""

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, final

from search_spaces import strict_json
from search_spaces.errors import DocumentError, UsageError, VideoError
from search_spaces.outside import append_regular
from video.decode import DECODER_VERSION, check_frames, open_video
from video.manifest import VideoItem

SHORT_SIDE: Final = 32
_STOP_S: Final = 5.0
_MAX_LINE_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How decoding a video went.

    Attributes:
        item: The video, or segment.
        problem: Why it cannot be used; None if it decodes from start to end.
        remembered: Whether it was decoded at an earlier time.
    """

    item: VideoItem
    problem: str | None
    remembered: bool = False


def check_videos(
    items: Sequence[VideoItem], *, num_workers: int, limit_s: float, memory: "Memory | None" = None
) -> Iterator[Finding]:
    """Decode videos in `num_workers` processes; findings come as they are made.

    Args:
        items: The videos.
        num_workers: At least 1.
        limit_s: Seconds that one video may take before its process is killed, above 0.
        memory: What is known from earlier; what is found out now is added to it.

    Raises:
        UsageError: No workers, or no time.
    """
    if num_workers < 1 or not limit_s > 0:
        raise UsageError(f"num_workers must be at least 1 and limit_s above 0, but got {num_workers} and {limit_s}")
    waiting: deque[VideoItem] = deque()
    for item in items:
        known = None if memory is None else memory.known(item, limit_s=limit_s)
        if known is None:
            waiting.append(item)
        else:
            yield known
    with _Pool(min(num_workers, len(waiting)), limit_s=limit_s) as pool:
        for finding, took_too_long in pool.check(waiting):
            if memory is not None:
                memory.add(finding, limit_s=limit_s if took_too_long else None)
            yield finding


def problem_of(item: VideoItem) -> str | None:
    """Why a video cannot be decoded from start to end; None if it can."""
    try:
        with open_video(item.path) as video:
            check_frames(video, short_side=SHORT_SIDE, start_s=item.start_s or 0.0, end_s=item.end_s)
    except VideoError as error:
        return str(error)
    return None


@final
class Memory:
    """Findings of earlier checks in a file of JSON lines, which grows with every finding; the last one counts.

    A line that cannot be read is as good as none, so that a check that was killed costs no more than its last file.

    Args:
        path: The file; it need not exist.

    Raises:
        UsageError: It cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        try:
            with append_regular(path) as file:
                file.seek(0)
                self._torn = False
                while line := file.readline(_MAX_LINE_BYTES):
                    self._torn = not line.endswith(b"\n")
                    self._read(line)
        except OSError as error:
            raise UsageError(
                f"findings must be kept in a file to write to, but got {error.strerror} for {path}"
            ) from error

    def known(self, item: VideoItem, *, limit_s: float) -> Finding | None:
        """What was found of the same file before; a file that took too long is tried again when it may take longer."""
        key = _key(item)
        entry = self._known.get(key) if key is not None else None
        if entry is None or (entry["limit_s"] is not None and entry["limit_s"] < limit_s):
            return None
        return Finding(item=item, problem=entry["problem"], remembered=True)

    def add(self, finding: Finding, *, limit_s: float | None = None) -> None:
        """Remember a finding, and the time limit if it was for want of time; not that a file is missing."""
        key = _key(finding.item)
        if key is None:
            return
        entry = {"key": key, "problem": finding.problem, "limit_s": limit_s}
        self._known[key] = entry
        line = (b"\n" if self._torn else b"") + strict_json.canonical(entry).encode() + b"\n"
        try:
            with append_regular(self._path) as file:
                file.write(line)
        except OSError as error:
            raise UsageError(
                f"findings must be kept in a file to write to, but got {error.strerror} for {self._path}"
            ) from error
        self._torn = False

    def _read(self, line: bytes) -> None:
        try:
            entry = strict_json.loads(line)
        except DocumentError:
            return
        if not isinstance(entry, dict) or set(entry) != {"key", "problem", "limit_s"}:
            return
        kinds = (isinstance(entry["key"], str), isinstance(entry["problem"], str | None))
        if all(kinds) and isinstance(entry["limit_s"], int | float | None):
            self._known[entry["key"]] = entry


def _key(item: VideoItem) -> str | None:
    """What decides how decoding goes; None for a file that is not there."""
    try:
        status = item.path.stat()
    except (OSError, ValueError):
        return None
    parts = (os.fspath(item.path), status.st_size, status.st_mtime_ns, item.start_s, item.end_s, DECODER_VERSION)
    return strict_json.digest([repr(part) for part in parts])


@final
class _Pool:
    """Processes that decode one video at a time, and are replaced when they do not come back."""

    def __init__(self, num_workers: int, *, limit_s: float) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._limit_s = limit_s
        self._workers = [_Worker(self._context) for _ in range(num_workers)]

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()

    def check(self, waiting: deque[VideoItem]) -> Iterator[tuple[Finding, bool]]:
        """Findings, each with whether the video took too long."""
        busy: dict[Connection, tuple[_Worker, VideoItem, float]] = {}
        idle = list(self._workers)
        while waiting or busy:
            while waiting and idle:
                worker, item = idle.pop(), waiting.popleft()
                worker.give(item)
                busy[worker.connection] = (worker, item, time.monotonic() + self._limit_s)
            next_s = min(deadline for _, _, deadline in busy.values()) - time.monotonic()
            ready = set(wait(list(busy), timeout=max(0.0, next_s)))
            for connection, (worker, item, deadline) in list(busy.items()):
                too_long = connection not in ready and time.monotonic() >= deadline
                if connection not in ready and not too_long:
                    continue
                del busy[connection]
                problem, usable = (self._overdue(item), False) if too_long else worker.answer(item)
                idle.append(worker if usable else self._replaced(worker))
                yield Finding(item=item, problem=problem), too_long

    def _replaced(self, worker: "_Worker") -> "_Worker":
        worker.kill()
        self._workers.remove(worker)
        self._workers.append(_Worker(self._context))
        return self._workers[-1]

    def _overdue(self, item: VideoItem) -> str:
        return f"{item.path}: a video must decode within {self._limit_s:g} s, but this one took longer and was given up"


@final
class _Worker:
    """One process."""

    def __init__(self, context: multiprocessing.context.ForkServerContext) -> None:
        self.connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, item: VideoItem) -> None:
        """Have it decode a video."""
        self.connection.send(item)

    def answer(self, item: VideoItem) -> tuple[str | None, bool]:
        """What it found, and whether it lives."""
        try:
            problem: str | None = self.connection.recv()
        except (EOFError, ConnectionError):
            self._process.join(_STOP_S)
            code = self._process.exitcode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            return f"{item.path}: a video must not crash its decoder, but this one did ({how})", False
        return problem, True

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()
        self._process.join(_STOP_S)
        self.connection.close()

    def stop(self) -> None:
        """End it; a process that waits ends by itself once nobody is there."""
        self.connection.close()
        self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(_STOP_S)


def _serve(connection: Connection) -> None:
    """Decode what comes until nobody asks any more."""
    while True:
        try:
            item = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        connection.send(problem_of(item))
