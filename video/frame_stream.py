"""Frames of a video file, camera or network stream one by one, at the rate of a network and cut as it was tested.

Tick k lies (k + offset) / r seconds after the first frame. A frame stands for every tick since the frame before it, so
that a step follows a frame without delay, and a file is read just as a camera that shows the same. Several networks
that answer together each have ticks, size and offset of their own: of two at half a frame rate, one offset by a half,
the ticks alternate as those of one at the full rate.
"""

import math
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError
from video.container import TimedFrame, VideoFile, open_source
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
        look: Which network it is for, where there are several.
    """

    time_s: float
    frame_HWC: NDArray[np.uint8]
    look: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a network takes frames in.

    Attributes:
        rate_fps: Ticks per second, r > 0.
        short_side: Pixels of the shorter side before the centre is cut out, at least `resolution`.
        resolution: Height and width of the cut, R.
        offset_frames: How much later its ticks lie, in ticks, in [0, 1).
    """

    rate_fps: float
    short_side: int
    resolution: int
    offset_frames: float = 0.0

    def __post_init__(self) -> None:
        if not (self.rate_fps > 0 and 1 <= self.resolution <= self.short_side and 0 <= self.offset_frames < 1):
            raise UsageError(
                "rate_fps must be above 0, resolution in [1, short_side] and offset_frames in [0, 1), but got "
                f"rate_fps={self.rate_fps}, short_side={self.short_side}, resolution={self.resolution}, "
                f"offset_frames={self.offset_frames}"
            )

    def num_begun(self, time_s: float) -> int:
        """Ticks until a time, that time included."""
        return max(0, math.floor((time_s + EARLY_S) * self.rate_fps - self.offset_frames) + 1)

    def tick_s(self, number: int) -> float:
        """When a tick is due."""
        return (number + self.offset_frames) / self.rate_fps


_Result = StreamFrame | BaseException | None
"""What the reading thread tells: a frame, why there are no more, or that it is done."""


def stream_frames(source: Source, *looks: Look) -> Generator[StreamFrame, None, None]:
    """The frame of every tick of every look, in the order of the ticks; of the same time that of an earlier look first.

    A live source is read by another thread, so that this one can be interrupted while it waits.

    Args:
        source: What to read.
        looks: How each network takes frames in, at least one.

    Raises:
        VideoError: Not a readable video, or one that breaks off; what came before it was given.
    """

    def read() -> Generator[StreamFrame, None, None]:
        return _read(source, looks)

    slowest_s = max(1 / look.rate_fps for look in looks)
    return _in_background(read, source, patience_s=source.timeout_s + slowest_s) if source.live else read()


def _read(source: Source, looks: Sequence[Look]) -> Generator[StreamFrame, None, None]:
    num_ticks, last = [0] * len(looks), None
    with open_source(source) as video:
        for last in video.frames_from(0.0):
            due: list[tuple[float, int]] = []
            for number, look in enumerate(looks):
                num_begun, num_bridged = look.num_begun(last[0]), max(1, round(MAX_BRIDGED_S * look.rate_fps))
                first = max(num_ticks[number], num_begun - num_bridged)
                due += [(look.tick_s(tick), number) for tick in range(first, num_begun)]
                num_ticks[number] = num_begun
            cut = {number: _cut(video, last, looks[number]) for number in {number for _, number in due}}
            for _, number in sorted(due):
                yield StreamFrame(time_s=last[0], frame_HWC=cut[number], look=number)
        if not source.live:
            checked_last(video, last, needed_s=video.duration_s)
        elif last is None:
            raise video.error("must give at least one frame, but gave none")


def _cut(video: VideoFile, timed: TimedFrame, look: Look) -> NDArray[np.uint8]:
    return _centre(picture_of(video, timed, short_side=look.short_side), look.resolution)


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
