"""What options of a retraining are where nobody gave them."""

import dataclasses
from pathlib import Path

import pytest

from launch import retrain_options
from launch.retrain_options import MEMORY_SHARE, Options, defaults_of, fitting_accumulation, spec_of
from retrain.recipe import Recipe
from search_spaces.floors import kept_bytes, operators


@pytest.fixture
def options(motion_manifest):
    recipe = Recipe(batch_size=24, train_frames=8)
    return Options(spec="published:A0", data=motion_manifest, out=Path("out"), recipe=recipe)


@pytest.fixture
def clip_bytes(options):
    """What the backward pass needs of one clip."""
    arch = spec_of(options).arch
    clip = dataclasses.replace(arch.clip, num_frames=8)
    return kept_bytes(operators(arch, spec_of(options).variant, num_classes=8, clip=clip))


@pytest.mark.parametrize(
    ("room", "ranks", "expected"),
    [(40, 1, 1), (36, 1, 1), (35.9, 1, 2), (9, 1, 4), (8.9, 1, 6), (0, 1, 12), (36, 2, 1)],
)
def test_the_fewest_micro_batches_that_fit_are_taken(options, clip_bytes, monkeypatch, room, ranks, expected):
    """`room` in clips of exactly what they need; half as much again is wanted of 24 clips, so 36."""
    monkeypatch.setattr(retrain_options, "memory_bytes", lambda device: (room * clip_bytes + 1) / MEMORY_SHARE)
    options = dataclasses.replace(options, ranks=ranks, device="cpu")
    assert fitting_accumulation(options) == expected
    assert defaults_of(options) == {"recipe.accumulation": expected}


def test_sub_clips_need_less(options, clip_bytes, monkeypatch):
    monkeypatch.setattr(retrain_options, "memory_bytes", lambda device: 10 * clip_bytes / MEMORY_SHARE)
    parts = [
        fitting_accumulation(dataclasses.replace(options, recipe=dataclasses.replace(options.recipe, subclip_frames=n)))
        for n in (None, 4, 2)
    ]
    assert parts == [4, 2, 1]


def test_ranks_of_torchrun_divide_the_batch_and_nodes_of_ray_are_not_known(options, monkeypatch):
    monkeypatch.setattr(retrain_options, "memory_bytes", lambda device: 0)
    assert fitting_accumulation(dataclasses.replace(options, executor="ray")) == 1
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert fitting_accumulation(options) == 2  # 24 clips are 4 for each rank
