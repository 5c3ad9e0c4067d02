"""EPIC-KITCHENS 55 and 100: csv with a segment of a long recording per line, with a verb and a noun."""

import re
from collections.abc import Sequence
from pathlib import Path

from search_spaces.errors import ManifestError, shown
from video.annotations.annotation import Annotation, Format, Head, Listing, ReadOptions
from video.annotations.classes import name_of, used_numbers
from video.annotations.text import Row, at_line, fields_of, has_columns, integer, read_table, split_of_name

COLUMNS = ("video_id", "start_timestamp", "stop_timestamp")
HEADS = ("verb", "noun")
_TIME = re.compile(r"(?P<hours>[0-9]{1,2}):(?P<minutes>[0-5]?[0-9]):(?P<seconds>[0-5]?[0-9](\.[0-9]{1,9})?)")
_NUMBER_COLUMNS = {"id", "verb_id", "noun_id"}
_NAME_COLUMNS = {"key", "class_key"}


def accompanies(head: Head) -> bool:
    """Names of the verbs or nouns."""
    return _class_columns(head) is not None


def read(files: Sequence[Path], options: ReadOptions) -> Listing:
    """Every line that has classes, as a segment; clips of one recording are a group.

    The names of `EPIC_100_verb_classes.csv` and its like are taken where these files lie beside the annotations;
    else classes are called by their numbers.

    Raises:
        ManifestError: A line that is not written so, or a label that is no class.
    """
    if options.classes is not None:
        raise ManifestError("the classes of verbs and nouns must lie beside the annotations, but got --classes")
    names = {head: _class_names(files[0].parent, head) for head in HEADS}
    annotations, num_unlabelled = [], 0
    numbers: dict[str, list[int]] = {head: [] for head in HEADS}
    for file in files:
        for row in read_table(file, required=COLUMNS):
            if any(not row.fields.get(f"{head}_class") for head in HEADS):
                num_unlabelled += 1
                continue
            with at_line(file, row.line):
                labels = {head: integer(row.fields[f"{head}_class"], f"{head}_class") for head in HEADS}
                annotations.append(
                    _annotation(row, file, {head: name_of(label, names[head]) for head, label in labels.items()})
                )
            for head, label in labels.items():
                numbers[head].append(label)
    all_names = {head: found if found is not None else used_numbers(numbers[head]) for head, found in names.items()}
    return Listing(annotations=tuple(annotations), class_names=all_names, num_unlabelled=num_unlabelled)


def timestamp_s(text: str) -> float:
    """Seconds of a time such as 00:01:02.345.

    Raises:
        ManifestError: It is not written so.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ManifestError(f"a time must be written as HH:MM:SS.ms, but got {shown(text)}")
    return round(3600 * int(match["hours"]) + 60 * int(match["minutes"]) + float(match["seconds"]), 9)


def _annotation(row: Row, file: Path, labels: dict[str, str]) -> Annotation:
    video = row.fields["video_id"]
    return Annotation(
        name=video,
        labels=labels,
        place=(file, row.line),
        start_s=timestamp_s(row.fields["start_timestamp"]),
        end_s=timestamp_s(row.fields["stop_timestamp"]),
        id=row.fields.get("narration_id") or row.fields.get("uid") or None,
        split=split_of_name(file),
        group=video,
        columns={name: row.fields[name] for name in ("video_id", "participant_id") if row.fields.get(name)},
    )


def _class_names(folder: Path, head: str) -> tuple[str, ...] | None:
    found = sorted(folder.glob(f"*{head}_classes.csv"))
    if not found:
        return None
    if len(found) > 1:
        raise ManifestError(
            f"must hold one file with the {head}s, but got {found[0].name} and {found[1].name}", path=folder
        )
    names: dict[int, str] = {}
    for row in read_table(found[0]):
        with at_line(found[0], row.line):
            number, name = (
                next((row.fields[key] for key in row.fields if key in keys), "")
                for keys in (_NUMBER_COLUMNS, _NAME_COLUMNS)
            )
            names[integer(number, "a class")] = name
    if sorted(names) != list(range(len(names))):
        raise ManifestError("must number the classes from 0 without gaps, but does not", path=found[0])
    return tuple(names[number] for number in range(len(names)))


def _class_columns(head: Head) -> tuple[str, str] | None:
    header = set(fields_of(head.lines[0]))
    numbers, names = header & _NUMBER_COLUMNS, header & _NAME_COLUMNS
    return (min(numbers), min(names)) if len(numbers) == len(names) == 1 else None


FORMAT = Format(
    shape="csv with a header that has video_id, start_timestamp, stop_timestamp, verb_class and noun_class",
    recognises=has_columns(*COLUMNS),
    read=read,
    accompanies=accompanies,
)
