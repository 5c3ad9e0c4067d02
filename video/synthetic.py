"""Generated videos whose class is the motion (or, in the twin, the colour) and which need no download.

Motion classes: a texture without beginning or end moves, turns or zooms. What a frame shows at any time is given by a
position on a torus, an angle on a circle and a logarithm of scale on a circle. All three are uniform at every time,
whatever the motion, and each frame is coded by itself; so one frame says nothing about the class, exactly, while any
two frames do.

Scale comes round after a factor of 2 in the manner of Shepard's endless scale: the picture is the sum over whole k of
w(k + l) texture(R x 2^(k + l) + offset_k), where R turns by the angle, w(s) = cos(pi s / 2) on (-1, 1) and the offsets
are independent. l and l + 1 give the same distribution, and squared weights add up to 1, so contrast stays.

Letters: T frames, H and W pixels, K octaves on show at once (2), P all pixels of a frame.
"""

import colorsys
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from video.airplanes import AIRPLANE_CLASSES, render_airplane
from video.encode import write_video

Cue = Literal["motion", "appearance", "airplanes"]

MOTION_CLASSES: Final = (
    "move_left",
    "move_right",
    "move_up",
    "move_down",
    "turn_left",
    "turn_right",
    "zoom_in",
    "zoom_out",
)
HUES: Final[Mapping[str, float]] = {
    "hue_red": 0.0,
    "hue_orange": 45.0,
    "hue_lime": 90.0,
    "hue_green": 135.0,
    "hue_cyan": 180.0,
    "hue_blue": 225.0,
    "hue_violet": 270.0,
    "hue_pink": 315.0,
}
"""Class names of the twin, and their hue in degrees."""

CLASSES: Final[Mapping[Cue, tuple[str, ...]]] = {
    "motion": MOTION_CLASSES,
    "appearance": tuple(HUES),
    "airplanes": AIRPLANE_CLASSES,
}

TEXTURE_SIDE = 128
_WAVELENGTHS_PX = (16.0, 32.0)
_DIRECTIONS: Final[Mapping[str, tuple[int, int]]] = {
    "move_left": (-1, 0),
    "move_right": (1, 0),
    "move_up": (0, -1),
    "move_down": (0, 1),
}
_SPEED_PX_PER_S = (16.0, 32.0)
_TURN_DEG_PER_S = (80.0, 160.0)
_ZOOM_OCTAVES_PER_S = (8 * math.log2(1.07), 8 * math.log2(1.12))


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """A steady motion of the picture as it is seen.

    Attributes:
        right: Pixels per second to the right; `down` likewise downwards.
        clockwise: Radians per second.
        growth: Octaves per second by which things become larger.
    """

    right: float = 0.0
    down: float = 0.0
    clockwise: float = 0.0
    growth: float = 0.0


def write_motion_videos(
    out: Path,
    *,
    videos_per_class: int,
    seed: int,
    size: int = 64,
    num_frames: int = 24,
    rate_fps: int = 16,
    cue: Cue = "motion",
    shuffled: bool = False,
) -> tuple[Path, ...]:
    """Write a folder of labelled MP4 files per class, whole or not at all; same seed, same bytes.

    Args:
        out: Folder to make; it must not exist, or be empty.
        videos_per_class: At least 1; video i of a class is the same however many there are.
        seed: Of everything that is drawn.
        size: Height and width in pixels, even, from 16.
        num_frames: Frames per video.
        rate_fps: Frames per second.
        cue: What makes the class: `motion`, with colours at random, `appearance`, with motions at random, or of
            `airplanes` the axis about which one turns.
        shuffled: Whether the frames of each video come in an order that is drawn for it.

    Returns:
        The files, by class and number.

    Raises:
        UsageError: `out` exists and is not empty, or a number outside its range.
        VideoError: The files cannot be written.
    """
    _check_numbers(videos_per_class=videos_per_class, size=size, num_frames=num_frames, rate_fps=rate_fps)
    partial = _new_partial_folder(out)
    try:
        for class_name in CLASSES[cue]:
            (partial / class_name).mkdir()
            for index in range(videos_per_class):
                frames_THWC = render(class_name, index, seed=seed, size=size, num_frames=num_frames, rate_fps=rate_fps)
                if shuffled:
                    frames_THWC = generator(seed, "shuffle", class_name, index).permutation(frames_THWC)
                write_video(partial / _name(class_name, index), frames_THWC, rate_fps=rate_fps)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tuple(out / _name(class_name, index) for class_name in CLASSES[cue] for index in range(videos_per_class))


def render(
    class_name: str, index: int, *, seed: int, size: int = 64, num_frames: int = 24, rate_fps: int = 16
) -> NDArray[np.uint8]:
    """The frames of one video, a function of (`seed`, `class_name`, `index`) and its size: uint8 [T, H, W, 3].

    Raises:
        UsageError: No such class, or a number outside its range.
    """
    _check_numbers(videos_per_class=1, size=size, num_frames=num_frames, rate_fps=rate_fps)
    draw = generator(seed, "synthetic", class_name, index)
    if class_name in AIRPLANE_CLASSES:
        return render_airplane(class_name, draw, size=size, num_frames=num_frames, rate_fps=rate_fps)
    if class_name in HUES:
        motion = draw_motion(MOTION_CLASSES[int(draw.integers(len(MOTION_CLASSES)))], draw)
        palette = _shades(HUES[class_name], draw)
    elif class_name in MOTION_CLASSES:
        motion = draw_motion(class_name, draw)
        palette = _random_palette(draw)
    else:
        known = ", ".join(name for names in CLASSES.values() for name in names)
        raise UsageError(f"a class must be one of {known}, but got {class_name!r}")
    times_s = np.arange(num_frames) / rate_fps
    brightness_THW = moving_texture(motion, times_s, size=size, draw=draw)
    return _coloured(brightness_THW, palette)


def draw_motion(name: str, draw: np.random.Generator) -> Motion:
    """A motion of a class, at a speed that shows within a second.

    Per 1/8 s: 2 to 4 pixels, 10 to 20 degrees, or a factor of 1.07 to 1.12.
    """
    if name in _DIRECTIONS:
        right, down = _DIRECTIONS[name]
        speed = draw.uniform(*_SPEED_PX_PER_S)
        return Motion(right=right * speed, down=down * speed)
    if name.startswith("turn"):
        speed = math.radians(draw.uniform(*_TURN_DEG_PER_S))
        return Motion(clockwise=speed if name == "turn_right" else -speed)
    speed = draw.uniform(*_ZOOM_OCTAVES_PER_S)
    return Motion(growth=speed if name == "zoom_in" else -speed)


def moving_texture(
    motion: Motion, times_s: NDArray[np.float64], *, size: int, draw: np.random.Generator
) -> NDArray[np.float32]:
    """A texture of its own in motion, as brightness with mean 0 and variance 1: [T, H, W].

    Args:
        motion: How it moves.
        times_s: When to look, seconds, [T].
        size: H and W.
        draw: Draws the texture, then angle, octave and offsets at time 0.
    """
    texture = _draw_texture(draw)
    angle = draw.uniform(0.0, 2.0 * math.pi) + motion.clockwise * times_s
    octave = draw.uniform() - motion.growth * times_s
    whole = np.floor(octave)
    number_KT = (np.stack([whole, whole + 1]) - whole.min()).astype(np.int64)  # -k, from 0
    offset_KT2 = draw.uniform(0.0, 1.0, size=(int(number_KT.max()) + 1, 2))[number_KT]
    scale_KT = np.stack([octave - whole, octave - whole - 1.0])
    cos, sin = np.cos(angle), np.sin(angle)
    turn_T22 = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)  # undoes the motion
    matrix_KT22 = turn_T22 * (2.0**scale_KT / TEXTURE_SIDE)[..., None, None]
    travelled_T2 = times_s[:, None] * np.array([motion.right, motion.down])
    shift_KT2 = offset_KT2 - (matrix_KT22 @ travelled_T2[:, :, None])[..., 0]
    shown_KTHW = _sample(texture, matrix_KT22, shift_KT2, size=size)
    weight_KT11 = np.cos(np.pi * scale_KT / 2).astype(np.float32)[..., None, None]
    total_THW: NDArray[np.float32] = (weight_KT11 * shown_KTHW).sum(axis=0)
    return total_THW


def _sample(
    texture: NDArray[np.float32], matrix_KT22: NDArray[np.float64], shift_KT2: NDArray[np.float64], *, size: int
) -> NDArray[np.float32]:
    """The endless texture seen through affine maps from pixels (x, y) off the centre to its sides: [K, T, H, W]."""
    wrapped = torch.from_numpy(np.pad(texture, (0, 1), mode="wrap"))
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    pixels_P2 = torch.stack([x.reshape(-1), y.reshape(-1)], dim=-1)
    turned = pixels_P2 @ torch.from_numpy(matrix_KT22).float().mT
    places = turned.add_(torch.from_numpy(shift_KT2).float()[:, :, None])
    grid = places.frac_().add_(1.0).frac_().mul_(2.0).sub_(1.0)  # frac keeps the sign, so twice
    sampled = F.grid_sample(wrapped[None, None], grid.reshape(1, -1, size, 2), mode="bilinear", align_corners=True)
    shown: NDArray[np.float32] = sampled.reshape(*matrix_KT22.shape[:2], size, size).numpy()
    return shown


def _draw_texture(draw: np.random.Generator) -> NDArray[np.float32]:
    """Noise of wavelengths from 16 to 32 pixels, so blobs of 8 to 16; mean 0, variance 1, without edges."""
    frequency = np.fft.fftfreq(TEXTURE_SIDE)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    band = (radius >= 1 / _WAVELENGTHS_PX[1]) & (radius <= 1 / _WAVELENGTHS_PX[0])
    noise = np.fft.ifft2(np.fft.fft2(draw.standard_normal((TEXTURE_SIDE, TEXTURE_SIDE))) * band).real
    texture: NDArray[np.float32] = (noise / noise.std()).astype(np.float32)
    return texture


def _coloured(brightness_THW: NDArray[np.float32], palette: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours of a palette [2 or 3 stops, 3] spread over brightness -2 to 2: uint8 [T, H, W, 3]."""
    table = np.stack([np.interp(np.linspace(0, 1, 256), np.linspace(0, 1, len(palette)), c) for c in palette.T], -1)
    level = np.clip((brightness_THW + 2.0) * (255.0 / 4.0), 0.0, 255.0).astype(np.uint8)
    coloured: NDArray[np.uint8] = np.rint(table * 255.0).astype(np.uint8)[level]
    return coloured


def _random_palette(draw: np.random.Generator) -> NDArray[np.float64]:
    """Two or three colours of any hue, from dark to bright, so that the texture shows in every one."""
    values = (draw.uniform(0.05, 0.25), draw.uniform(0.4, 0.6), draw.uniform(0.8, 1.0))
    colours = [_rgb(draw.uniform(0.0, 360.0), saturation=draw.uniform(0.2, 0.9), value=value) for value in values]
    return np.array(colours if draw.random() < 0.5 else [colours[0], colours[2]])


def _shades(hue_deg: float, draw: np.random.Generator) -> NDArray[np.float64]:
    """A dark and a bright colour of one hue."""
    return np.array(
        [
            _rgb(hue_deg, saturation=draw.uniform(0.7, 0.9), value=draw.uniform(0.05, 0.25)),
            _rgb(hue_deg, saturation=draw.uniform(0.7, 0.9), value=draw.uniform(0.8, 1.0)),
        ]
    )


def _rgb(hue_deg: float, *, saturation: float, value: float) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(hue_deg / 360.0, saturation, value)


def _name(class_name: str, index: int) -> Path:
    return Path(class_name, f"{class_name}_{index:05d}.mp4")


def _new_partial_folder(out: Path) -> Path:
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"a folder to write to must not exist or be empty, but got {str(out)!r}")
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        partial.mkdir()
    except OSError as error:
        raise UsageError(f"a folder must be writable, but got {error.strerror} for {str(out)!r}") from error
    return partial


def _check_numbers(*, videos_per_class: int, size: int, num_frames: int, rate_fps: int) -> None:
    if min(videos_per_class, num_frames, rate_fps) < 1:
        raise UsageError(
            "videos_per_class, num_frames and rate_fps must be at least 1, but got "
            f"videos_per_class={videos_per_class}, num_frames={num_frames}, rate_fps={rate_fps}"
        )
    if size < 16 or size % 2:
        raise UsageError(f"size must be even and at least 16, but got size={size}")
