"""Telemetry of a run: what depends on the machine and the hour, one line of JSON per event.

Wall-clock, host, memory and restarts live here, apart from the journal, which is determined by seed and data. Nothing
is promised about it: no checksum, no wait for the disk, and a failure to write never stops the run.

Kinds that the search writes: `start` and `resume` (environment, differences), `progress`, `phase_times` {step, seconds
by phase}, `bad_videos` {ids}, `end`.
"""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from search_spaces import strict_json
from search_spaces.errors import DocumentError

logger = logging.getLogger(__name__)


class Telemetry:
    """Appends events to the telemetry of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failed = False
        self._prefix = b"" if _ends_in_newline(path) else b"\n"

    def append(self, kind: str, **fields: object) -> None:
        """Add an event, timed by `t` in unix seconds; what is not JSON, such as NaN, is kept as text."""
        event = {**fields, "kind": kind, "t": round(time.time(), 3)}
        plain = json.loads(json.dumps(event, default=str), parse_constant=str)
        line = self._prefix + strict_json.canonical(plain).encode() + b"\n"
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._failed:
                logger.warning("%s: telemetry is lost: %s", self.path, error.strerror)
            self._failed = True
        else:
            self._prefix = b""


def read_telemetry(path: Path) -> list[dict[str, Any]]:
    """Events in order, each with at least `kind` and `t`; unreadable lines, or a missing file, are skipped."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    return [event for line in lines if (event := _event(line)) is not None]


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = strict_json.loads(line)
    except DocumentError:
        return None
    if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
        return None
    return event if isinstance(event.get("t"), int | float) else None


def _ends_in_newline(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            return file.read(1) in (b"", b"\n")
    except OSError:
        return True
