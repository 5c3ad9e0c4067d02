"""The loss of a classifier, for hard and soft targets and for classes of unequal size.

Letters: B clips, K classes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces.errors import UsageError
from video.label_space import LabelSpace


def class_loss(
    logits_BK: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights_K: Tensor | None = None
) -> Tensor:
    """Mean softmax cross entropy over the clips, nats, a scalar.

    Args:
        logits_BK: Of any floating type; the loss is computed in fp32.
        targets: Class numbers, int64 (B,), or the share of each class in a clip, (B, K), rows that sum to 1.
        label_smoothing: Share of every target that goes to all classes alike, in [0, 1).
        class_weights_K: How much a clip of each class counts; None for 1. What is divided by is the number of clips and
            not the sum of weights, so that a batch in two halves has the gradient of the whole.
    """
    logits_BK = logits_BK.float()
    if class_weights_K is None:
        return F.cross_entropy(logits_BK, targets, label_smoothing=label_smoothing)
    loss_B = F.cross_entropy(logits_BK, targets, label_smoothing=label_smoothing, reduction="none")
    weights_B = targets @ class_weights_K if targets.is_floating_point() else class_weights_K[targets]
    return (weights_B * loss_B).mean()


def balancing_weights(labels: Sequence[Sequence[int]], space: LabelSpace) -> Tensor:
    """Weights (K,) under which all classes of a head that occur count alike, and a clip 1 on average.

    A class with n of N clips, one of C classes of its head that occur, has N / (C n); one without clips 0.

    Args:
        labels: Classes of every video.
        space: What they mean.

    Raises:
        UsageError: No labels, or several per video without heads, where classes need not exclude each other.
    """
    if not labels:
        raise UsageError("labels to balance must be at least one, but got none")
    if space.multi_label:
        raise UsageError("balance loss must go with one class per video, or per head, but videos have several labels")
    numbers = torch.tensor([label for each in labels for label in each])
    counts_K = torch.bincount(numbers, minlength=space.num_classes).double()
    weights_K = torch.zeros(space.num_classes)
    for part in space.parts.values():
        occurring = counts_K[part] > 0
        weights = len(labels) / (int(occurring.sum()) * counts_K[part].clamp_min(1.0))
        weights_K[part] = (weights * occurring).float()
    return weights_K
