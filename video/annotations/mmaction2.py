"""mmaction2 video lists: a path and the number of a class per line, or of several classes."""

from collections.abc import Sequence
from pathlib import Path

from search_spaces.errors import ManifestError
from video.annotations.annotation import Annotation, Format, Head, Listing, ReadOptions, accompanied_by_nothing
from video.annotations.classes import name_of, read_class_names, used_numbers
from video.annotations.lines import are_folders, are_videos, numbered_lines, read_numbered
from video.annotations.text import at_line, integer, split_of_name


def recognises(head: Head) -> bool:
    """Lists of videos, and those of frame folders so that they can be refused by name."""
    lines = numbered_lines(head)
    if head.path.suffix == ".csv" and all(len(line.numbers) == 1 for line in lines):
        return False  # PySlowFast; both mean the same
    return are_videos(lines) or are_folders(lines)


def read(files: Sequence[Path], options: ReadOptions) -> Listing:
    """One class per line, or any number of classes where a line has more.

    Raises:
        ManifestError: Lists of folders with frames, which are no videos; a label that is no class.
    """
    names = None if options.classes is None else read_class_names(options.classes)
    found = [(file, line) for file in files for line in read_numbered(file)]
    several = any(len(line.numbers) > 1 for _, line in found)
    annotations, numbers = [], []
    for file, line in found:
        with at_line(file, line.number):
            if are_folders([line]):
                raise ManifestError(
                    "must list video files, but got a list of folders with frames (rawframes): "
                    "index the videos that the frames were taken from"
                )
            labels = [integer(number, "a label") for number in line.numbers]
            numbers += labels
            classes = tuple(dict.fromkeys(name_of(label, names) for label in labels))
            annotations.append(
                Annotation(
                    name=line.path,
                    labels=classes if several else classes[0],
                    place=(file, line.number),
                    split=split_of_name(file),
                )
            )
    return Listing(annotations=tuple(annotations), class_names=used_numbers(numbers) if names is None else names)


FORMAT = Format(
    shape="lines of a video's path and the numbers of its classes, `some/video.mp4 12`",
    recognises=recognises,
    read=read,
    accompanies=accompanied_by_nothing,
)
