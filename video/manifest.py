"""The list of videos that everything reads: which files, which classes, which split.

A manifest file is JSON Lines. Line 1 is a header, `{"schema": 1, "kind": "movinas.manifest", "class_names": [...]}`;
every other line is a video, `{"id", "path", "labels", "split"}` and, where known, `start_s`, `end_s` and `group`.
Relative paths count from the manifest's folder. Whether the videos exist is not looked at here.

`labels` is a list of class numbers: one, or with `"multi_label": true` in the header any number. With several heads
`class_names` maps a head to its list of classes, `{"verb": [...], "noun": [...]}`, and `labels` a head to the number of
its class, `{"verb": 3, "noun": 7}`.
"""

import math
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args

from search_spaces.errors import DocumentError, ManifestError, shown
from search_spaces.outside import open_regular
from search_spaces.strict_json import MAX_BYTES, canonical, loads
from video.label_space import LabelHead, LabelSpace

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)

SCHEMA: Final = 1
KIND: Final = "movinas.manifest"
MAX_VIDEOS: Final = 1 << 23
MAX_HEAD_LETTERS: Final = 100
_HEADER_FIELDS: Final = ("schema", "kind", "class_names")
_OPTIONAL_HEADER_FIELDS: Final = ("multi_label",)
_REQUIRED_FIELDS: Final = ("id", "path", "labels", "split")
_OPTIONAL_FIELDS: Final = ("start_s", "end_s", "group")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoItem:
    """A video, or a segment of one, with its labels.

    Attributes:
        id: Name, unique in its manifest.
        path: Absolute path of the file.
        labels: Numbers of its classes, none twice; how many there must be is up to the manifest.
        split: What it may be used for.
        start_s: Start of the segment, seconds from the first frame, >= 0; the first frame if not given.
        end_s: End of the segment, later than its start; the end of the video if not given.
        group: What keeps together that must not be split, such as a person or a long recording.
    """

    id: str
    path: Path
    labels: tuple[int, ...]
    split: Split
    start_s: float | None = None
    end_s: float | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        check_name("id", self.id)
        if self.group is not None:
            check_name("group", self.group)
        if not self.path.is_absolute():
            raise ManifestError(f"a path must be absolute, but got path={shown(str(self.path))}", where="path")
        if self.split not in SPLITS:
            raise ManifestError(f"a split must be train, val or test, but got {self.split!r}", where="split")
        if len(set(self.labels)) != len(self.labels) or min(self.labels, default=0) < 0:
            raise ManifestError(
                f"labels must be different class numbers from 0, but got {shown(list(self.labels))}", where="labels"
            )
        start_s = self.start_s or 0.0
        end_s = start_s + 1.0 if self.end_s is None else self.end_s
        if not (0.0 <= start_s < end_s and math.isfinite(end_s)):
            raise ManifestError(
                f"a segment must start at 0 or later and end after that, but got start_s={self.start_s}, "
                f"end_s={self.end_s}",
                where="start_s",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Videos and their classes.

    Attributes:
        class_names: By class number; different, at least one. With heads, `head:class`.
        items: In the order of the file; ids are unique, labels lie in [0, num_classes).
        heads: At least two, of each of which a video has one class; none otherwise.
        multi_label: Whether a video has any number of classes; always so where one has several and there are no heads.
    """

    class_names: tuple[str, ...]
    items: tuple[VideoItem, ...]
    heads: tuple[LabelHead, ...] = ()
    multi_label: bool = False

    def __post_init__(self) -> None:
        _check_class_names(self.class_names)
        if not self.heads and any(len(item.labels) > 1 for item in self.items):
            object.__setattr__(self, "multi_label", True)
        space, known = self.label_space, set[str]()
        for index, item in enumerate(self.items):
            try:
                _check_member(item, space=space, known=known)
            except ManifestError as error:
                raise ManifestError(error.message, where=f"items[{index}].{error.where}") from error
            known.add(item.id)

    @property
    def num_classes(self) -> int:
        """How many classes there are, whether or not a video shows them."""
        return len(self.class_names)

    @property
    def label_space(self) -> LabelSpace:
        """What the labels mean."""
        return LabelSpace(class_names=self.class_names, heads=self.heads, multi_label=self.multi_label)

    def of(self, split: Split) -> tuple[VideoItem, ...]:
        """The videos of one split, in order."""
        return tuple(item for item in self.items if item.split == split)


def load_manifest(path: Path) -> Manifest:
    """Read a manifest, line by line.

    Raises:
        ManifestError: No such file, a line that does not hold what it must, or more than 8 Mi of them; the error names
            the line.
    """
    folder = _folder_of(path)
    items: list[VideoItem] = []
    known: set[str] = set()
    number = 1
    try:
        with open_regular(path) as file:
            space = _parse_header(_next_line(file))
            for number, line in enumerate(_lines(file), start=2):  # noqa: B007
                if len(items) == MAX_VIDEOS:
                    raise ManifestError(f"a manifest must have at most {MAX_VIDEOS} videos, but got more")
                item = _parse_item(line, space=space, folder=folder)
                _check_member(item, space=space, known=known)
                known.add(item.id)
                items.append(item)
    except OSError as error:
        raise ManifestError(f"must be a readable manifest, but got {error.strerror}", path=path) from error
    except (DocumentError, ManifestError) as error:
        raise ManifestError(error.message, path=path, line=number, where=error.where) from error
    return Manifest(class_names=space.class_names, items=tuple(items), heads=space.heads, multi_label=space.multi_label)


def write_manifest(manifest: Manifest, path: Path, *, overwrite: bool = False) -> None:
    """Write a manifest whole or not at all; paths under its folder become relative to it.

    Raises:
        ManifestError: The file exists and `overwrite` is false, or it cannot be written.
    """
    if path.exists() and not overwrite:
        raise ManifestError("must not exist yet, but a manifest would be written over it", path=path)
    folder = _folder_of(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("xb") as file:
            file.writelines(f"{line}\n".encode() for line in _documents(manifest, folder=folder))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(folder)
    except OSError as error:
        raise ManifestError(f"must be a file to write to, but got {error.strerror}", path=path) from error
    finally:
        partial.unlink(missing_ok=True)


def _folder_of(path: Path) -> Path:
    return Path(os.path.abspath(path)).parent  # noqa: PTH100 (resolve() would lose links that data sets are made of)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _documents(manifest: Manifest, *, folder: Path) -> Iterator[str]:
    space = manifest.label_space
    names = {head: list(space.names_of(head)) for head in space.parts}
    header = {"schema": SCHEMA, "kind": KIND, "class_names": names if space.heads else names[""]}
    yield canonical(header | ({"multi_label": True} if space.multi_label else {}))
    for item in manifest.items:
        path = item.path.relative_to(folder) if item.path.is_relative_to(folder) else item.path
        labels = _labels_by_head(item.labels, space) if space.heads else list(item.labels)
        fields = {"id": item.id, "path": str(path), "labels": labels, "split": item.split}
        optional = {"start_s": item.start_s, "end_s": item.end_s, "group": item.group}
        yield canonical(fields | {name: value for name, value in optional.items() if value is not None})


def _next_line(file: BinaryIO) -> bytes:
    return file.readline(MAX_BYTES + 1)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := _next_line(file):
        yield line


def _labels_by_head(labels: Collection[int], space: LabelSpace) -> dict[str, int]:
    return {
        head: label - part.start
        for head, part in space.parts.items()
        for label in labels
        if part.start <= label < part.stop
    }


def _parse_header(line: bytes) -> LabelSpace:
    fields = _fields(loads(line), required=_HEADER_FIELDS, optional=_OPTIONAL_HEADER_FIELDS)
    if fields["kind"] != KIND:
        raise ManifestError(f"the first line must have kind {KIND!r}, but got {shown(fields['kind'])}", where="kind")
    if fields["schema"] != SCHEMA or isinstance(fields["schema"], bool):
        raise ManifestError(f"schema must be {SCHEMA}, but got {shown(fields['schema'])}", where="schema")
    multi_label = fields.get("multi_label", False)
    if not isinstance(multi_label, bool):
        raise ManifestError(f"multi_label must be true or false, but got {_type(multi_label)}", where="multi_label")
    names = fields["class_names"]
    if isinstance(names, dict):
        for head, of_head in names.items():
            check_name("class_names", head)
            if len(head) > MAX_HEAD_LETTERS:
                raise ManifestError(
                    f"the name of a head must have at most {MAX_HEAD_LETTERS} letters, but got {len(head)}",
                    where="class_names",
                )
            _check_class_names(_names(of_head, where=f"class_names.{head}"))
        if not names:
            raise ManifestError("class_names must name at least one class, but got none", where="class_names")
        return replace(LabelSpace.of_heads(names), multi_label=multi_label)
    class_names = _names(names, where="class_names")
    _check_class_names(class_names)
    return LabelSpace(class_names=class_names, multi_label=multi_label)


def _names(names: object, *, where: str) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ManifestError(f"class_names must be a list of strings, but got {_type(names)}", where=where)
    return tuple(names)


def _parse_labels(labels: object, space: LabelSpace) -> tuple[int, ...]:
    if not space.heads:
        if not isinstance(labels, list) or not all(_is_integer(label) for label in labels):
            raise ManifestError(f"labels must be a list of integers, but got {shown(labels)}", where="labels")
        return tuple(labels)
    if not isinstance(labels, dict) or set(labels) != set(space.parts):
        raise ManifestError(
            f"labels must map each of {shown(list(space.parts))} to the number of a class, but got {shown(labels)}",
            where="labels",
        )
    for head, part in space.parts.items():
        if not _is_integer(labels[head]) or not 0 <= labels[head] < part.stop - part.start:
            raise ManifestError(
                f"labels must be class numbers from 0 to below {part.stop - part.start}, but got {shown(labels[head])}",
                where=f"labels.{head}",
            )
    return space.numbers_of(labels)


def _parse_item(line: bytes, *, space: LabelSpace, folder: Path) -> VideoItem:
    fields = _fields(loads(line), required=_REQUIRED_FIELDS, optional=_OPTIONAL_FIELDS)
    labels = _parse_labels(fields["labels"], space)
    path = _string(fields, "path")
    check_name("path", path)
    return VideoItem(
        id=_string(fields, "id"),
        path=folder / path,
        labels=labels,
        split=_split(fields),
        start_s=_seconds(fields, "start_s"),
        end_s=_seconds(fields, "end_s"),
        group=_string(fields, "group") if "group" in fields else None,
    )


def _fields(
    document: Any,  # noqa: ANN401
    *,
    required: Collection[str],
    optional: Collection[str] = (),
) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise ManifestError(f"a line must be a JSON object, but got {_type(document)}")
    for name in required:
        if name not in document:
            raise ManifestError(f"a line must have the fields {', '.join(required)}, but got no {name!r}")
    for name in document:
        if name not in required and name not in optional:
            known = ", ".join([*required, *optional])
            raise ManifestError(f"a line must have no other fields than {known}, but got {shown(name)}")
    return document


def _string(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise ManifestError(f"{name} must be a string, but got {_type(value)}", where=name)
    return value


def _split(fields: Mapping[str, Any]) -> Split:
    for split in SPLITS:
        if fields["split"] == split:
            return split
    raise ManifestError(f"a split must be train, val or test, but got {shown(fields['split'])}", where="split")


def _seconds(fields: Mapping[str, Any], name: str) -> float | None:
    if name not in fields:
        return None
    value = fields[name]
    if not (_is_integer(value) or isinstance(value, float)):
        raise ManifestError(f"{name} must be a number of seconds, but got {_type(value)}", where=name)
    return float(value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _type(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _check_member(item: VideoItem, *, space: LabelSpace, known: Collection[str]) -> None:
    space.check(item.labels)
    if item.id in known:
        raise ManifestError(f"an id must be unique, but got {shown(item.id)} again", where="id")


def _check_class_names(names: tuple[str, ...]) -> None:
    if not names:
        raise ManifestError("class_names must name at least one class, but got none", where="class_names")
    for name, count in Counter(names).items():
        check_name("class_names", name)
        if count > 1:
            raise ManifestError(
                f"class_names must be different, but got {shown(name)} {count} times", where="class_names"
            )


def check_name(field: str, name: str) -> None:
    """Refuse what cannot be an id, group, class or path: nothing at all, a zero byte, or bytes that are not UTF-8."""
    if not name or "\0" in name or not _is_utf8(name):
        raise ManifestError(f"{field} must be text in UTF-8, not empty, but got {shown(name)}", where=field)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
