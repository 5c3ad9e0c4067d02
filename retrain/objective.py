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
from torch import Tensor

from retrain.embeddings import observed, of_frames, smoothing_of
from retrain.grw import normalised, warmed_up
from retrain.recipe import EMBEDDING, Recipe
from retrain.targets import num_right, one_hot, target_loss
from search_spaces.randomness import derive_seed, generator
from supernet.inputs import network_input
from supernet.state import State
from supernet.video_net import VideoNet
from video.clips import ClipBatch
from video.label_space import LabelSpace
from video.mixing import mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a batch, on the device.

    Attributes:
        loss: Its mean over the clips, a detached scalar.
        num_correct: Clips whose class was the most likely one after the last frame, a scalar; see `targets.num_right`.
    """

    loss: Tensor
    num_correct: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of a recipe and its gradient.

    Attributes:
        recipe: Label smoothing, mixing of clips, sub-clips, GRW-smoothing.
        seed: Of dropout, stochastic depth and mixing, and of where windows begin.
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

        Raises:
            SpecError: Sub-clips of a network that does not stream.
        """
        clips_BCTHW, labels = network_input(batch, self.device)
        clips_BCTHW, targets = self._mixed(clips_BCTHW, labels, batch, step=step)
        seed = derive_seed(self.seed, "draws of the network", step, micro_batch)
        total = torch.zeros((), device=self.device)
        with observed(net, self.recipe.grw_layers if self.recipe.grw_weight else ()) as outputs:
            for piece_BCTHW, logits_BK in self._answers(net, clips_BCTHW, seed=seed):
                loss = target_loss(
                    logits_BK,
                    targets,
                    self.space,
                    label_smoothing=self.recipe.label_smoothing,
                    class_weights_K=self.class_weights_K,
                )
                for name, output in outputs.items():
                    loss = loss + self._roughness(name, of_frames(output, num_clips=len(labels)), step=step)
                loss = loss * (piece_BCTHW.shape[2] / clips_BCTHW.shape[2])
                torch.autograd.backward(loss * share)
                total += loss.detach()
        return Answer(loss=total, num_correct=num_right(logits_BK, labels, self.space))

    def _answers(self, net: VideoNet, clips_BCTHW: Tensor, *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Each piece of the clips with its logits; what is drawn for a clip holds for all its pieces."""
        amp = functools.partial(
            torch.autocast, self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
        )
        length = self.recipe.subclip_frames
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
