"""The supernet as a search's evaluator: trains shared weights, measures sub-networks on held-out clips.

On several ranks each runs its share of a step's architectures, on the clips that these have wherever they are run; the
gradients become the mean over all of them, and every rank hears of every loss and measurement.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, SupportsFloat, get_args

import numpy as np
import torch

from results.records import Measurement
from results.stopwatch import Stopwatch
from search_spaces.errors import RanksDifferError, UsageError
from search_spaces.space import Candidate
from search_spaces.spec import ClipGeometry
from supernet.distributed import ALONE, Ranks
from supernet.inputs import network_input
from supernet.masked_decay import Run, add_decay_gradients, decay_weights
from supernet.objective import Objective, Teacher
from supernet.optim import RMSProp, adamw, cosine_with_warmup, weight_decay_groups
from supernet.supernet import Checkpointing, Supernet
from supernet.tensors import from_bytes, load_exactly, load_optimizer, optimizer_tensors, to_bytes
from video.clips import ClipBatch

WEIGHTS = "supernet.safetensors"
OPTIMIZER = "optimizer.safetensors"

Quality = Literal["accuracy", "probability"]
OptimizerName = Literal["adamw", "rmsprop"]
Batches = Callable[[int, ClipGeometry], Iterator[ClipBatch]]
"""This rank's batches from a position of an endless stream on, for networks meant for such clips.

Positions count the batches of all ranks; one rank has every `Ranks.size`-th.
"""


@dataclass(frozen=True, kw_only=True)
class WeightConfig:
    """How the shared weights are trained.

    Attributes:
        batch_size: Training clips of one architecture in one step.
        reward_multiple: Held-out clips of one architecture in one step, in training batches (TuNAS: 4).
        reward_batch_size: Those clips as a number, in place of the multiple; None takes the multiple.
        quality: What the held-out clips are asked: the top-1 accuracy, or the mean probability of the true class, which
            differs less from batch to batch and so suits small budgets.
        optimizer: AdamW, or TensorFlow's RMSProp, which the paper's constants are for.
        learning_rate: Peak of the schedule.
        warmup_fraction: Share of the steps in which the rate rises, in [0, 1].
        weight_decay: Of kernels, and only of what was run; with RMSProp a part of the gradient.
        label_smoothing: In [0, 1).
        max_gradient_norm: Gradients are scaled down to this norm; None leaves them.
        rezero_init: Initial weight of every layer's branch; the published 0 costs short trainings most of their time.
        checkpointing: Layers that are run a second time in the backward pass instead of kept: none, mixed (those that
            run all their kernels while these warm up), all. It saves memory and costs time.
    """

    batch_size: int = 16
    reward_multiple: int = 4
    reward_batch_size: int | None = None
    quality: Quality = "accuracy"
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 1e-2
    warmup_fraction: float = 0.025
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    max_gradient_norm: float | None = 5.0
    rezero_init: float = 0.5
    checkpointing: Checkpointing = "none"

    def __post_init__(self) -> None:
        if self.batch_size < 2 or self.reward_clips < 2:
            raise UsageError(
                "batch sizes must be at least 2, for batch norm needs more than one clip, but got "
                f"batch_size={self.batch_size}, reward_multiple={self.reward_multiple}, "
                f"reward_batch_size={self.reward_batch_size}"
            )
        bounded = self.max_gradient_norm is None or self.max_gradient_norm > 0
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and bounded):
            raise UsageError(
                f"learning_rate and max_gradient_norm must be positive and weight_decay at least 0, but got {self}"
            )
        for name, known in (("quality", Quality), ("optimizer", OptimizerName), ("checkpointing", Checkpointing)):
            if getattr(self, name) not in get_args(known):
                raise UsageError(
                    f"weights.{name} must be one of {', '.join(get_args(known))}, but got {getattr(self, name)!r}"
                )
        if not (0 <= self.warmup_fraction <= 1 and 0 <= self.label_smoothing < 1):
            raise UsageError(f"warmup_fraction must be in [0, 1] and label_smoothing in [0, 1), but got {self}")

    @property
    def reward_clips(self) -> int:
        """Held-out clips of one architecture in one step."""
        if self.reward_batch_size is not None:
            return self.reward_batch_size
        return self.reward_multiple * self.batch_size


class SupernetEvaluator:
    """Implements `nas.evaluator.SearchEvaluator`.

    Args:
        supernet: On its device.
        config: How its weights are trained.
        num_steps: Steps of the whole search.
        train_batches: Stream of training batches, one per architecture and step, in order; of these, this rank's.
        reward_batches: Stream of held-out batches, likewise.
        compare_batches: The held-out clips of the final comparison, for the clip that networks are meant for; the same
            at every call.
        stopwatch: Books the phase `data` while waiting for clips.
        amp_dtype: Type of autocast, None for none.
        subclip_frames: Frames of the sub-clips that clips are trained and scored in; None for whole clips.
        teacher: A trained network whose answers are learned from, or None.
        ranks: The processes that search together.
    """

    def __init__(
        self,
        supernet: Supernet,
        config: WeightConfig,
        *,
        num_steps: int,
        train_batches: Batches,
        reward_batches: Batches,
        compare_batches: Callable[[ClipGeometry], Iterator[ClipBatch]],
        stopwatch: Stopwatch,
        amp_dtype: torch.dtype | None = None,
        subclip_frames: int | None = None,
        teacher: Teacher | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._supernet, self._config, self._num_steps = supernet, config, num_steps
        self._device, self._ranks = next(supernet.parameters()).device, ranks
        self._train_stream = _Stream(train_batches, stopwatch, stride=ranks.size)
        self._reward_stream = _Stream(reward_batches, stopwatch, stride=ranks.size)
        self._compare_batches, self._stopwatch = compare_batches, stopwatch
        self._amp_dtype = amp_dtype
        self._objective = Objective(
            supernet=supernet,
            label_smoothing=config.label_smoothing,
            subclip_frames=subclip_frames,
            teacher=teacher,
            autocast=self._autocast,
        )
        self._loss: _LateLoss | None = None
        # weights decay apart from the optimizer, for only what was run does
        self._optimizer: torch.optim.Optimizer
        if config.optimizer == "rmsprop":
            self._optimizer = RMSProp(supernet.parameters(), lr=config.learning_rate)
        else:
            self._optimizer = adamw(weight_decay_groups(supernet, weight_decay=0.0), learning_rate=config.learning_rate)

    def train(self, step: int, candidates: Sequence[Candidate], warmup: Sequence[frozenset[str]]) -> SupportsFloat:
        """One weight step; gradients are the mean over the candidates, absent parameters counting as zero.

        Returns:
            Mean loss before the step, nats, which is on the device until the next measurement or until it is asked for;
            then it raises UsageError where it is not finite.
        """
        self._optimizer.zero_grad(set_to_none=True)
        losses = []
        pairs = list(zip(candidates, warmup, strict=True))
        for number in self._ranks.mine(len(candidates)):
            candidate, mixed = pairs[number]
            batch = self._train_stream.take(step * len(candidates) + number, candidate.spec.clip)
            clips_BCTHW, labels_B = network_input(batch, self._device)
            share = 1 / len(candidates)
            losses.append(self._objective.backward(candidate, mixed, clips_BCTHW, labels_B, share=share))
        with self._exchange():
            self._ranks.add_gradients(self._supernet.parameters())
        with self._stopwatch.phase("optimizer"):
            self._move_weights(step, candidates, warmup)
        self._loss = _LateLoss(torch.stack(losses), self._ranks, step=step, learning_rate=self._config.learning_rate)
        return self._loss

    @torch.no_grad()
    def measure(self, step: int, candidates: Sequence[Candidate]) -> Sequence[Measurement]:
        """Quality of each candidate on a held-out batch of its own.

        The losses of the training step before come over from the device with them, in one transfer.
        """
        numbers, nums_clips = [], []
        for number in self._ranks.mine(len(candidates)):
            batch = self._reward_stream.take(step * len(candidates) + number, candidates[number].spec.clip)
            numbers.append(self._score(candidates[number], batch).double())
            nums_clips.append(len(batch.indices))
        loss, self._loss = self._loss, None
        if loss is None:
            counts = torch.stack(numbers).tolist()
        else:
            values = torch.cat([torch.stack(numbers), loss.losses_N.double()]).tolist()
            counts = values[: len(numbers)]
            with self._exchange():
                loss.hear(values[len(numbers) :])
        return self._of_all_ranks(candidates, counts, nums_clips)

    @torch.no_grad()
    def compare(self, candidates: Sequence[Candidate]) -> Sequence[Measurement]:
        """Quality of each candidate over the same held-out clips.

        They are read once for all candidates that are meant for clips of the same geometry; on several ranks each
        measures its share of the candidates.
        """
        mine = [candidates[number] for number in self._ranks.mine(len(candidates))]
        scores_N = torch.zeros(len(mine), dtype=torch.float64, device=self._device)
        nums_clips = [0] * len(mine)
        for clip in dict.fromkeys(candidate.spec.clip for candidate in mine):
            numbers = [number for number, candidate in enumerate(mine) if candidate.spec.clip == clip]
            for batch in self._waited_for(self._compare_batches(clip)):
                for number in numbers:
                    scores_N[number] += self._score(mine[number], batch)
                    nums_clips[number] += len(batch.indices)
        return self._of_all_ranks(candidates, scores_N.tolist(), nums_clips)

    def state(self) -> Mapping[str, bytes]:
        """Weights and the optimizer's moments."""
        return {
            WEIGHTS: to_bytes(self._supernet.state_dict()),
            OPTIMIZER: to_bytes(optimizer_tensors(self._optimizer)),
        }

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Take back what `state` gave."""
        load_exactly(self._supernet, from_bytes(blobs[WEIGHTS]), source="the checkpoint")
        load_optimizer(self._optimizer, from_bytes(blobs[OPTIMIZER]))

    def _of_all_ranks(
        self, candidates: Sequence[Candidate], counts: Sequence[float], nums_clips: Sequence[int]
    ) -> list[Measurement]:
        """The measurements of all candidates, from those of this rank's.

        Raises:
            RanksDifferError: Another rank has measured other architectures than those.
        """
        measurements = [
            Measurement(quality=count / num_clips, num_clips=num_clips)
            for count, num_clips in zip(counts, nums_clips, strict=True)
        ]
        if self._ranks.size == 1:
            return measurements
        names = [candidate.fingerprint for candidate in candidates]
        mine = [names[number] for number in self._ranks.mine(len(names))]
        with self._exchange():
            found = self._ranks.interleaved(list(zip(mine, measurements, strict=True)))
        for number, (name, (drawn, _)) in enumerate(zip(names, found, strict=True)):
            if drawn != name:
                raise RanksDifferError(
                    f"all ranks must draw the same architectures, but rank {number % self._ranks.size} drew "
                    f"{drawn[:16]} where rank {self._ranks.rank} drew {name[:16]}; take machines of one type, with the "
                    "same versions"
                )
        return [measurement for _, measurement in found]

    def _exchange(self) -> AbstractContextManager[None]:
        """The phase of waiting for other ranks, where there are some."""
        return self._stopwatch.phase("exchange") if self._ranks.size > 1 else nullcontext()

    def _waited_for(self, batches: Iterator[ClipBatch]) -> Iterator[ClipBatch]:
        while True:
            with self._stopwatch.phase("data"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _score(self, candidate: Candidate, batch: ClipBatch) -> torch.Tensor:
        """Sum of the quality over the clips of a batch."""
        clips_BCTHW, labels_B = network_input(batch, self._device)
        return total_quality(self._objective.logits(candidate, clips_BCTHW), labels_B, quality=self._config.quality)

    def _move_weights(self, step: int, candidates: Sequence[Candidate], warmup: Sequence[frozenset[str]]) -> None:
        runs = [
            Run(candidate.spec, candidate.variant.conv, mixed)
            for candidate, mixed in zip(candidates, warmup, strict=True)
        ]
        if self._config.optimizer == "rmsprop":
            add_decay_gradients(self._supernet, runs, weight_decay=self._config.weight_decay)
        if self._config.max_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._supernet.parameters(), self._config.max_gradient_norm)
        factor = cosine_with_warmup(
            step,
            num_steps=self._num_steps,
            warmup_steps=round(self._config.warmup_fraction * self._num_steps),
        )
        rate = self._config.learning_rate * factor
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if self._config.optimizer == "adamw":
            decay_weights(self._supernet, runs, amount=rate * self._config.weight_decay)
        self._optimizer.step()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, dtype=self._amp_dtype, enabled=self._amp_dtype is not None)


def total_quality(logits_BK: torch.Tensor, labels_B: torch.Tensor, *, quality: Quality) -> torch.Tensor:
    """Sum of the quality over clips, a scalar on their device."""
    if quality == "accuracy":
        return (logits_BK.argmax(dim=1) == labels_B).sum()
    total: torch.Tensor = logits_BK.double().softmax(dim=1).gather(1, labels_B[:, None]).clamp(max=1.0).sum()
    return total


class _LateLoss:
    """A loss that need not have left the device, and so need not have been computed, before its number is asked for.

    Args:
        losses_N: Of the architectures that this rank ran.
        ranks: Who ran the others.
        step: Of the search.
        learning_rate: At its peak.
    """

    def __init__(self, losses_N: torch.Tensor, ranks: Ranks, *, step: int, learning_rate: float) -> None:
        self.losses_N = losses_N
        self._number: float | None = None
        self._ranks, self._step, self._learning_rate = ranks, step, learning_rate

    def hear(self, losses: Sequence[float]) -> None:
        """Take in what `losses_N` are, and hear of those of the other ranks."""
        self._number = float(np.mean(self._ranks.interleaved(losses), dtype=np.float32))

    def __float__(self) -> float:
        if self._number is None:
            self.hear(self.losses_N.tolist())
        assert self._number is not None
        if not math.isfinite(self._number):
            raise UsageError(
                f"the loss must stay finite, but got {self._number} in step {self._step}; a smaller "
                f"weights.learning_rate than {self._learning_rate:g} may help"
            )
        return self._number


class _Stream:
    """Batches in order, opened anew where the order is broken, as after a resume, and for clips of another geometry."""

    def __init__(self, batches: Batches, stopwatch: Stopwatch, *, stride: int) -> None:
        self._batches, self._stopwatch, self._stride = batches, stopwatch, stride
        self._iterator: Iterator[ClipBatch] | None = None
        self._next: tuple[int, ClipGeometry] | None = None

    def take(self, position: int, clip: ClipGeometry) -> ClipBatch:
        with self._stopwatch.phase("data"):
            if self._iterator is None or self._next != (position, clip):
                self._iterator = self._batches(position, clip)
            self._next = position + self._stride, clip
            return next(self._iterator)
