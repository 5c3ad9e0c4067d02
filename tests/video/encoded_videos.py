"""Small videos encoded on the fly, in which every frame tells its number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

STEP = 8
FLOOR = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a video is written: `ticks` are display times in 1/100 s, every 4 (25 per second) if not given."""

    suffix: str = ".mp4"
    codec: str = "libx264"
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    pix_fmt: str = "yuv420p"
    width: int = 64
    height: int = 48
    num_frames: int = 24
    ticks: Sequence[int] | None = None

    @property
    def times_s(self) -> np.ndarray:
        ticks = range(0, 4 * self.num_frames, 4) if self.ticks is None else self.ticks
        return np.array(ticks, dtype=np.float64) / 100


UNEVEN = [0, 3, 4, 9, 17, 18, 30, 31, 33, 50, 51, 55, 70, 80, 81, 82, 90, 95, 100, 101, 110, 130, 131, 140]

FINE = {"qmin": "1", "qmax": "2", "b": "4M"}

RECIPES: Mapping[str, Recipe] = {
    "mp4": Recipe(options={"g": "5", "bf": "0", "sc_threshold": "0"}),
    "mp4-one-key": Recipe(options={"g": "250"}),
    "mp4-b-frames": Recipe(options={"g": "8", "bf": "3", "b-adapt": "0"}),
    "mp4-open-gop": Recipe(options={"g": "6", "bf": "2", "b-adapt": "0", "x264-params": "open-gop=1"}),
    "mp4-uneven": Recipe(options={"g": "6", "bf": "2"}, ticks=UNEVEN),
    "mp4-odd": Recipe(options={"g": "6"}, width=65, height=49, pix_fmt="yuv444p"),
    "mp4-mpeg4": Recipe(codec="mpeg4", options={"g": "6", "bf": "2", **FINE}),
    "mov-b-frames": Recipe(suffix=".mov", options={"g": "8", "bf": "3"}),
    "mkv": Recipe(suffix=".mkv", options={"g": "5", "bf": "0"}),
    "mkv-b-frames": Recipe(suffix=".mkv", options={"g": "8", "bf": "3", "b-adapt": "0"}),
    "mkv-open-gop": Recipe(suffix=".mkv", options={"g": "6", "bf": "2", "b-adapt": "0", "x264-params": "open-gop=1"}),
    "mkv-uneven": Recipe(suffix=".mkv", options={"g": "6", "bf": "2"}, ticks=UNEVEN),
    "mkv-odd": Recipe(suffix=".mkv", options={"g": "6"}, width=49, height=65, pix_fmt="yuv444p"),
    "webm": Recipe(
        suffix=".webm",
        codec="libvpx-vp9",
        options={"g": "6", "deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "0"},
    ),
    "avi": Recipe(suffix=".avi", codec="mpeg4", options={"g": "6", **FINE}),
    "avi-b-frames": Recipe(suffix=".avi", options={"g": "8", "bf": "3", "b-adapt": "0"}),
    "ts-b-frames": Recipe(suffix=".ts", options={"g": "6", "bf": "3", "b-adapt": "0"}),
    "ts-open-gop": Recipe(suffix=".ts", options={"g": "6", "bf": "2", "x264-params": "open-gop=1"}),
    "mpg": Recipe(suffix=".mpg", codec="mpeg2video", options={"g": "6", "bf": "2", **FINE}),
    "flv": Recipe(suffix=".flv", options={"g": "6"}),
    "wmv": Recipe(suffix=".wmv", codec="wmv2", options={"g": "6", **FINE}),
    "raw-h264": Recipe(suffix=".h264", options={"g": "6", "bf": "0"}),
}


def write_recipe(path: Path, recipe: Recipe) -> Path:
    """Frame i is grey of brightness 20 + 8 i, but for a dark square in its top left corner."""
    with av.open(str(path), mode="w", container_options=dict(recipe.container_options)) as container:
        stream = container.add_stream(recipe.codec, rate=25, options=dict(recipe.options))
        stream.width, stream.height, stream.pix_fmt = recipe.width, recipe.height, recipe.pix_fmt
        stream.codec_context.thread_count = 1
        if recipe.ticks is not None:
            stream.codec_context.time_base = Fraction(1, 100)
        for index, time_s in enumerate(recipe.times_s):
            image = np.full((recipe.height, recipe.width, 3), FLOOR + STEP * index, dtype=np.uint8)
            image[: recipe.height // 4, : recipe.width // 4] = 0
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time_s * 100), Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def frame_numbers(frames: np.ndarray) -> list[int]:
    """Which frames of a recipe these are, by the brightness away from the corner."""
    height, width = frames.shape[1:3]
    brightness = frames[:, height // 2 :, width // 2 :].astype(np.float64).mean(axis=(1, 2, 3))
    return [round(value) for value in (brightness - FLOOR) / STEP]


def set_rotation(path: Path, *, clockwise_deg: int) -> None:
    """Write a display matrix into the track header of an MP4 file."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[clockwise_deg]
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    matrix = [cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30]
    data[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)


def write_sound(path: Path) -> Path:
    """A file with sound and no picture."""
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packet_position(path: Path, number: int) -> int:
    """Where the packet with a number begins in a file, bytes."""
    with av.open(str(path)) as container:
        return [packet.pos for packet in container.demux(video=0) if packet.size][number]
