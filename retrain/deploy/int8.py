"""What int8 weights may cost, and whether they do."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from retrain.deploy.card import Int8
from retrain.deploy.check import Run
from search_spaces.errors import DeployError


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Of a file beside its network, on the videos of a manifest, in [0, 1]: top-1, or `LabelSpace.metric`."""

    top1: float
    fp32_top1: float
    num_videos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Bounds:
    """What int8 may cost at most.

    Attributes:
        max_difference: Of logits to those of the network, as in `Check`; counts where there is no `measure`.
        max_drop: Of accuracy.
        measure: Accuracy of a member, by its number, and of what a call of its file says, (T, 3, R, R) to (K,), on
            clips; None where there is no manifest.
    """

    max_difference: float
    max_drop: float
    measure: Callable[[int, Run], Accuracy] | None = None


def judged(
    bounds: Int8Bounds,
    difference: float,
    accuracy: Accuracy | None,
    *,
    num_layers: int,
    num_frames: int,
    path: Path,
) -> Int8:
    """What int8 costs, where that is not too much.

    Args:
        bounds: What it may be.
        difference: Of logits to those of the network, as in `Check`.
        accuracy: On a manifest, where there is one; then it alone counts.
        num_layers: Layers with int8 weights.
        num_frames: That `difference` is over.
        path: Of the file, for errors.

    Raises:
        DeployError: It is too much.
    """
    if not math.isfinite(difference) or (accuracy is None and difference >= bounds.max_difference):
        raise DeployError(
            f"int8 must move logits by less than {bounds.max_difference:g} of the largest, but moves them by "
            f"{difference:.3g} over {num_frames} frames; give --data to judge by accuracy, or leave --int8 out",
            path=path,
        )
    if accuracy is not None and accuracy.fp32_top1 - accuracy.top1 > bounds.max_drop:
        raise DeployError(
            f"int8 must cost at most {bounds.max_drop:g} of accuracy, but takes it from {accuracy.fp32_top1:.4f} to "
            f"{accuracy.top1:.4f} on {accuracy.num_videos} videos; leave --int8 out",
            path=path,
        )
    return Int8(
        num_layers=num_layers,
        difference=difference,
        max_difference=bounds.max_difference,
        top1=None if accuracy is None else accuracy.top1,
        fp32_top1=None if accuracy is None else accuracy.fp32_top1,
        max_drop=bounds.max_drop,
        num_videos=0 if accuracy is None else accuracy.num_videos,
    )
