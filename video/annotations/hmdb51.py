"""HMDB51: a file per class and split, brush_hair_test_split1.txt, with a mark per video."""

import re
from collections.abc import Sequence
from pathlib import Path

from search_spaces.errors import ManifestError, shown
from video.annotations.annotation import (
    Annotation,
    Format,
    Head,
    Listing,
    ReadOptions,
    accompanied_by_nothing,
)
from video.annotations.lines import HMDB51_FILE
from video.annotations.text import at_line, read_lines
from video.annotations.tree import is_video
from video.manifest import Split

MARKS: dict[str, Split | None] = {"0": None, "1": "train", "2": "test"}
_LINE = re.compile(r"(?P<video>.*\S)\s+(?P<mark>\d+)\s*")


def recognises(head: Head) -> bool:
    """By the name and the lines."""
    return bool(HMDB51_FILE.fullmatch(head.path.name)) and all(_LINE.fullmatch(line) for line in head.lines)


def read(files: Sequence[Path], options: ReadOptions) -> Listing:
    """The files of one split, in which 1 marks training, 2 testing and 0 neither.

    Clips of one source video are a group: what their names have before the class.

    Raises:
        ManifestError: No file of that split; a line that is not written so.
    """
    classes = {file: match["label"] for file in files if (match := HMDB51_FILE.fullmatch(file.name))}
    chosen = [file for file in classes if file.name.endswith(f"_test_split{options.fold}.txt")]
    if not chosen:
        raise ManifestError(
            f"must have files of split {options.fold}, but got {len(files)} others", path=files[0].parent
        )
    annotations = []
    num_unused = 0
    for file in chosen:
        for number, text in read_lines(file):
            with at_line(file, number):
                match = _LINE.fullmatch(text)
                if match is None or match["mark"] not in MARKS or not is_video(match["video"]):
                    raise ManifestError(f"a line must be a video and 0, 1 or 2, but got {shown(text)}")
                split = MARKS[match["mark"]]
                if split is None:
                    num_unused += 1
                    continue
                source = match["video"].partition(f"_{classes[file]}_")[0]
                annotations.append(
                    Annotation(
                        name=f"{classes[file]}/{match['video']}",
                        labels=classes[file],
                        place=(file, number),
                        split=split,
                        group=source if source != match["video"] else None,
                    )
                )
    notes = (f"{num_unused} videos are marked 0: split {options.fold} does not use them",) if num_unused else ()
    class_names = tuple(sorted(classes[file] for file in chosen))
    return Listing(annotations=tuple(annotations), class_names=class_names, notes=notes)


FORMAT = Format(
    shape="files CLASS_test_split1.txt with lines `video.avi 1`",
    recognises=recognises,
    read=read,
    accompanies=accompanied_by_nothing,
)
