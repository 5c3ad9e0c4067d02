"""`movinas ensemble train`: both networks in one folder, which evaluate, stream, inspect, report and resume take."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from program import call, call_json

from launch import ensemble_train, retrain
from launch.cli import INTERRUPTED, main
from launch.options import from_yaml, to_yaml
from launch.runs import options_of
from results.run_dir import open_run
from retrain.model_file import load_model, read_card
from search_spaces.ensemble import EnsembleMember, EnsembleSpec
from search_spaces.ensemble_json import make_ensemble_file, read_ensemble, write_ensemble
from search_spaces.published import published
from search_spaces.spec_json import read_spec
from search_spaces.variant import Variant
from supernet.stream import Stream
from video.frame_stream import Look, stream_frames
from video.manifest import load_manifest
from video.source import file_source

TRAINING = ["--recipe.epochs=1", "--recipe.batch_size=8", "--variant=released-stream", "--seed=3", "--json"]


@pytest.fixture(scope="module")
def spec(search_run):
    return next((search_run / "specs").iterdir())


@pytest.fixture(scope="module")
def trained(tmp_path_factory, spec, motion_manifest):
    out = tmp_path_factory.mktemp("ensemble") / "run"
    assert main(["ensemble", "train", str(spec), f"--data={motion_manifest}", f"--out={out}", *TRAINING]) == 0
    return out


def weights(run):
    return [(run / f"members/member{number}/model/model.safetensors").read_bytes() for number in range(2)]


def test_one_folder_with_both(capsys, trained, spec):
    ensemble_file = read_ensemble(trained / "ensemble.json")
    assert ensemble_file.models == ("members/member0/model", "members/member1/model")
    full = read_spec(spec).arch.clip
    cards = [read_card(trained / model) for model in ensemble_file.models]
    for card in cards:
        assert (card.num_frames * 2, card.rate_fps * 2) == (full.num_frames, full.rate_fps)
    assert weights(trained)[0] != weights(trained)[1]  # of other seeds
    document = call_json(capsys, "inspect", trained)
    assert [(member["seed"], member["offset_frames"]) for member in document["members"]] == [(3, 0.0), (4, 0.5)]
    assert [member["val_top1"] for member in document["members"]] == [card.val_top1 for card in cards]
    assert (document["missing"], document["failed"]) == ([], {})
    code, out, _ = call(capsys, "inspect", trained)
    assert code == 0
    assert "2 trained, 0 missing" in out


def test_evaluated_as_one_and_streamed_likewise(capsys, trained, motion_manifest):
    options = ["--data", motion_manifest, "--threads", 1]
    report = call_json(capsys, "evaluate", trained, *options)
    assert json.loads((trained / "test.json").read_text()) == report
    assert report["num_videos"] == sum(map(sum, report["confusion"]))
    assert "Members" in (trained / "report.html").read_text()
    by_file = call_json(capsys, "evaluate", trained / "ensemble.json", *options)
    assert by_file == report
    stepped = call_json(capsys, "evaluate", trained, *options, "--stream")
    assert (stepped["stream"], stepped["confusion"]) == (True, report["confusion"])
    for views in ("whole", "tilesx2"):
        assert call_json(capsys, "evaluate", trained, *options, "--views", views)["num_videos"] == report["num_videos"]
    points = call_json(capsys, "evaluate", trained, *options, "--by", "frame")["points"]
    assert points[-1]["kind"] == "so_far"
    assert points[-1]["top1"] == report["top1"]


def test_a_stream_takes_turns(capsys, trained, motion_manifest):
    """By hand: frames at the full rate, even ones for the first network, odd ones for the second; mean of logits."""
    video = load_manifest(motion_manifest).of("test")[0].path
    code, out, err = call(capsys, "stream", trained, video, "--json", "--top", 8, "--threads", 1)
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    nets, card = zip(*(load_model(trained / f"members/member{number}/model") for number in range(2)), strict=True)
    streams = [Stream(net) for net in nets]
    look = Look(rate_fps=2 * card[0].rate_fps, short_side=card[0].short_side, resolution=card[0].resolution)
    latest = {}
    frames = list(stream_frames(file_source(video), look))
    assert len(lines) == len(frames) > 6
    for number, (line, frame) in enumerate(zip(lines, frames, strict=True)):
        frame_CHW = torch.from_numpy(frame.frame_HWC.copy()).permute(2, 0, 1).float() / 255
        latest[number % 2] = streams[number % 2].push(frame_CHW).double()
        chances_K = torch.stack(list(latest.values())).mean(dim=0).softmax(dim=0).numpy()
        assert (line["member"], line["frame"], line["time_s"]) == (number % 2, number, frame.time_s)
        found = {entry["class"]: entry["probability"] for entry in line["classes"]}
        np.testing.assert_allclose([found[name] for name in card[0].class_names], chances_K, rtol=1e-5)


def test_killed_between_its_members_it_goes_on(capsys, trained, spec, motion_manifest, tmp_path, monkeypatch):
    train, names = ensemble_train.train, []

    def interrupted(task):
        names.append(task.name)
        if len(names) == 2:
            raise KeyboardInterrupt
        return train(task)

    monkeypatch.setattr(ensemble_train, "train", interrupted)
    arguments = ["ensemble", "train", spec, f"--data={motion_manifest}", f"--out={tmp_path / 'run'}", *TRAINING]
    assert call(capsys, *arguments)[0] == INTERRUPTED
    assert "1 missing" in call(capsys, "inspect", tmp_path / "run")[1]
    code, _, err = call(capsys, "evaluate", tmp_path / "run", "--data", motion_manifest)
    assert (code, "models: must name the folder of each member's trained network" in err) == (2, True)
    code, out, err = call(capsys, "resume", tmp_path / "run", "--json")
    assert code == 0, err
    assert json.loads(out)["missing"] == []
    assert names == ["member0", "member1", "member1"]
    assert weights(tmp_path / "run") == weights(trained)
    assert (tmp_path / "run/ensemble.json").read_bytes() == (trained / "ensemble.json").read_bytes()


@pytest.mark.parametrize("executor", [{}, {"executor": "ray", "gpus": 0.5, "parallel": 2, "max_failures": 7}])
def test_a_network_is_trained_in_one_process_wherever_it_is(executor, spec, tmp_path):
    options = ensemble_train.Options(spec=str(spec), data=tmp_path, out=tmp_path, threads=2, workers=1, **executor)
    training = ensemble_train._training(options, str(spec), out=tmp_path / "member0", seed=4)
    assert from_yaml(retrain.Options, to_yaml(training)) == training
    assert (training.executor, training.gpus, training.ranks, training.max_failures) == ("inline", 0, 1, 3)
    assert (training.threads, training.workers, training.seed) == (2, 1, 4)


def test_a_preset_is_scaled_to_the_networks_and_their_data(capsys, spec, motion_manifest, tmp_path):
    given = ["--preset=paper", "--recipe.batch_size=16", "--recipe.epochs=1", "--recipe.rezero_init=0.5"]
    training = ["ensemble", "train", spec, "--data", motion_manifest, "--out", tmp_path / "run", *given]
    code, _, err = call(capsys, *training)
    assert code == 0, err
    assert "preset paper: recipe.learning_rate: 1.8 x 16 / 1024 = 0.02813, of TensorFlow's RMSProp" in err
    assert "preset paper: warm-up: 5 epochs x" in err
    assert "preset paper: recipe.epochs: 1, as given, and not 240" in err
    assert "preset paper: recipe.rezero_init: 0.5, as given, and not 0.0" in err
    kept = [options_of(open_run(tmp_path / f"run/members/member{k}"), retrain.Options) for k in range(2)]
    for options in kept:
        assert options.recipe == options_of(open_run(tmp_path / "run"), ensemble_train.Options).recipe
        assert (options.recipe.optimizer, options.recipe.learning_rate) == ("rmsprop", 1.8 * 16 / 1024)
        assert read_spec(Path(options.spec)).variant.activation == "hard_swish"


def test_a_preset_must_be_the_same_for_all_networks(capsys, motion_manifest, tmp_path):
    arguments = ["--data", motion_manifest, "--out", tmp_path / "run", "--preset"]
    members = [EnsembleMember(arch=published(name), variant=Variant()) for name in ("A0", "A2")]
    path = write_ensemble(make_ensemble_file(EnsembleSpec(members=tuple(members))), tmp_path)
    code, out, err = call(capsys, "ensemble", "train", path, *arguments, "released")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "recipe.dropout is 0.2 for members[0] and 0.5 for members[1]" in err
    code, _, err = call(capsys, "ensemble", "train", path, *arguments, "papr")
    assert (code, "preset must be one of paper, released, small, finetune, but got 'papr'" in err) == (2, True)


def test_bad_input_makes_no_folder(capsys, trained, retrain_run, spec, motion_manifest, tmp_path):
    out = ["--data", motion_manifest, "--out", tmp_path / "run"]
    for arguments, message in (
        (["published:A7", *out], "one of A0, A1"),
        ([spec, *out, "--init", "retrain:nowhere"], "must be a run folder"),
        ([spec, *out, "--parallel", 2], "must go with --executor ray or tune"),
        ([spec, "--data", motion_manifest, "--out", trained], "never overwritten"),
    ):
        code, stdout, err = call(capsys, "ensemble", "train", *arguments)
        assert (code, stdout, len(err.splitlines())) == (2, "", 1), err
        assert message in err
    assert not (tmp_path / "run").exists()
