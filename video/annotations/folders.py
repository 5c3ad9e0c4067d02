"""Other people's ways to say which video shows what, turned into manifests."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from search_spaces.errors import ManifestError, UsageError
from search_spaces.randomness import generator
from video.manifest import SPLITS, Manifest, Split, VideoItem, check_name

VIDEO_SUFFIXES: Final = frozenset(
    {".mp4", ".mkv", ".avi", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp"}
)
SPLIT_FOLDERS: Final[Mapping[str, Split]] = {"train": "train", "val": "val", "validation": "val", "test": "test"}

Ratios = tuple[float, float, float]
"""Shares of train, val and test; they add up to 1."""


def index_folders(source: Path, *, ratios: Ratios = (0.7, 0.15, 0.15), seed: int = 0) -> Manifest:
    """A manifest of a folder per class; classes are sorted by name, ids are paths from `source`.

    Videos may lie at any depth below their class; hidden files and folders, and files that are not videos by their
    suffix, are left out. Every class is shuffled by (`seed`, its name) and divided by `ratios`, each split that has a
    share getting at least one video of a class that has enough.

    Where all folders in `source` are named train, val, validation or test, they are taken as given splits of folders
    per class. If train is among them and val is not, the share of val in `ratios` is taken out of train, drawn as
    above; test is never touched.

    Raises:
        UsageError: Ratios that are negative, give train nothing, or do not add up to 1.
        ManifestError: No such folder, no or one class, a class without videos, or one that only val or test shows.
    """
    _check_ratios(ratios)
    root = Path(os.path.abspath(source))  # noqa: PTH100 (resolve() would lose links that data sets are made of)
    folders = _folders(root)
    if folders and all(folder.name in SPLIT_FOLDERS for folder in folders):
        return _index_given_splits(root, folders, val_ratio=ratios[1], seed=seed)
    videos = {folder.name: _videos(folder) for folder in folders}
    class_names = _class_names(root, videos)
    items = [
        item
        for label, name in enumerate(class_names)
        for item in _drawn_items(videos[name], root=root, label=label, ratios=ratios, seed=seed, class_name=name)
    ]
    return Manifest(class_names=class_names, items=tuple(items))


def split_counts(num_videos: int, ratios: Ratios) -> tuple[int, int, int]:
    """How many of the videos of a class go to train, val and test: largest remainders, none left empty if possible.

    The counts add up to `num_videos`. Splits without a share get none. A split with a share that the remainders leave
    empty takes one video from the largest, as long as that has more than one.
    """
    quotas = [num_videos * ratio for ratio in ratios]
    counts = [int(quota + 1e-9) for quota in quotas]
    by_remainder = sorted(range(len(SPLITS)), key=lambda index: (counts[index] - quotas[index], index))
    for index in by_remainder[: num_videos - sum(counts)]:
        counts[index] += 1
    for index, ratio in enumerate(ratios):
        largest = max(range(len(SPLITS)), key=counts.__getitem__)
        if ratio > 0 and counts[index] == 0 and counts[largest] > 1:
            counts[largest] -= 1
            counts[index] += 1
    train, val, test = counts
    return train, val, test


def _index_given_splits(root: Path, folders: Sequence[Path], *, val_ratio: float, seed: int) -> Manifest:
    by_split = {SPLIT_FOLDERS[folder.name]: folder for folder in folders}
    if len(by_split) != len(folders):
        raise ManifestError("must have one folder for val, but got val and validation", path=root)
    videos = {
        split: {folder.name: _videos(folder) for folder in _folders(by_split[split])}
        for split in SPLITS
        if split in by_split
    }
    class_names = _class_names(root, videos.get("train") or {name: [] for each in videos.values() for name in each})
    carved = 0.0 if "val" in by_split else val_ratio
    items: list[VideoItem] = []
    for split, classes in videos.items():
        for name, paths in classes.items():
            if name not in class_names:
                raise ManifestError(f"a class of {split} must be among those of train, but got {name!r}", path=root)
            ratios = (1.0 - carved, carved, 0.0) if split == "train" else _only(split)
            items += _drawn_items(
                paths, root=root, label=class_names.index(name), ratios=ratios, seed=seed, class_name=name
            )
    return Manifest(class_names=class_names, items=tuple(items))


def _drawn_items(
    paths: Sequence[Path], *, root: Path, label: int, ratios: Ratios, seed: int, class_name: str
) -> Iterator[VideoItem]:
    """The videos of one class in the order of their names, each in the split that was drawn for it."""
    order = generator(seed, "split", class_name).permutation(len(paths))
    drawn = [split for split, count in zip(SPLITS, split_counts(len(paths), ratios), strict=True) for _ in range(count)]
    split_of = {int(index): split for index, split in zip(order, drawn, strict=True)}
    for index, path in enumerate(paths):
        yield VideoItem(id=path.relative_to(root).as_posix(), path=path, labels=(label,), split=split_of[index])


def _only(split: Split) -> Ratios:
    return float(split == "train"), float(split == "val"), float(split == "test")


def _class_names(root: Path, videos: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    if len(videos) < 2:
        found = f"only {next(iter(videos))!r}" if videos else "none"
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

    def refuse(error: OSError) -> None:
        raise ManifestError(f"must be a readable folder, but got {error.strerror}", path=folder) from error

    found: list[Path] = []
    for here, inner, names in os.walk(folder, onerror=refuse):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [
            Path(here, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES
        ]
    if not found:
        suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
        raise ManifestError(f"a class must have at least one video ({suffixes}), but got none", path=folder)
    return sorted(found)


def _check_ratios(ratios: Ratios) -> None:
    if len(ratios) != len(SPLITS) or not ratios[0] > 0 or min(ratios) < 0 or not abs(sum(ratios) - 1.0) <= 1e-6:
        raise UsageError(
            "the shares of train, val and test must be at least 0, more than 0 for train, and add up to 1, "
            f"but got {ratios}"
        )
