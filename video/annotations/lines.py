"""Lines of a path and numbers, `abseiling/x y.mp4 0`, as mmaction2 and PySlowFast read them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_spaces.errors import ManifestError, shown
from video.annotations.annotation import Head
from video.annotations.text import fields_of, read_lines
from video.annotations.tree import is_video

_NUMBER = re.compile(r"-?[0-9]+")
_NUMBERS_BACKWARDS = re.compile(r"(?:[0-9]++-?[ \t]++)*")
UCF101_FILE = re.compile(r"(train|test)list\d\d\.txt")
HMDB51_FILE = re.compile(r"(?P<label>.+)_test_split(?P<fold>\d)\.txt")


@dataclass(frozen=True, slots=True)
class Line:
    """A path, which may hold spaces, and the numbers after it."""

    number: int
    path: str
    numbers: tuple[str, ...]


def split_line(text: str, number: int = 0) -> Line:
    """The path is what stands before the numbers at the end; commas separate them where the path ends before one.

    A path that names a video ends with its suffix, so that numbers after spaces do not become part of it and names with
    spaces and numbers stay whole.
    """
    fields = fields_of(text)
    if len(fields) > 1 and all(_NUMBER.fullmatch(field) for field in fields[1:]):
        return Line(number, fields[0], tuple(fields[1:]))
    text = text.strip()
    numbers = _NUMBERS_BACKWARDS.match(text[::-1])  # from the end: the path may hold spaces and numbers itself
    assert numbers is not None
    end = len(text) - numbers.end()
    return Line(number, text[:end].strip('"'), tuple(text[end:].split()))


def numbered_lines(head: Head) -> list[Line]:
    """The lines of a file's beginning, if all are a path and numbers; else none."""
    if UCF101_FILE.fullmatch(head.path.name) or HMDB51_FILE.fullmatch(head.path.name):
        return []
    lines = [split_line(text) for text in head.lines]
    return lines if all(line.numbers for line in lines) else []


def are_videos(lines: Sequence[Line]) -> bool:
    """Whether there are lines, and all paths have suffixes of videos."""
    return bool(lines) and all(is_video(line.path) for line in lines)


def are_folders(lines: Sequence[Line]) -> bool:
    """Whether there are lines `folder number-of-frames label`, and no path has a suffix."""
    return bool(lines) and all(len(line.numbers) >= 2 and "." not in Path(line.path).name for line in lines)


def read_numbered(path: Path) -> Iterator[Line]:
    """The lines of a file, each with at least one number.

    Raises:
        ManifestError: A line without a label.
    """
    for number, text in read_lines(path):
        line = split_line(text, number)
        if not line.numbers:
            raise ManifestError(
                f"a line must be a path and the number of its class, but got {shown(text)}", path=path, line=number
            )
        yield line
