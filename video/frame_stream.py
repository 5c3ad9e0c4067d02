"""Frames of a video file, camera or network stream one by one, at the rate of a network and cut as it was tested.

Tick k lies k / r seconds after the first frame. A frame stands for every tick since the frame before it, so that a step
follows a frame without delay, and a file is read just as a camera that shows the same.
"""

import math
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError
from video.container import open_source
from video.decode import checked_last, picture_of
from video.frames import EARLY_S
from video.sampling import View, crop_at, crop_clip
from video.source import Source

MAX_BRIDGED_S: Final = 1.0
"""A frame after a longer gap stands for the ticks of so many seconds only: a camera may have been away for hours."""
_READ_AHEAD: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamFrame:
    """A frame as a network takes it in.

    Attributes:
        time_s: When it comes on display, seconds from the first.
        frame_HWC: uint8 [R, R, 3].
    """

    time_s: float
    frame_HWC: NDArray[np.uint8]


_Result = StreamFrame | BaseException | None
"""What the reading thread tells: a frame, why there are no more, or that it is done."""


def stream_frames(
    source: Source, *, rate_fps: float, short_side: int, resolution: int
) -> Generator[StreamFrame, None, None]:
    """The frame of every tick.

    A live source is read by another thread, so that this one can be interrupted while it waits.

    Args:
        source: What to read.
        rate_fps: Ticks per second, r > 0.
        short_side: Pixels of the shorter side before the centre is cut out, at least `resolution`.
        resolution: Height and width of the cut, R.

    Raises:
        UsageError: A number outside its range.
        VideoError: Not a readable video, or one that breaks off; what came before it was given.
    """
    if not (rate_fps > 0 and 1 <= resolution <= short_side):
        raise UsageError(
            "rate_fps must be above 0 and resolution in [1, short_side], but got "
            f"rate_fps={rate_fps}, short_side={short_side}, resolution={resolution}"
        )

    def read() -> Generator[StreamFrame, None, None]:
        return _read(source, rate_fps=rate_fps, short_side=short_side, resolution=resolution)

    return _in_background(read, source, patience_s=source.timeout_s + 1 / rate_fps) if source.live else read()


def _read(source: Source, *, rate_fps: float, short_side: int, resolution: int) -> Generator[StreamFrame, None, None]:
    num_bridged = max(1, round(MAX_BRIDGED_S * rate_fps))
    num_ticks, last = 0, None
    with open_source(source) as video:
        for last in video.frames_from(0.0):
            num_begun = math.floor((last[0] + EARLY_S) * rate_fps) + 1
            if num_begun > num_ticks:
                picture_HWC = picture_of(video, last, short_side=short_side)
                frame = StreamFrame(time_s=last[0], frame_HWC=_centre(picture_HWC, resolution))
                yield from [frame] * min(num_begun - num_ticks, num_bridged)
                num_ticks = num_begun
        if not source.live:
            checked_last(video, last, needed_s=video.duration_s)
        elif last is None:
            raise video.error("must give at least one frame, but gave none")


def _centre(picture_HWC: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    height, width = picture_HWC.shape[:2]
    (frame_HWC,) = crop_clip(picture_HWC[None], crop_at(height, width, resolution, place=View().place))
    return np.asarray(frame_HWC)


def _in_background(
    read: Callable[[], Iterator[StreamFrame]], source: Source, *, patience_s: float
) -> Generator[StreamFrame, None, None]:
    """The same frames, read a little ahead by a thread that ends with its source or with the iterator.

    Raises:
        VideoError: No frame in time. A thread that waits for a frame that never comes is left behind.
    """
    results: queue.Queue[_Result] = queue.Queue(maxsize=_READ_AHEAD)
    closed = threading.Event()

    def work() -> None:
        try:
            for frame in read():
                results.put(frame)
                if closed.is_set():
                    return
            results.put(None)
        except BaseException as error:  # it is raised where the frames are wanted
            results.put(error)

    threading.Thread(target=work, name="frames", daemon=True).start()
    try:
        while (result := _next(results, source, patience_s=patience_s)) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        closed.set()
        while not results.empty():  # which wakes the thread where it waits for room
            results.get()


def _next(results: queue.Queue[_Result], source: Source, *, patience_s: float) -> _Result:
    try:
        return results.get(timeout=patience_s)
    except queue.Empty as error:
        raise source.error(f"must give a frame at least every {source.timeout_s:g} s, but gave none") from error
