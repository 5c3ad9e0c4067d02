"""Kinetics 400, 600, 700 and 700-2020: csv with a class, a YouTube id and a time span per line."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from search_spaces.errors import ManifestError, shown
from video.annotations.annotation import Annotation, Format, Listing, ReadOptions, accompanied_by_nothing
from video.annotations.classes import read_class_names
from video.annotations.text import Row, at_line, has_columns, read_table, seconds, split_of_name, split_of_word

COLUMNS = ("youtube_id", "time_start", "time_end")


def read(files: Sequence[Path], options: ReadOptions) -> Listing:
    """The lines that have a class; those of the test set had none at first.

    The usual download cuts the span out, into `{id}_{start:06d}_{end:06d}.mp4`; of a whole video `{id}.mp4` the span is
    taken as a segment.

    Raises:
        ManifestError: A line that is not written so.
    """
    annotations, num_unlabelled = [], 0
    for file in files:
        for row in read_table(file, required=COLUMNS):
            with at_line(file, row.line):
                found = list(_annotations(row, file))
            annotations += found
            num_unlabelled += not found
    names = None if options.classes is None else read_class_names(options.classes)
    return Listing(annotations=tuple(annotations), class_names=names, num_unlabelled=num_unlabelled)


def _annotations(row: Row, file: Path) -> Iterator[Annotation]:
    label, video = row.fields.get("label", ""), row.fields["youtube_id"]
    if not label:
        return
    if not video or "/" in video:
        raise ManifestError(f"youtube_id must be the id of a video, but got {shown(video)}")
    start_s, end_s = (seconds(row.fields[name], name) for name in ("time_start", "time_end"))
    split = row.fields.get("split", "")
    yield Annotation(
        name=video,
        cut_name=f"{video}_{int(start_s):06d}_{int(end_s):06d}",
        labels=label,
        place=(file, row.line),
        start_s=start_s,
        end_s=end_s,
        split=split_of_word(split) if split else split_of_name(file),
        columns={"youtube_id": video},
    )


FORMAT = Format(
    shape="csv with a header that has label, youtube_id, time_start and time_end",
    recognises=has_columns(*COLUMNS),
    read=read,
    accompanies=accompanied_by_nothing,
)
