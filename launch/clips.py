"""From a manifest to streams of clips: which videos, which views, which cache."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from launch.compute import Compute
from results.history import bad_videos
from results.telemetry import Telemetry, read_telemetry
from search_spaces.errors import ManifestError, UsageError
from search_spaces.published import min_size
from search_spaces.randomness import derive_seed, generator
from search_spaces.spec import ArchSpec, ClipGeometry
from supernet.distributed import ALONE, Ranks
from video.annotations.draw import Candidate, draw_splits
from video.augment import Augmenter
from video.cache import FrameCache
from video.clips import (
    BadVideos,
    ClipBatch,
    ClipReader,
    SampleKey,
    VideoItem,
    View,
    balanced_keys,
    in_batches,
    micro_batches,
    read_batches,
    test_keys,
    training_keys,
    views,
)
from video.label_space import LabelSpace
from video.manifest import Manifest, Split, write_manifest
from video.reader import usual_short_side
from video.sampling import Span

SPANS: Final[Mapping[str, Span]] = {"whole": "whole", "tiles": "tiles"}
"""Positions that are not a number: all of the video in one clip, or in clips side by side."""


# no slots: the command line reads the defaults of nested configurations through vars()
@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """How clips are read.

    Attributes:
        short_side: Pixels of a video's shorter side before the crop; None takes what a published network was tested
            with, and 8/7 of the resolution for any other.
        cache_dir: Folder of decoded frames; None takes `movinas/frames` in the user's cache folder.
        cache_bytes: Most bytes of decoded frames kept there; 0 keeps none.
        max_bad_fraction: Largest share of videos that may fail to decode, in [0, 1].
    """

    short_side: int | None = None
    cache_dir: Path | None = None
    cache_bytes: int = 4 << 30
    max_bad_fraction: float = 0.01

    def __post_init__(self) -> None:
        if self.cache_bytes < 0 or not 0 <= self.max_bad_fraction <= 1:
            raise UsageError(f"cache_bytes must be at least 0 and max_bad_fraction in [0, 1], but got {self}")

    def cache(self) -> FrameCache | None:
        """The cache, None where it may hold nothing."""
        default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "movinas" / "frames"
        return FrameCache(self.cache_dir or default, self.cache_bytes) if self.cache_bytes else None

    def reader(
        self,
        items: Sequence[VideoItem],
        geometry: ClipGeometry,
        *,
        seed: int,
        training: bool,
        augment: Augmenter | None = None,
        space: LabelSpace | None = None,
    ) -> ClipReader:
        """A reader of these videos, which have one label each unless a label space says otherwise."""
        return ClipReader(
            items,
            geometry=geometry,
            seed=derive_seed(seed, "clips"),
            short_side=self.short_side,
            cache=self.cache(),
            training=training,
            augment=augment,
            num_classes=None if space is None or space.single_label else space.num_classes,
        )


def short_side_of(arch: ArchSpec) -> int:
    """Pixels of a video's shorter side before the crop for this network: the published ones, or the usual ones."""
    return min_size(arch) or usual_short_side(arch.clip.resolution)


class Tally:
    """Counts videos that fail, tells telemetry of them, and ends a run that has too many.

    A run that goes on counts those of before, which its telemetry names.

    Args:
        config: Holds the limit.
        num_videos: Videos of the run.
        telemetry: Where they are written, None for nowhere.
        ranks: Who reads them.

    Raises:
        TooManyBadVideosError: There were too many before.
    """

    def __init__(
        self, config: ClipConfig, *, num_videos: int, telemetry: Telemetry | None = None, ranks: Ranks = ALONE
    ) -> None:
        self._bad = BadVideos(num_videos=num_videos, max_fraction=config.max_bad_fraction)
        self._telemetry, self._ranks = telemetry, ranks
        if telemetry is not None:
            self._bad.add_ids(bad_videos(read_telemetry(telemetry.path)))

    def counted(self, batches: Iterator[ClipBatch]) -> Iterator[ClipBatch]:
        """The same batches.

        Raises:
            TooManyBadVideosError: The share of bad videos passed the limit.
        """
        for batch in batches:
            self._add(batch.bad_ids)
            yield batch

    def exchange(self) -> None:
        """Count what other ranks found, too; all of them call this at the same time.

        Raises:
            TooManyBadVideosError: As `counted`, on every rank.
        """
        self._add([name for names in self._ranks.gathered(self._bad.ids) for name in names])

    def _add(self, ids: Sequence[str]) -> None:
        known = self._bad.ids
        try:
            self._bad.add_ids(ids)
        finally:  # the video that was one too many is told as well
            if self._telemetry is not None and self._bad.ids != known:
                self._telemetry.append("bad_videos", ids=self._bad.ids)


def endless(
    reader: ClipReader,
    *,
    seed: int,
    purpose: str,
    batch_size: int,
    compute: Compute,
    tally: Tally,
    num_ahead: int = 1,
    centre: bool = False,
    ranks: Ranks = ALONE,
    accumulation: int = 1,
    balanced: bool = False,
    stride: int = 1,
) -> Callable[[int], Iterator[ClipBatch]]:
    """Shuffled epochs without end, as batches from any position on.

    Args:
        reader: Reads the clips.
        seed: Of the run; with `purpose` it decides the order.
        purpose: Such as `train`.
        batch_size: Clips per batch.
        compute: How many processes read, and for which device.
        tally: Counts bad videos.
        num_ahead: Batches that are wanted at a time, and so read ahead.
        centre: Whether the middle of each video is read, and not a clip drawn for the epoch.
        ranks: Of which each reads its own part of every batch.
        accumulation: Into how many micro-batches that part is divided, which come one after the other.
        balanced: Whether all classes come equally often, and not all videos.
        stride: Of the positions that are read one after the other.
    """
    order_seed = derive_seed(seed, purpose)
    labels = tuple(item.labels for item in reader.items)

    def at(position: int) -> tuple[SampleKey, ...]:
        if balanced:
            return balanced_keys(labels, order_seed, position=position, count=batch_size)
        return training_keys(len(reader.items), order_seed, position=position, count=batch_size)

    def keys(position: int) -> Iterator[Sequence[SampleKey]]:
        while True:
            batch = at(position * batch_size)
            if centre:
                batch = tuple(replace(key, view=View()) for key in batch)
            yield from micro_batches(batch, rank=ranks.rank, ranks=ranks.size, per_rank=accumulation)
            position += stride

    return lambda position: tally.counted(read(reader, keys(position), compute=compute, num_ahead=num_ahead))


def read(
    reader: ClipReader, batches: Iterable[Sequence[SampleKey]], *, compute: Compute, num_ahead: int = 1
) -> Iterator[ClipBatch]:
    """Batches in order, by as many processes and into such memory as the computation wants."""
    return read_batches(
        reader,
        batches,
        num_workers=compute.num_workers,
        num_ahead=num_ahead,
        pinned=compute.device.type == "cuda",
    )


def parse_views(text: str) -> tuple[View, ...]:
    """Views of a test, written as positions x crops, such as `10x3`, `whole` or `tilesx3`.

    Raises:
        UsageError: Not written so, or a number outside its range.
    """
    positions, separator, crops = text.partition("x")
    crops = crops if separator else "1" if positions in SPANS else ""
    if not (positions.isdigit() or positions in SPANS) or not crops.isdigit():
        raise UsageError(
            "views must be written as positions x crops, such as 10x3, where the positions may be whole (one clip over "
            f"the whole video) or tiles (clips side by side), but got {text!r}"
        )
    if positions in SPANS:
        return views(1, int(crops), span=SPANS[positions])
    return views(int(positions), int(crops))


def require_single_label(manifest: Manifest, *, path: Path) -> None:
    """Refuse videos with several labels or heads where one class each is needed, as a search's rewards do.

    Raises:
        ManifestError: They have.
    """
    if not manifest.label_space.single_label:
        raise ManifestError(
            "a search must have videos with one label each, but these have several "
            f"{'heads' if manifest.heads else 'labels'}; search on other videos, or retrain a published network",
            path=path,
        )


def once(
    reader: ClipReader,
    *,
    batch_size: int,
    compute: Compute,
    tally: Tally,
    wanted: Sequence[View] = (View(),),
    ranks: Ranks = ALONE,
) -> Callable[[], Iterator[ClipBatch]]:
    """Every wanted view of every video once, in order, as batches; the same at every call.

    Of several ranks each reads every `size`-th batch from that of its number on: the batches of one process, of which
    none is filled up, read twice or left out.
    """

    def batches() -> Iterator[Sequence[SampleKey]]:
        return islice(in_batches(test_keys(len(reader.items), wanted), batch_size), ranks.rank, None, ranks.size)

    return lambda: tally.counted(read(reader, batches(), compute=compute))


def hold_out(items: Sequence[VideoItem], *, fraction: float, seed: int) -> tuple[list[VideoItem], list[VideoItem]]:
    """Divide training videos into those the weights see and those rewards come from.

    Per class, a seeded draw; videos of one group stay together, also where a group shows several classes.

    Raises:
        ManifestError: A class has too few videos or groups to be on both sides.
    """
    classes_of: dict[str, set[int]] = {}
    for item in items:
        if item.group is not None:
            classes_of.setdefault(item.group, set()).update(item.labels)
    if any(len(labels) > 1 for labels in classes_of.values()):
        return _dealt(items, fraction=fraction, seed=seed)
    kept: list[VideoItem] = []
    held: list[VideoItem] = []
    of_class: dict[int, dict[str, list[VideoItem]]] = {}
    for item in items:
        groups = of_class.setdefault(item.labels[0], {})
        groups.setdefault(item.group or f"video {item.id}", []).append(item)
    for label, groups in sorted(of_class.items()):
        names = sorted(groups)
        order = generator(seed, "hold out", label).permutation(len(names))
        num_held = max(1, round(fraction * len(names)))
        if num_held >= len(names):
            raise ManifestError(
                f"a class must have videos to train on and others to hold out, but class {label} has "
                f"{len(names)} in the train split"
            )
        for rank, index in enumerate(order):
            (held if rank < num_held else kept).extend(groups[names[int(index)]])
    return kept, held


def _dealt(items: Sequence[VideoItem], *, fraction: float, seed: int) -> tuple[list[VideoItem], list[VideoItem]]:
    """`hold_out` where groups show several classes: whole groups are dealt out."""
    videos = [Candidate(tuple(map(str, item.labels)), item.group) for item in items]
    splits = draw_splits(videos, (1.0 - fraction, fraction, 0.0), seed=derive_seed(seed, "hold out"))
    kept = [item for item, split in zip(items, splits, strict=True) if split == "train"]
    held = [item for item, split in zip(items, splits, strict=True) if split != "train"]
    on_both = {label for item in kept for label in item.labels} & {label for item in held for label in item.labels}
    for label in sorted({label for item in items for label in item.labels} - on_both):
        raise ManifestError(
            f"a class must have groups to train on and others to hold out, but class {label} has them on one side alone"
        )
    return kept, held


def videos_of(manifest: Manifest, split: Split, *, path: Path) -> tuple[VideoItem, ...]:
    """Videos of one split.

    Raises:
        ManifestError: There are none.
    """
    items = manifest.of(split)
    if not items:
        raise ManifestError(f"a manifest must have videos of the split {split}, but has none", path=path)
    return items


def manifest_text(manifest: Manifest) -> str:
    """A manifest with absolute paths, for a run folder to keep."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.jsonl"
        write_manifest(manifest, path)
        return path.read_text("utf-8")
