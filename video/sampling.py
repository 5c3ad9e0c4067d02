"""Where a clip lies in a video, in time and in the picture: arithmetic, no files.

Sampling is by time, not by frame number: a clip of T frames at r frames per second asks for the frames on display at T
times, 1 / r seconds apart, whatever the frame rate of the video is. A position is a number in [0, 1], from the
earliest (topmost, leftmost) place where the clip (crop) fits to the latest (bottommost, rightmost). An offset is a
fraction of the time between two frames of the clip: of two clips at half a frame rate, one offset by a half, the frames
alternate as those of one clip at the full rate.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError

CENTRE = 0.5
MAX_VIEWS = 1000
MAX_FRAMES = 1 << 16
"""Frames of one video that a test reads at once, at most."""

Span = Literal["clip", "whole", "tiles"]
"""How much of a video a view covers: one clip; all of it, in one clip as long as it takes; all of it, in clips laid
side by side that never overlap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One of the `num_positions` x `num_crops` clips that a test takes from a video (10 x 3 in PySlowFast, 1 x 1 here).

    Attributes:
        position_index: Which temporal position, from 0.
        num_positions: How many there are: one is the middle, several spread evenly from the start to the end.
        crop_index: Which spatial crop, from 0.
        num_crops: How many there are: one is the centre, several spread evenly along the longer side.
        offset_frames: How much later the clip lies than its position says, in frames of its own rate, in [0, 1).
        span: How much of the video it covers; all of it has one position.
    """

    position_index: int = 0
    num_positions: int = 1
    crop_index: int = 0
    num_crops: int = 1
    offset_frames: float = 0.0
    span: Span = "clip"

    def __post_init__(self) -> None:
        _check_offset(self.offset_frames)
        if self.span != "clip" and self.num_positions != 1:
            raise UsageError(
                f"a view of the whole video must have one position, but got num_positions={self.num_positions}"
            )
        for name, index, count in (
            ("position", self.position_index, self.num_positions),
            ("crop", self.crop_index, self.num_crops),
        ):
            if not 1 <= count <= MAX_VIEWS:
                raise UsageError(f"num_{name}s must be in [1, {MAX_VIEWS}], but got num_{name}s={count}")
            if not 0 <= index < count:
                raise UsageError(
                    f"{name}_index must be in [0, {count}), the number of {name}s, but got {name}_index={index}"
                )

    @property
    def place(self) -> "Place":
        """Where the clip of this view lies."""
        return Place(
            time=_spread(self.position_index, self.num_positions),
            along=_spread(self.crop_index, self.num_crops),
            across=CENTRE,
            offset_frames=self.offset_frames,
            span=self.span,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a clip lies, as positions in [0, 1].

    Attributes:
        time: From the earliest start to the latest.
        along: Along the longer side of the picture.
        across: Along the shorter side.
        offset_frames: How much later, in frames of the clip's own rate, in [0, 1).
        stretch: Time between two frames relative to that of the clip's own rate, above 0.
        span: How much of the video is wanted; `time` is of one clip alone.
    """

    time: float
    along: float
    across: float
    offset_frames: float = 0.0
    stretch: float = 1.0
    span: Span = "clip"

    def __post_init__(self) -> None:
        if not 0.0 < self.stretch < float("inf"):
            raise UsageError(f"stretch must be above 0, but got stretch={self.stretch}")
        for name, position in (("time", self.time), ("along", self.along), ("across", self.across)):
            _check_position(name, position)
        _check_offset(self.offset_frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class CropBox:
    """A square of `size` pixels whose top left pixel is (`top`, `left`)."""

    top: int
    left: int
    size: int


def views(num_positions: int, num_crops: int, *, span: Span = "clip") -> tuple[View, ...]:
    """All views of a test of `num_positions` x `num_crops`, crops of one position next to each other.

    Raises:
        UsageError: A number outside [1, 1000].
    """
    View(num_positions=num_positions, num_crops=num_crops)
    return tuple(
        View(position_index=position, num_positions=num_positions, crop_index=crop, num_crops=num_crops, span=span)
        for position in range(num_positions)
        for crop in range(num_crops)
    )


def draw_place(generator: np.random.Generator) -> Place:
    """A place for training: time and crop uniform, from three numbers of `generator`."""
    time, along, across = generator.random(3).tolist()
    return Place(time=time, along=along, across=across)


def clip_times(
    duration_s: float, *, num_frames: int, rate_fps: float, position: float, offset_frames: float = 0.0
) -> NDArray[np.float64]:
    """When the frames of a clip are on display, seconds from the start of a video or segment.

    The clip spans (T - 1) / r between its first and last frame and leaves the last one its 1 / r on display, so it
    starts at `position` x (duration - T / r). Where the video is shorter than T / r the clip starts at 0, and times
    beyond the end stand for the last frame (`frames.frames_on_display` holds it). Frame i comes (i + offset) / r after
    the start, so that an offset never takes a clip past a video into which it fits.

    Args:
        duration_s: Length of the video or segment, > 0.
        num_frames: Frames of the clip, T >= 1.
        rate_fps: Frames of the clip per second, r > 0.
        position: In [0, 1].
        offset_frames: In [0, 1).

    Returns:
        Ascending times >= 0, float64 [T].

    Raises:
        UsageError: A number outside its range.
    """
    if not (duration_s > 0 and num_frames >= 1 and rate_fps > 0):
        raise UsageError(
            "duration_s and rate_fps must be above 0 and num_frames at least 1, but got "
            f"duration_s={duration_s}, rate_fps={rate_fps}, num_frames={num_frames}"
        )
    _check_position("position", position)
    _check_offset(offset_frames)
    start_s = position * max(0.0, duration_s - num_frames / rate_fps)
    times_s: NDArray[np.float64] = start_s + (np.arange(num_frames, dtype=np.float64) + offset_frames) / rate_fps
    return times_s


def span_times(
    duration_s: float, *, num_frames: int, rate_fps: float, offset_frames: float = 0.0, tiles: bool = False
) -> NDArray[np.float64]:
    """The times of the frames of a whole video, seconds from its start.

    Args:
        duration_s: Of the video or segment.
        num_frames: Of a clip.
        rate_fps: Of the clip.
        offset_frames: As in `clip_times`.
        tiles: Whether as many clips as fit are laid side by side, from the start to the end, gaps between them equal,
            and their times come clip after clip; a video shorter than a clip gets one. Otherwise one clip is as long as
            the video, whatever `num_frames` is: a time at every 1 / rate from the start until the end.

    Returns:
        float64 [N], N a multiple of `num_frames` where `tiles`.

    Raises:
        UsageError: As `clip_times`; also more than 65,536 frames.
    """
    fitting = duration_s * rate_fps + 1e-6
    count = max(1, int(fitting // num_frames)) * num_frames if tiles else max(1, int(fitting))
    if count > MAX_FRAMES:
        raise UsageError(f"a whole video must have at most {MAX_FRAMES} frames at {rate_fps:g} fps, but got {count}")
    if not tiles:
        return clip_times(duration_s, num_frames=count, rate_fps=rate_fps, position=0.0, offset_frames=offset_frames)
    num_tiles = count // num_frames
    return np.concatenate(
        [
            clip_times(
                duration_s,
                num_frames=num_frames,
                rate_fps=rate_fps,
                position=_spread(tile, num_tiles),
                offset_frames=offset_frames,
            )
            for tile in range(num_tiles)
        ]
    )


def crop_box(height: int, width: int, size: int, *, position_y: float, position_x: float) -> CropBox:
    """The square of `size` pixels at a position in a picture of `height` x `width` pixels.

    Raises:
        UsageError: The square does not fit, or a position lies outside [0, 1].
    """
    if not 1 <= size <= min(height, width):
        raise UsageError(f"a crop must fit into the picture, but got size={size} in height={height}, width={width}")
    _check_position("position_y", position_y)
    _check_position("position_x", position_x)
    return CropBox(top=_offset(height - size, position_y), left=_offset(width - size, position_x), size=size)


def crop_at(height: int, width: int, size: int, *, place: Place) -> CropBox:
    """The crop of a place: `along` runs along the longer side, the width where both are equal.

    Raises:
        UsageError: The square does not fit.
    """
    if height > width:
        return crop_box(height, width, size, position_y=place.along, position_x=place.across)
    return crop_box(height, width, size, position_y=place.across, position_x=place.along)


def crop_clip(frames_THWC: NDArray[np.uint8], box: CropBox) -> NDArray[np.uint8]:
    """The same square of every frame, [T, size, size, 3], contiguous."""
    rows = slice(box.top, box.top + box.size)
    columns = slice(box.left, box.left + box.size)
    return np.ascontiguousarray(frames_THWC[:, rows, columns])


def _spread(index: int, count: int) -> float:
    return CENTRE if count == 1 else index / (count - 1)


def _offset(room: int, position: float) -> int:
    return min(room, int(position * (room + 1)))


def _check_position(name: str, position: float) -> None:
    if not 0.0 <= position <= 1.0:
        raise UsageError(f"{name} must be in [0, 1], but got {name}={position}")


def _check_offset(offset_frames: float) -> None:
    if not 0.0 <= offset_frames < 1.0:
        raise UsageError(f"offset_frames must be in [0, 1), but got offset_frames={offset_frames}")
