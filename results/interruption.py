"""Being told to end: SIGINT or SIGTERM lets a run finish its step and save; a second one ends it at once.

Signals come to a process, so what is known of them is known once per process. Without `listen` nothing here changes
what signals do.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

GRACE_S = 5.0
"""How long a step may take to end; whoever manages a machine kills ten seconds after the signal, or later."""
SAME_S = 1.0
"""Signals so soon after the first say the same: a terminal tells a whole group, and a parent its children once more."""


class _Watch:
    """A thread that breaks off what takes too long, begun before: a signal handler may write a byte, but no more."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self, number: int) -> None:
        """Send signal `number` once more, when the grace is over."""
        os.write(self._writing, bytes([number]))

    def end(self) -> None:
        """Send nothing any more."""
        os.write(self._writing, b"\0")

    def close(self) -> None:
        self.end()
        self._thread.join()
        os.close(self._reading)
        os.close(self._writing)

    def _run(self) -> None:
        (number,) = os.read(self._reading, 1)
        if number and not select.select([self._reading], [], [], GRACE_S)[0]:
            ident = threading.main_thread().ident
            assert ident is not None
            _told.overdue = True
            signal.pthread_kill(ident, number)  # whatever it waits for


@dataclass(slots=True)
class _Told:
    depth: int = 0
    at_s: float | None = None
    overdue: bool = False
    again: bool = False
    watch: _Watch | None = None


_told = _Told()


def listen(tell: Callable[[], None]) -> None:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt: at once, but within `postponed` only when it is time to.

    Args:
        tell: Called where the first signal is postponed, from within a signal handler.
    """

    def handle(number: int, frame: object) -> None:
        del frame
        first = not told()
        if not _postpones():
            raise KeyboardInterrupt
        if first and _told.watch is not None:
            _told.watch.begin(number)
            tell()

    _told.at_s = None
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for what a shell starts in the background
            signal.signal(number, handle)


def told() -> bool:
    """Whether a signal has come, which the work at hand was to end by."""
    return _told.at_s is not None


def told_again() -> bool:
    """Whether another followed, and so nothing more is to be waited for."""
    return _told.again


def in_time() -> None:
    """The step has ended: from now on time is no reason to break off, only another signal is."""
    if told() and _told.watch is not None:
        _told.watch.end()


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Within it the first signal waits, at most `GRACE_S`, for whoever asks `told`; it is raised in the end.

    Raises:
        KeyboardInterrupt: At the end of the block, or within it when the grace is over or another signal comes.
    """
    outermost = not _told.depth
    if outermost:
        _told.at_s, _told.overdue, _told.again, _told.watch = None, False, False, _Watch()
    _told.depth += 1
    try:
        yield
    finally:
        _told.depth -= 1
        if outermost and _told.watch is not None:
            _told.watch.close()
            _told.watch = None
    if told():
        raise KeyboardInterrupt


def _postpones() -> bool:
    """Note a signal; whether what it interrupts goes on."""
    now = time.monotonic()
    if not _told.depth:
        return False
    if _told.at_s is None:
        _told.at_s = now
        return True
    if _told.overdue:
        _told.overdue = False
        return False
    if now - _told.at_s > SAME_S:
        _told.again = True
        return False
    return True
