"""PySlowFast lists: `path label` per line of train.csv, val.csv and test.csv, without a header."""

from collections.abc import Sequence
from pathlib import Path

from search_spaces.errors import ManifestError
from video.annotations.annotation import Annotation, Format, Head, Listing, ReadOptions, accompanied_by_nothing
from video.annotations.classes import name_of, read_class_names, used_numbers
from video.annotations.lines import are_videos, numbered_lines, read_numbered
from video.annotations.text import at_line, integer, split_of_name


def recognises(head: Head) -> bool:
    """One label per line, in a file for csv; or, as PySlowFast has it too, a number and a label."""
    lines = numbered_lines(head)
    lengths = {len(line.numbers) for line in lines}
    return are_videos(lines) and (lengths == {2} or (lengths == {1} and head.path.suffix == ".csv"))


def read(files: Sequence[Path], options: ReadOptions) -> Listing:
    """One class per line: the last number. PySlowFast takes a missing label for 0; here it is an error.

    Raises:
        ManifestError: A line without a label, or with more numbers than two; a label that is no class.
    """
    names = None if options.classes is None else read_class_names(options.classes)
    annotations, numbers = [], []
    for file in files:
        for line in read_numbered(file):
            with at_line(file, line.number):
                if len(line.numbers) > 2:
                    raise ManifestError(f"a line must have one label, but got {len(line.numbers)} numbers")
                numbers.append(integer(line.numbers[-1], "a label"))
                annotations.append(
                    Annotation(
                        name=line.path,
                        labels=name_of(numbers[-1], names),
                        place=(file, line.number),
                        split=split_of_name(file),
                    )
                )
    return Listing(annotations=tuple(annotations), class_names=used_numbers(numbers) if names is None else names)


FORMAT = Format(
    shape="a csv file without a header, lines of a video's path and the number of its class, `some/video.mp4 12`",
    recognises=recognises,
    read=read,
    accompanies=accompanied_by_nothing,
)
