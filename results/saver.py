"""When the state of a run is saved: on schedule, and when the program is told to end."""

import time
from collections.abc import Callable, Container, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from results import interruption
from results.checkpoint import save_checkpoint, tidy
from results.journal import Journal
from results.stopwatch import Stopwatch

SLOW_S = 2.0
"""A step that takes longer may not end within the grace, so the state before it is kept in memory."""
KEEPING_SHARE = 0.05
"""Most of the time that may go into keeping it."""

State = Callable[[], Mapping[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    number: int
    num_records: int
    blobs: Mapping[str, bytes]


class Saver:
    """Saves checkpoints after steps, as a context around all of them.

    Until the last step, SIGINT and SIGTERM wait for the step to end, whose state is then saved before KeyboardInterrupt
    is raised. Where a step takes longer than the grace, the latest state that was kept in memory is saved.
    A checkpoint off the schedule goes when the next one is saved, so that a run ends with the same ones in any case.

    Args:
        root: Folder of checkpoints, of a run whose lock is held.
        journal: Of the run; it is on the disk before a checkpoint knows of it.
        first: Steps done before.
        last: Steps of the whole run.
        every: Steps between checkpoints.
        spared: Steps whose checkpoints are saved, too, and kept for good.
        stopwatch: Books the time as `checkpoint`.
    """

    def __init__(
        self,
        root: Path,
        journal: Journal,
        *,
        first: int,
        last: int,
        every: int,
        stopwatch: Stopwatch,
        spared: Container[int] = (),
    ) -> None:
        self._root, self._journal, self._stopwatch = root, journal, stopwatch
        self._first, self._last, self._every, self._spared = first, last, every, spared
        self._kept: _Kept | None = None
        self._since = self._kept_at = time.monotonic()
        self._keeping_s = 0.0
        self._postponed = ExitStack()

    def __enter__(self) -> Self:
        tidy(self._root, self._first, scheduled=self.scheduled, spared=self._spared)
        if self._first < self._last:
            self._postponed.enter_context(interruption.postponed())
        return self

    def scheduled(self, number: int) -> bool:
        """Whether the state after so many steps is saved in any case."""
        return number % self._every == 0 or number == self._last or number in self._spared

    def step_done(self, number: int, state: State, *, before_long: bool = False) -> None:
        """Save, or keep, the state after `number` steps if it is time to.

        Args:
            number: Steps done.
            state: Gives it, as bytes of its own.
            before_long: Whether the step to come is known to take long.

        Raises:
            KeyboardInterrupt: The program was told to end, and the state is saved.
            CheckpointError: The disk failed.
            JournalError: Likewise.
        """
        told = interruption.told()
        if told or self.scheduled(number):
            interruption.in_time()
            with self._stopwatch.phase("checkpoint"):
                self._save(_Kept(number=number, num_records=self._journal.num_records, blobs=state()))
        elif before_long or self._may_keep():
            with self._stopwatch.phase("checkpoint"):
                self._keep(number, state)
        self._since = time.monotonic()
        if told:
            raise KeyboardInterrupt
        if number == self._last:
            self._postponed.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        broken_off = kind is not None and interruption.told() and not interruption.told_again()
        try:
            if broken_off and self._kept is not None:
                self._save(self._kept)
        finally:
            self._postponed.__exit__(kind, error, trace)

    def _may_keep(self) -> bool:
        now = time.monotonic()
        return now - self._since > SLOW_S and self._keeping_s <= KEEPING_SHARE * (now - self._kept_at)

    def _keep(self, number: int, state: State) -> None:
        begin = time.monotonic()
        self._kept = _Kept(number=number, num_records=self._journal.num_records, blobs=state())
        self._kept_at = time.monotonic()
        self._keeping_s = self._kept_at - begin

    def _save(self, found: _Kept) -> None:
        self._journal.sync()
        save_checkpoint(
            self._root,
            found.number,
            found.blobs,
            num_records=found.num_records,
            scheduled=self.scheduled,
            spared=self._spared,
        )
        self._kept = None
