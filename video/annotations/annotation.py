"""What every format is read into: labels by name, files by the names that the format has for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from search_spaces.errors import ManifestError
from video.manifest import Split, check_name

Labels = str | tuple[str, ...] | Mapping[str, str]
"""The class of a video; any number of classes where a video may have several; or a class for each of several heads."""
ClassNames = tuple[str, ...] | Mapping[str, tuple[str, ...]]

SPLIT_WORDS: Final[Mapping[str, Split]] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
MAX_TIME_S: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A video, or a segment of one, before anybody has looked for its file.

    Attributes:
        name: File below the data folder: a path, or the end of one; without a suffix, any suffix of a video will do.
        labels: What it shows.
        place: File and line that say so.
        start_s: Start of the segment within the file, seconds; the first frame if not given.
        end_s: End of the segment; the end of the file if not given.
        cut_name: Another name, of a file that holds the segment alone; it is taken where it exists.
        id: Name of the segment where the format has one.
        split: Where the format says so.
        group: What it was recorded with, where the format says so.
        columns: Further facts that videos can be grouped by, such as the person.
    """

    name: str
    labels: Labels
    place: tuple[Path, int]
    start_s: float | None = None
    end_s: float | None = None
    cut_name: str | None = None
    id: str | None = None
    split: Split | None = None
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name("a file name", self.name)
        for name in self.label_names:
            check_name("a class", name)
        start_s, end_s = self.start_s or 0.0, self.end_s
        if not 0.0 <= start_s <= MAX_TIME_S or not (end_s is None or start_s < end_s <= MAX_TIME_S):
            raise ManifestError(
                f"a segment must start at 0 s or later and end after that, by {MAX_TIME_S:.0f} s, "
                f"but got {start_s} to {end_s}"
            )

    @property
    def label_names(self) -> tuple[str, ...]:
        """All class names."""
        if isinstance(self.labels, str):
            return (self.labels,)
        return tuple(self.labels.values() if isinstance(self.labels, Mapping) else self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All that annotation files say.

    Attributes:
        annotations: In the order of the files.
        class_names: By class number, or by head and number; those that occur, sorted, if not given.
        num_unlabelled: Lines without a label, which are left out.
        notes: What whoever indexes should know.
    """

    annotations: tuple[Annotation, ...]
    class_names: ClassNames | None = None
    num_unlabelled: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What cannot be read off annotation files.

    Attributes:
        classes: File with the names of the classes; None looks for the format's own beside the annotations.
        fold: Number of the split, of formats that have several.
        segments: Whether each action of a video with many is a segment of its own.
    """

    classes: Path | None = None
    fold: int = 1
    segments: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The beginning of a file, which formats are recognised by.

    Attributes:
        path: Of the file.
        lines: The first lines that hold anything, at least one.
        whole: Whether these are all lines.
    """

    path: Path
    lines: Sequence[str]
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A way to annotate videos.

    Attributes:
        shape: What its files look like, in a line.
        recognises: Whether a file holds annotations in this format.
        accompanies: Whether a file belongs to such files, such as one with the names of the classes.
        read: Reads files that `recognises` accepts, all those of one data set.
    """

    shape: str
    recognises: Callable[[Head], bool]
    read: Callable[[Sequence[Path], ReadOptions], Listing]
    accompanies: Callable[[Head], bool]


def accompanied_by_nothing(head: Head) -> bool:
    """For formats without further files."""
    del head
    return False
