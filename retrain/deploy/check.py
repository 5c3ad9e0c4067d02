"""Whether a deployed file says what its network says, frame by frame on a real video.

Letters: T frames, R pixels of height and width, K classes.
"""

import itertools
import math
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from retrain.deploy.graph import Mode
from retrain.model_file import ModelCard
from search_spaces.errors import DeployError, VideoError
from supernet.video_net import VideoNet
from video.encode import write_video
from video.frame_stream import Look, stream_frames
from video.source import file_source
from video.synthetic import render

MAX_DIFFERENCE: Final = 1e-4
"""Of a file in fp32: largest max|a - b| / max|a| of any frame's logits, a those of the network."""
_LARGEST_MADE: Final = 128
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Logits (K,) for the first input of a graph, (1, 3, R, R), (1, 3, T, R, R) or (T, 3, R, R)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How far a file was from its network.

    Attributes:
        num_frames: Of the video that both saw.
        difference: Largest max|a - b| / max|a| of the logits after any of its frames, or of the clip.
        bound: What it had to stay below.
    """

    num_frames: int
    difference: float
    bound: float


def frames_for(card: ModelCard, *, num_frames: int, video: Path | None = None) -> NDArray[np.float32]:
    """Frames of a video as the network takes them in, float32 (T, 3, R, R) in [0, 1].

    Args:
        card: Says at which rate, how scaled and how cut.
        num_frames: At most so many.
        video: A video file; without one, a generated video is encoded, and decoded again.

    Raises:
        VideoError: Not a readable video.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = video or _made(Path(folder) / "made.mp4", card, num_frames=num_frames)
        look = Look(rate_fps=card.rate_fps, short_side=card.short_side, resolution=card.resolution)
        frames = stream_frames(file_source(path), look)
        with closing(frames):
            found = [frame.frame_HWC for frame in itertools.islice(frames, num_frames)]
    if not found:
        raise VideoError("must hold at least one frame, but got 0", path=path)
    frames_TCHW = np.stack(found).transpose(0, 3, 1, 2).astype(np.float32)
    return np.ascontiguousarray(frames_TCHW * np.float32(1 / 255))


def _made(path: Path, card: ModelCard, *, num_frames: int) -> Path:
    rate_fps = math.ceil(card.rate_fps)
    num_made = math.ceil(num_frames * rate_fps / card.rate_fps) + 1
    size = min(_LARGEST_MADE, max(16, card.short_side + card.short_side % 2))
    write_video(
        path, render("turn_left", 0, seed=0, size=size, num_frames=num_made, rate_fps=rate_fps), rate_fps=rate_fps
    )
    return path


@torch.no_grad()
def difference(run: Run, net: VideoNet, frames_TCHW: NDArray[np.float32], *, mode: Mode, flat: bool) -> float:
    """Largest max|a - b| / max|a| between the logits of a network and those of `run`, which starts afresh."""
    if mode == "clip":
        clip_BCTHW = frames_TCHW.transpose(1, 0, 2, 3)[None].copy()
        found_K = run(frames_TCHW if flat else clip_BCTHW)
        return relative(found_K, net(torch.from_numpy(clip_BCTHW))[0].numpy())
    state, worst = net.init_state(1, *frames_TCHW.shape[2:]), 0.0
    for frame_CHW in frames_TCHW:
        logits_BK, state = net.step(torch.from_numpy(frame_CHW[None]), state)
        worst = max(worst, relative(run(frame_CHW[None]), logits_BK[0].numpy()))
    return worst


def relative(found_K: NDArray[np.float32], wanted_K: NDArray[np.float32]) -> float:
    """max|a - b| / max|a|; infinite where something is not a number, or not of that shape."""
    if found_K.shape != wanted_K.shape or not np.isfinite(found_K).all():
        return math.inf
    return float(np.abs(found_K - wanted_K).max() / max(float(np.abs(wanted_K).max()), 1e-12))


def require(check: Check, *, path: Path) -> None:
    """Refuse a file that is too far from its network.

    Raises:
        DeployError: It is.
    """
    if not check.difference < check.bound:
        raise DeployError(
            f"must say what the network says to {check.bound:g} of its largest logit over {check.num_frames} frames, "
            f"but differs by {check.difference:.3g}; the file was deleted",
            path=path,
        )
