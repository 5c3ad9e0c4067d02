"""What a search or training leaves in its run folder while it goes on: journal, checkpoints, telemetry."""

from collections.abc import Callable, Container, Mapping
from types import TracebackType
from typing import Self

from results.checkpoint import Checkpoint, save_checkpoint
from results.journal import Journal
from results.records import Record
from results.run_dir import RunDir
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
        self._run, self._num_steps, self._every, self._spared = run, num_steps, every, spared
        self._stopwatch = stopwatch
        keep = checkpoint.num_records if checkpoint else 0
        self._journal = None if run is None else Journal.open(run.journal_path, keep=keep)
        self._telemetry = None if run is None else Telemetry(run.telemetry_path)

    def append(self, record: Record, *, sync: bool = True) -> None:
        """Journal a record, and wait until it is safe; without `sync`, the next checkpoint waits."""
        if self._journal is not None:
            self._journal.append(record, sync=sync)

    def step_done(self, number: int, state: Callable[[], Mapping[str, bytes]]) -> None:
        """Save the state after `number` steps if it is time to, once the journal is on the disk."""
        due = number % self._every == 0 or number == self._num_steps or number in self._spared
        if self._run is None or self._journal is None or not due:
            return
        with self._stopwatch.phase("checkpoint"):
            self._journal.sync()
            save_checkpoint(
                self._run.checkpoints_path,
                number,
                state(),
                num_records=self._journal.num_records,
                spared=self._spared,
            )

    def tell(self, step: int, seconds: Mapping[str, float]) -> None:
        """Add the times of a step to telemetry."""
        if self._telemetry is not None:
            self._telemetry.append("phase_times", step=step, seconds=dict(seconds))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._journal is not None:
            self._journal.close()
