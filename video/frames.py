"""Decoded frames as a checked value, and the rule that says which frame is on display at a time.

Letters: N frames of a segment, T frames of a clip, H and W pixels, 3 colours (red, green, blue).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import VideoError

EARLY_S = 1e-3
"""A frame counts as on display from this long before its timestamp: Matroska rounds timestamps to milliseconds."""


def frames_on_display(frame_times_s: NDArray[np.float64], times_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which frame is on display at each time: the last one that has begun, the first one before that.

    Args:
        frame_times_s: When each frame comes on display, [N], ascending, N >= 1.
        times_s: Times asked for, [T], in any order.

    Returns:
        Frame numbers in [0, N), [T].
    """
    begun = np.searchsorted(frame_times_s, times_s + EARLY_S, side="right")
    return np.maximum(begun - 1, 0).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """Every frame of a segment of a video.

    Attributes:
        times_s: When each frame comes on display, seconds from the start of the segment, float64 [N], ascending. The
            first may be negative: that frame was already on display when the segment began.
        frames: uint8 [N, H, W, 3].
        duration_s: Length of the segment.
    """

    times_s: NDArray[np.float64]
    frames: NDArray[np.uint8]
    duration_s: float

    def __post_init__(self) -> None:
        num_frames = len(self.frames)
        if self.times_s.shape != (num_frames,) or self.frames.ndim != 4 or num_frames == 0:
            raise VideoError(
                "frames must be [N, H, W, 3] with N >= 1 and one time each, "
                f"but got frames {self.frames.shape} and times {self.times_s.shape}"
            )
        if not (np.all(np.diff(self.times_s) > 0) and self.duration_s > 0):
            raise VideoError(f"times must ascend in a segment longer than 0 s, but got duration_s={self.duration_s}")

    @property
    def num_bytes(self) -> int:
        """Bytes of the pixels."""
        return self.frames.nbytes

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.uint8]:
        """A copy of the frames on display at `times_s` [T], seconds from the start of the segment: [T, H, W, 3]."""
        return self.frames[frames_on_display(self.times_s, times_s)]
