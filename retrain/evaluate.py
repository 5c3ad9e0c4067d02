"""Accuracy of a network over videos: the mean of the probabilities of each video's views."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from results.records import HeadReport, TestReport
from retrain import metrics
from retrain.frame_by_frame import last_logits
from retrain.targets import probabilities
from supernet.frozen import FrozenNet
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.clips import ClipBatch
from video.label_space import SEPARATOR, LabelSpace

TILES_AT_ONCE = 8
"""Clips of one video that a network sees in one batch, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a network says of some videos.

    Attributes:
        probabilities_NK: Mean over the views of each video, float64, (N, K): softmax over the classes of each head, or
            sigmoids where a video may have several labels; zeros where it failed.
        labels_N: True classes, int64 (N,), or where a video may have several labels bool (N, K).
        failed_N: Videos of which a view could not be decoded.
    """

    probabilities_NK: NDArray[np.float64]
    labels_N: NDArray[np.int64] | NDArray[np.bool_]
    failed_N: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClipLogits:
    """What a network says of the clips of one batch.

    Attributes:
        indices: Number of the video, per clip, B of them; B is 0 where all videos of the batch failed.
        labels_B: True classes, int64 (B,), or where a video may have several labels bool (B, K).
        logits_BK: float64 (B, K), on the CPU; of every frame (B, T, K).
        share: Which part of a view each clip is: 1, or 1 / n where n clips cover a video.
    """

    indices: tuple[int, ...]
    labels_B: NDArray[np.int64] | NDArray[np.bool_]
    logits_BK: Tensor
    share: float = 1.0


@torch.no_grad()
def clip_logits(
    net: VideoNet,
    batches: Iterable[ClipBatch],
    *,
    device: torch.device,
    amp_dtype: torch.dtype | None = None,
    frame_by_frame: bool = False,
    tile_frames: int | None = None,
) -> Iterator[ClipLogits]:
    """The logits of every batch, in order, of the network as it is when the first is asked for.

    Args:
        net: The network, on the device; it stays in evaluation mode.
        batches: Clips.
        device: Where they go.
        amp_dtype: Of autocast; None for none.
        frame_by_frame: Step through each clip, with a network that streams.
        tile_frames: Frames of a clip where those of a video hold several, one after the other; None where they do not.

    Raises:
        SpecError: The network does not stream, where it has to step.
    """
    with torch.autocast(device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
        frozen = FrozenNet(net.eval())
    answer = functools.partial(last_logits, frozen) if frame_by_frame else frozen
    for batch in batches:
        if not batch.indices:
            yield nothing_read()
            continue
        clips_BCTHW, labels = network_input(batch, device)
        tiles = 1 if tile_frames is None else clips_BCTHW.shape[2] // tile_frames
        if tiles > 1:
            clips_BCTHW = torch.cat(clips_BCTHW.tensor_split(tiles, dim=2), dim=0)
        size = len(clips_BCTHW) if tiles == 1 else TILES_AT_ONCE
        with torch.autocast(device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
            logits_BK = torch.cat([answer(part_BCTHW) for part_BCTHW in torch.split(clips_BCTHW, size)])
        yield ClipLogits(
            indices=batch.indices * tiles,
            labels_B=np.concatenate([labels.cpu().numpy()] * tiles),
            logits_BK=logits_BK.to("cpu", torch.float64),
            share=1 / tiles,
        )


def nothing_read() -> ClipLogits:
    """What there is of a batch whose videos all failed."""
    return ClipLogits(
        indices=(), labels_B=np.zeros(0, dtype=np.int64), logits_BK=torch.zeros(0, 0, dtype=torch.float64)
    )


def predict(logits: Iterable[ClipLogits], *, num_videos: int, space: LabelSpace, num_views: int) -> Predictions:
    """Predictions over `num_views` views of each video; a video that misses one counts as failed."""
    sums_NK = np.zeros((num_videos, space.num_classes))
    views_N = np.zeros(num_videos)
    labels_N = _no_labels(num_videos, space)
    for batch in logits:
        chances_BK = probabilities(batch.logits_BK, space).numpy()
        for index, label, chances_K in zip(batch.indices, batch.labels_B, chances_BK, strict=True):
            sums_NK[index] += batch.share * chances_K
            views_N[index] += batch.share
            labels_N[index] = label
    failed_N = views_N < num_views - 0.5
    sums_NK[failed_N] = 0.0
    return Predictions(probabilities_NK=sums_NK / num_views, labels_N=labels_N, failed_N=failed_N)


def report_of(predictions: Predictions, *, space: LabelSpace, views: str) -> TestReport:
    """Figures over the videos that did not fail; a tie counts for the class with the lower number."""
    kept_N = ~predictions.failed_N
    scores_NK = predictions.probabilities_NK[kept_N]
    truth_NK = truth_of(predictions.labels_N[kept_N], space)
    first_N, among_first_N = metrics.first_hits(scores_NK, truth_NK, space)
    heads = {head: _head_report(scores_NK, truth_NK, space, head) for head in space.parts if not space.multi_label}
    precisions = metrics.average_precisions(scores_NK, truth_NK, space.class_names) if space.multi_label else None
    whole = heads.get("")
    return TestReport(
        top1=_mean(first_N),
        top5=_mean(among_first_N),
        num_videos=int(kept_N.sum()),
        num_failed=int(predictions.failed_N.sum()),
        views=views,
        class_names=space.class_names,
        per_class=precisions if precisions is not None else _per_class(heads),
        confusion=() if whole is None else whole.confusion,
        mean_average_precision=None if precisions is None else _mean(np.array(list(precisions.values()))),
        per_class_videos={
            name: int(count) for name, count in zip(space.class_names, truth_NK.sum(axis=0), strict=True) if count
        },
        heads=heads if space.heads else {},
    )


def truth_of(labels_N: NDArray[np.int64] | NDArray[np.bool_], space: LabelSpace) -> NDArray[np.bool_]:
    """True classes of videos, (N, K)."""
    if not space.single_label:
        return labels_N.astype(np.bool_)
    return np.equal(labels_N[:, None], np.arange(space.num_classes))


def _no_labels(num_videos: int, space: LabelSpace) -> NDArray[np.int64] | NDArray[np.bool_]:
    if space.single_label:
        return np.zeros(num_videos, dtype=np.int64)
    return np.zeros((num_videos, space.num_classes), dtype=np.bool_)


def _head_report(
    scores_NK: NDArray[np.float64], truth_NK: NDArray[np.bool_], space: LabelSpace, head: str
) -> HeadReport:
    """The figures of one head alone, or of all classes under the empty name."""
    part, names = space.parts[head], space.names_of(head)
    scores_NK, truth_NK = scores_NK[:, part], truth_NK[:, part]
    first_N, among_first_N = metrics.first_hits(scores_NK, truth_NK, LabelSpace(class_names=names))
    confusion_KK = metrics.confusion_of(scores_NK, truth_NK.argmax(axis=1))
    return HeadReport(
        top1=_mean(first_N),
        top5=_mean(among_first_N),
        class_names=names,
        per_class=metrics.recalls(confusion_KK, names),
        confusion=tuple(tuple(int(count) for count in row_K) for row_K in confusion_KK),
    )


def _per_class(heads: dict[str, HeadReport]) -> dict[str, float]:
    return {
        f"{head}{SEPARATOR}{name}" if head else name: accuracy
        for head, report in heads.items()
        for name, accuracy in report.per_class.items()
    }


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else 0.0
