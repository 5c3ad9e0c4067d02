"""The pixels of a video at some times, or of a whole segment.

Letters: T frames asked for, N frames of a segment, H and W pixels, 3 colours (red, green, blue).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError
from video.container import DECODER_VERSION, TimedFrame, VideoFile, open_video, quarter_turns
from video.frames import EARLY_S, Frames

__all__ = [
    "DECODER_VERSION",
    "Frames",
    "VideoFile",
    "VideoInfo",
    "all_frames",
    "check_frames",
    "checked_last",
    "decode_all",
    "decode_frames",
    "frames_at",
    "open_video",
    "picture_of",
    "picture_size",
    "probe",
    "segment_duration_s",
]

MAX_ASPECT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What a video says about itself.

    Attributes:
        duration_s: From the first frame to the end.
        rate_fps: Frames per second, on average.
        width: Pixels as displayed, so after the rotation; `height` likewise.
        rotation_deg: How far stored frames are turned counterclockwise for display: 0, 90, 180 or 270.
        num_frames: As the header states it, if it does.
    """

    duration_s: float
    rate_fps: float
    width: int
    height: int
    rotation_deg: int
    num_frames: int | None


def probe(path: Path) -> VideoInfo:
    """What the video at `path` says about itself. Its first frame is decoded, which holds the rotation.

    Raises:
        VideoError: Not a readable video.
    """
    with open_video(path) as video:
        first = next(video.frames_from(0.0), None)
        if first is None:
            raise video.error("a video must hold at least one frame, but got 0")
        turns = quarter_turns(first[1])
        height, width = video.stored_size
        return VideoInfo(
            duration_s=video.duration_s,
            rate_fps=video.rate_fps,
            width=height if turns % 2 else width,
            height=width if turns % 2 else height,
            rotation_deg=turns * 90,
            num_frames=video.num_frames,
        )


def decode_frames(
    path: Path,
    times_s: NDArray[np.float64],
    *,
    short_side: int,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> NDArray[np.uint8]:
    """The frames on display at some times of a segment (`frames.frames_on_display` is the rule).

    Args:
        path: A video file.
        times_s: Seconds from the start of the segment, [T], in any order. Times before the first frame stand for it,
            times beyond the end for the last frame.
        short_side: Pixels of the shorter side of the result; the aspect ratio is kept.
        start_s: Where the segment starts, seconds from the first frame.
        end_s: Where it ends; the end of the video if not given.

    Returns:
        uint8 [T, H, W, 3].

    Raises:
        VideoError: Not a readable video, a segment that lies outside it, or a video that ends before a time at which
            its header promises a frame.
    """
    with open_video(path) as video:
        return frames_at(video, times_s, short_side=short_side, start_s=start_s, end_s=end_s)


def decode_all(
    path: Path,
    *,
    short_side: int,
    start_s: float = 0.0,
    end_s: float | None = None,
    max_bytes: int | None = None,
) -> Frames:
    """Every frame of a segment; its `at` gives the pixels of `decode_frames`, bit for bit.

    Raises:
        VideoError: As `decode_frames`, the times being all of the segment; or pixels of more than `max_bytes`, whatever
            the header says.
    """
    with open_video(path) as video:
        return all_frames(video, short_side=short_side, start_s=start_s, end_s=end_s, max_bytes=max_bytes)


def segment_duration_s(video: VideoFile, *, start_s: float, end_s: float | None) -> float:
    """Seconds from `start_s` to `end_s` or the end of the video, whichever comes first.

    Raises:
        VideoError: Nothing of the segment lies within the video.
    """
    duration_s = video.duration_s
    last_s = duration_s if end_s is None else min(end_s, duration_s)
    if not 0.0 <= start_s < last_s:
        raise video.error(
            f"a segment must start within the video's {duration_s:.3f} s and end later, "
            f"but got start_s={start_s}, end_s={end_s}"
        )
    return last_s - start_s


def frames_at(
    video: VideoFile,
    times_s: NDArray[np.float64],
    *,
    short_side: int,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> NDArray[np.uint8]:
    """`decode_frames` of an open video: one pass from the key frame before the first time to the last time."""
    duration_s = segment_duration_s(video, start_s=start_s, end_s=end_s)
    wanted, back = np.unique(np.asarray(times_s, dtype=np.float64), return_inverse=True)
    if wanted.size == 0 or not np.isfinite(wanted).all():
        raise UsageError(f"times_s must hold finite numbers, at least one, but got {wanted.size} different ones")
    first_s = start_s + max(0.0, float(wanted[0]))
    images: list[NDArray[np.uint8]] = []
    on_display: TimedFrame | None = None
    needed_s = min(float(wanted[-1]), duration_s)
    for timed in _segment(video, start_s=start_s, end_s=end_s, first_s=first_s, needed_s=needed_s):
        if on_display is not None:
            num_begun_before = int(np.searchsorted(wanted + EARLY_S, timed[0]))
            images += _repeated(video, on_display, num_begun_before - len(images), short_side=short_side)
        if len(images) == len(wanted):
            break
        on_display = timed
    else:
        assert on_display is not None
        images += _repeated(video, on_display, len(wanted) - len(images), short_side=short_side)
    return np.stack([images[index] for index in back.reshape(-1)])


def all_frames(
    video: VideoFile,
    *,
    short_side: int,
    start_s: float = 0.0,
    end_s: float | None = None,
    max_bytes: int | None = None,
) -> Frames:
    """`decode_all` of an open video."""
    duration_s = segment_duration_s(video, start_s=start_s, end_s=end_s)
    times_s: list[float] = []
    images: list[NDArray[np.uint8]] = []
    for timed in _segment(video, start_s=start_s, end_s=end_s, first_s=start_s, needed_s=duration_s):
        times_s.append(timed[0])
        images += _repeated(video, timed, 1, short_side=short_side)
        if max_bytes is not None and len(images) * images[-1].nbytes > max_bytes:
            raise video.error(f"a segment must have at most {max_bytes} bytes of pixels, but got more")
    return Frames(times_s=np.array(times_s), frames=np.stack(images), duration_s=duration_s)


def check_frames(video: VideoFile, *, short_side: int, start_s: float = 0.0, end_s: float | None = None) -> int:
    """How many frames `all_frames` would give, in the memory of one; errors are the same."""
    duration_s = segment_duration_s(video, start_s=start_s, end_s=end_s)
    num_frames = 0
    for timed in _segment(video, start_s=start_s, end_s=end_s, first_s=start_s, needed_s=duration_s):
        picture_of(video, timed, short_side=short_side)
        num_frames += 1
    return num_frames


def picture_of(video: VideoFile, timed: TimedFrame, *, short_side: int) -> NDArray[np.uint8]:
    """The whole picture of a frame, its shorter side scaled: uint8 [H, W, 3].

    Raises:
        VideoError: A picture that is a strip.
    """
    height, width = video.stored_size
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise video.error(f"a side must be at most {MAX_ASPECT} times the other, but got {width} x {height}")
    height, width = picture_size(height, width, short_side=short_side)
    return video.picture(timed[1], height=height, width=width)


def checked_last(video: VideoFile, last: TimedFrame | None, *, needed_s: float) -> TimedFrame:
    """The last frame, if the video goes on as far as it was needed, short of what headers promise too much.

    Raises:
        VideoError: No frame, or one that ends too early.
    """
    if last is None:
        raise video.error("a segment must hold at least one frame, but got 0")
    end_s = last[0] + video.frame_duration_s(last[1])
    if end_s < needed_s - video.slack_s:
        raise video.error(
            f"must have frames up to {needed_s:.3f} s of the segment, as its header promises, "
            f"but got the last one at {last[0]:.3f} s"
        )
    return last


def picture_size(height: int, width: int, *, short_side: int) -> tuple[int, int]:
    """Height and width once the shorter side has `short_side` pixels, the longer one rounded half up."""
    short, long = sorted((height, width))
    scaled = (2 * long * short_side + short) // (2 * short)
    return (short_side, scaled) if height <= width else (scaled, short_side)


def _segment(
    video: VideoFile, *, start_s: float, end_s: float | None, first_s: float, needed_s: float
) -> Iterator[TimedFrame]:
    """Frames from the one on display at `first_s` to the last that begins before `end_s`, timed from `start_s`.

    Raises:
        VideoError: None, or the video itself ends before `needed_s`, seconds of the segment; that its last frame stays
            on display for long is no defect where another one follows.
    """
    on_display: TimedFrame | None = None
    for time_s, frame in video.frames_from(first_s):
        if end_s is not None and time_s >= end_s - EARLY_S:
            needed_s = 0.0
            break
        if on_display is not None and time_s > first_s:
            yield on_display
        on_display = (time_s - start_s, frame)
    yield checked_last(video, on_display, needed_s=needed_s)


def _repeated(video: VideoFile, timed: TimedFrame, count: int, *, short_side: int) -> list[NDArray[np.uint8]]:
    """The picture of a frame, `count` times; it is converted only where it is wanted."""
    return [picture_of(video, timed, short_side=short_side)] * count if count > 0 else []
