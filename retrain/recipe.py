"""How a network is trained from scratch or on: one typed, frozen value."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from retrain.grw import MIN_WINDOW
from search_spaces.errors import UsageError
from supernet.optim import Schedule
from video.augment import AugmentConfig

OptimizerName = Literal["adamw", "rmsprop"]
Balance = Literal["none", "loss", "sampling"]

EMBEDDING = "embedding"
"""Name of what the temporal head makes of a frame."""


# no slots: the command line reads the defaults of nested configurations through vars()
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training recipe; all schedules are functions of the step.

    Attributes:
        epochs: Passes over the training videos.
        batch_size: Clips per step, on all ranks together.
        optimizer: AdamW, or TensorFlow's RMSProp, which the published rates are for.
        learning_rate: Peak of the schedule.
        schedule: How the rate falls after the warm-up: cosine, linear, or constant.
        warmup_epochs: Over which the rate rises linearly.
        backbone_rate: Rate of all but classifier and temporal head, relative to the learning rate, above 0.
        epsilon: Of the optimizer; None takes 1e-8 for AdamW and 1 for RMSProp, within its root.
        momentum: Of RMSProp, in [0, 1).
        rms_decay: Of RMSProp's mean squares, in [0, 1).
        first_mean_square: What those start at: 1 as in TensorFlow 1, 0 as in Keras.
        weight_decay: Of kernels and matrices, decoupled, with AdamW; L2 of convolution kernels with RMSProp.
        label_smoothing: In [0, 1).
        ema_decay: Of the average of weights and running statistics after every step, in [0, 1); 0 for none.
        max_gradient_norm: Gradients are scaled down to this norm all together; None leaves them.
        max_weight_gradient_norm: Before that, the gradient of each weight is scaled down to this norm on its own, as by
            Keras' clipnorm; None leaves them.
        balance: Classes of unequal size count alike in the loss, are drawn equally often (sampling), or neither.
        new_head: Whether the classifier is drawn anew, for these classes, and not taken from `init`.
        dropout: Of the inputs of the classifier, in [0, 1); for long trainings. Published: 0.2 for A0 and the stream of
            A1, else 0.5 (movinet.md 4).
        stochastic_depth: How often the branch of the last layer is left out, in [0, 1), and that of layer i of L is
            i / L as often; for long trainings. Published: 0.2.
        rezero_init: Initial weight of every layer's branch, from scratch; the published 0 costs short trainings most of
            their time.
        train_frames: Frames of a training clip; None takes the spec's.
        test_frames: Frames of a validation or test clip; None takes the spec's.
        evaluations: How often the validation split is measured, evenly spread; the last epoch always is.
        calibration_batches: Batches over which running statistics are computed anew before an evaluation.
        checkpoint_every: Steps between checkpoints.
        accumulation: Micro-batches per step on each rank, each with batch statistics of its own; the step takes the
            mean of all gradients. Two ranks with one each train as one rank with two.
        sync_batch_norm: Whether statistics of a batch are those of the micro-batches that all ranks run at a time.
        keep_every: Epochs between checkpoints that are kept for good; 0 keeps the newest two alone.
        augment: What is done to training clips.
        subclip_frames: Frames of a sub-clip, after each of which there is a loss and a backward pass, with stream
            buffers but no gradients between them (paper 3.2.2): memory follows its length. None for whole clips.
        grw_weight: Of GRW-smoothing in the loss, 0 for none; 0.1 in its paper, which is why the rest is set as there.
        grw_layers: What is smoothed: `embedding`, of the temporal head, or the frame means of a layer, such as
            `block4.layer2`, `stem` or `head`, normalised (`retrain.grw.frame_embeddings`).
        grw_window: Frames of a window, at least 3; 0.5 to 1 s.
        grw_alpha: Weight of velocities beside the order.
        grw_sigma: Scale of embeddings; None takes 1 for `embedding`, and for a layer the root of its channels.
        grw_warmup_steps: Over which grw_weight rises linearly.
    """

    epochs: int = 60
    batch_size: int = 32
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 1e-2
    schedule: Schedule = "cosine"
    warmup_epochs: float = 3.0
    backbone_rate: float = 1.0
    epsilon: float | None = None
    momentum: float = 0.9
    rms_decay: float = 0.9
    first_mean_square: float = 1.0
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    ema_decay: float = 0.99
    max_gradient_norm: float | None = 5.0
    max_weight_gradient_norm: float | None = None
    balance: Balance = "none"
    new_head: bool = False
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    rezero_init: float = 0.5
    train_frames: int | None = None
    test_frames: int | None = None
    evaluations: int = 10
    calibration_batches: int = 8
    checkpoint_every: int = 100
    accumulation: int = 1
    sync_batch_norm: bool = False
    keep_every: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    subclip_frames: int | None = None
    grw_weight: float = 0.0
    grw_layers: tuple[str, ...] = (EMBEDDING,)
    grw_window: int = 5
    grw_alpha: float = 0.5
    grw_sigma: float | None = None
    grw_warmup_steps: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.evaluations, self.calibration_batches, self.checkpoint_every) < 1:
            raise UsageError(
                f"epochs, evaluations, calibration_batches and checkpoint_every must be at least 1, but got {self}"
            )
        if self.accumulation < 1 or self.batch_size % self.accumulation or self.keep_every < 0:
            raise UsageError(
                "accumulation must be at least 1 and divide batch_size, and keep_every at least 0, but got "
                f"accumulation={self.accumulation}, batch_size={self.batch_size}, keep_every={self.keep_every}"
            )
        if self.batch_size < 2:
            raise UsageError(f"batch_size must be at least 2, for batch norm, but got {self.batch_size}")
        for name, known in (("optimizer", OptimizerName), ("schedule", Schedule), ("balance", Balance)):
            if getattr(self, name) not in get_args(known):
                raise UsageError(f"{name} must be one of {', '.join(get_args(known))}, but got {getattr(self, name)!r}")
        norms = (self.max_gradient_norm, self.max_weight_gradient_norm)
        positive = (self.learning_rate, self.backbone_rate, self.epsilon, *norms)
        if not all(number is None or number > 0 for number in positive):
            raise UsageError(
                "learning_rate, backbone_rate, epsilon, max_gradient_norm and max_weight_gradient_norm must be "
                f"positive, but got {self}"
            )
        if not (self.weight_decay >= 0 and 0 <= self.first_mean_square < math.inf):
            raise UsageError(f"weight_decay and first_mean_square must be at least 0, but got {self}")
        if not (0 <= self.momentum < 1 and 0 <= self.rms_decay < 1):
            raise UsageError(f"momentum and rms_decay must be in [0, 1), but got {self}")
        if not (0 <= self.label_smoothing < 1 and 0 <= self.ema_decay < 1 and self.warmup_epochs >= 0):
            raise UsageError(
                f"label_smoothing and ema_decay must be in [0, 1) and warmup_epochs at least 0, but got {self}"
            )
        if not (0 <= self.dropout < 1 and 0 <= self.stochastic_depth < 1):
            raise UsageError(f"dropout and stochastic_depth must be in [0, 1), but got {self}")
        if any(frames is not None and frames < 1 for frames in (self.train_frames, self.test_frames)):
            raise UsageError(f"train_frames and test_frames must be at least 1, but got {self}")
        if self.subclip_frames is not None and self.subclip_frames < 1:
            raise UsageError(f"subclip_frames must be at least 1, but got {self.subclip_frames}")
        self._check_smoothing()

    def _check_smoothing(self) -> None:
        if self.grw_weight < 0 or self.grw_alpha < 0 or self.grw_warmup_steps < 0:
            raise UsageError(f"grw_weight, grw_alpha and grw_warmup_steps must be at least 0, but got {self}")
        if self.grw_sigma is not None and self.grw_sigma <= 0:
            raise UsageError(f"grw_sigma must be above 0, but got {self.grw_sigma}")
        if not self.grw_layers or len(set(self.grw_layers)) != len(self.grw_layers):
            raise UsageError(f"grw_layers must be different names, at least one, but got {self.grw_layers}")
        most = self.subclip_frames or self.train_frames
        if self.grw_window < MIN_WINDOW or (self.grw_weight and most is not None and self.grw_window > most):
            raise UsageError(
                f"grw_window must be at least {MIN_WINDOW} and at most the frames of a clip or sub-clip, "
                f"but got {self.grw_window}, and {most} frames"
            )

    def steps_per_epoch(self, num_videos: int) -> int:
        """Steps in which `num_videos` are seen about once."""
        return max(1, round(num_videos / self.batch_size))

    def num_steps(self, num_videos: int) -> int:
        """Steps of the whole training."""
        return self.epochs * self.steps_per_epoch(num_videos)

    def evaluation_due(self, epoch: int) -> bool:
        """Whether the validation split is measured after `epoch`, counted from 0."""
        return (epoch + 1) * self.evaluations // self.epochs > epoch * self.evaluations // self.epochs
