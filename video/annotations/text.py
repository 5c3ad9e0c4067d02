"""Lines, tables and numbers of annotation files, within limits; errors name file and line."""

import csv
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from search_spaces import strict_json
from search_spaces.errors import DocumentError, ManifestError, shown
from search_spaces.outside import open_regular
from video.annotations.annotation import SPLIT_WORDS, Head
from video.manifest import Split

MAX_BYTES: Final = 1 << 28
MAX_JSON_BYTES: Final = 1 << 26
MAX_LINE_BYTES: Final = 1 << 16
MAX_LINES: Final = 1 << 22
MAX_CLASSES: Final = 100_000
_HEAD_LINES: Final = 200
_SECONDS = re.compile(r"[0-9]{1,7}(\.[0-9]{1,12})?")
_INTEGER = re.compile(r"[0-9]{1,9}")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Row:
    """A record of a table with a header."""

    line: int
    fields: Mapping[str, str]


def read_head(path: Path) -> Head:
    """The first 200 lines of a text file.

    Raises:
        ManifestError: Not a readable text, or an empty one.
    """
    numbered = list(itertools.islice(read_lines(path), _HEAD_LINES + 1))
    if not numbered:
        raise ManifestError("annotations must have at least one line, but got an empty file", path=path)
    lines = [line for _, line in numbered]
    return Head(path=path, lines=lines[:_HEAD_LINES], whole=len(lines) <= _HEAD_LINES)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers, from 1, and texts of the lines that are not blank, without what ends them.

    Raises:
        ManifestError: Not a readable file; more than 256 MiB, 4 Mi lines, or 64 KiB in a line; text that is not UTF-8
            or holds a zero byte.
    """
    for number, line in _all_lines(path):
        text = line.rstrip("\r\n")
        if text.strip():
            yield number, text


def read_table(path: Path, *, required: Sequence[str] = ()) -> Iterator[Row]:
    """The records of a csv file with a header; spaces around a field do not count.

    Raises:
        ManifestError: As `read_lines`; not csv, no such columns, a column twice, or a record of another length.
    """
    records = read_records(path)
    first, header = next(records, (1, []))
    names = [name.strip() for name in header]
    missing = [name for name in required if name not in names]
    if missing or len(set(names)) != len(names):
        raise ManifestError(
            f"columns must have different names and include {', '.join(required)}, but got {shown(names)}",
            path=path,
            line=first,
        )
    for number, record in records:
        if len(record) != len(names):
            raise ManifestError(
                f"a record must have the {len(names)} fields of the header, but got {len(record)}",
                path=path,
                line=number,
            )
        yield Row(number, {name: value.strip() for name, value in zip(names, record, strict=True)})


def read_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The records of a csv file, each with the number of the line it ends on.

    Raises:
        ManifestError: As `read_lines`, or not csv.
    """
    reader = csv.reader((line for _, line in _all_lines(path)), strict=True)
    try:
        for record in reader:
            if any(field.strip() for field in record):
                yield reader.line_num, record
    except csv.Error as error:
        raise ManifestError(f"must be csv, but got {error}", path=path, line=reader.line_num) from error


def read_json(path: Path) -> Any:  # noqa: ANN401
    """A JSON file of at most 64 MiB.

    Raises:
        ManifestError: As `strict_json.loads`.
    """
    try:
        return strict_json.load(path, max_bytes=MAX_JSON_BYTES)
    except DocumentError as error:
        raise ManifestError(error.message, path=path, where=error.where) from error


@contextmanager
def at_line(path: Path, line: int) -> Iterator[None]:
    """Errors inside name file and line."""
    try:
        yield
    except ManifestError as error:
        raise error.at(path=path, line=line or None) from error


def fields_of(line: str) -> list[str]:
    """The fields of one line of csv; none if it is not csv."""
    try:
        return [field.strip() for field in next(csv.reader([line], strict=True), [])]
    except csv.Error:
        return []


def has_columns(*names: str) -> Callable[[Head], bool]:
    """Whether a file begins with a header that has these columns."""
    return lambda head: set(names) <= set(fields_of(head.lines[0]))


def seconds(text: str, what: str) -> float:
    """A time written as seconds, such as 11.90.

    Raises:
        ManifestError: It is not.
    """
    if not _SECONDS.fullmatch(text):
        raise ManifestError(f"{what} must be seconds, such as 11.90, but got {shown(text)}")
    return float(text)


def integer(text: str, what: str, *, below: int = MAX_CLASSES) -> int:
    """A number from 0.

    Raises:
        ManifestError: It is not, or not below the limit.
    """
    if not _INTEGER.fullmatch(text) or int(text) >= below:
        raise ManifestError(f"{what} must be a number from 0 to below {below}, but got {shown(text)}")
    return int(text)


def split_of_word(word: str) -> Split:
    """A split by any of its usual names.

    Raises:
        ManifestError: Another word.
    """
    split = SPLIT_WORDS.get(word.lower())
    if split is None:
        raise ManifestError(f"a split must be one of {', '.join(SPLIT_WORDS)}, but got {shown(word)}")
    return split


def split_of_name(path: Path) -> Split | None:
    """The split that the name of an annotation file tells, such as `trainingSet.csv`; None for none or several."""
    found = {SPLIT_WORDS[word.lower()] for word in _WORDS.split(path.stem) if word.lower() in SPLIT_WORDS}
    return next(iter(found)) if len(found) == 1 else None


def _all_lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with open_regular(path) as file:
            if (num_bytes := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise ManifestError(f"must have at most {MAX_BYTES >> 20} MiB, but got {num_bytes} bytes")
            for number in itertools.count(1):
                line = file.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                if number > MAX_LINES:
                    raise ManifestError(f"must have at most {MAX_LINES} lines, but got more")
                if len(line) > MAX_LINE_BYTES:
                    raise ManifestError(f"a line must have at most {MAX_LINE_BYTES} bytes, but got more")
                if b"\0" in line:
                    raise ManifestError("must be text, but got a zero byte")
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ManifestError(f"must be text in UTF-8, but byte {error.start} is not", path=path, line=number) from error
    except OSError as error:
        raise ManifestError(f"must be a readable file, but got {error.strerror}", path=path) from error
    except ManifestError as error:
        raise error.at(path=path, line=number or None) from error
