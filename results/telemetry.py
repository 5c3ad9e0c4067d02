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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from search_spaces import strict_json
from search_spaces.outside import open_regular

logger = logging.getLogger(__name__)
MAX_READ_BYTES = 1 << 28
"""Taken at once; a day of a search is a hundredth of it."""
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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
            descriptor = os.open(self.path, _APPEND, 0o666)
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


class TelemetryReader:
    """Reads the telemetry of a run, and later what it has grown by."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._num_bytes = 0
        self._events: list[dict[str, Any]] = []

    def read(self) -> Sequence[dict[str, Any]]:
        """Events in order, each with at least `kind` and `t`; unreadable lines, or a missing file, are skipped."""
        try:
            with open_regular(self._path) as file:
                file.seek(self._num_bytes)
                text = file.read(MAX_READ_BYTES)
        except OSError:
            return self._events
        whole = text[: text.rfind(b"\n") + 1]
        self._num_bytes += len(whole)
        self._events += [event for line in whole.splitlines() if (event := _event(line)) is not None]
        rest = _event(text[len(whole) :])  # of a writer that was killed
        return self._events if rest is None else [*self._events, rest]


def read_telemetry(path: Path) -> Sequence[dict[str, Any]]:
    """All events at once; as `TelemetryReader`."""
    return TelemetryReader(path).read()


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = from_json(line, allow_inf_nan=False)
    except ValueError:
        return None
    if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
        return None
    return event if isinstance(event.get("t"), int | float) else None


def _ends_in_newline(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            return file.read(1) in (b"", b"\n")
    except OSError:
        return True
