"""What an index tells about its videos: classes and their imbalance, likely leaks between splits, equal files."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from search_spaces.errors import ManifestError
from search_spaces.outside import open_regular
from video.manifest import SPLITS, Manifest, Split, VideoItem

_BLOCK_BYTES = 1 << 20
_CLIP_OF_GROUP = re.compile(r"(?P<recording>.*g\d+)_c\d+")
_SPAN_OF_VIDEO = re.compile(r"(?P<recording>.+)_\d{6}_\d{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imbalance:
    """How unequal the classes of the train split are.

    Attributes:
        largest: Class with most videos, and how many; `smallest` of those that have any.
        ratio: Of the two.
        empty: Classes without a video to train on.
    """

    largest: tuple[str, int]
    smallest: tuple[str, int]
    ratio: float
    empty: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelyLeak:
    """Names that look like clips of one recording, in different splits.

    Attributes:
        num_recordings: How many recordings seem to be cut apart.
        ids: Two of the videos, and `splits` theirs.
        pattern: A regular expression for `--group-by` that would keep such clips together.
    """

    num_recordings: int
    ids: tuple[str, str]
    splits: tuple[Split, Split]
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Different files of the same content.

    Attributes:
        ids: Two videos or more.
        splits: Theirs.
        same_labels: Whether they are labelled alike.
    """

    ids: tuple[str, ...]
    splits: tuple[Split, ...]
    same_labels: bool


def class_counts(manifest: Manifest) -> dict[str, dict[Split, int]]:
    """Videos per class and split, in the order of the classes; a video counts for each of its classes."""
    pairs = Counter((label, item.split) for item in manifest.items for label in item.labels)
    return {name: {split: pairs[label, split] for split in SPLITS} for label, name in enumerate(manifest.class_names)}


def imbalance(counts: Mapping[str, Mapping[Split, int]]) -> Imbalance | None:
    """The most and the least frequent class of the train split; None if it has no videos."""
    train = [(name, count["train"]) for name, count in counts.items()]
    shown = [pair for pair in train if pair[1]]
    if not shown:
        return None
    largest, smallest = max(shown, key=lambda pair: pair[1]), min(shown, key=lambda pair: pair[1])
    return Imbalance(
        largest=largest,
        smallest=smallest,
        ratio=largest[1] / smallest[1],
        empty=tuple(name for name, count in train if not count),
    )


def likely_leak(items: Sequence[VideoItem]) -> LikelyLeak | None:
    """Names that suggest that clips of one recording lie in different splits; None if they do not.

    Such names are `..._g08_c01` (UCF101), `id_000012_000022` (Kinetics) and numbers at the end, `kitchen_2.mp4`.
    They suggest nothing where all videos of a folder share what stands before them. Videos with a group are left out.
    """
    for recording_of, group_pattern in (
        (_group_of_clip, r"(.*g\d+)_c\d+"),
        (_video_of_span, r"(.+)_\d{6}_\d{6}"),
        (_name_before_number, r"(.*?)[ ._-]*\d+\.\w+$"),
    ):
        recordings: dict[tuple[str, str], list[VideoItem]] = {}
        for item in items:
            path = PurePosixPath(item.id)
            recording = recording_of(path.stem) if item.group is None and item.start_s is None else None
            if recording is not None:
                recordings.setdefault((str(path.parent), recording), []).append(item)
        cut = [members for members in recordings.values() if len({item.split for item in members}) > 1]
        per_folder = Counter(folder for (folder, _), members in recordings.items() if len(members) > 1)
        cut = [members for members in cut if per_folder[str(PurePosixPath(members[0].id).parent)] > 1]
        if cut:
            first = cut[0][0]
            other = next(item for item in cut[0] if item.split != first.split)
            return LikelyLeak(
                num_recordings=len(cut),
                ids=(first.id, other.id),
                splits=(first.split, other.split),
                pattern=group_pattern,
            )
    return None


def duplicates(items: Sequence[VideoItem]) -> list[Duplicates]:
    """Files of the same content, by size and then by SHA-256; segments of one file are no duplicates.

    Raises:
        ManifestError: A file that cannot be read.
    """
    by_path: dict[Path, VideoItem] = {}
    for item in items:
        by_path.setdefault(item.path, item)
    by_size: dict[int, list[Path]] = {}
    for path in by_path:
        by_size.setdefault(_size(path), []).append(path)
    by_content: dict[tuple[int, bytes], list[VideoItem]] = {}
    for size, paths in by_size.items():
        for path in paths if len(paths) > 1 else ():
            by_content.setdefault((size, _digest(path)), []).append(by_path[path])
    return [
        Duplicates(
            ids=tuple(item.id for item in same),
            splits=tuple(item.split for item in same),
            same_labels=len({item.labels for item in same}) == 1,
        )
        for same in by_content.values()
        if len(same) > 1
    ]


def _group_of_clip(stem: str) -> str | None:
    match = _CLIP_OF_GROUP.fullmatch(stem)
    return None if match is None else match["recording"]


def _video_of_span(stem: str) -> str | None:
    match = _SPAN_OF_VIDEO.fullmatch(stem)
    return None if match is None else match["recording"]


def _name_before_number(stem: str) -> str | None:
    """What stands before a number at the end; None without either, or where it has no letters."""
    name = stem.rstrip("0123456789")
    if name == stem or not any(character.isalpha() for character in name):
        return None
    return name.rstrip(" ._-")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ManifestError(f"must be a readable video, but got {error.strerror}", path=path) from error


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise ManifestError(f"must be a readable video, but got {error.strerror}", path=path) from error
    return digest.digest()
