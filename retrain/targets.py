"""What labels ask of a network's outputs: losses, probabilities and right answers, for every kind of label space.

One class per video is softmax cross entropy. Several labels are sigmoid cross entropy (paper, B.1, for Charades), the
mean over classes as TensorFlow has it, without label smoothing. Several heads are softmax cross entropy over the
outputs of each, and their mean.

Letters: B clips, K classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from retrain.losses import class_loss
from video.label_space import LabelSpace


def target_loss(
    logits_BK: Tensor,
    targets: Tensor,
    space: LabelSpace,
    *,
    label_smoothing: float = 0.0,
    class_weights_K: Tensor | None = None,
) -> Tensor:
    """Mean loss over the clips, nats, a scalar; computed in fp32.

    Args:
        logits_BK: Of any floating type.
        targets: Class numbers, int64 (B,), for one class per video; true classes, bool (B, K); or shares of classes,
            (B, K), as mixing makes them, where those of a head sum to 1.
        space: What the classes mean.
        label_smoothing: Share of every target that goes to all classes of its head alike, in [0, 1).
        class_weights_K: How much a clip of each class counts, see `class_loss`; None for 1, and with several labels.
    """
    if space.single_label:
        return class_loss(logits_BK, targets, label_smoothing=label_smoothing, class_weights_K=class_weights_K)
    targets_BK = targets.float()
    if space.multi_label:
        return F.binary_cross_entropy_with_logits(logits_BK.float(), targets_BK)
    losses = [
        class_loss(
            logits_BK[:, part],
            targets_BK[:, part],
            label_smoothing=label_smoothing,
            class_weights_K=None if class_weights_K is None else class_weights_K[part],
        )
        for part in space.parts.values()
    ]
    return torch.stack(losses).mean()


def one_hot(labels: Tensor, space: LabelSpace) -> Tensor:
    """Class numbers (B,), or true classes (B, K), as fp32 shares of classes (B, K)."""
    return F.one_hot(labels, space.num_classes).float() if space.single_label else labels.float()


def num_right(logits_BK: Tensor, labels: Tensor, space: LabelSpace) -> Tensor:
    """Clips whose likeliest class is the true one, is among the true ones, or is so in every head; an integer scalar.

    Args:
        logits_BK: The outputs.
        labels: Class numbers, int64 (B,), or true classes, bool (B, K).
        space: What the classes mean.
    """
    if space.single_label:
        return (logits_BK.argmax(dim=1) == labels).sum()
    right_B = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    for part in space.parts.values():
        likeliest_B1 = logits_BK[:, part].argmax(dim=1, keepdim=True)
        right_B &= labels[:, part].gather(1, likeliest_B1)[:, 0]
    return right_B.sum()


def probabilities(logits_XK: Tensor, space: LabelSpace) -> Tensor:
    """Probability of every class, (..., K): softmax over the classes of each head, sigmoids of a multi-label space."""
    if space.multi_label:
        return logits_XK.sigmoid()
    return torch.cat([logits_XK[..., part].softmax(dim=-1) for part in space.parts.values()], dim=-1)
