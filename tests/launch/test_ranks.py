"""Processes that train together: what they compute is what one process does, and how they end."""

import dataclasses
import itertools
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from made_clips import NUM_CLASSES, batch_of
from made_nets import TINY_SPEC, randomise

from launch.ranks import local_number, run_ranks, torchrun_ranks
from results.run_dir import create_run
from results.stopwatch import Stopwatch
from retrain.fit import Trainer
from retrain.model_file import ModelCard
from retrain.recipe import Recipe
from search_spaces.errors import RankLostError, UsageError
from search_spaces.spec_json import fingerprint
from search_spaces.variant import Variant
from supernet.calibrate import synchronise
from supernet.distributed import ALONE, Ranks
from supernet.tensors import from_bytes, to_bytes
from supernet.video_net import VideoNet
from video.clips import ClipBatch

RECIPE = Recipe(epochs=10, batch_size=8, learning_rate=0.02, evaluations=2, calibration_batches=2, dropout=0.2)
NUM_VIDEOS = 16
"""Two steps an epoch, twenty in all."""


def part_of(batch, size, number):
    """Micro-batch `number` of the clips of a step."""
    part = slice(number * size, (number + 1) * size)
    return ClipBatch(frames_BTHWC=batch.frames_BTHWC[part], labels_B=batch.labels_B[part], indices=batch.indices[part])


def train_small(folder: Path, recipe: Recipe, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Twenty steps on clips made in memory; the weights, statistics and average at their end."""
    torch.set_num_threads(1)
    net = VideoNet(TINY_SPEC, Variant(), num_classes=NUM_CLASSES, seed=3, dropout=recipe.dropout)
    randomise(net)
    size = recipe.batch_size // (ranks.size * recipe.accumulation)

    def batches(step):
        for number in itertools.count(step):
            batch = batch_of(number, size=recipe.batch_size, seed=1)
            for part in range(recipe.accumulation):
                yield part_of(batch, size, ranks.rank * recipe.accumulation + part)

    seen = []

    def accuracy(averaged):
        seen.append({name: tensor.clone() for name, tensor in averaged.state_dict().items()})
        return 0.5

    card = ModelCard(
        fingerprint=fingerprint(TINY_SPEC, Variant()),
        arch=TINY_SPEC,
        variant=Variant(),
        class_names=("red", "green", "blue"),
        num_frames=4,
        rate_fps=4.0,
        short_side=14,
        resolution=12,
        epoch=0,
        val_top1=None,
    )
    trainer = Trainer(
        net,
        recipe,
        num_videos=NUM_VIDEOS,
        card=card,
        train_batches=batches,
        accuracy=accuracy,
        seed=5,
        ranks=ranks,
    )
    run = create_run(folder, kind="retrain", files={}) if ranks.is_first else None
    losses = [record.train_loss for record in trainer.fit(run, None, Stopwatch())]
    return {
        **net.state_dict(),
        **{f"measured {name}": tensor for name, tensor in seen[-1].items()},
        "losses": torch.tensor(losses),
    }


def compare_on_ranks(folder: Path, ranks: Ranks) -> None:
    """What the processes of the test below do."""
    found = train_small(folder / "ranks", RECIPE, ranks)
    joint = train_small(folder / "joint", dataclasses.replace(RECIPE, dropout=0.0, sync_batch_norm=True), ranks)
    (folder / f"{ranks.rank}.safetensors").write_bytes(to_bytes(found))
    (folder / f"joint{ranks.rank}.safetensors").write_bytes(to_bytes(joint))
    assert ranks.gathered(ranks.rank) == [0, 1]
    assert ranks.interleaved([[0, 2, 4], [1, 3]][ranks.rank]) == [0, 1, 2, 3, 4]
    assert ranks.from_first(lambda: "said" if ranks.is_first else pytest.fail("asked")) == "said"


@pytest.fixture(scope="module")
def trained_on_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(compare_on_ranks, folder, size=2)
    return {path.stem: from_bytes(path.read_bytes()) for path in folder.glob("*.safetensors")}


def require_close(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_two_ranks_train_as_one_with_two_micro_batches(trained_on_two, tmp_path):
    """Weights, running statistics, losses, and the averaged network with statistics of its own, after 20 steps."""
    alone = train_small(tmp_path / "run", dataclasses.replace(RECIPE, accumulation=2), ALONE)
    require_close(trained_on_two["0"], alone)
    whole = train_small(tmp_path / "whole", RECIPE, ALONE)
    assert not torch.allclose(whole["stem.weight"], alone["stem.weight"], rtol=1e-2)  # other batch statistics


def test_every_rank_ends_with_the_same_bytes(trained_on_two):
    assert trained_on_two["0"].keys() == trained_on_two["1"].keys()
    for name, tensor in trained_on_two["0"].items():
        assert torch.equal(trained_on_two["1"][name], tensor), name


def test_with_joint_statistics_two_ranks_train_as_one_on_whole_batches(trained_on_two, tmp_path):
    alone = train_small(tmp_path / "run", dataclasses.replace(RECIPE, dropout=0.0), ALONE)
    found = trained_on_two["joint0"]
    torch.testing.assert_close(found["losses"], alone["losses"], rtol=1e-4, atol=0.0)
    # not the shifts: those before another norm have gradients of nothing but rounding, which AdamW makes whole steps
    for name in ("stem.weight", "head.classifier.weight", "measured stem.running_var"):
        torch.testing.assert_close(found[name], alone[name], rtol=1e-3, atol=1e-4, msg=name)


def test_statistics_of_one_process_are_joint_ones_of_one_row():
    """The synchronised norm beside the usual one, forward and backward, in double precision."""
    results = []
    for joint in (False, True):
        net = VideoNet(TINY_SPEC, Variant(), num_classes=NUM_CLASSES, seed=3).train().double()
        randomise(net)
        if joint:
            synchronise(net, lambda row_S: row_S[None])
        net((batch_of(0, size=4).frames_BTHWC / 255).movedim(4, 1).double()).square().sum().backward()
        results.append({**net.state_dict(), **{f"{name} g": weight.grad for name, weight in net.named_parameters()}})
    for name, tensor in results[0].items():
        torch.testing.assert_close(results[1][name], tensor, rtol=1e-6, atol=1e-6, msg=name)


def end_badly(how: str, ranks: Ranks) -> None:
    if ranks.rank == 1 and how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if ranks.rank == 1 and how == "refused":
        raise UsageError("a rank must be pleased, but got none")
    if ranks.rank == 1 and how == "broken":
        raise SystemExit(7)
    while True:
        ranks.add([torch.ones(3)])


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("killed", RankLostError, "rank 1 of 2: it must stay until the end, but was killed by SIGKILL"),
        ("refused", UsageError, "a rank must be pleased, but got none"),
        ("broken", RankLostError, "rank 1 of 2: it must stay until the end, but ended with exit code 7"),
    ],
)
def test_a_rank_that_ends_ends_the_others_and_says_why(how, error, message):
    begin = time.monotonic()
    with pytest.raises(error, match=message):
        run_ranks(end_badly, how, size=2)
    assert time.monotonic() - begin < 60


def test_without_variables_of_torchrun_a_process_is_alone(monkeypatch):
    with torchrun_ranks() as ranks:
        assert ranks == ALONE
    monkeypatch.setenv("LOCAL_RANK", "two")
    with pytest.raises(UsageError, match="LOCAL_RANK must be a whole number, but got 'two'"):
        local_number("LOCAL_RANK", 0)
    for name, value in (("RANK", "first"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="RANK and WORLD_SIZE must be whole numbers"), torchrun_ranks():
        pass


def test_a_rank_lies_within_its_size():
    with pytest.raises(UsageError, match=r"a rank must be in \[0, 2\), but got 2"):
        Ranks(rank=2, size=2)
