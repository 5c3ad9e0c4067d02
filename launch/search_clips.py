"""The clips of a search: of which videos, at which geometry, in which order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from launch.clips import ClipConfig, Tally, endless, read
from launch.compute import Compute
from search_spaces.errors import UsageError
from search_spaces.randomness import derive_seed
from search_spaces.spec import ClipGeometry
from supernet.distributed import ALONE, Ranks
from supernet.evaluator import WeightConfig
from video.clips import ClipBatch, ClipReader, SampleKey, VideoItem, View


def clip_geometry(proxy: str | None, geometry: ClipGeometry) -> ClipGeometry:
    """The clips of a search: those of the space, changed by `proxy`.

    Raises:
        UsageError: Not written as frames=16,resolution=112,rate_fps=5.
    """
    for part in (proxy or "").split(",") if proxy else []:
        name, _, text = part.partition("=")
        try:
            if name == "frames":
                geometry = replace(geometry, num_frames=int(text))
            elif name == "resolution":
                geometry = replace(geometry, resolution=int(text))
            elif name == "rate_fps":
                geometry = replace(geometry, rate_fps=float(text))
            else:
                raise ValueError(f"unknown name {name!r}")
        except ValueError as error:
            raise UsageError(
                f"proxy must be written as frames=16,resolution=112,rate_fps=5, but got {proxy!r}: {error}"
            ) from error
    return geometry


def compared(held: Sequence[VideoItem], *, num: int, seed: int) -> NDArray[np.intp]:
    """Which of the held-out videos the final comparison looks at, at most `num`, as positions among them."""
    seeds = [derive_seed(seed, "compare", item.id) for item in held]
    return np.argsort(seeds, kind="stable")[:num]


@final
class SearchClips:
    """Training clips, held-out clips of the rewards, and those of the final comparison.

    A position of a stream means the same videos, and the same places in them, whatever the geometry and on whatever
    rank. Streams give the batches of one rank: of several, every `size`-th from a position on.

    Args:
        kept: Videos to train on.
        held: Videos that rewards come from.
        config: How clips are read.
        weights: Holds the clips of one architecture in one step.
        compare_clips: Held-out clips, at most, of the final comparison.
        seed: Of the run.
        geometries: The clips that networks may be meant for, and what is read for each.
        compute: How many processes read ahead, and for which device. With several geometries none does, since the next
            one is only known once an architecture is drawn.
        num_ahead: Batches of a step that this rank needs, which are read ahead.
        tally: Counts bad videos.
        ranks: The processes that search together.

    Raises:
        UsageError: Clips that cannot be read like this.
    """

    def __init__(
        self,
        kept: Sequence[VideoItem],
        held: Sequence[VideoItem],
        *,
        config: ClipConfig,
        weights: WeightConfig,
        compare_clips: int,
        seed: int,
        geometries: dict[ClipGeometry, ClipGeometry],
        compute: Compute,
        num_ahead: int,
        tally: Tally,
        ranks: Ranks = ALONE,
    ) -> None:
        def readers(items: Sequence[VideoItem]) -> dict[ClipGeometry, ClipReader]:
            return {
                clip: config.reader(items, geometry, seed=seed, training=True) for clip, geometry in geometries.items()
            }

        self._kept, self._held = readers(kept), readers(held)
        self._weights, self._compare_clips = weights, compare_clips
        self._seed, self._tally, self._ranks = seed, tally, ranks
        self._compute = compute if len(geometries) == 1 else replace(compute, num_workers=0)
        self._num_ahead = num_ahead

    def train(self, position: int, clip: ClipGeometry) -> Iterator[ClipBatch]:
        """Batches to train on, each video at a place drawn for the epoch, from a position on."""
        return self._endless(self._kept[clip], "train", self._weights.batch_size)(position)

    def reward(self, position: int, clip: ClipGeometry) -> Iterator[ClipBatch]:
        """Held-out batches, each video in its middle, from a position on."""
        return self._endless(self._held[clip], "reward", self._weights.reward_clips, centre=True)(position)

    def compare(self, clip: ClipGeometry) -> Iterator[ClipBatch]:
        """Held-out clips in batches of about equal size, for the statistics of a small last batch would be poor.

        They are as large as those of the rewards, but at least two training batches, however few clips a reward has.
        """
        reader = self._held[clip]
        chosen = compared(reader.items, num=self._compare_clips, seed=self._seed)
        batch_size = max(self._weights.reward_clips, 2 * self._weights.batch_size)
        num_batches = max(1, round(len(chosen) / batch_size))
        batches = [
            [SampleKey(index=int(index), view=View()) for index in part] for part in np.array_split(chosen, num_batches)
        ]
        return self._tally.counted(read(reader, batches, compute=self._compute))

    def _endless(
        self, reader: ClipReader, purpose: str, batch_size: int, *, centre: bool = False
    ) -> Callable[[int], Iterator[ClipBatch]]:
        return endless(
            reader,
            seed=self._seed,
            purpose=purpose,
            batch_size=batch_size,
            compute=self._compute,
            tally=self._tally,
            num_ahead=self._num_ahead,
            centre=centre,
            stride=self._ranks.size,
        )
