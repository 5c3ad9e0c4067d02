"""What a network is asked in training: the forward and backward pass of one batch."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from retrain.recipe import Recipe
from retrain.targets import num_right, target_loss
from search_spaces.randomness import derive_seed
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.clips import ClipBatch
from video.label_space import LabelSpace


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
        recipe: Label smoothing.
        seed: Of what the network draws in training: dropout and stochastic depth.
        device: Where it runs.
        amp_dtype: Type of autocast, None for none.
        space: What the labels mean.
    """

    recipe: Recipe
    seed: int
    device: torch.device
    amp_dtype: torch.dtype | None
    space: LabelSpace

    def backward(self, net: VideoNet, batch: ClipBatch, *, step: int) -> Answer:
        """Add the gradient of the mean loss of a batch to the network's."""
        clips_BCTHW, labels = network_input(batch, self.device)
        amp = torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None)
        with _drawing(derive_seed(self.seed, "draws of the network", step), self.device), amp:
            logits_BK = net(clips_BCTHW)
        loss = target_loss(logits_BK, labels, self.space, label_smoothing=self.recipe.label_smoothing)
        torch.autograd.backward(loss)
        return Answer(loss=loss.detach(), num_correct=num_right(logits_BK, labels, self.space))


@contextlib.contextmanager
def _drawing(seed: int, device: torch.device) -> Iterator[None]:
    """What is drawn from the generators of torch is a function of `seed`; afterwards they stand where they stood."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
