"""Every error that movinas raises on purpose, in one tree.

A leaf also derives from the builtin that fits. The text is one printable line: what must hold, what was found, and
where; the same facts are attributes. The command line maps the tree to exit codes (`exit_code`) and prints no
traceback.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

MAX_WHERE = 300
"""Characters of a place that a message has room for."""
MAX_MESSAGE = 1600
"""Characters of a message without its location: what is foreign in it may be of any length."""


class MovinasError(Exception):
    """Root of the tree.

    Args:
        message: What must hold and what was found, without the location.
        path: File or folder concerned.
        line: Line within `path`, from 1.
        where: Place within a document, such as `blocks[3].layers[1].kernel`.
    """

    exit_code: ClassVar[int] = 2

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        where: str | None = None,
    ) -> None:
        text = printable(" ".join(message.split()))
        self.message = text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 3]}..."
        self.path = None if path is None else Path(path)
        self.line = line
        self.where = where
        place = "" if self.path is None else printable(str(self.path))
        if line is not None:
            place = f"{place}:{line}"
        prefix = ": ".join(part for part in (place, printable(where or "")[:MAX_WHERE]) if part)
        super().__init__(f"{prefix}: {self.message}" if prefix else self.message)

    def at(
        self, *, path: Path | str | None = None, line: int | None = None, where: str | None = None
    ) -> "MovinasError":
        """The same error with the parts of its location that were not known where it was raised."""
        located = copy.copy(self)  # with whatever else a leaf knows
        MovinasError.__init__(
            located,
            self.message,
            path=self.path if self.path is not None else path,
            line=self.line if self.line is not None else line,
            where=self.where if self.where is not None else where,
        )
        return located


def printable(text: str) -> str:
    """A text without what could command a terminal, change the order of its letters, or fail to be written."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def shown(value: object) -> str:
    """A found value as a message shows it: printable, at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class UsageError(MovinasError, ValueError):
    """An option or argument does not hold what it must."""


class DocumentError(MovinasError, ValueError):
    """A JSON document breaks the limits every document obeys: size, depth, numbers, duplicate fields."""


class SpecError(MovinasError, ValueError):
    """An architecture, variant or specification file does not hold what it must."""


class SpaceError(MovinasError, ValueError):
    """A search space, genotype or decision does not hold what it must."""


class TargetError(MovinasError, ValueError):
    """A cost target is not written as a target must be."""


class LatencyTableError(MovinasError, ValueError):
    """A table of measured times is missing or malformed, or of other networks than it is asked about."""


class InfeasibleTargetError(MovinasError, ValueError):
    """A well-written target that no architecture of the space meets."""

    exit_code: ClassVar[int] = 3


class ManifestError(MovinasError, ValueError):
    """A list of videos is missing or malformed."""


class VideoError(MovinasError, ValueError):
    """A video cannot be read, or holds less than was asked of it."""


class TooManyBadVideosError(MovinasError, RuntimeError):
    """The share of unreadable videos passed the stated limit."""


class JournalError(MovinasError, ValueError):
    """A journal holds a damaged record."""


class CheckpointError(MovinasError, ValueError):
    """A checkpoint is missing, damaged, or of something else."""


class RunFolderError(MovinasError, RuntimeError):
    """A run folder exists, is missing, is in use, or is of another kind."""


class RunExistsError(RunFolderError):
    """A run folder is to be made where there is something."""


class WeightsError(MovinasError, ValueError):
    """Weights do not fit the network they are for.

    Args:
        message: As of every error, like the place.
        path: Likewise.
        line: Likewise.
        where: Likewise.
        missing: Every tensor that the network has and the weights lack.
        unexpected: Every tensor of the weights that the network does not have.
        misshaped: Every tensor of another shape than the network's.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        where: str | None = None,
        missing: Sequence[str] = (),
        unexpected: Sequence[str] = (),
        misshaped: Sequence[str] = (),
    ) -> None:
        super().__init__(message, path=path, line=line, where=where)
        self.missing, self.unexpected, self.misshaped = tuple(missing), tuple(unexpected), tuple(misshaped)


class StateError(MovinasError, ValueError):
    """The state of a stream does not fit the network or the frames."""


class DeployError(MovinasError, RuntimeError):
    """A deployed file does not say what its network says, within a stated bound."""


class SweepError(MovinasError, RuntimeError):
    """Members of a sweep have no result."""


class ClusterError(MovinasError, RuntimeError):
    """A Ray cluster cannot be reached, or has no place for a worker."""


class RankLostError(MovinasError, RuntimeError):
    """A process of a data parallel training has ended before the others."""


class RanksDifferError(MovinasError, RuntimeError):
    """Processes that search together do not draw the same architectures."""
