"""What a network is asked in training: the forward and backward pass of one batch.

Clips are seen whole, or, to train a streaming network with less memory, as consecutive sub-clips with stream buffers
between them, through which no gradient goes: each has its loss and its backward pass, gradients add up, and only one
sub-clip's activations are kept at a time (paper 3.2.2).
"""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from retrain.embeddings import observed, of_frames, smoothing_of
from retrain.grw import normalised, warmed_up
from retrain.recipe import EMBEDDING, Recipe
from search_spaces.randomness import derive_seed
from supernet.inputs import network_input
from supernet.state import State
from supernet.video_net import VideoNet
from video.clips import ClipBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a batch, on the device.

    Attributes:
        loss: Its mean over the clips, a detached scalar.
        num_correct: Clips whose class was the most likely one after the last frame, a scalar.
    """

    loss: Tensor
    num_correct: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of a recipe and its gradient.

    Attributes:
        recipe: Label smoothing, sub-clips, GRW-smoothing.
        seed: Of what the network draws in training, dropout and stochastic depth, and of where windows begin.
        device: Where it runs.
        amp_dtype: Type of autocast, None for none.
    """

    recipe: Recipe
    seed: int
    device: torch.device
    amp_dtype: torch.dtype | None

    def backward(self, net: VideoNet, batch: ClipBatch, *, step: int) -> Answer:
        """Add the gradient of the mean loss of a batch to the network's.

        Raises:
            SpecError: Sub-clips of a network that does not stream.
        """
        clips_BCTHW, labels_B = network_input(batch, self.device)
        total = torch.zeros((), device=self.device)
        with observed(net, self.recipe.grw_layers if self.recipe.grw_weight else ()) as outputs:
            for piece_BCTHW, logits_BK in self._answers(net, clips_BCTHW, step=step):
                loss = F.cross_entropy(logits_BK.float(), labels_B, label_smoothing=self.recipe.label_smoothing)
                for name, output in outputs.items():
                    loss = loss + self._roughness(name, of_frames(output, num_clips=len(labels_B)), step=step)
                loss = loss * (piece_BCTHW.shape[2] / clips_BCTHW.shape[2])
                torch.autograd.backward(loss)
                total += loss.detach()
        return Answer(loss=total, num_correct=(logits_BK.argmax(dim=1) == labels_B).sum())

    def _answers(self, net: VideoNet, clips_BCTHW: Tensor, *, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Each piece of the clips with its logits; what is drawn for a clip holds for all its pieces."""
        amp = functools.partial(
            torch.autocast, self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
        )
        seed, length = derive_seed(self.seed, "draws of the network", step), self.recipe.subclip_frames
        if length is None:
            with _drawing(seed, self.device), amp():
                logits_BK = net(clips_BCTHW)
            yield clips_BCTHW, logits_BK
            return
        state: State = net.init_state(len(clips_BCTHW), *clips_BCTHW.shape[3:])
        for piece_BCTHW in torch.split(clips_BCTHW, length, dim=2):
            with _drawing(seed, self.device), amp():
                logits_BK, future = net.step(piece_BCTHW, state)
            state = {name: tensor.detach() for name, tensor in future.items()}
            del future
            yield piece_BCTHW, logits_BK

    def _roughness(self, name: str, embeddings_BTC: Tensor, *, step: int) -> Tensor:
        """The weighted loss of GRW-smoothing; windows begin at another frame in every step, where there is room."""
        recipe, window = self.recipe, self.recipe.grw_window
        smoothing = smoothing_of(recipe, name, self.device)
        offset = derive_seed(self.seed, "windows", step) % (embeddings_BTC.shape[1] % window + 1)
        if name != EMBEDDING:
            embeddings_BTC = normalised(embeddings_BTC)
        weight = warmed_up(recipe.grw_weight, step=step, warmup_steps=recipe.grw_warmup_steps)
        return weight * smoothing(embeddings_BTC, offset=offset).loss  # type: ignore[no-any-return]


@contextlib.contextmanager
def _drawing(seed: int, device: torch.device) -> Iterator[None]:
    """What is drawn from the generators of torch is a function of `seed`; afterwards they stand where they stood."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
