"""Pixels to a video file: H.264 in MP4, the same bytes for the same pixels."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError, VideoError


def write_video(
    path: Path, frames_THWC: NDArray[np.uint8], *, rate_fps: int, frames_per_key: int = 1, quantiser: int = 18
) -> None:
    """Encode frames at a constant quantiser, on one thread.

    Args:
        path: File to write; the folder exists.
        frames_THWC: Red, green, blue, uint8 [T, H, W, 3]; H and W are even (4:2:0), T >= 1.
        rate_fps: Frames per second, >= 1.
        frames_per_key: Distance of key frames. With 1, each frame is coded by itself: its pixels are a function of that
            frame alone.
        quantiser: H.264's, from 0 (lossless) to 51.

    Raises:
        UsageError: Frames of another shape or type.
        VideoError: The file cannot be written.
    """
    if frames_THWC.ndim != 4 or frames_THWC.shape[-1] != 3 or frames_THWC.dtype != np.uint8 or not len(frames_THWC):
        raise UsageError(f"frames must be uint8 [T, H, W, 3], but got {frames_THWC.dtype} {frames_THWC.shape}")
    height, width = frames_THWC.shape[1:3]
    if height % 2 or width % 2:
        raise UsageError(f"height and width must be even, but got {height} x {width}")
    options = {"preset": "ultrafast", "qp": str(quantiser), "g": str(frames_per_key), "bf": "0"}
    try:
        with av.open(str(path), mode="w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=rate_fps, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.thread_count = 1
            for index, image in enumerate(frames_THWC):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, rate_fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, OSError) as error:
        detail = error.strerror or type(error).__name__
        raise VideoError(f"must be a file to write a video to, but got {detail}", path=path) from error
