"""Wall time per phase of a loop, each second counted once."""

import contextlib
import time
from collections.abc import Iterator


class Stopwatch:
    """Seconds per named phase; a phase inside another interrupts the outer one."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._stack: list[str] = []
        self._since = time.perf_counter()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of the block for `name`."""
        self._book()
        self._stack.append(name)
        try:
            yield
        finally:
            self._book()
            self._stack.pop()

    def take(self) -> dict[str, float]:
        """Seconds per phase since the last call."""
        self._book()
        seconds, self._seconds = self._seconds, {}
        return seconds

    def _book(self) -> None:
        now = time.perf_counter()
        if self._stack:
            name = self._stack[-1]
            self._seconds[name] = self._seconds.get(name, 0.0) + now - self._since
        self._since = now
