"""Training of one network: a visible loop, resumable at any step."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from results.checkpoint import Checkpoint, save_checkpoint
from results.journal import Journal
from results.records import EpochRecord
from results.run_dir import RunDir
from results.stopwatch import Stopwatch
from results.telemetry import Telemetry
from retrain.model_file import ModelCard, save_model
from retrain.objective import Objective
from retrain.recipe import Recipe
from search_spaces.errors import CheckpointError, UsageError
from search_spaces.strict_json import canonical, loads
from supernet.calibrate import calibrate
from supernet.optim import WeightAverage, adamw, cosine_with_warmup
from supernet.tensors import from_bytes, load_exactly, load_optimizer, optimizer_tensors, to_bytes
from supernet.video_net import VideoNet
from video.clips import ClipBatch

Batches = Callable[[int], Iterator[ClipBatch]]
"""Batches from a position of an endless stream on; the position counts batches."""
Accuracy = Callable[[VideoNet], float | None]
"""What a network is chosen by, on the validation split: see `LabelSpace.metric`; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """What an epoch has seen so far."""

    loss: float = 0.0
    correct: int = 0
    clips: int = 0


class Trainer:
    """A network in training and everything a checkpoint must hold of it.

    Args:
        net: The network, on its device.
        recipe: How it is trained.
        num_videos: Videos of the training split.
        card: Of the network; epoch and accuracy are filled in.
        train_batches: Endless stream of training batches.
        accuracy: Measures a network on the validation split.
        seed: Of what the network draws in training: dropout and stochastic depth.
        amp_dtype: Type of autocast, None for none.
    """

    def __init__(
        self,
        net: VideoNet,
        recipe: Recipe,
        *,
        num_videos: int,
        card: ModelCard,
        train_batches: Batches,
        accuracy: Accuracy,
        seed: int,
        amp_dtype: torch.dtype | None = None,
    ) -> None:
        self.recipe = recipe
        self.steps_per_epoch = recipe.steps_per_epoch(num_videos)
        self.num_steps = recipe.num_steps(num_videos)
        self._net, self._card, self._train_batches, self._accuracy = net, card, train_batches, accuracy
        self._device = next(net.parameters()).device
        self._objective = Objective(
            recipe=recipe, seed=seed, device=self._device, amp_dtype=amp_dtype, space=card.label_space
        )
        self._optimizer = adamw(net, learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self._average = WeightAverage(net, decay=recipe.ema_decay)
        self._best: tuple[ModelCard, bytes] | None = None
        self._sums = _Sums()

    def fit(self, run: RunDir, checkpoint: Checkpoint | None, stopwatch: Stopwatch) -> Iterator[EpochRecord]:
        """Train, or go on from `checkpoint`; yields each epoch's record after it is safe in the journal.

        At the end the folder holds the best of the evaluated networks, or the last where there is no validation split.

        Raises:
            UsageError: The loss is no longer finite.
        """
        telemetry = Telemetry(run.telemetry_path)
        first_step = 0
        if checkpoint is not None:
            first_step = checkpoint.number
            self._restore(checkpoint.blobs)
        with Journal.open(run.journal_path, keep=checkpoint.num_records if checkpoint else 0) as journal:
            stream = self._train_batches(first_step)
            for step in range(first_step, self.num_steps):
                with stopwatch.phase("data"):
                    batch = next(stream)
                with stopwatch.phase("train"):
                    self._step(step, batch)
                record = None
                if (step + 1) % self.steps_per_epoch == 0:
                    with stopwatch.phase("evaluate"):
                        record = self._end_epoch(step)
                    with stopwatch.phase("journal"):
                        journal.append(record)
                if (step + 1) % self.recipe.checkpoint_every == 0 or step + 1 == self.num_steps:
                    with stopwatch.phase("checkpoint"):
                        save_checkpoint(run.checkpoints_path, step + 1, self._state(), num_records=journal.num_records)
                telemetry.append("phase_times", step=step, seconds=stopwatch.take())
                if record is not None:
                    yield record
        self._save_best(run)

    def _step(self, step: int, batch: ClipBatch) -> None:
        recipe = self.recipe
        factor = cosine_with_warmup(
            step,
            num_steps=self.num_steps,
            warmup_steps=min(self.num_steps, round(recipe.warmup_epochs * self.steps_per_epoch)),
        )
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate * factor
        self._net.train()
        self._optimizer.zero_grad(set_to_none=True)
        answer = self._objective.backward(self._net, batch, step=step)
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), recipe.max_gradient_norm)
        self._optimizer.step()
        self._average.update(self._net)
        loss_value, num_correct = torch.stack([answer.loss.double(), answer.num_correct.double()]).tolist()
        if not math.isfinite(loss_value):
            raise UsageError(
                f"the loss must stay finite, but got {loss_value} in step {step}; "
                f"choose a learning_rate below {recipe.learning_rate}"
            )
        self._sums = _Sums(
            loss=self._sums.loss + loss_value * len(batch.indices),
            correct=self._sums.correct + int(num_correct),
            clips=self._sums.clips + len(batch.indices),
        )

    def _end_epoch(self, step: int) -> EpochRecord:
        epoch = step // self.steps_per_epoch
        top1 = self._evaluate(epoch) if self.recipe.evaluation_due(epoch) else None
        sums, self._sums = self._sums, _Sums()
        return EpochRecord(
            epoch=epoch,
            step=step + 1,
            train_loss=sums.loss / sums.clips,
            train_top1=sums.correct / sums.clips,
            val_top1=top1,
            metric=self._card.label_space.metric,
        )

    def _evaluate(self, epoch: int) -> float | None:
        net = self._averaged()
        top1 = self._accuracy(net)
        best = None if self._best is None else self._best[0].val_top1
        if best is None or top1 is None or top1 >= best:
            self._best = (replace(self._card, epoch=epoch, val_top1=top1), to_bytes(net.state_dict()))
        return top1

    def _averaged(self) -> VideoNet:
        """The network with averaged weights and running statistics that belong to them."""
        net = VideoNet(self._card.arch, self._card.variant, num_classes=len(self._card.class_names))
        net.load_state_dict(self._average.tensors)
        net.to(self._device)
        stream = self._train_batches(0)
        calibrate(net, (next(stream) for _ in range(self.recipe.calibration_batches)), device=self._device)
        return net.eval()

    def _save_best(self, run: RunDir) -> None:
        assert self._best is not None
        card, weights = self._best
        net = VideoNet(card.arch, card.variant, num_classes=len(card.class_names))
        load_exactly(net, from_bytes(weights), source="the best network")
        save_model(net, card, run.model_path)

    def _state(self) -> Mapping[str, bytes]:
        best_card = None if self._best is None else {"epoch": self._best[0].epoch, "val_top1": self._best[0].val_top1}
        document = {
            "num_averaged": self._average.num_updates,
            "best": best_card,
            "epoch": [self._sums.loss, self._sums.correct, self._sums.clips],
        }
        blobs = {
            "net.safetensors": to_bytes(self._net.state_dict()),
            "average.safetensors": to_bytes(self._average.tensors),
            "optimizer.safetensors": to_bytes(optimizer_tensors(self._optimizer)),
            "trainer.json": canonical(document).encode(),
        }
        return blobs if self._best is None else {**blobs, "best.safetensors": self._best[1]}

    def _restore(self, blobs: Mapping[str, bytes]) -> None:
        if "trainer.json" not in blobs:
            raise CheckpointError("a checkpoint of retraining must hold trainer.json, but it does not")
        document = loads(blobs["trainer.json"])
        load_exactly(self._net, from_bytes(blobs["net.safetensors"]), source="the checkpoint")
        load_optimizer(self._optimizer, from_bytes(blobs["optimizer.safetensors"]))
        for name, tensor in from_bytes(blobs["average.safetensors"]).items():
            self._average.tensors[name].copy_(tensor)
        self._average.num_updates = document["num_averaged"]
        loss, correct, clips = document["epoch"]
        self._sums = _Sums(loss=loss, correct=correct, clips=clips)
        if document["best"] is not None:
            card = replace(self._card, epoch=document["best"]["epoch"], val_top1=document["best"]["val_top1"])
            self._best = (card, blobs["best.safetensors"])
