"""The loss of a classifier, for hard and soft targets and for classes of unequal size.

Letters: B clips, K classes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces.errors import UsageError


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


def one_hot(labels_B: Tensor, num_classes: int) -> Tensor:
    """Class numbers (B,) as fp32 targets (B, K)."""
    return F.one_hot(labels_B, num_classes).float()


def balancing_weights(labels: Sequence[int], num_classes: int) -> Tensor:
    """Weights (K,) under which all classes that occur count alike, and a clip 1 on average.

    A class with n of N clips, one of C classes that occur, has N / (C n); one without clips 0.

    Raises:
        UsageError: No labels.
    """
    if not labels:
        raise UsageError("labels to balance must be at least one, but got none")
    counts_K = torch.bincount(torch.tensor(labels), minlength=num_classes).double()
    occurring_K = counts_K > 0
    weights_K = len(labels) / (int(occurring_K.sum()) * counts_K.clamp_min(1.0))
    return (weights_K * occurring_K).float()
