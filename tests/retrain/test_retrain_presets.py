"""Recipes by name: their published constants, and the arithmetic that scales them."""

import dataclasses

import pytest

from retrain.presets import PRESETS, check_preset, preset, schedule_lines, variant_of_preset
from retrain.recipe import Recipe
from search_spaces.errors import UsageError
from search_spaces.published import NAMES, published, released_stream
from search_spaces.variant import VARIANTS, Variant
from video.augment import AugmentConfig

K600 = 366_016
"""Training clips of Kinetics 600 in the official configuration."""


def made(name, *, arch="A0", variant=None, batch=1024, videos=K600, classes=600, clip=None):
    spec = published(arch)
    return preset(
        name,
        num_train_videos=videos,
        batch_size=batch,
        arch=spec if clip is None else dataclasses.replace(spec, clip=clip),
        variant=variant or Variant(),
        num_classes=classes,
    )


def recipe_of(found, batch):
    """The preset as a recipe, which checks what it holds."""
    parts = {name.removeprefix("recipe."): value for name, value in found.values.items()}
    augment = {name.removeprefix("augment."): parts.pop(name) for name in list(parts) if name.startswith("augment.")}
    return Recipe(**parts, batch_size=batch, augment=AugmentConfig(**augment))


def test_the_paper_at_its_own_batch():
    """Paper B.1, and 64 frames (4, implementation details)."""
    recipe = recipe_of(made("paper", arch="A3"), 1024)
    assert (recipe.optimizer, recipe.momentum, recipe.epochs, recipe.warmup_epochs) == ("rmsprop", 0.9, 240, 5.0)
    assert recipe.learning_rate == pytest.approx(1.8)
    assert (recipe.schedule, recipe.label_smoothing, recipe.ema_decay) == ("cosine", 0.1, 0.99)
    assert recipe.sync_batch_norm
    assert recipe.train_frames == 64
    assert recipe.rezero_init == 0.0
    assert (recipe.dropout, recipe.stochastic_depth, recipe.augment.policy) == (0.0, 0.0, "none")
    assert (recipe.max_gradient_norm, recipe.max_weight_gradient_norm) == (None, None)
    assert made("paper", arch="A0").values["recipe.train_frames"] == 50  # no more than in the test


def test_the_paper_scaled_to_a_batch():
    found = made("paper", batch=32)
    assert found.values["recipe.learning_rate"] == pytest.approx(0.05625)
    assert found.arithmetic["recipe.learning_rate"].startswith("1.8 x 32 / 1024 = 0.05625, of TensorFlow's RMSProp")


def test_the_paper_has_hard_swish_throughout():
    assert variant_of_preset("paper", Variant()) == Variant(activation="hard_swish", head_activation="hard_swish")
    assert variant_of_preset("paper", VARIANTS["paper-stream"]) == VARIANTS["paper-stream"]
    for name in (None, "released", "small", "finetune"):
        assert variant_of_preset(name, Variant()) == Variant()


def test_the_released_networks_are_trained_as_movinet_md_4_says():
    """movinet.md 4: what all have in common; 85,785 steps, of which 2,145 warm up."""
    found = made("released")
    recipe = recipe_of(found, 1024)
    assert (recipe.optimizer, recipe.rms_decay, recipe.momentum, recipe.epsilon) == ("rmsprop", 0.9, 0.9, 1.0)
    assert (recipe.first_mean_square, recipe.learning_rate) == (0.0, pytest.approx(1.8))
    assert (recipe.max_gradient_norm, recipe.max_weight_gradient_norm) == (None, 1.0)
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.stochastic_depth) == (3e-5, 0.1, 0.2)
    assert recipe.ema_decay == 0.0
    assert recipe.sync_batch_norm
    assert recipe.augment.crop_area == (0.08, 1.0)
    assert recipe.augment.crop_aspect == (0.5, 2.0)
    assert recipe.augment.flip
    assert recipe.num_steps(K600) == pytest.approx(85_785, rel=2e-3)
    assert recipe.warmup_epochs * recipe.steps_per_epoch(K600) == pytest.approx(2145, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "frames", "dropouts", "augmented"),
    [
        ("A0", 50, (0.2, 0.2), (True, False)),
        ("A1", 50, (0.5, 0.2), (True, False)),
        ("A2", 50, (0.5, 0.5), (True, False)),
        ("A3", 64, (0.5, 0.5), (True, False)),
        ("A4", 32, (0.5, 0.5), (True, True)),
        ("A5", 32, (0.5, 0.5), (True, True)),
    ],
)
def test_the_table_of_released_networks(name, frames, dropouts, augmented):
    """movinet.md 4: training frames, dropout, AutoAugment and random stride, of clip networks and streams."""
    for variant, dropout, auto in zip((Variant(), released_stream(name)), dropouts, augmented, strict=True):
        values = made("released", arch=name, variant=variant).values
        assert values["recipe.train_frames"] == frames
        assert values["recipe.dropout"] == dropout
        assert values["recipe.augment.policy"] == ("autoaugment" if auto else "none")
        assert values["recipe.augment.random_stride"] == int(auto)


def test_a_network_of_another_architecture_goes_by_its_cost():
    spec = published("A0")
    for width, dropout in ((spec.head_width, 0.2), (5 * spec.head_width, 0.5)):
        other = dataclasses.replace(spec, dense_width=1024, head_width=width)
        found = preset("released", num_train_videos=100, batch_size=8, arch=other, variant=Variant(), num_classes=600)
        assert found.values["recipe.dropout"] == dropout, found.arithmetic
        assert found.values["recipe.train_frames"] == 50
        assert " multiply-adds " in found.arithmetic["recipe.dropout"]


@pytest.mark.parametrize(
    ("videos", "batch", "epochs"), [(1000, 32, 64), (1000, 16, 32), (100, 32, 240), (1_000_000, 32, 30), (2001, 32, 32)]
)
def test_few_videos_are_seen_often(videos, batch, epochs):
    found = made("small", videos=videos, batch=batch)
    assert found.values["recipe.epochs"] == epochs
    assert found.arithmetic["recipe.epochs"].endswith(f": {epochs}")
    recipe = recipe_of(found, batch)
    assert recipe.learning_rate == pytest.approx(0.01 * (batch / 32) ** 0.5)
    assert (recipe.optimizer, recipe.augment.policy) == ("adamw", "randaugment")


def test_fine_tuning_has_a_new_head_and_a_slow_backbone():
    found = made("finetune", videos=1000, batch=128)
    recipe = recipe_of(found, 128)
    assert (recipe.new_head, recipe.backbone_rate) == (True, 0.1)
    assert recipe.learning_rate == pytest.approx(0.01)
    assert recipe.epochs == 60
    assert found.arithmetic["recipe.backbone_rate"].startswith("0.01 x 0.1 = 0.001 for all but new classifier")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("arch", NAMES)
def test_every_preset_is_a_recipe(name, arch):
    found = made(name, arch=arch, batch=8, videos=500)
    recipe_of(found, 8)
    assert found.arithmetic.keys() <= found.values.keys()


def test_steps_are_told_with_their_arithmetic():
    lines = schedule_lines(Recipe(epochs=240, batch_size=32, warmup_epochs=5.0), 1000)
    assert lines == (
        "steps: 240 epochs x 31 (1,000 videos / 32) = 7,440",
        "warm-up: 5 epochs x 31 = 155 steps, then cosine",
    )


def test_an_unknown_preset_is_refused():
    check_preset(None)
    with pytest.raises(UsageError, match="preset must be one of paper, released, small, finetune, but got 'movie'"):
        check_preset("movie")
    with pytest.raises(UsageError, match="preset must be one of"):
        made("movie")
