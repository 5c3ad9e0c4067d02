"""What a search or training leaves in its run folder while it goes on: journal, checkpoints, telemetry."""

from collections.abc import Container, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from results.checkpoint import Checkpoint
from results.journal import Journal
from results.records import Record
from results.run_dir import RunDir
from results.saver import Saver, State
from results.stopwatch import Stopwatch
from results.telemetry import Telemetry


class RunWriter:
    """Writes into the folder of a run; on a rank that has none, which is every one but the first, it writes nothing.

    Args:
        run: The folder, whose lock is held; None for none.
        checkpoint: What the run goes on from; records of the journal after it are cut.
        num_steps: Of the whole run; the state after the last is saved.
        every: Steps between checkpoints; of the older ones the newest is kept.
        spared: Steps whose checkpoints are saved, too, and kept for good.
        stopwatch: Books the time of saving as `checkpoint`.
    """

    def __init__(
        self,
        run: RunDir | None,
        checkpoint: Checkpoint | None,
        *,
        num_steps: int,
        every: int,
        stopwatch: Stopwatch,
        spared: Container[int] = (),
    ) -> None:
        self._stack = ExitStack()
        self._journal: Journal | None = None
        self._saver: Saver | None = None
        self._telemetry: Telemetry | None = None
        if run is None:
            return
        self._telemetry = Telemetry(run.telemetry_path)
        self._journal = Journal.open(run.journal_path, keep=checkpoint.num_records if checkpoint else 0)
        self._saver = Saver(
            run.checkpoints_path,
            self._journal,
            first=checkpoint.number if checkpoint else 0,
            last=num_steps,
            every=every,
            spared=spared,
            stopwatch=stopwatch,
        )

    def append(self, record: Record, *, sync: bool = True) -> None:
        """Journal a record, and wait until it is safe; without `sync`, the next checkpoint waits."""
        if self._journal is not None:
            self._journal.append(record, sync=sync)

    def step_done(self, number: int, state: State, *, before_long: bool = False) -> None:
        """Save the state after `number` steps if it is time to; see `Saver.step_done`."""
        if self._saver is not None:
            self._saver.step_done(number, state, before_long=before_long)

    def tell(self, step: int, seconds: Mapping[str, float]) -> None:
        """Add the times of a step to telemetry."""
        if self._telemetry is not None:
            self._telemetry.append("phase_times", step=step, seconds=dict(seconds))

    def __enter__(self) -> Self:
        for part in (self._journal, self._saver):
            if part is not None:
                self._stack.enter_context(part)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
