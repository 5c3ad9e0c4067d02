"""A folder per class, or folders train, val and test that hold them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from search_spaces.errors import ManifestError, shown
from video.annotations.annotation import Annotation, Listing
from video.annotations.tree import VIDEO_SUFFIXES, walk_videos
from video.manifest import SPLITS, Split, check_name

SPLIT_FOLDERS: Final[Mapping[str, Split]] = {"train": "train", "val": "val", "validation": "val", "test": "test"}


def read_folders(source: Path) -> Listing:
    """The videos of a folder per class; classes are sorted by name.

    Videos may lie at any depth below their class; hidden files and folders, and files that are not videos by their
    suffix, are left out. Where all folders in `source` are named train, val, validation or test, they are taken as
    given splits of folders per class.

    Raises:
        ManifestError: No such folder, no or one class, a class without videos, or one that only val or test shows.
    """
    root = Path(os.path.abspath(source))  # noqa: PTH100 (resolve() would lose links that data sets are made of)
    folders = _folders(root)
    if folders and all(folder.name in SPLIT_FOLDERS for folder in folders):
        return _given_splits(root, folders)
    videos = {folder.name: _videos(folder) for folder in folders}
    class_names = _class_names(root, videos)
    annotations = [annotation for name in class_names for annotation in _annotations(videos[name], root, name, None)]
    return Listing(annotations=tuple(annotations), class_names=class_names)


def _given_splits(root: Path, folders: Sequence[Path]) -> Listing:
    by_split = {SPLIT_FOLDERS[folder.name]: folder for folder in folders}
    if len(by_split) != len(folders):
        raise ManifestError("must have one folder for val, but got val and validation", path=root)
    videos = {
        split: {folder.name: _videos(folder) for folder in _folders(by_split[split])}
        for split in SPLITS
        if split in by_split
    }
    class_names = _class_names(root, videos.get("train") or {name: [] for each in videos.values() for name in each})
    annotations: list[Annotation] = []
    for split, classes in videos.items():
        for name, paths in classes.items():
            if name not in class_names:
                raise ManifestError(
                    f"a class of {split} must be among those of train, but got {shown(name)}", path=root
                )
            annotations += _annotations(paths, root, name, split)
    return Listing(annotations=tuple(annotations), class_names=class_names)


def _annotations(paths: Sequence[Path], root: Path, label: str, split: Split | None) -> Iterator[Annotation]:
    for path in paths:
        yield Annotation(name=path.relative_to(root).as_posix(), labels=label, place=(root, 0), split=split)


def _class_names(root: Path, videos: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    if len(videos) < 2:
        found = f"only {shown(next(iter(videos)))}" if videos else "none"
        raise ManifestError(f"must hold a folder per class, at least two, but got {found}", path=root)
    for name in videos:
        check_name("class_names", name)
    return tuple(sorted(videos))


def _folders(root: Path) -> list[Path]:
    """The folders right below `root` that are not hidden, sorted by name."""
    try:
        return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise ManifestError(f"must be a folder with a folder per class, but got {error.strerror}", path=root) from error


def _videos(folder: Path) -> list[Path]:
    """The videos below `folder` at any depth, sorted by path, at least one."""
    found = sorted(walk_videos(folder))
    if not found:
        suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
        raise ManifestError(f"a class must have at least one video ({suffixes}), but got none", path=folder)
    return found
