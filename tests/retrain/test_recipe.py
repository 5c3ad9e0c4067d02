import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.recipe import Recipe
from search_spaces.errors import UsageError


def test_the_defaults_hold():
    recipe = Recipe()
    assert (recipe.train_frames, recipe.test_frames) == (None, None)


@pytest.mark.parametrize("name", ["epochs", "evaluations", "calibration_batches", "checkpoint_every"])
def test_counts_must_be_at_least_one(name):
    with pytest.raises(
        UsageError,
        match=f"epochs, evaluations, calibration_batches and checkpoint_every must be at least 1, but got .*{name}=0",
    ):
        Recipe(**{name: 0})


def test_a_batch_must_have_two_clips():
    with pytest.raises(UsageError, match="batch_size must be at least 2, for batch norm, but got 1$"):
        Recipe(batch_size=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("backbone_rate", 0.0),
        ("epsilon", -1e-8),
        ("max_gradient_norm", -1.0),
        ("max_weight_gradient_norm", 0.0),
    ],
)
def test_rates_and_norms_must_be_positive(name, value):
    with pytest.raises(
        UsageError,
        match="learning_rate, backbone_rate, epsilon, max_gradient_norm and max_weight_gradient_norm must be positive, "
        f"but got .*{name}={value}",
    ):
        Recipe(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("weight_decay", -0.1), ("weight_decay", math.nan), ("first_mean_square", -1.0), ("first_mean_square", math.inf)],
)
def test_decay_and_first_mean_square_must_not_be_negative(name, value):
    with pytest.raises(
        UsageError, match=f"weight_decay and first_mean_square must be at least 0, but got .*{name}={value}"
    ):
        Recipe(**{name: value})


@pytest.mark.parametrize("name", ["momentum", "rms_decay"])
@pytest.mark.parametrize("value", [1.0, -0.1, math.nan])
def test_memories_must_fade(name, value):
    with pytest.raises(UsageError, match=rf"momentum and rms_decay must be in \[0, 1\), but got .*{name}={value}"):
        Recipe(**{name: value})


@pytest.mark.parametrize(
    ("name", "known"),
    [("optimizer", "adamw, rmsprop"), ("schedule", "cosine, linear, constant"), ("balance", "none, loss, sampling")],
)
def test_names_must_be_known(name, known):
    with pytest.raises(UsageError, match=f"{name} must be one of {known}, but got 'sgd'"):
        Recipe(**{name: "sgd"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("label_smoothing", 1.0), ("label_smoothing", -0.1), ("ema_decay", 1.0), ("warmup_epochs", -0.5)],
)
def test_shares_must_be_in_their_range(name, value):
    with pytest.raises(
        UsageError,
        match=rf"label_smoothing and ema_decay must be in \[0, 1\) and warmup_epochs at least 0, .*{name}={value}",
    ):
        Recipe(**{name: value})


@pytest.mark.parametrize("name", ["dropout", "stochastic_depth"])
@pytest.mark.parametrize("value", [1.0, -0.1, math.nan])
def test_what_is_dropped_must_be_a_share(name, value):
    with pytest.raises(
        UsageError, match=rf"dropout and stochastic_depth must be in \[0, 1\), but got .*{name}={value}"
    ):
        Recipe(**{name: value})


@pytest.mark.parametrize("values", [{"accumulation": 0}, {"accumulation": 3, "batch_size": 32}, {"keep_every": -1}])
def test_micro_batches_divide_the_batch(values):
    with pytest.raises(UsageError, match="accumulation must be at least 1 and divide batch_size, and keep_every at"):
        Recipe(**values)


@pytest.mark.parametrize("name", ["train_frames", "test_frames"])
@pytest.mark.parametrize("value", [0, -3])
def test_clips_must_have_frames(name, value):
    with pytest.raises(UsageError, match=f"train_frames and test_frames must be at least 1, but got .*{name}={value}"):
        Recipe(**{name: value})


@pytest.mark.parametrize(("num_videos", "steps"), [(1, 1), (15, 1), (16, 1), (24, 2), (40, 2), (41, 3), (64, 4)])
def test_an_epoch_sees_about_every_video_once(num_videos, steps):
    recipe = Recipe(batch_size=16, epochs=3)
    assert recipe.steps_per_epoch(num_videos) == steps
    assert recipe.num_steps(num_videos) == 3 * steps


def epochs_evaluated(recipe):
    return [epoch for epoch in range(recipe.epochs) if recipe.evaluation_due(epoch)]


@pytest.mark.parametrize(
    ("epochs", "evaluations", "wanted"),
    [
        (60, 10, [5, 11, 17, 23, 29, 35, 41, 47, 53, 59]),
        (10, 4, [2, 4, 7, 9]),
        (5, 10, [0, 1, 2, 3, 4]),
        (7, 1, [6]),
        (1, 1, [0]),
    ],
)
def test_evaluations_by_hand(epochs, evaluations, wanted):
    assert epochs_evaluated(Recipe(epochs=epochs, evaluations=evaluations)) == wanted


@given(epochs=st.integers(1, 200), evaluations=st.integers(1, 200))
def test_evaluations_are_as_many_as_asked_for_spread_evenly_and_at_the_end(epochs, evaluations):
    found = epochs_evaluated(Recipe(epochs=epochs, evaluations=evaluations))
    assert len(found) == min(epochs, evaluations)
    assert found[-1] == epochs - 1
    gaps = {second - first for first, second in zip([-1, *found], found, strict=False)}
    assert max(gaps) - min(gaps) <= 1


def test_a_recipe_is_a_value():
    recipe = Recipe(epochs=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.epochs = 4
    assert dataclasses.replace(recipe, epochs=4) == Recipe(epochs=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subclip_frames": 0}, "subclip_frames must be at least 1, but got 0"),
        ({"grw_weight": -0.1}, "grw_weight, grw_alpha and grw_warmup_steps must be at least 0, but got .*-0.1"),
        ({"grw_alpha": -1.0}, "grw_weight, grw_alpha and grw_warmup_steps must be at least 0"),
        ({"grw_warmup_steps": -1}, "grw_weight, grw_alpha and grw_warmup_steps must be at least 0"),
        ({"grw_sigma": 0.0}, "grw_sigma must be above 0, but got 0.0"),
        ({"grw_layers": ()}, "grw_layers must be different names, at least one"),
        ({"grw_layers": ("stem", "stem")}, "grw_layers must be different names, at least one"),
        ({"grw_window": 2}, "grw_window must be at least 3"),
        ({"grw_weight": 0.1, "train_frames": 4}, "grw_window must be .* at most the frames .* but got 5, and 4 frames"),
        ({"grw_weight": 0.1, "train_frames": 9, "subclip_frames": 3}, "but got 5, and 3 frames"),
    ],
)
def test_sub_clips_and_smoothing_are_checked(changes, message):
    with pytest.raises(UsageError, match=message):
        Recipe(**changes)


def test_a_window_is_free_where_nothing_is_smoothed():
    assert Recipe(train_frames=2, subclip_frames=1).grw_weight == 0
