"""What a search or training leaves in its run folder while it goes on: journal, checkpoints, telemetry."""

from collections.abc import Callable, Container, Mapping
from types import TracebackType
from typing import Self

from results.checkpoint import save_checkpoint
from results.journal import Journal
from results.records import Record
from results.run_dir import RunDir
from results.telemetry import Telemetry


class RunWriter:
    """Writes into the folder of a run; on a rank that has none, which is every one but the first, it writes nothing.

    Args:
        run: The folder, whose lock is held; None for none.
        num_records: Records of the journal that the run goes on from; those after them are cut.
    """

    def __init__(self, run: RunDir | None, *, num_records: int) -> None:
        self._run = run
        self._journal = None if run is None else Journal.open(run.journal_path, keep=num_records)
        self._telemetry = None if run is None else Telemetry(run.telemetry_path)

    def append(self, record: Record, *, sync: bool = True) -> None:
        """Journal a record, and wait until it is safe; without `sync`, the next checkpoint waits."""
        if self._journal is not None:
            self._journal.append(record, sync=sync)

    def save(self, number: int, state: Callable[[], Mapping[str, bytes]], *, spared: Container[int] = ()) -> None:
        """Save a checkpoint; of the older ones the newest is kept, and those whose number is `spared`."""
        if self._run is not None and self._journal is not None:
            self._journal.sync()
            root, num_records = self._run.checkpoints_path, self._journal.num_records
            save_checkpoint(root, number, state(), num_records=num_records, spared=spared)

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
