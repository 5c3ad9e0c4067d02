"""UCF101: trainlist01.txt to testlist03.txt and classInd.txt, whose numbers begin with 1."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from search_spaces.errors import ManifestError, shown
from video.annotations.annotation import Annotation, Format, Head, Listing, ReadOptions
from video.annotations.classes import read_class_names
from video.annotations.lines import UCF101_FILE, split_line
from video.annotations.text import at_line, read_lines

CLASSES = "classInd.txt"
_RECORDING = re.compile(r"(v_.+_g\d+)_c\d+")


def recognises(head: Head) -> bool:
    """By the name and the lines."""
    return bool(UCF101_FILE.fullmatch(head.path.name)) and all(_class_of(line) for line in head.lines)


def accompanies(head: Head) -> bool:
    """Names of the classes."""
    return head.path.name == CLASSES


def read(files: Sequence[Path], options: ReadOptions) -> Listing:
    """The lists of one fold. The class is the folder; where there is a number it must agree.

    Clips of one recording (`_g08`) are a group.

    Raises:
        ManifestError: No list of that fold; a number that is not the class's; a line that is not written so.
    """
    chosen = [file for file in files if file.stem.endswith(f"list{options.fold:02d}")]
    if not chosen:
        raise ManifestError(
            f"must have lists of fold {options.fold}, but got {', '.join(sorted(file.name for file in files))}",
            path=files[0].parent,
        )
    rows = [(file, number, split_line(text)) for file in chosen for number, text in read_lines(file)]
    class_file = options.classes or chosen[0].with_name(CLASSES)
    if options.classes is not None or class_file.exists():
        names = read_class_names(class_file)
    else:
        names = tuple(sorted({label for _, _, line in rows if (label := _class_of(line.path))}))
    annotations = []
    for file, number, line in rows:
        with at_line(file, number):
            label = _class_of(line.path)
            if label not in names:
                raise ManifestError(
                    f"a line must be class/video.avi with one of {len(names)} classes, but got {shown(line.path)}"
                )
            if line.numbers and line.numbers != (str(names.index(label) + 1),):
                expected, found = names.index(label) + 1, shown(line.numbers[0])
                raise ManifestError(
                    f"class {shown(label)} must have number {expected}, counted from 1, but got {found}"
                )
            recording = _RECORDING.fullmatch(PurePosixPath(line.path).stem)
            annotations.append(
                Annotation(
                    name=line.path,
                    labels=label,
                    place=(file, number),
                    split="train" if file.name.startswith("train") else "test",
                    group=recording[1] if recording else None,
                )
            )
    return Listing(annotations=tuple(annotations), class_names=names)


def _class_of(line: str) -> str:
    """The folder of a path, empty if it has none."""
    return PurePosixPath(line).parent.name


FORMAT = Format(
    shape="trainlist0N.txt and testlist0N.txt with lines `Class/v_Class_g01_c01.avi 1`",
    recognises=recognises,
    read=read,
    accompanies=accompanies,
)
