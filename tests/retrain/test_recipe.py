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
        ("max_gradient_norm", -1.0),
        ("weight_decay", -0.1),
        ("weight_decay", math.nan),
    ],
)
def test_rates_must_be_positive(name, value):
    with pytest.raises(
        UsageError,
        match=f"learning_rate and max_gradient_norm must be positive and weight_decay at least 0, .*{name}={value}",
    ):
        Recipe(**{name: value})


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
