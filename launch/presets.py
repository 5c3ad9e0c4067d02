"""The preset `paper` of a search: the constants of MoViNet's and TuNAS's searches, scaled to batch and data at hand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nas.reinforce import MAX_LEARNING_RATE
from search_spaces.errors import UsageError

TUNAS_BATCH = 4096
TUNAS_STEPS = 27_050
TUNAS_POLICY_RATE = 3e-4 * TUNAS_BATCH / 256
"""0.0048, before its ramp."""
TUNAS_HELD_OUT = 50_046 / 1_281_167
"""Share of ImageNet's training images that rewards come from (tunas.md 1.6)."""
EPOCHS = 90
"""Paper A.2, and TuNAS."""
WEIGHT_RATE_PER_256 = 0.165
PRESETS = ("paper",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Defaults by their dotted names, and the arithmetic behind them, line by line."""

    values: Mapping[str, object]
    arithmetic: tuple[str, ...]


def paper(
    *,
    num_train_videos: int,
    num_held_out: int,
    batch_size: int,
    architectures_per_step: int,
    steps: int,
    bf16: bool,
) -> Preset:
    """The constants of the paper's A.2 and of tunas.md 1 and 2.

    Args:
        num_train_videos: Videos that the weights see.
        num_held_out: Those that rewards come from.
        batch_size: Clips of one architecture in a step.
        architectures_per_step: TuNAS has 32, of 128 images each.
        steps: Of the search that is really made, which may not be what 90 epochs are.
        bf16: Whether the network runs in bfloat16.
    """
    batch = batch_size * architectures_per_step
    wanted_steps = max(1, math.ceil(EPOCHS * num_train_videos / batch))
    policy_rate = min(MAX_LEARNING_RATE, TUNAS_POLICY_RATE * TUNAS_STEPS / steps)
    weight_rate = WEIGHT_RATE_PER_256 * batch / 256
    weight_decay = 3e-5 if bf16 else 4e-5
    values: dict[str, object] = {
        "held_out": TUNAS_HELD_OUT,
        "search.strategy": "reinforce",
        "search.steps": wanted_steps,
        "search.reward": "absolute",
        "search.beta": -0.1,
        "search.beta_ramp": 1.0,
        "search.controller.learning_rate": policy_rate,
        "search.controller.delay_fraction": 0.25,
        "search.controller.ramp": 10.0,
        "search.controller.baseline_momentum": 0.95,
        "search.controller.adam_beta2": 0.999,
        "search.controller.adam_epsilon": 1e-8,
        "search.controller.entropy_bonus": 0.0,
        "search.warmup.op_fraction": 0.25,
        "search.warmup.filter_fraction": 0.25,
        "weights.reward_multiple": 4,
        "weights.quality": "accuracy",
        "weights.optimizer": "rmsprop",
        "weights.learning_rate": weight_rate,
        "weights.warmup_fraction": 0.025,
        "weights.weight_decay": weight_decay,
        "weights.label_smoothing": 0.1,
        "weights.max_gradient_norm": None,
        "weights.rezero_init": 0.0,
        "weights.checkpointing": "mixed",
    }
    bound = f", but at most {MAX_LEARNING_RATE:g}" if policy_rate == MAX_LEARNING_RATE else ""
    lines = (
        f"batch: {architectures_per_step} architectures x {batch_size} clips = {batch} (TuNAS: 32 x 128 = 4,096)",
        f"rewards: 4 x {batch_size} = {4 * batch_size} held-out clips of each architecture",
        f"held_out: 50,046 / 1,281,167 = {TUNAS_HELD_OUT:.3f} of the videos of each class, at least one; here "
        f"{num_held_out:,} of {num_train_videos + num_held_out:,}",
        f"search.steps: {EPOCHS} epochs x {num_train_videos:,} videos / {batch} = {wanted_steps:,}",
        f"weights.learning_rate: {WEIGHT_RATE_PER_256:g} x {batch} / 256 = {weight_rate:.4g}, of RMSProp with "
        "decay 0.9, momentum 0.9 and epsilon 1",
        f"weights.weight_decay: {weight_decay:g} (TuNAS: 4e-5, in bfloat16 3e-5)",
        f"controller.learning_rate: {TUNAS_POLICY_RATE:g} x {TUNAS_STEPS:,} / {steps:,} steps{bound} = "
        f"{policy_rate:.4g}, times 10 until the end",
    )
    return Preset(values=values, arithmetic=lines)


def check_preset(name: str | None) -> None:
    """Refuse an unknown preset.

    Raises:
        UsageError: It is none of `PRESETS`.
    """
    if name is not None and name not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, but got {name!r}")
