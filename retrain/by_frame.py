"""Accuracy against the number of the frame: of a frame by itself, or of a stream after it (paper, C.4 and Figure 9).

Letters: B clips, T frames, N videos, K classes.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import torch

from results.records import AccuracyPoint
from retrain import metrics
from retrain.evaluate import ClipLogits, nothing_read, truth_of
from retrain.targets import probabilities
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.clips import ClipBatch
from video.label_space import LabelSpace

FrameKind = Literal["alone", "so_far"]
"""`alone`: dense layer and classifier on the frame's own features. `so_far`: what a stream says after the frame, which
is what it says of the clip cut off there."""


@torch.no_grad()
def frame_logits(
    net: VideoNet,
    batches: Iterable[ClipBatch],
    kind: FrameKind,
    *,
    device: torch.device,
    amp_dtype: torch.dtype | None = None,
) -> Iterator[ClipLogits]:
    """The logits of every frame of every batch, in order: (B, T, K).

    Raises:
        SpecError: The network does not stream, where `so_far` is asked for.
    """
    net.eval()
    for batch in batches:
        if not batch.indices:
            yield nothing_read()
            continue
        clips_BCTHW, labels = network_input(batch, device)
        with torch.autocast(device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
            if kind == "alone":
                logits_BTK = net.frame_logits(clips_BCTHW)
            else:
                num_clips, _, _, height, width = clips_BCTHW.shape
                logits_BTK, _ = net.step(clips_BCTHW, net.init_state(num_clips, height, width), per_frame=True)
        yield ClipLogits(
            indices=batch.indices, labels_B=labels.cpu().numpy(), logits_BK=logits_BTK.to("cpu", torch.float64)
        )


def points_by_frame(
    logits: Iterable[ClipLogits],
    kind: FrameKind,
    *,
    num_videos: int,
    space: LabelSpace,
    num_frames: int,
    rate_fps: float,
) -> tuple[AccuracyPoint, ...]:
    """A point per frame, over one clip of each video that could be decoded.

    Args:
        logits: Of every frame.
        kind: What they are.
        num_videos: How many videos were asked for.
        space: What the classes mean.
        num_frames: Of a clip.
        rate_fps: Of a clip.
    """
    first_T, among_first_T = np.zeros(num_frames, dtype=np.int64), np.zeros(num_frames, dtype=np.int64)
    scores: list[np.ndarray[tuple[int, int, int], np.dtype[np.float32]]] = []  # only where figures need all at once
    truth: list[np.ndarray[tuple[int, int], np.dtype[np.bool_]]] = []
    num_seen = 0
    for batch in logits:
        if not batch.indices:
            continue
        num_seen += len(batch.indices)
        chances_BTK, truth_BK = probabilities(batch.logits_BK, space).numpy(), truth_of(batch.labels_B, space)
        for frame in range(num_frames):
            first_B, among_first_B = metrics.first_hits(chances_BTK[:, frame], truth_BK, space)
            first_T[frame] += first_B.sum()
            among_first_T[frame] += among_first_B.sum()
        if space.multi_label:
            scores.append(chances_BTK.astype(np.float32))
            truth.append(truth_BK)
    precision_T = _mean_precisions(scores, truth, space, num_frames=num_frames)
    return tuple(
        AccuracyPoint(
            frame=frame,
            kind=kind,
            num_frames=num_frames,
            rate_fps=rate_fps,
            top1=float(first_T[frame] / max(1, num_seen)),
            top5=float(among_first_T[frame] / max(1, num_seen)),
            mean_average_precision=precision_T[frame],
            num_videos=num_seen,
            num_failed=num_videos - num_seen,
        )
        for frame in range(num_frames)
    )


def _mean_precisions(
    scores: list[np.ndarray[tuple[int, int, int], np.dtype[np.float32]]],
    truth: list[np.ndarray[tuple[int, int], np.dtype[np.bool_]]],
    space: LabelSpace,
    *,
    num_frames: int,
) -> list[float | None]:
    if not space.multi_label:
        return [None] * num_frames
    if not scores:
        return [0.0] * num_frames
    scores_NTK, truth_NK = np.concatenate(scores).astype(np.float64), np.concatenate(truth)
    found = [
        metrics.average_precisions(scores_NTK[:, frame], truth_NK, space.class_names) for frame in range(num_frames)
    ]
    return [sum(each.values()) / max(1, len(each)) for each in found]
