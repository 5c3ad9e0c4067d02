"""The journal of a run: append-only lines of JSON, each with a checksum, the truth that a resumed run continues.

A line is `{"crc32":"8 hex","kind":"step","record":{...}}`, canonical (sorted fields, no spaces), so equal records give
equal bytes; the order of the names in a mapping is not kept. The CRC-32 is over the canonical text of the line without
its field `crc32`. A kill can tear the last line only, and a torn last line never happened. Readers need no lock.
"""

import contextlib
import dataclasses
import math
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, NamedTuple, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from results import files, records
from results.records import Record
from search_spaces import strict_json
from search_spaces.errors import DocumentError, JournalError, shown
from search_spaces.outside import open_regular
from search_spaces.strict_json import check_quickly

Kind = Literal[
    "start", "step", "policy", "candidate", "result", "epoch", "scaling", "member", "trained", "shared", "audit"
]

KINDS: Mapping[Kind, type[Record]] = {
    "start": records.StartRecord,
    "step": records.StepRecord,
    "policy": records.PolicyRecord,
    "candidate": records.CandidateRecord,
    "result": records.ResultRecord,
    "epoch": records.EpochRecord,
    "scaling": records.ScalingRecord,
    "member": records.MemberRecord,
    "trained": records.TrainedRecord,
    "shared": records.SharedRecord,
    "audit": records.AuditRecord,
}
"""Name of the kind in a line, and the class of its record."""

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
# pydantic takes no config beside a dataclass itself, but a tuple of one hands its config down
_READERS: Mapping[str, TypeAdapter[Any]] = {
    kind: TypeAdapter(tuple[cls], config=_STRICT)  # type: ignore[valid-type]
    for kind, cls in KINDS.items()
}
_NAMES: Mapping[type[Record], Kind] = {cls: kind for kind, cls in KINDS.items()}
_LINE = re.compile(rb'\{"crc32":"([0-9a-f]{8})",("kind":"([a-z]+)","record":(\{.*\})\})\n', re.DOTALL)
_BUFFER_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 24
"""A policy over the largest space that can be written takes a quarter of it."""


def encode(record: Record) -> bytes:
    """The one line of a record; equal records give equal bytes, whether a float was given as 1 or 1.0.

    Raises:
        JournalError: The record is of no known kind, or holds what a reader would refuse, such as NaN.
    """
    kind = _NAMES.get(type(record))
    if kind is None:
        raise JournalError(f"a record must be one of {', '.join(KINDS)}, but got {type(record).__name__}")
    text = strict_json.canonical(_plain(record, kind))
    normal = _plain(parse_record(kind, text.encode()), kind)
    body = strict_json.canonical({"kind": kind, "record": normal}).encode()
    line = b'{"crc32":"%08x",%b\n' % (zlib.crc32(body), body[1:])
    if len(line) > MAX_LINE_BYTES:
        raise JournalError(f"a record must take at most {MAX_LINE_BYTES} bytes, but got {len(line)}", where=kind)
    return line


def iter_journal(path: Path) -> Iterator[Record]:
    """Records in order, one at a time; a torn last line is left out.

    Raises:
        JournalError: The file cannot be read, or a line that is not the last is damaged.
    """
    with _open_for_reading(path) as file:
        for number, line in enumerate(_whole_lines(file, path), start=1):
            try:
                yield parse_record(line.kind, line.record)
            except JournalError as error:
                raise error.at(path=path, line=number) from error


def read_journal(path: Path) -> list[Record]:
    """All records in order; see `iter_journal`."""
    return list(iter_journal(path))


def num_complete(path: Path) -> int:
    """Complete records at the beginning of a journal, as far as their checksums hold; 0 where there is no file."""
    number = 0
    with contextlib.suppress(JournalError), _open_for_reading(path) as file:
        for _ in _whole_lines(file, path):
            number += 1
    return number


class Journal:
    """The single writer of a journal; `open` it, `append` to it, `close` it.

    Attributes:
        path: The file.
        num_records: Complete records in it.
    """

    def __init__(self, path: Path, descriptor: int, *, num_records: int, num_bytes: int) -> None:
        self.path = path
        self.num_records = num_records
        self._descriptor: int | None = descriptor
        self._num_bytes = self._num_synced_bytes = num_bytes

    @classmethod
    def open(cls, path: Path, *, keep: int | None = None) -> Self:
        """Open for appending; cuts a torn last line and, given `keep`, everything after that many records.

        Raises:
            JournalError: The file cannot be written, a line among those to keep is damaged, or there are fewer.
        """
        with _errors_of(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            num_records, num_bytes = _measure(path, keep)
            with _errors_of(path):
                if os.fstat(descriptor).st_size > num_bytes:
                    os.ftruncate(descriptor, num_bytes)
                os.fsync(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, num_records=num_records, num_bytes=num_bytes)

    def append(self, record: Record, *, sync: bool = True) -> None:
        """Write one record, which outlives this process.

        Args:
            record: Last one from now on.
            sync: Wait until it is on the disk and outlives the machine's fall as well; without, `sync` waits.

        Raises:
            JournalError: The record cannot be written as JSON (the journal goes on), or the disk failed (it is closed).
        """
        if self._descriptor is None:
            raise JournalError("a journal must be open to append to it, but it is closed", path=self.path)
        try:
            line = encode(record)
        except JournalError as error:
            raise error.at(path=self.path, line=self.num_records + 1) from error
        try:
            with _errors_of(self.path):
                files.write_all(self._descriptor, line)
        except JournalError:
            self._cut(self._num_bytes)
            raise
        self.num_records += 1
        self._num_bytes += len(line)
        if sync:
            self.sync()

    def sync(self) -> None:
        """Wait until every record is on the disk: a checkpoint must not know of records that may still be lost.

        Raises:
            JournalError: The disk failed, and the journal is closed.
        """
        if self._descriptor is None:
            raise JournalError("a journal must be open to wait for it, but it is closed", path=self.path)
        try:
            with _errors_of(self.path):
                os.fsync(self._descriptor)
        except JournalError:
            self._cut(self._num_synced_bytes)
            raise
        self._num_synced_bytes = self._num_bytes

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _cut(self, num_bytes: int) -> None:
        # After a failed write or fsync nobody knows what is on the disk: cut it off and let `open` look again.
        assert self._descriptor is not None
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, num_bytes)
        self.close()


class Line(NamedTuple):
    """A whole line whose checksum holds: name of the kind, text of the record, length with its newline."""

    kind: str
    record: bytes
    num_bytes: int


class DamageError(ValueError):
    """What is wrong with a line."""


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise JournalError(f"a journal must be a writable file, but got {reason}", path=path) from error


def _open_for_reading(path: Path) -> BinaryIO:
    try:
        return open_regular(path, buffer_bytes=_BUFFER_BYTES)
    except OSError as error:
        raise JournalError(f"a journal must be a readable file, but got {error.strerror}", path=path) from error


def _whole_lines(file: BinaryIO, path: Path) -> Iterator[Line]:
    number = 0
    while (line := file.readline(MAX_LINE_BYTES + 1)).endswith(b"\n") or len(line) > MAX_LINE_BYTES:
        number += 1
        try:
            checked = check_line(line)
        except DamageError as damage:
            if not file.read(1):
                return
            raise JournalError(str(damage), path=path, line=number) from damage
        yield checked


def check_line(line: bytes) -> Line:
    """The parts of a line that ends in a newline.

    Raises:
        DamageError: It is no line of a journal, or its checksum does not hold.
    """
    if len(line) > MAX_LINE_BYTES:
        raise DamageError(f"a line must have at most {MAX_LINE_BYTES} bytes, but got more")
    match = _LINE.fullmatch(line)
    if match is None:
        start = line[:40].decode("ascii", "backslashreplace")
        raise DamageError(f'a line must be {{"crc32":...,"kind":...,"record":...}}, but got {start!r}')
    stated, body, kind, record = match.groups()
    if int(stated, 16) != (found := zlib.crc32(body, zlib.crc32(b"{"))):
        raise DamageError(f"a line must have the CRC-32 it states, {stated.decode()}, but got {found:08x}")
    return Line(kind.decode(), record, len(line))


def _measure(path: Path, keep: int | None) -> tuple[int, int]:
    num_records = num_bytes = 0
    with _open_for_reading(path) as file:
        lines = _whole_lines(file, path)
        while num_records != keep and (line := next(lines, None)) is not None:
            num_records += 1
            num_bytes += line.num_bytes
    if keep is not None and num_records < keep:
        raise JournalError(f"must hold at least {keep} complete records, but got {num_records}", path=path)
    return num_records, num_bytes


def parse_record(kind: str, text: bytes) -> Record:
    """The record of a line.

    Raises:
        JournalError: The kind is unknown, or the record is not one of that kind.
    """
    reader = _READERS.get(kind)
    if reader is None:
        raise JournalError(f"a kind must be one of {', '.join(KINDS)}, but got {shown(kind)}")
    try:
        check_quickly(text)
        (record,) = reader.validate_json(b"[" + text + b"]")
    except DocumentError as error:
        raise JournalError(error.message, where=kind) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise JournalError(
            f"{first['msg'][:1].lower()}{first['msg'][1:]}, but got {str(first['input'])[:80]!r}",
            where=_where(kind, first["loc"][1:]),
        ) from error
    return record  # type: ignore[no-any-return]


def _where(kind: str, location: tuple[int | str, ...]) -> str:
    return kind + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _plain(value: object, where: str) -> object:
    if dataclasses.is_dataclass(value):
        fields = (field.name for field in dataclasses.fields(value))
        return {name: _plain(getattr(value, name), f"{where}.{name}") for name in fields}
    if isinstance(value, Mapping):
        return {name: _plain(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float) and math.isfinite(value):
        return float(value)  # of NumPy's float64 too
    if value is None or isinstance(value, str | int):
        return value
    raise JournalError(f"a record must hold finite numbers and text, but got {value!r}", where=where)
