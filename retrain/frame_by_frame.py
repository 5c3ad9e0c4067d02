"""A streaming network stepped frame by frame: over clips, as an evaluation wants it, and over a stream of frames."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retrain.targets import probabilities
from supernet.frozen import FrozenNet
from supernet.stream import Stream
from supernet.video_net import VideoNet
from video.frame_stream import StreamFrame
from video.label_space import LabelSpace


def check_streams(net: VideoNet) -> None:
    """Refuse a network that does not stream, before anything is decoded.

    Raises:
        SpecError: It does not.
    """
    net.init_state(1, 1, 1)


@torch.no_grad()
def last_logits(net: FrozenNet, clips_BCTHW: Tensor) -> Tensor:
    """Logits (B, number of classes) after the last frame of clips (B, 3, T, H, W), T >= 1, stepped through one by one.

    Raises:
        SpecError: The network does not stream.
    """
    num_clips, _, num_frames, height, width = clips_BCTHW.shape
    state = net.init_state(num_clips, height, width)
    logits_BK = torch.empty(0)
    for number in range(num_frames):
        logits_BK = net.step_(clips_BCTHW[:, :, number], state)
    return logits_BK


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAnswer:
    """What a network says after one more frame.

    Attributes:
        frame: Number of the frame, from 0.
        time_s: When the frame comes on display, seconds from the first.
        probabilities_K: Of every class, float64 (number of classes,); of several networks, from the mean of the latest
            logits of those that have seen a frame.
        step_s: How long the network took.
        member: Which network saw the frame.
    """

    frame: int
    time_s: float
    probabilities_K: NDArray[np.float64]
    step_s: float
    member: int = 0


@torch.no_grad()
def answers(
    nets: Sequence[VideoNet],
    frames: Iterable[StreamFrame],
    *,
    space: LabelSpace,
    device: torch.device,
    amp_dtype: torch.dtype | None = None,
    reset_every: int | None = None,
) -> Iterator[StreamAnswer]:
    """The answer after each frame; the networks forget what they saw after every `reset_every` frames.

    Several networks take turns: a frame is stepped through by the one whose look it is of, so that those of a temporal
    ensemble, at half the frame rate each, cost what one network would at the full rate.

    Raises:
        SpecError: A network does not stream.
    """
    for net in nets:
        check_streams(net)
    with torch.autocast(device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
        streams = [Stream(net.eval()) for net in nets]
    latest: dict[int, Tensor] = {}
    for number, frame in enumerate(frames):
        if reset_every is not None and number % reset_every == 0:
            latest.clear()
            for stream in streams:
                stream.reset()
        start_s = time.perf_counter()
        frame_CHW = torch.from_numpy(frame.frame_HWC).to(device).permute(2, 0, 1).float().mul_(1 / 255)
        with torch.autocast(device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
            latest[frame.look] = streams[frame.look].push(frame_CHW)
        logits_K = torch.stack(list(latest.values())).double().mean(dim=0)
        chances_K = probabilities(logits_K, space).cpu().numpy()
        yield StreamAnswer(
            frame=number,
            time_s=frame.time_s,
            probabilities_K=chances_K,
            step_s=time.perf_counter() - start_s,
            member=frame.look,
        )
