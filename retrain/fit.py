"""Training of one network, by one process or several: a visible loop, resumable at any step."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from results.checkpoint import Checkpoint, restoring
from results.records import EpochRecord
from results.run_dir import RunDir
from results.stopwatch import Stopwatch
from results.writer import RunWriter
from retrain.model_file import ModelCard, save_model
from retrain.objective import Objective
from retrain.optimizer import WeightUpdate
from retrain.recipe import Recipe
from search_spaces.errors import CheckpointError, UsageError
from search_spaces.strict_json import canonical, loads
from supernet.calibrate import calibrate, synchronise
from supernet.distributed import ALONE, Ranks
from supernet.tensors import from_bytes, load_exactly, load_optimizer, optimizer_tensors, require_shapes, to_bytes
from supernet.video_net import VideoNet
from video.clips import ClipBatch

Batches = Callable[[int], Iterator[ClipBatch]]
"""The micro-batches that this rank runs, of an endless stream, from a step on."""
Accuracy = Callable[[VideoNet], float | None]
"""What a network is chosen by, on the validation split, by all ranks (`LabelSpace.metric`), or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """What an epoch has seen so far."""

    loss: float = 0.0
    correct: int = 0
    clips: int = 0


class Trainer:
    """A network in training and everything a checkpoint must hold of it.

    The step is the mean over the micro-batches of all ranks, of gradients and of how far running statistics move. Every
    rank makes the same step, and so has the same network and can go on from the same checkpoint.

    Args:
        net: The network, on its device.
        recipe: How it is trained.
        num_videos: Videos of the training split.
        card: Of the network; epoch and accuracy are filled in.
        train_batches: Endless stream of this rank's training batches.
        accuracy: Measures a network on the validation split.
        seed: Of what the network draws in training: dropout and stochastic depth.
        amp_dtype: Type of autocast, None for none; with float16 the loss is scaled, so that gradients stay in range.
        ranks: The processes that train together.
        class_weights_K: How much a clip of each class counts in the loss; None for 1.
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
        ranks: Ranks = ALONE,
        class_weights_K: torch.Tensor | None = None,
    ) -> None:
        self.recipe = recipe
        self.steps_per_epoch = recipe.steps_per_epoch(num_videos)
        self.num_steps = recipe.num_steps(num_videos)
        self._net, self._card, self._train_batches, self._accuracy = net, card, train_batches, accuracy
        self._device, self._ranks = next(net.parameters()).device, ranks
        self._synchronise(net)
        self._statistics = [buffer for buffer in net.buffers() if buffer.is_floating_point()]
        self._objective = Objective(
            recipe=recipe,
            seed=seed,
            device=self._device,
            amp_dtype=amp_dtype,
            space=card.label_space,
            class_weights_K=None if class_weights_K is None else class_weights_K.to(self._device),
        )
        self._update = WeightUpdate(net, recipe, num_steps=self.num_steps, steps_per_epoch=self.steps_per_epoch)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=amp_dtype is torch.float16)
        self._best: tuple[ModelCard, bytes] | None = None
        self._sums = _Sums()

    def fit(self, run: RunDir | None, checkpoint: Checkpoint | None, stopwatch: Stopwatch) -> Iterator[EpochRecord]:
        """Train, or go on from `checkpoint`; yields each epoch's record after it is safe in the journal.

        The folder holds the best of the networks evaluated so far, or the last where there is no validation split.

        Args:
            run: The folder, whose lock is held; None on every rank but the first, which alone writes.
            checkpoint: The same on every rank.
            stopwatch: Takes the times of each step's phases.

        Raises:
            UsageError: The loss is no longer finite.
            RankLostError: Another rank has ended.
            KeyboardInterrupt: The program was told to end; steps that were done are saved (see `Saver`).
        """
        first_step = 0
        if checkpoint is not None:
            first_step = checkpoint.number
            with restoring(None if run is None else run.checkpoints_path):
                self._restore(checkpoint.blobs)
        with RunWriter(
            run,
            checkpoint,
            num_steps=self.num_steps,
            every=self.recipe.checkpoint_every,
            spared=self._spared,
            stopwatch=stopwatch,
        ) as writer:
            stream = self._train_batches(first_step)
            for step in range(first_step, self.num_steps):
                with stopwatch.phase("train"):
                    self._step(step, stream, stopwatch)
                record = None
                if (step + 1) % self.steps_per_epoch == 0:
                    with stopwatch.phase("evaluate"):
                        record = self._end_epoch(step, run)
                    with stopwatch.phase("journal"):
                        writer.append(record)
                writer.step_done(step + 1, self._state, before_long=self._evaluated_after(step + 1))
                writer.tell(step, stopwatch.take())
                if record is not None:
                    yield record
        self._save_best(run)

    @property
    def _spared(self) -> range:
        """Numbers of the checkpoints that are kept for good."""
        every = self.recipe.keep_every * self.steps_per_epoch
        return range(every, self.num_steps + 1, every) if every else range(0)

    def _evaluated_after(self, step: int) -> bool:
        epoch, left = divmod(step + 1, self.steps_per_epoch)
        return left == 0 and self.recipe.evaluation_due(epoch - 1)

    def _step(self, step: int, stream: Iterator[ClipBatch], stopwatch: Stopwatch) -> None:
        recipe = self.recipe
        self._net.train()
        self._update.optimizer.zero_grad(set_to_none=True)
        answer_2 = self._backward(step, stream, stopwatch)
        self._update.step(step, self._scaler)
        loss_value, num_correct = answer_2.tolist()
        if not math.isfinite(loss_value):
            raise UsageError(
                f"the loss must stay finite, but got {loss_value} in step {step}; "
                f"choose a learning_rate below {self.recipe.learning_rate}"
            )
        self._sums = _Sums(
            loss=self._sums.loss + loss_value * recipe.batch_size,
            correct=self._sums.correct + round(num_correct),
            clips=self._sums.clips + recipe.batch_size,
        )

    def _backward(self, step: int, stream: Iterator[ClipBatch], stopwatch: Stopwatch) -> Tensor:
        """Gradients and running statistics of the step on every rank; mean loss and number of right answers, (2,)."""
        per_rank, ranks = self.recipe.accumulation, self._ranks
        share = 1.0 / (per_rank * ranks.size)
        scaled: float | Tensor = share
        if self._scaler.is_enabled():
            scaled = self._scaler.scale(torch.full((), share, device=self._device))
        before = [tensor.clone() for tensor in self._statistics]
        after = [torch.zeros_like(tensor) for tensor in self._statistics]
        answer_2 = torch.zeros(2, device=self._device)
        for number in range(ranks.rank * per_rank, (ranks.rank + 1) * per_rank):
            with stopwatch.phase("data"):
                batch = next(stream)
            torch._foreach_copy_(self._statistics, before)  # each micro-batch moves those of the step before
            answer = self._objective.backward(self._net, batch, step=step, micro_batch=number, share=scaled)
            torch._foreach_add_(after, self._statistics, alpha=share)
            answer_2 += torch.stack([answer.loss.float() * share, answer.num_correct.float()])
        torch._foreach_copy_(self._statistics, after)
        gradients = [parameter.grad for parameter in self._net.parameters() if parameter.grad is not None]
        ranks.add([*gradients, *self._statistics, answer_2])
        return answer_2

    def _synchronise(self, net: VideoNet) -> None:
        if self.recipe.sync_batch_norm and self._ranks.size > 1:
            synchronise(net, self._ranks.rows)

    def _end_epoch(self, step: int, run: RunDir | None) -> EpochRecord:
        epoch = step // self.steps_per_epoch
        top1 = self._evaluate(epoch, run) if self.recipe.evaluation_due(epoch) else None
        sums, self._sums = self._sums, _Sums()
        return EpochRecord(
            epoch=epoch,
            step=step + 1,
            train_loss=sums.loss / sums.clips,
            train_top1=sums.correct / sums.clips,
            val_top1=top1,
            metric=self._card.label_space.metric,
        )

    def _evaluate(self, epoch: int, run: RunDir | None) -> float | None:
        net = self._averaged()
        top1 = self._accuracy(net)
        best = None if self._best is None else self._best[0].val_top1
        if best is None or top1 is None or top1 >= best:
            self._best = (replace(self._card, epoch=epoch, val_top1=top1), to_bytes(net.state_dict()))
            self._save_best(run)
        return top1

    def _averaged(self) -> VideoNet:
        """The network with averaged weights and running statistics that belong to them, the same on every rank.

        The statistics are the plain mean over the micro-batches of all ranks in the first steps.
        """
        net = VideoNet(self._card.arch, self._card.variant, num_classes=len(self._card.class_names))
        net.load_state_dict(self._update.average.tensors)
        net.to(self._device)
        self._synchronise(net)
        stream = self._train_batches(0)
        num_batches = self.recipe.calibration_batches * self.recipe.accumulation
        calibrate(net, (next(stream) for _ in range(num_batches)), device=self._device)
        statistics = [buffer for buffer in net.buffers() if buffer.is_floating_point()]
        torch._foreach_div_(statistics, self._ranks.size)
        self._ranks.add(statistics)
        return net.eval()

    def _save_best(self, run: RunDir | None) -> None:
        assert self._best is not None
        if run is None:
            return
        card, weights = self._best
        net = VideoNet(card.arch, card.variant, num_classes=len(card.class_names))
        load_exactly(net, from_bytes(weights), source="the best network")
        save_model(net, card, run.model_path)

    def _state(self) -> Mapping[str, bytes]:
        best_card = None if self._best is None else {"epoch": self._best[0].epoch, "val_top1": self._best[0].val_top1}
        document = {
            "num_averaged": self._update.average.num_updates,
            "best": best_card,
            "epoch": [self._sums.loss, self._sums.correct, self._sums.clips],
            "scaler": self._scaler.state_dict(),
        }
        blobs = {
            "net.safetensors": to_bytes(self._net.state_dict()),
            "average.safetensors": to_bytes(self._update.average.tensors),
            "optimizer.safetensors": to_bytes(optimizer_tensors(self._update.optimizer)),
            "trainer.json": canonical(document).encode(),
        }
        return blobs if self._best is None else {**blobs, "best.safetensors": self._best[1]}

    def _restore(self, blobs: Mapping[str, bytes]) -> None:
        if "trainer.json" not in blobs:
            raise CheckpointError("a checkpoint of retraining must hold trainer.json, but it does not")
        document = loads(blobs["trainer.json"])
        average = self._update.average
        load_exactly(self._net, from_bytes(blobs["net.safetensors"]), source="the checkpoint")
        load_optimizer(self._update.optimizer, from_bytes(blobs["optimizer.safetensors"]))
        averaged = from_bytes(blobs["average.safetensors"])
        require_shapes({name: tensor.shape for name, tensor in average.tensors.items()}, averaged, source="the average")
        for name, tensor in averaged.items():
            average.tensors[name].copy_(tensor)
        average.num_updates = int(document["num_averaged"])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(document["scaler"])
        loss, correct, clips = document["epoch"]
        self._sums = _Sums(loss=loss, correct=correct, clips=clips)
        if document["best"] is not None:
            card = replace(self._card, epoch=document["best"]["epoch"], val_top1=document["best"]["val_top1"])
            self._best = (card, blobs["best.safetensors"])
