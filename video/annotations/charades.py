"""Charades csv: a line per video, with all its actions and when they happen."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from search_spaces.errors import ManifestError, shown
from video.annotations.annotation import Annotation, Format, Head, Listing, ReadOptions
from video.annotations.classes import name_of, read_class_names, used_numbers
from video.annotations.text import Row, at_line, has_columns, integer, read_table, seconds, split_of_name

CLASSES = "Charades_v1_classes.txt"
NUM_CLASSES = 157
_ACTION = re.compile(r"c(?P<label>\d{3})\s+(?P<start>\S+)\s+(?P<end>\S+)")


def accompanies(head: Head) -> bool:
    """Names of the classes."""
    return head.path.name == CLASSES


def read(files: Sequence[Path], options: ReadOptions) -> Listing:
    """Every video with all its actions, none included; or every action as a segment that has one class.

    Segments that end before they begin, as a few do, are left out.

    Raises:
        ManifestError: A line that is not written so, or a label that is no class.
    """
    class_file = options.classes or files[0].with_name(CLASSES)
    known = options.classes is not None or class_file.exists()
    names = read_class_names(class_file) if known else used_numbers([NUM_CLASSES - 1])
    annotations: list[Annotation] = []
    num_dropped = 0
    for file in files:
        for row in read_table(file, required=("id", "actions")):
            with at_line(file, row.line):
                actions = list(_actions(row.fields["actions"], names))
                if not options.segments:
                    annotations.append(_video(row, file, tuple(dict.fromkeys(label for label, _, _ in actions))))
                    continue
                whole = [action for action in actions if action[1] < action[2]]
                num_dropped += len(actions) - len(whole)
                annotations += [_segment(row, file, *action) for action in whole]
    notes = (f"{num_dropped} actions end before they begin and are left out",) if num_dropped else ()
    return Listing(annotations=tuple(annotations), class_names=names, notes=notes)


def _actions(text: str, names: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = _ACTION.fullmatch(part)
        if match is None:
            raise ManifestError(f"an action must be written as c092 11.90 21.20, but got {shown(part)}")
        label = name_of(integer(match["label"], "a class"), names)
        yield label, seconds(match["start"], "a start"), seconds(match["end"], "an end")


def _video(row: Row, file: Path, labels: tuple[str, ...]) -> Annotation:
    return Annotation(
        name=row.fields["id"],
        labels=labels,
        place=(file, row.line),
        split=split_of_name(file),
        columns=_columns(row),
    )


def _segment(row: Row, file: Path, label: str, start_s: float, end_s: float) -> Annotation:
    return Annotation(
        name=row.fields["id"],
        labels=label,
        place=(file, row.line),
        start_s=start_s,
        end_s=end_s,
        id=f"{row.fields['id']} {start_s:g}-{end_s:g} {label}",
        split=split_of_name(file),
        group=row.fields["id"],
        columns=_columns(row),
    )


def _columns(row: Row) -> dict[str, str]:
    return {name: row.fields[name] for name in ("id", "subject", "scene") if row.fields.get(name)}


FORMAT = Format(
    shape="csv with a header that has id and actions, `c092 11.90 21.20;c147 0.00 12.60`",
    recognises=has_columns("id", "actions"),
    read=read,
    accompanies=accompanies,
)
