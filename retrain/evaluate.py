"""Accuracy of a network over videos: the mean of the probabilities of each video's views."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from results.records import TestReport
from retrain.frame_by_frame import last_logits
from supernet.frozen import FrozenNet
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.clips import ClipBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a network says of some videos.

    Attributes:
        probabilities_NK: Mean softmax over the views of each video, float64, (N, K); zeros where it failed.
        labels_N: True classes.
        failed_N: Videos of which a view could not be decoded.
    """

    probabilities_NK: NDArray[np.float64]
    labels_N: NDArray[np.int64]
    failed_N: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClipLogits:
    """What a network says of the clips of one batch.

    Attributes:
        indices: Number of the video, per clip, B of them; B is 0 where all videos of the batch failed.
        labels_B: True classes, int64.
        logits_BK: float64 (B, K), on the CPU.
    """

    indices: tuple[int, ...]
    labels_B: NDArray[np.int64]
    logits_BK: Tensor


@torch.no_grad()
def clip_logits(
    net: VideoNet,
    batches: Iterable[ClipBatch],
    *,
    device: torch.device,
    amp_dtype: torch.dtype | None = None,
    frame_by_frame: bool = False,
) -> Iterator[ClipLogits]:
    """The logits of every batch, in order, of the network as it is when the first is asked for.

    Args:
        net: The network, on the device; it stays in evaluation mode.
        batches: Clips.
        device: Where they go.
        amp_dtype: Of autocast; None for none.
        frame_by_frame: Step through each clip, with a network that streams.

    Raises:
        SpecError: The network does not stream, where it has to step.
    """
    with torch.autocast(device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
        frozen = FrozenNet(net.eval())
    answer = functools.partial(last_logits, frozen) if frame_by_frame else frozen
    for batch in batches:
        if not batch.indices:
            nothing_BK = torch.zeros(0, 0, dtype=torch.float64)
            yield ClipLogits(indices=(), labels_B=np.zeros(0, dtype=np.int64), logits_BK=nothing_BK)
            continue
        clips_BCTHW, labels_B = network_input(batch, device)
        with torch.autocast(device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
            logits_BK = answer(clips_BCTHW)
        yield ClipLogits(
            indices=batch.indices, labels_B=labels_B.cpu().numpy(), logits_BK=logits_BK.to("cpu", torch.float64)
        )


def predict(logits: Iterable[ClipLogits], *, num_videos: int, num_classes: int, num_views: int) -> Predictions:
    """Predictions over `num_views` views of each video; a video that misses one counts as failed."""
    sums_NK = np.zeros((num_videos, num_classes))
    views_N = np.zeros(num_videos, dtype=np.int64)
    labels_N = np.zeros(num_videos, dtype=np.int64)
    for batch in logits:
        softmax_BK = batch.logits_BK.softmax(dim=1).numpy()
        for index, label, softmax_K in zip(batch.indices, batch.labels_B, softmax_BK, strict=True):
            sums_NK[index] += softmax_K
            views_N[index] += 1
            labels_N[index] = label
    failed_N = views_N < num_views
    sums_NK[failed_N] = 0.0
    return Predictions(probabilities_NK=sums_NK / num_views, labels_N=labels_N, failed_N=failed_N)


def report_of(predictions: Predictions, *, class_names: Sequence[str], views: str) -> TestReport:
    """Accuracies over the videos that did not fail; a tie counts for the class with the lower number."""
    kept_N = ~predictions.failed_N
    labels_N = predictions.labels_N[kept_N]
    order_NK = np.argsort(-predictions.probabilities_NK[kept_N], axis=1, kind="stable")
    num_classes = len(class_names)
    confusion_KK = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(confusion_KK, (labels_N, order_NK[:, 0]), 1)
    num_videos = int(kept_N.sum())
    hits_NK = order_NK == labels_N[:, None]
    per_class = {
        name: float(row_K[number] / row_K.sum())
        for number, (name, row_K) in enumerate(zip(class_names, confusion_KK, strict=True))
        if row_K.sum()
    }
    return TestReport(
        top1=float(hits_NK[:, :1].sum() / num_videos) if num_videos else 0.0,
        top5=float(hits_NK[:, :5].sum() / num_videos) if num_videos else 0.0,
        num_videos=num_videos,
        num_failed=int(predictions.failed_N.sum()),
        views=views,
        class_names=tuple(class_names),
        per_class=per_class,
        confusion=tuple(tuple(int(count) for count in row_K) for row_K in confusion_KK),
    )
