"""Streams of clips made in memory, in which the class is easy to see, and batches of noise."""

from collections.abc import Iterator
from itertools import count

import torch

from search_spaces.spec import ClipGeometry
from video.clips import ClipBatch

NUM_CLASSES = 3


def batch_of(
    number: int, *, size: int, num_frames: int = 4, resolution: int = 12, num_classes: int = NUM_CLASSES, seed: int = 0
) -> ClipBatch:
    """Clips of noise; in a clip of class k, colour k % 3 is bright in the half k // 3."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    labels_B = torch.randint(num_classes, (size,), generator=generator)
    frames_BTHWC = torch.randint(0, 160, (size, num_frames, resolution, resolution, 3), generator=generator)
    for frames_THWC, label in zip(frames_BTHWC, labels_B.tolist(), strict=True):
        half = slice(0, resolution // 2) if label < 3 else slice(resolution // 2, None)
        frames_THWC[:, half, :, label % 3] += 90
    return ClipBatch(
        frames_BTHWC=frames_BTHWC.to(torch.uint8),
        labels_B=labels_B,
        indices=tuple(range(number * size, (number + 1) * size)),
    )


def noise(size: int, *, num_frames: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Clips (B, 3, T, H, W) with values in [0, 1], in plain layout."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, 3, num_frames, height, width, generator=generator)


class Stream:
    """An endless stream that remembers where it was opened, and breaks at a position where it is told to.

    Attributes:
        opened: Positions it was opened at, in order; `clips` the geometries it was asked for.
        breaks_at: Position whose batch raises `BrokenOffError`; None for none.
    """

    def __init__(self, *, size: int, seed: int = 0, **shape: int) -> None:
        self._size, self._seed, self._shape = size, seed, shape
        self.opened: list[int] = []
        self.clips: list[ClipGeometry | None] = []
        self.breaks_at: int | None = None

    def __call__(self, position: int, clip: ClipGeometry | None = None) -> Iterator[ClipBatch]:
        """From a position on; of the given geometry where this is decided by whoever asks, as in a search."""
        self.opened.append(position)
        self.clips.append(clip)
        return self._from(position)

    def _from(self, position: int) -> Iterator[ClipBatch]:
        for number in count(position):
            if number == self.breaks_at:
                raise BrokenOffError
            yield batch_of(number, size=self._size, seed=self._seed, **self._shape)


class BrokenOffError(Exception):
    """Stands for a kill."""
