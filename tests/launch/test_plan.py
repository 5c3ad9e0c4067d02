"""`--plan`: figures, and nothing written."""

from dataclasses import replace

import pytest
import torch
from program import TARGET, call_json

import launch.search_plan
from launch import retrain
from launch.compute import Compute
from launch.plan import Trial
from launch.search_plan import search_plan
from nas.loop import SearchConfig
from nas.problem import Problem
from nas.warmup import WarmupConfig
from retrain.recipe import Recipe
from search_spaces.movinet import find_space
from search_spaces.target import parse_target
from search_spaces.variant import Variant
from supernet.evaluator import WeightConfig


def test_plans_stop_before_anything_is_written(capsys, search_run, motion_manifest, tmp_path):
    spec = next((search_run / "specs").iterdir())
    for command in (
        ["search", "--space=nano", f"--target={TARGET}", "--weights.batch_size=4", "--weights.reward_batch_size=4"],
        ["retrain", spec, "--recipe.batch_size=4"],
    ):
        document = call_json(
            capsys, *command, "--data", motion_manifest, "--out", tmp_path / "run", "--plan", "--threads=1"
        )
        assert document["steps"] > 0
        assert min(document[key] for key in ("estimated_s", "peak_memory_bytes", "disk_bytes")) > 0
        assert document["estimated_s"] == pytest.approx(sum(document["parts_s"].values()))
        assert not (tmp_path / "run").exists()


def test_rewards_are_part_of_a_search_and_grow_with_their_batch(capsys, motion_manifest, tmp_path):
    seconds = []
    for multiple in (1, 8):
        options = ["--weights.batch_size=4", f"--weights.reward_multiple={multiple}", "--threads=1", "--plan"]
        arguments = ["--space=nano", f"--target={TARGET}", f"--data={motion_manifest}", f"--out={tmp_path / 'run'}"]
        document = call_json(capsys, "search", *arguments, *options)
        assert set(document["parts_s"]) == {"weight_steps", "rewards", "comparison"}
        seconds.append(document["parts_s"]["rewards"])
    assert seconds[1] > 2 * seconds[0]


def test_a_plan_tries_what_warm_up_runs():
    """The first step of a search runs every kernel of the largest network, which keeps the most for its gradients."""
    problem = Problem(space=find_space("nano"), variant=Variant(), target=parse_target(TARGET), num_classes=8, seed=0)
    kept = {}
    for fraction in (0.0, 0.25):
        sizes = []

        def pack(tensor, sizes=sizes):
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            plan = search_plan(
                problem,
                SearchConfig(steps=4, warmup=WarmupConfig(op_fraction=fraction, filter_fraction=fraction)),
                WeightConfig(batch_size=2, reward_multiple=1),
                clip_of=lambda spec: replace(spec.clip, num_frames=2, resolution=32),
                compare_clips=2,
                compute=Compute(device=torch.device("cpu"), num_threads=1, num_workers=0, amp_dtype=None),
            )
        kept[fraction] = sum(sizes)
        assert plan.parts_s["weight_steps"] > 0
    assert kept[0.25] > 1.5 * kept[0.0]


def test_ranks_share_the_time_of_a_plan_and_each_has_its_memory(monkeypatch):
    trial = Trial(train_s=2.0, forward_s=1.0, peak_bytes=7)
    monkeypatch.setattr(launch.search_plan, "try_supernet", lambda *_, **__: (trial, 2.0))
    problem = Problem(space=find_space("nano"), variant=Variant(), target=parse_target(TARGET), num_classes=8, seed=0)
    plans = [
        search_plan(
            problem,
            SearchConfig(steps=10, architectures_per_step=4),
            WeightConfig(batch_size=2),
            clip_of=lambda spec: spec.clip,
            compare_clips=8,
            compute=Compute(device=torch.device("cpu"), num_threads=1, num_workers=0, amp_dtype=None),
            ranks=ranks,
        )
        for ranks in (1, 2)
    ]
    compared = 1 + 16 + 16  # of which the second rank has one less than the first
    assert plans[0].parts_s == {"weight_steps": 80.0, "rewards": 40.0, "comparison": float(compared)}
    assert plans[1].parts_s == {"weight_steps": 40.0, "rewards": 20.0, "comparison": 17.0}
    assert [(plan.ranks, plan.peak_bytes) for plan in plans] == [(1, 7), (2, 7)]
    assert plans[0].disk_bytes == plans[1].disk_bytes


def test_a_plan_of_training_in_sub_clips_tries_one_of_them(motion_manifest, tmp_path, monkeypatch):
    tried = []

    def try_net(net, *, batch_size, clip, compute):
        tried.append((batch_size, clip.num_frames))
        return Trial(train_s=1.0, forward_s=0.25, peak_bytes=1)

    monkeypatch.setattr(retrain, "try_net", try_net)
    recipe = Recipe(epochs=1, batch_size=4, train_frames=8, calibration_batches=2)
    given = retrain.Options(
        spec="published:A0", data=motion_manifest, out=tmp_path / "run", variant="released-stream", recipe=recipe
    )
    in_pieces = replace(given, recipe=replace(recipe, subclip_frames=2))
    whole, pieces = (retrain.plan(options, *retrain.check(options)) for options in (given, in_pieces))
    assert tried == [(4, 8), (4, 2)]
    assert pieces.parts_s == {name: 4 * seconds for name, seconds in whole.parts_s.items()}
