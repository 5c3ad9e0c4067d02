"""What happened: journals, checkpoints and folders of runs, and what is made of them. `load` gives a run as tables."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from results.tables import Tables


def load(path: Path | str) -> "Tables":
    """A run or sweep as pandas frames, documented in `docs/results.md`; errors as `results.tables.load`."""
    from results import tables  # noqa: PLC0415 -- pandas takes half a second, which other readers need not spend

    return tables.load(path)
