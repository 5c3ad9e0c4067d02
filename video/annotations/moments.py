"""Moments in Time: trainingSet.csv and validationSet.csv, `clapping/video.mp4,clapping,3,0`, without a header."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from search_spaces.errors import ManifestError, shown
from video.annotations.annotation import Annotation, Format, Head, Listing, ReadOptions
from video.annotations.classes import read_class_names
from video.annotations.text import at_line, fields_of, read_records, split_of_name
from video.annotations.tree import is_video

CLASSES = "moments_categories.txt"


def recognises(head: Head) -> bool:
    """Lines of a path in a folder of the class, the class, and two counts of votes."""
    return all(_is_line(fields_of(line)) for line in head.lines)


def accompanies(head: Head) -> bool:
    """Names of the classes."""
    return head.path.name == CLASSES


def read(files: Sequence[Path], options: ReadOptions) -> Listing:
    """The class is the second field; the votes do not count.

    Raises:
        ManifestError: A line that is not written so, or a class without a number where there is a file of them.
    """
    class_file = options.classes or files[0].with_name(CLASSES)
    known = options.classes is not None or class_file.exists()
    names = read_class_names(class_file) if known else None
    known_names = None if names is None else frozenset(names)
    annotations = []
    for file in files:
        for number, record in read_records(file):
            with at_line(file, number):
                fields = [field.strip() for field in record]
                if not _is_line(fields):
                    raise ManifestError(f"a line must be class/video.mp4,class,votes,votes, but got {shown(fields)}")
                if known_names is not None and fields[1] not in known_names:
                    raise ManifestError(
                        f"a class must be one of the {len(known_names)} known, but got {shown(fields[1])}"
                    )
                annotations.append(
                    Annotation(name=fields[0], labels=fields[1], place=(file, number), split=split_of_name(file))
                )
    return Listing(annotations=tuple(annotations), class_names=names)


def _is_line(fields: Sequence[str]) -> bool:
    if len(fields) != 4 or not is_video(fields[0]) or not all(votes.isdigit() for votes in fields[2:]):
        return False
    return PurePosixPath(fields[0]).parent.name == fields[1]


FORMAT = Format(
    shape="csv without a header, lines `class/video.mp4,class,3,0`",
    recognises=recognises,
    read=read,
    accompanies=accompanies,
)
