"""What a network is asked in training: the forward and backward pass of one batch."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from retrain.recipe import Recipe
from retrain.targets import num_right, one_hot, target_loss
from search_spaces.randomness import derive_seed, generator
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.clips import ClipBatch
from video.label_space import LabelSpace
from video.mixing import mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a batch, on the device.

    Attributes:
        loss: Its mean over the clips, a detached scalar.
        num_correct: Clips whose class was the most likely one, a scalar; see `targets.num_right`.
    """

    loss: Tensor
    num_correct: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of a recipe and its gradient.

    Attributes:
        recipe: Label smoothing, mixing of clips.
        seed: Of what the network draws in training: dropout and stochastic depth.
        device: Where it runs.
        amp_dtype: Type of autocast, None for none.
        space: What the labels mean.
        class_weights_K: How much a clip of each class counts, on the device; None for 1.
    """

    recipe: Recipe
    seed: int
    device: torch.device
    amp_dtype: torch.dtype | None
    space: LabelSpace
    class_weights_K: Tensor | None = None

    def backward(
        self, net: VideoNet, batch: ClipBatch, *, step: int, micro_batch: int = 0, share: float | Tensor = 1.0
    ) -> Answer:
        """Add `share` of the gradient of the mean loss of a batch to the network's.

        Args:
            net: In training mode.
            batch: A micro-batch of a step.
            step: From 0.
            micro_batch: Its number among those of the step, on all ranks; each has draws of its own.
            share: Its part of the step, times what keeps fp16 gradients in range; the answer is not scaled.
        """
        clips_BCTHW, labels = network_input(batch, self.device)
        clips_BCTHW, targets = self._mixed(clips_BCTHW, labels, batch, step=step)
        amp = torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None)
        with _drawing(derive_seed(self.seed, "draws of the network", step, micro_batch), self.device), amp:
            logits_BK = net(clips_BCTHW)
        loss = target_loss(
            logits_BK,
            targets,
            self.space,
            label_smoothing=self.recipe.label_smoothing,
            class_weights_K=self.class_weights_K,
        )
        torch.autograd.backward(loss * share)
        return Answer(loss=loss.detach(), num_correct=num_right(logits_BK, labels, self.space))

    def _mixed(self, clips_BCTHW: Tensor, labels: Tensor, batch: ClipBatch, *, step: int) -> tuple[Tensor, Tensor]:
        augment = self.recipe.augment
        if not (augment.mixup or augment.cutmix):
            return clips_BCTHW, labels
        draws = generator(self.seed, "mixing", step, *batch.indices)  # other parts of a step hold other videos
        targets_BK = one_hot(labels, self.space)
        return mixed(clips_BCTHW, targets_BK, draws, mixup=augment.mixup, cutmix=augment.cutmix)


@contextlib.contextmanager
def _drawing(seed: int, device: torch.device) -> Iterator[None]:
    """What is drawn from the generators of torch is a function of `seed`; afterwards they stand where they stood."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
