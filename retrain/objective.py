"""What a network is asked in training: the forward and backward pass of one batch."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from retrain.recipe import Recipe
from search_spaces.randomness import derive_seed
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.clips import ClipBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a batch, on the device.

    Attributes:
        loss: Its mean over the clips, a detached scalar.
        num_correct: Clips whose class was the most likely one, a scalar.
    """

    loss: Tensor
    num_correct: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of a recipe and its gradient.

    Attributes:
        recipe: Label smoothing.
        seed: Of what the network draws in training: dropout and stochastic depth.
        device: Where it runs.
        amp_dtype: Type of autocast, None for none.
    """

    recipe: Recipe
    seed: int
    device: torch.device
    amp_dtype: torch.dtype | None

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
        clips_BCTHW, labels_B = network_input(batch, self.device)
        amp = torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None)
        with _drawing(derive_seed(self.seed, "draws of the network", step, micro_batch), self.device), amp:
            logits_BK = net(clips_BCTHW)
        loss = F.cross_entropy(logits_BK.float(), labels_B, label_smoothing=self.recipe.label_smoothing)
        torch.autograd.backward(loss * share)
        return Answer(loss=loss.detach(), num_correct=(logits_BK.argmax(dim=1) == labels_B).sum())


@contextlib.contextmanager
def _drawing(seed: int, device: torch.device) -> Iterator[None]:
    """What is drawn from the generators of torch is a function of `seed`; afterwards they stand where they stood."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
