"""What ranks have in common, whatever they compute: the first knows the job and writes, the others are told."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from launch.ranks import local_number
from results import interruption
from results.checkpoint import Checkpoint, load_newest
from results.journal import num_complete
from results.run_dir import Kind, RunDir, lock, open_run
from supernet.distributed import Ranks

WRITER_PATIENCE_S = 60.0
"""How long the first rank waits for the one of a try before to end."""


class Job(Protocol):
    """What every rank knows of a job; the first has it from the run folder, which the others need not see."""

    def follow(self, ranks: Ranks) -> None:
        """Compute as a rank that is not the first."""
        ...


def follow(ranks: Ranks) -> None:
    """Compute, as a rank that is not the first, whatever the first tells."""
    job: Job = ranks.from_first(_unasked)
    with interruption.postponed():  # the first rank saves once all have done their step, and by ending ends the others
        job.follow(ranks)


def dismiss(ranks: Ranks) -> None:
    """Tell the others, as the first, that nothing is left to compute."""
    ranks.from_first(_Nothing)


@contextlib.contextmanager
def held_by_writer(folder: Path, kind: Kind) -> Iterator[RunDir]:
    """The folder of a run that another process holds, for the rank that writes into it."""
    run = open_run(folder, kind=kind)
    with lock(run, patience_s=WRITER_PATIENCE_S, as_writer=True):
        yield run


def newest_checkpoint(run: RunDir) -> Checkpoint | None:
    """Where the run goes on, as plain values, which travel."""
    found = load_newest(run.checkpoints_path, max_records=num_complete(run.journal_path))
    return None if found is None else replace(found, blobs=dict(found.blobs))


def local_rank(ranks: Ranks) -> int | None:
    """The number of this process on its machine; None where it is alone."""
    return local_number("LOCAL_RANK", 0) if ranks.size > 1 else None


class _Nothing:
    def follow(self, ranks: Ranks) -> None:
        pass


def _unasked() -> Job:
    raise AssertionError("only the first rank is asked what is computed")
