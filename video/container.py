"""A video as a run of frames with times, through PyAV (16 to 18); `encode` is the only other file that knows it.

Time 0 of a video is its first frame. Decoding runs on one thread: frame and slice threads cost more processor time per
clip and have hung in worker processes (vllm-project/vllm#53973, NVIDIA-TAO/tao-pytorch#109, PyAV-Org/PyAV#1962).
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Final, cast, final

import av
import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from search_spaces.errors import MovinasError, VideoError
from video.source import Source, file_source

DECODER_VERSION: Final = f"1-av{av.__version__}"
"""Changes whenever the pixels of the same file may change; part of every cache key."""

MAX_PIXELS: Final = 1 << 26
"""Of a frame, twice those of 8K: a header of a few bytes must not make a decoder take gigabytes."""
MAX_SLACK_S = 0.5
MAX_STEP_BACK_S = 1.0
"""A live source that falls back by more has set its clock anew, and is not merely out of order."""
MAX_BAD_PACKETS = 300
"""A live source may have so many packets in a row that cannot be decoded: it may be joined before a key frame."""
_ASSUMED_RATE_FPS = 25.0
TimedFrame = tuple[float, VideoFrame]
"""A frame and when it comes on display, seconds."""

_FOREIGN_ERRORS = (av.FFmpegError, OSError, TypeError, ValueError, ArithmeticError, LookupError)
_CONTAINERS_WITHOUT_DISPLAY_TIMES = ("avi",)
_CONTAINERS_WITHOUT_DURATION = ("mpeg",)  # FFmpeg guesses it from the last kilobytes, too low for short files
_CONTAINERS_WITHOUT_TIMES = ("mpjpeg",)  # FFmpeg counts 25 frames per second, whatever the camera does
_CONTAINERS_THAT_COUNT_FROM_ZERO = ("matroska,webm", "flv")  # and not from the first frame
# swscale 9 (PyAV 17) uses one thread per processor unless told otherwise: eight times the processor time at 640 x 480.
_SCALER_OPTIONS = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


def open_video(path: Path) -> AbstractContextManager["VideoFile"]:
    """A video file to read from once; see `open_source`.

    Raises:
        VideoError: A pipe or device, which could be waited for without end; as a stream it has a time limit.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise VideoError("must be a file, but got a pipe or device", path=path)
    return open_source(file_source(path))


@contextmanager
def open_source(source: Source) -> Iterator["VideoFile"]:
    """A video to read from once, closed on leaving.

    Raises:
        VideoError: Not a readable video; errors of PyAV inside the block are turned into it as well.
    """
    av.logging.set_level(None)
    try:
        video = VideoFile(source)
        try:
            yield video
        finally:
            video.close()
    except MovinasError:
        raise
    except _FOREIGN_ERRORS as error:
        detail = getattr(error, "strerror", None) or str(error) or "no details"
        raise source.error(f"must be a readable video, but got {type(error).__name__}: {detail}") from error


@final
class VideoFile:
    """An open video; use `open_video` or `open_source`, which close it and name it in every error."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._scaler = VideoReformatter()
        self._container, self._stream = _open(source)
        self._time_base = Fraction(self._stream.time_base or 0)
        self._in_use = False
        self._packets: tuple[int, float] | None = None

    def close(self) -> None:
        """Give the file back."""
        self._container.close()

    def error(self, message: str) -> VideoError:
        """An error about this video, to be raised."""
        return self._source.error(message)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end: as the header promises, else counted from the packets."""
        return self._promised_s or self._counted[1]

    @property
    def slack_s(self) -> float:
        """How much less than `duration_s` is still a whole video.

        Two frames; what rounding adds to a header; and, where the promise is not the video stream's own, the sound
        that may go on after the picture.
        """
        own = bool(self._stream.duration) or len(self._container.streams) == 1
        excess_s = min(0.02 * self.duration_s, MAX_SLACK_S) if own else MAX_SLACK_S
        return 2.0 / self.rate_fps + excess_s

    @property
    def rate_fps(self) -> float:
        """Frames per second, on average."""
        if self._source.live:
            return self._stated_rate_fps or _ASSUMED_RATE_FPS
        return self._stated_rate_fps or (self.num_frames or self._counted[0]) / self.duration_s

    @property
    def num_frames(self) -> int | None:
        """Frames as the header states them, if it does."""
        return self._stream.frames or None

    @property
    def stored_size(self) -> tuple[int, int]:
        """Height and width in pixels, before any rotation."""
        height, width = self._stream.codec_context.height, self._stream.codec_context.width
        if height < 1 or width < 1:
            raise self.error(f"a video must state its size, but got width={width}, height={height}")
        return height, width

    def frames_from(self, first_s: float) -> Iterator[TimedFrame]:
        """Frames with their times in seconds, ascending, from one that has begun at `first_s`, or from the first frame.

        After a seek the run starts at a key frame; what a decoder gives before it may refer to frames it has not seen.
        Where no key frame at or before `first_s` turns up, the file is read again from its start. Frames that the
        decoder had to mend are passed on, as players do. A second call ends the run of the first.
        """
        if self._in_use:
            self._reopen()
        self._in_use = True
        if first_s > 0.0 and self._seek(first_s):
            run = self._timed_frames()
            key = next((timed for timed in run if timed[1].key_frame), None)
            if key is not None and key[0] <= first_s:
                yield key
                yield from run
                return
            self._reopen()
        yield from self._timed_frames()

    def frame_duration_s(self, frame: VideoFrame) -> float:
        """How long a frame is on display: as the file says, at least one frame of the average rate."""
        return max(float((frame.duration or 0) * self._time_base), 1.0 / self.rate_fps)

    def picture(self, frame: VideoFrame, *, height: int, width: int) -> NDArray[np.uint8]:
        """The frame as red, green, blue, resized to `height` x `width`, then turned for display: uint8 [H, W, 3]."""
        resized = self._scaler.reformat(frame, width=width, height=height, format="rgb24", **_SCALER_OPTIONS)
        image = np.asarray(resized.to_ndarray(), dtype=np.uint8)
        return np.ascontiguousarray(np.rot90(image, quarter_turns(frame)))

    @property
    def _promised_s(self) -> float | None:
        container, stream = self._container, self._stream
        if container.format.name in _CONTAINERS_WITHOUT_DURATION:
            return None
        if stream.duration:
            promised_s = float(stream.duration * self._time_base)
        else:
            promised_s = (container.duration or 0) / av.time_base
            if container.format.name in _CONTAINERS_THAT_COUNT_FROM_ZERO:
                promised_s -= float((stream.start_time or 0) * self._time_base)
        return promised_s if promised_s > 0 else None

    @property
    def _stated_rate_fps(self) -> float | None:
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate else None

    @property
    def _counted(self) -> tuple[int, float]:
        """Packets of the video, and seconds from the first frame to the end of the last packet."""
        if self._packets is None:
            self._packets = self._count()
        return self._packets

    def _count(self) -> tuple[int, float]:
        container, stream = _open(self._source)
        try:
            packets = [
                (packet.dts if packet.pts is None else packet.pts, packet.duration or 0)
                for packet in container.demux(stream)
                if packet.size
            ]
        finally:
            container.close()
        spans = [(stamp, stamp + duration) for stamp, duration in packets if stamp is not None]
        ticks = max((end for _, end in spans), default=0) - min((begin for begin, _ in spans), default=0)
        duration_s = float(ticks * self._time_base)
        if duration_s <= 0.0 and self._stated_rate_fps is not None:
            duration_s = len(packets) / self._stated_rate_fps
        if duration_s <= 0.0:
            raise self.error(f"a video must have a duration, but got none, and {len(packets)} packets")
        return len(packets), duration_s

    @property
    def _has_display_times(self) -> bool:
        return self._container.format.name not in _CONTAINERS_WITHOUT_DISPLAY_TIMES

    def _seek(self, time_s: float) -> bool:
        origin = self._stream.start_time
        if origin is None or not self._has_display_times:
            return False
        try:
            self._container.seek(origin + int(time_s / self._time_base), stream=self._stream)
        except (av.FFmpegError, OSError):
            self._reopen()
            return False
        return True

    def _reopen(self) -> None:
        self._container.close()
        self._container, self._stream = _open(self._source)

    def _timed_frames(self) -> Iterator[TimedFrame]:
        """All frames from here on; one without a time of its own comes one frame after the last.

        Time 0 of a live source is the first frame that could be decoded, and its clock may be set back.
        """
        start = self._stream.start_time
        in_time = self._has_display_times and not self._source.live
        origin_s = start * self._time_base if in_time and start is not None else None
        last_s = -np.inf
        for frame in self._decoded():
            stamp_s = self._stamp_s(frame)
            if stamp_s is None:
                time_s = self._one_frame_after(last_s)
            else:
                origin_s = stamp_s if origin_s is None else origin_s
                time_s = float(stamp_s - origin_s)
                if self._source.live and time_s < last_s - MAX_STEP_BACK_S:
                    time_s = self._one_frame_after(last_s)
                    origin_s = stamp_s - Fraction(time_s)
            if time_s > last_s:  # else it is never on display
                yield time_s, frame
                last_s = time_s

    def _decoded(self) -> Iterator[VideoFrame]:
        """All frames; of a live source, packets that cannot be decoded are passed over."""
        if not self._source.live:
            yield from self._container.decode(self._stream)
            return
        num_bad = 0
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                num_bad += 1
                if num_bad > MAX_BAD_PACKETS:
                    raise
            else:
                num_bad = 0
                yield from frames

    def _stamp_s(self, frame: VideoFrame) -> Fraction | None:
        """When a frame is to be shown, by the clock of its source, which starts anywhere."""
        if self._container.format.name in _CONTAINERS_WITHOUT_TIMES:
            return Fraction(time.monotonic())
        stamp = frame.pts if self._has_display_times and frame.pts is not None else frame.dts
        return None if stamp is None else stamp * self._time_base

    def _one_frame_after(self, last_s: float) -> float:
        return last_s + 1.0 / self.rate_fps if np.isfinite(last_s) else 0.0


def quarter_turns(frame: VideoFrame) -> int:
    """How often a stored frame is turned counterclockwise by 90 degrees for display, 0 to 3."""
    return round(frame.rotation / 90) % 4


def _open(source: Source) -> tuple[InputContainer, VideoStream]:
    # Only what the source itself needs: a play list must not make us read from the network, nor from this machine.
    options = {"protocol_whitelist": source.protocols, **source.options}
    limits = {"max_pixels": str(MAX_PIXELS)}
    container = av.open(
        source.address,
        mode="r",
        format=source.format,
        metadata_errors="ignore",
        options=limits,  # of the decoders that look at the first frames
        container_options=options,
    )
    try:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            raise source.error(f"must have a video stream, but got {len(container.streams)} streams of other kinds")
        codec = cast("VideoCodecContext | None", stream.codec_context)  # PyAV's stubs do not know that it may be None
        if codec is None or not stream.time_base:
            raise source.error("must have a video stream of a known codec and time base, but got another")
        codec.options = limits
        codec.thread_type = "NONE"
        codec.thread_count = 1
    except BaseException:
        container.close()
        raise
    return container, stream
