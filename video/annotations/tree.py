"""The videos below a folder, and which of them an annotation means; never one outside the folder."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, final

from search_spaces.errors import ManifestError, shown
from video.annotations.annotation import SPLIT_WORDS
from video.manifest import Split

VIDEO_SUFFIXES: Final = frozenset(
    {".mp4", ".mkv", ".avi", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp"}
)
MAX_NAME_BYTES: Final = 4096
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def is_video(name: str) -> bool:
    """Whether a file name has the suffix of a video."""
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def confined(name: str, root: Path) -> PurePosixPath:
    """The path that an annotation names, from `root`.

    Links within the folder are its owner's and are followed; what is refused is a name that leads out of it.

    Raises:
        ManifestError: An absolute path elsewhere, one with `..`, a drive letter, or none at all.
    """
    path = PurePosixPath(name)
    if path.is_absolute() and path.is_relative_to(root):
        path = path.relative_to(root)
    if path.is_absolute() or ".." in path.parts or not path.parts or _DRIVE.match(name) or _too_long(name):
        raise ManifestError(f"a file name must lead below the folder of the videos, {root}, but got {shown(name)}")
    return path


@final
class VideoTree:
    """The videos below a folder; they are listed once, and only when a name alone does not tell where one lies.

    Args:
        root: An absolute path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_stem: dict[str, list[PurePosixPath]] | None = None

    def find(self, name: str, *, split: Split | None, labels: Sequence[str]) -> Path | None:
        """The one file that a name means, None if there is none.

        It is the file at that path; else the one whose path ends with it; else the same with another suffix of
        videos. Of several, the one in a folder of the split, then of the class, is meant: how classes are written in
        names of folders (`riding_a_bike`) does not matter.

        Raises:
            ManifestError: A name that leads out of the folder, or one that several files answer to.
        """
        wanted = confined(name, self.root)
        has_suffix = is_video(wanted.name)
        try:
            if has_suffix and (self.root / wanted).is_file():
                return self.root / wanted
        except OSError:  # such as a name that is too long
            return None
        stem = wanted.with_suffix("") if has_suffix else wanted
        parts = stem.parts
        found = [
            path for path in self._listed().get(parts[-1], ()) if path.with_suffix("").parts[-len(parts) :] == parts
        ]
        same = [path for path in found if has_suffix and path.suffix == wanted.suffix]
        chosen = _narrowed(same or found, split=split, labels=labels)
        if len(chosen) > 1:
            raise ManifestError(f"{shown(name)} must name one video, but both {chosen[0]} and {chosen[1]} answer to it")
        return self.root / chosen[0] if chosen else None

    def _listed(self) -> dict[str, list[PurePosixPath]]:
        if self._by_stem is None:
            self._by_stem = {}
            for path in walk_videos(self.root):
                self._by_stem.setdefault(path.stem, []).append(PurePosixPath(path.relative_to(self.root)))
        return self._by_stem


def walk_videos(folder: Path) -> Iterator[Path]:
    """Videos below a folder at any depth, but hidden ones; links to folders are followed, each folder once.

    Raises:
        ManifestError: A folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise ManifestError(f"must be a readable folder, but got {error.strerror}", path=error.filename) from error

    seen: set[tuple[int, int]] = set()
    for here, inner, names in os.walk(folder, onerror=refuse, followlinks=True):
        try:
            status = os.stat(here)  # noqa: PTH116 (a string comes from os.walk)
        except OSError as error:
            refuse(error)
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(names) if not name.startswith(".") and is_video(name))


def _narrowed(found: list[PurePosixPath], *, split: Split | None, labels: Sequence[str]) -> list[PurePosixPath]:
    plain = {_plain(label) for label in labels}
    if len(found) > 1:
        of_split = {word for word, meant in SPLIT_WORDS.items() if meant == split}
        found = [path for path in found if of_split.intersection(map(str.lower, path.parts[:-1]))] or found
    if len(found) > 1:
        found = [path for path in found if plain.intersection(map(_plain, path.parts[:-1]))] or found
    return found


def _plain(name: str) -> str:
    """A class as letters and digits alone, since names of folders have their spaces, quotes and case changed."""
    return "".join(character for character in name.casefold() if character.isalnum())


def _too_long(name: str) -> bool:
    return len(os.fsencode(name)) > MAX_NAME_BYTES
