"""Data sets of a few tiny real videos in the very files that people download."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from video.annotations.annotation import ReadOptions
from video.annotations.assemble import Indexed, IndexOptions, index_annotations

RECIPE_OF_SUFFIX = {".mp4": "mp4", ".MP4": "mp4", ".avi": "avi", ".webm": "webm", ".mkv": "mkv"}


class DataSet:
    """A folder that gets annotation files and videos.

    Args:
        root: The folder, which is made.
        recipe_file: The fixture; videos have 24 frames at 25 per second.
    """

    def __init__(self, root: Path, recipe_file) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root, self._recipe_file = root, recipe_file

    def videos(self, *names: str) -> "DataSet":
        for name in names:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._recipe_file(RECIPE_OF_SUFFIX[path.suffix]), path)
        return self

    def text(self, name: str, lines: Iterable[str] | str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines if isinstance(lines, str) else "".join(f"{line}\n" for line in lines), "utf-8")
        return path


def index(source: Path, *, videos: Path | None = None, read: dict | None = None, **options) -> Indexed:
    """The index, by options as the command line has them."""
    return index_annotations(source, IndexOptions(videos=videos, read=ReadOptions(**(read or {})), **options))


def rows(indexed: Indexed) -> list[tuple]:
    """Id, class names and split of every video."""
    names = indexed.manifest.class_names
    return [(item.id, tuple(names[label] for label in item.labels), item.split) for item in indexed.manifest.items]
