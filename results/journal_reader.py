"""Reads a journal on where it stopped, line by line, as those do who look at a run while it goes on.

What a line holds is left to whoever asks: of ten thousands of steps most readers want three numbers each.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from results.journal import MAX_LINE_BYTES, DamageError, Line, check_line, parse_record
from results.records import Record
from search_spaces.errors import JournalError
from search_spaces.outside import open_regular

_BUFFER_BYTES = 1 << 20


class JournalReader:
    """The lines of a journal that were not read before; needs no lock.

    A last line that is torn, or that does not hold its checksum, is not there yet.

    Args:
        path: The journal.
        lenient: Step over damaged lines and note them in `damages`, instead of ending at the first.

    Attributes:
        num_lines: Whole lines read so far, damaged ones among them.
        damages: What is wrong with the damaged ones, each with its place.
    """

    def __init__(self, path: Path, *, lenient: bool = False) -> None:
        self.path = path
        self.num_lines = 0
        self.damages: list[str] = []
        self._lenient = lenient
        self._num_bytes = 0
        self._last = b""

    def continues(self) -> bool:
        """Whether the journal still holds what was read; a resumed run cuts what its checkpoint does not know."""
        try:
            with open_regular(self.path) as file:
                file.seek(self._num_bytes - len(self._last))
                return file.read(len(self._last)) == self._last
        except OSError:
            return False

    def new_lines(self) -> Iterator[Line]:
        """The whole lines after those that were read.

        Raises:
            JournalError: The file cannot be read, or, unless lenient, a line that is not the last is damaged.
        """
        try:
            file = open_regular(self.path, buffer_bytes=_BUFFER_BYTES)
        except OSError as error:
            raise JournalError(
                f"a journal must be a readable file, but got {error.strerror}", path=self.path
            ) from error
        with file:
            file.seek(self._num_bytes)
            while (text := file.readline(MAX_LINE_BYTES + 1)).endswith(b"\n") or len(text) > MAX_LINE_BYTES:
                line: Line | None = None
                try:
                    line = check_line(text)
                except DamageError as damage:
                    if file.tell() == os.fstat(file.fileno()).st_size:
                        return
                    self.report(JournalError(str(damage), path=self.path, line=self.num_lines + 1))
                self.num_lines += 1
                self._num_bytes += len(text)
                self._last = text
                if line is not None:
                    yield line

    def report(self, error: JournalError) -> None:
        """Note what is wrong with a line.

        Raises:
            JournalError: Unless lenient.
        """
        if not self._lenient:
            raise error
        self.damages.append(str(error))


def read_leniently(path: Path) -> tuple[list[Record], list[str]]:
    """All records of a journal that can be read, and what is wrong with the lines that cannot.

    Raises:
        JournalError: The file cannot be read at all.
    """
    reader, records = JournalReader(path, lenient=True), []
    for line in reader.new_lines():
        try:
            records.append(parse_record(line.kind, line.record))
        except JournalError as error:
            reader.report(JournalError(error.message, path=path, line=reader.num_lines, where=error.where))
    return records, reader.damages
