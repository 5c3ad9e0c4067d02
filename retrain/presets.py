"""Named recipes: the paper's, the released networks', one for few videos, and one for networks that are trained.

A preset is defaults for the options of `movinas retrain`, scaled to batch, data and network, with the arithmetic behind
them. What is given by the user stays as given.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

from retrain.recipe import Recipe
from search_spaces.cost import cost
from search_spaces.errors import UsageError
from search_spaces.published import name_of, published
from search_spaces.spec import ArchSpec
from search_spaces.variant import Variant

PRESETS: Final = ("paper", "released", "small", "finetune")
PUBLISHED_RATE: Final = 1.8
PUBLISHED_BATCH: Final = 1024
PUBLISHED_EPOCHS: Final = 240
PAPER_FRAMES: Final = 64
RELEASED_FRAMES: Final[Mapping[str, int]] = {"A3": 64, "A4": 32, "A5": 32}
"""Training frames of released networks where they are not those of the test (movinet.md 4)."""
RELEASED_L2: Final = 3e-5
"""What TensorFlow writes as 1.5e-5 (movinet.md 4)."""
AUGMENTED_STREAMS: Final = ("A4", "A5")
"""Released streams with AutoAugment and a random stride; of clip networks all have them (movinet.md 4)."""
SMALL_STEPS: Final = 2000
SMALL_EPOCHS: Final = (30, 240)
FINETUNE_STEPS: Final = 600
FINETUNE_EPOCHS: Final = (5, 60)
ADAM_BATCH: Final = 32
"""Of which the rates of `small` and `finetune` are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipePreset:
    """Defaults by their dotted names, such as `recipe.epochs`, and where those that were computed come from."""

    values: Mapping[str, object]
    arithmetic: Mapping[str, str]

    def lines(self, options: object) -> Iterator[str]:
        """The arithmetic behind `options`, and what they have in place of the preset's values."""
        for name, value in self.values.items():
            if (actual := attrgetter(name)(options)) != value:
                yield f"{name}: {actual}, as given, and not {value}"
            elif name in self.arithmetic:
                yield f"{name}: {self.arithmetic[name]}"


def preset(
    name: str, *, num_train_videos: int, batch_size: int, arch: ArchSpec, variant: Variant, num_classes: int
) -> RecipePreset:
    """A preset of `PRESETS`.

    Args:
        name: Which one.
        num_train_videos: Videos of the training split.
        batch_size: Clips per step, of all processes together.
        arch: The network that is trained.
        variant: How it is built.
        num_classes: Of the classifier.

    Raises:
        UsageError: No such preset.
    """
    check_preset(name)
    if name == "paper":
        return _paper(batch_size=batch_size, arch=arch)
    if name == "released":
        return _released(batch_size=batch_size, arch=arch, variant=variant, num_classes=num_classes)
    if name == "small":
        return _small(num_train_videos=num_train_videos, batch_size=batch_size)
    return _finetune(num_train_videos=num_train_videos, batch_size=batch_size)


def check_preset(name: str | None) -> None:
    """Refuse an unknown preset.

    Raises:
        UsageError: It is none of `PRESETS`.
    """
    if name is not None and name not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, but got {name!r}")


def variant_of_preset(name: str | None, variant: Variant) -> Variant:
    """The variant that a preset trains where none is asked for: the paper's networks have hard-swish throughout."""
    return replace(variant, activation="hard_swish", head_activation="hard_swish") if name == "paper" else variant


def schedule_lines(recipe: Recipe, num_train_videos: int) -> tuple[str, ...]:
    """Steps of a recipe, and of its warm-up, with their arithmetic."""
    per_epoch, steps = recipe.steps_per_epoch(num_train_videos), recipe.num_steps(num_train_videos)
    size = f"{num_train_videos:,} videos / {recipe.batch_size}"
    warmup = min(steps, round(recipe.warmup_epochs * per_epoch))
    return (
        f"steps: {recipe.epochs} epochs x {per_epoch:,} ({size}) = {steps:,}",
        f"warm-up: {recipe.warmup_epochs:g} epochs x {per_epoch:,} = {warmup:,} steps, then {recipe.schedule}",
    )


def _paper(*, batch_size: int, arch: ArchSpec) -> RecipePreset:
    frames = arch.clip.num_frames
    rate, rate_line = _published_rate(batch_size)
    values = _published(rate) | {
        "recipe.warmup_epochs": 5.0,
        "recipe.ema_decay": 0.99,
        "recipe.train_frames": min(PAPER_FRAMES, frames),
    }
    return RecipePreset(
        values=values,
        arithmetic={
            "recipe.learning_rate": rate_line,
            "recipe.train_frames": f"the fewer of {PAPER_FRAMES} and {frames} = {min(PAPER_FRAMES, frames)}",
            "recipe.weight_decay": f"{RELEASED_L2:g}, as released; of L2, epsilon, crops and flips the paper is silent",
        },
    )


def _released(*, batch_size: int, arch: ArchSpec, variant: Variant, num_classes: int) -> RecipePreset:
    name = name_of(arch)
    rate, rate_line = _published_rate(batch_size)
    dropout, dropout_line = _released_dropout(name, arch, variant, num_classes=num_classes)
    augmented = not variant.streams or name in AUGMENTED_STREAMS
    frames = RELEASED_FRAMES.get(name or "", arch.clip.num_frames)
    values = _published(rate) | {
        "recipe.warmup_epochs": 6.0,
        "recipe.ema_decay": 0.0,
        "recipe.first_mean_square": 0.0,
        "recipe.max_weight_gradient_norm": 1.0,
        "recipe.stochastic_depth": 0.2,
        "recipe.dropout": dropout,
        "recipe.train_frames": frames,
        "recipe.augment.policy": "autoaugment" if augmented else "none",
        "recipe.augment.random_stride": int(augmented),
    }
    kind = "a stream" if variant.streams else "a clip network"
    return RecipePreset(
        values=values,
        arithmetic={
            "recipe.learning_rate": rate_line,
            "recipe.dropout": dropout_line,
            "recipe.train_frames": f"{frames}, of {name} as released"
            if name in RELEASED_FRAMES
            else f"{frames}, the network's own",
            "recipe.augment.policy": f"{values['recipe.augment.policy']}, as {name or 'most'} released as {kind}",
        },
    )


def _small(*, num_train_videos: int, batch_size: int) -> RecipePreset:
    rate, rate_line = _adam_rate(1e-2, batch_size)
    epochs, epochs_line = _epochs(SMALL_STEPS, SMALL_EPOCHS, num_train_videos, batch_size)
    values: dict[str, object] = {
        "recipe.optimizer": "adamw",
        "recipe.learning_rate": rate,
        "recipe.epochs": epochs,
        "recipe.warmup_epochs": 3.0,
        "recipe.weight_decay": 0.02,
        "recipe.dropout": 0.2,
        "recipe.stochastic_depth": 0.1,
        **_gentle_augmentation(),
    }
    return RecipePreset(values=values, arithmetic={"recipe.learning_rate": rate_line, "recipe.epochs": epochs_line})


def _finetune(*, num_train_videos: int, batch_size: int) -> RecipePreset:
    rate, rate_line = _adam_rate(5e-3, batch_size)
    epochs, epochs_line = _epochs(FINETUNE_STEPS, FINETUNE_EPOCHS, num_train_videos, batch_size)
    values: dict[str, object] = {
        "recipe.optimizer": "adamw",
        "recipe.learning_rate": rate,
        "recipe.backbone_rate": 0.1,
        "recipe.new_head": True,
        "recipe.epochs": epochs,
        "recipe.warmup_epochs": 1.0,
        "recipe.weight_decay": 0.02,
        "recipe.dropout": 0.2,
        **_gentle_augmentation(),
    }
    return RecipePreset(
        values=values,
        arithmetic={
            "recipe.learning_rate": rate_line,
            "recipe.backbone_rate": f"{rate:.4g} x 0.1 = {0.1 * rate:.4g} for all but new classifier and temporal head",
            "recipe.epochs": epochs_line,
        },
    )


def _published(rate: float) -> dict[str, object]:
    """What paper B.1 and the official configuration have in common, or the paper does not say (movinet.md 4)."""
    return {
        "recipe.optimizer": "rmsprop",
        "recipe.learning_rate": rate,
        "recipe.momentum": 0.9,
        "recipe.rms_decay": 0.9,
        "recipe.epsilon": 1.0,
        "recipe.epochs": PUBLISHED_EPOCHS,
        "recipe.schedule": "cosine",
        "recipe.weight_decay": RELEASED_L2,
        "recipe.label_smoothing": 0.1,
        "recipe.max_gradient_norm": None,
        "recipe.sync_batch_norm": True,
        "recipe.rezero_init": 0.0,
        "recipe.augment.crop_area": (0.08, 1.0),
        "recipe.augment.crop_aspect": (0.5, 2.0),
        "recipe.augment.flip": True,
    }


def _gentle_augmentation() -> dict[str, object]:
    return {
        "recipe.augment.crop_area": (0.3, 1.0),
        "recipe.augment.crop_aspect": (0.75, 4 / 3),
        "recipe.augment.flip": True,
        "recipe.augment.policy": "randaugment",
        "recipe.augment.num_operations": 1,
        "recipe.augment.magnitude": 5.0,
    }


def _published_rate(batch_size: int) -> tuple[float, str]:
    rate = PUBLISHED_RATE * batch_size / PUBLISHED_BATCH
    return rate, (
        f"{PUBLISHED_RATE} x {batch_size} / {PUBLISHED_BATCH} = {rate:.4g}, of TensorFlow's RMSProp with decay 0.9, "
        "momentum 0.9 and epsilon 1"
    )


def _adam_rate(base: float, batch_size: int) -> tuple[float, str]:
    """Adam's steps have the length of the rate, so that it grows with the square root of the batch."""
    rate = base * math.sqrt(batch_size / ADAM_BATCH)
    return rate, f"{base:g} x sqrt({batch_size} / {ADAM_BATCH}) = {rate:.4g}, of AdamW"


def _epochs(steps: int, bounds: tuple[int, int], num_train_videos: int, batch_size: int) -> tuple[int, str]:
    wanted = math.ceil(steps * batch_size / num_train_videos)
    epochs = min(max(wanted, bounds[0]), bounds[1])
    return epochs, (
        f"{steps:,} steps x {batch_size} / {num_train_videos:,} videos = {wanted:,}, at least {bounds[0]} and at most "
        f"{bounds[1]}: {epochs}"
    )


def _released_dropout(name: str | None, arch: ArchSpec, variant: Variant, *, num_classes: int) -> tuple[float, str]:
    if name is not None:
        dropout = 0.2 if name == "A0" or (name == "A1" and variant.streams) else 0.5
        return dropout, f"{dropout}, of {name} as released"
    macs = cost(arch, variant, num_classes=num_classes).macs
    bound = cost(published("A0"), Variant(), num_classes=num_classes).macs
    dropout = 0.2 if macs <= bound else 0.5
    sign = "<=" if macs <= bound else ">"
    return dropout, f"{dropout}, for {macs:,} multiply-adds {sign} {bound:,} of A0, which has 0.2; larger ones have 0.5"
