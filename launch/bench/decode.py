"""`movinas bench decode`: processor time per clip of our decoder, beside FFmpeg's own on the same seeks."""

import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from launch import console
from launch.bench.machine import processor_name
from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from video.decode import decode_frames, probe
from video.encode import write_video
from video.sampling import clip_times

GOAL = 1.15
HEIGHT, WIDTH, RATE_FPS, SECONDS = 256, 340, 25, 10
"""Of the generated video: what Kinetics is stored as."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Processor time per clip, 16 frames at stride 4 unless told otherwise, at random places of a video.

    Attributes:
        video: What is read; without one, a 340 x 256 H.264 video of ten seconds is generated.
        frames_per_key: Distance of the key frames of the generated video.
        frames: Of a clip.
        stride: Frames of the video from one of the clip to the next.
        clips: Read in one repeat.
        repeats: Of which the median is taken, both sides in turns.
        seed: Of the places.
        ffmpeg: FFmpeg's program.
        json: Print one JSON document.
    """

    video: Path | None = None
    frames_per_key: int = 250
    frames: int = 16
    stride: int = 4
    clips: int = 16
    repeats: int = 5
    seed: int = 0
    ffmpeg: str = "ffmpeg"
    json: bool = False

    def __post_init__(self) -> None:
        if min(self.frames_per_key, self.frames, self.stride, self.clips, self.repeats) < 1:
            raise UsageError(f"frames_per_key, frames, stride, clips and repeats must be at least 1, but got {self}")


def run(options: Options) -> int:
    """Measure and print."""
    program = shutil.which(options.ffmpeg)
    with tempfile.TemporaryDirectory() as folder:
        video = options.video or _generated(Path(folder), options)
        places = _places(video, options)
        ours, theirs = [], []
        for _ in range(options.repeats + 1):
            ours.append(_our_seconds(video, places))
            if program is not None:
                theirs.append(_their_seconds(program, video, places, options))
    ms = 1000 * statistics.median(ours[1:]) / options.clips
    their_ms = 1000 * statistics.median(theirs[1:]) / options.clips if theirs else None
    ratio = None if their_ms is None else ms / their_ms
    if options.json:
        console.show_json(
            {"processor": processor_name(), "ms_per_clip": ms, "ffmpeg_ms_per_clip": their_ms, "ratio": ratio}
        )
        return 0
    console.show(
        f"{ms:.1f} ms of processor time per clip of {options.frames} frames at stride {options.stride}; "
        f"{processor_name()}"
    )
    if ratio is None:
        console.show(f"nothing to compare with: no program {options.ffmpeg} here (Debian package ffmpeg)")
    else:
        console.show(f"FFmpeg's decoder on one thread: {their_ms:.1f} ms; ratio {ratio:.2f}, wanted at most {GOAL}")
    return 0


def _generated(folder: Path, options: Options) -> Path:
    """A texture that drifts, under noise, as a camera has it."""
    rng = generator(options.seed, "bench decode", "video")
    num_frames, drift = RATE_FPS * SECONDS, 2
    rows, columns = np.mgrid[0:HEIGHT, 0 : WIDTH + drift * num_frames]
    texture = sum(
        np.sin(rows / scale + phase) * np.cos(columns / (1.3 * scale) + 2 * phase)
        for scale, phase in zip((5, 11, 23, 47), rng.uniform(0, 6, 4), strict=True)
    )
    wide_HW = 127 + 25 * texture
    frames_THWC = np.empty((num_frames, HEIGHT, WIDTH, 3), dtype=np.uint8)
    for number, frame_HWC in enumerate(frames_THWC):
        part_HW = wide_HW[:, drift * number : drift * number + WIDTH]
        noisy_HWC = part_HW[:, :, None] * np.array([1.0, 0.9, 0.8]) + rng.normal(0, 4, (HEIGHT, WIDTH, 1))
        frame_HWC[...] = noisy_HWC.clip(0, 255)
    path = folder / "video.mp4"
    write_video(path, frames_THWC, rate_fps=RATE_FPS, frames_per_key=options.frames_per_key, quantiser=25)
    return path


def _places(video: Path, options: Options) -> list[NDArray[np.float64]]:
    """Times of the frames of each clip, in seconds."""
    info = probe(video)
    rng = generator(options.seed, "bench decode", "places")
    return [
        clip_times(
            info.duration_s,
            num_frames=options.frames,
            rate_fps=info.rate_fps / options.stride,
            position=float(position),
        )
        for position in rng.random(options.clips)
    ]


def _our_seconds(video: Path, places: Sequence[NDArray[np.float64]]) -> float:
    info = probe(video)
    start = time.process_time()
    for times_s in places:
        decode_frames(video, times_s, short_side=min(info.height, info.width))
    return time.process_time() - start


def _their_seconds(program: str, video: Path, places: Sequence[NDArray[np.float64]], options: Options) -> float:
    """All clips in one process, without what it takes to start it: seek, decode, pick every n-th frame, to RGB."""
    quiet = [program, "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    inputs, outputs = [], []
    for number, times_s in enumerate(places):
        inputs += ["-threads", "1", "-ss", f"{times_s[0]:.4f}", "-i", str(video)]
        pick = f"select=not(mod(n\\,{options.stride}))"
        outputs += ["-map", f"{number}:v:0", "-vf", pick, "-vsync", "passthrough", "-frames:v", str(options.frames)]
        outputs += ["-pix_fmt", "rgb24", "-threads", "1", "-f", "rawvideo", os.devnull]
    whole_s = _child_seconds([*quiet, "-filter_threads", "1", *inputs, *outputs])
    return whole_s - _child_seconds([program, "-hide_banner", "-version"])


def _child_seconds(command: Sequence[str]) -> float:
    """Processor time of a program, in user and system mode."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise UsageError(f"FFmpeg must decode the video, but ended with {done.returncode}: {done.stderr.strip()[:200]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
