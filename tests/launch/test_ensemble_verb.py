"""`movinas ensemble`, and what takes its files: `cost`, `evaluate`, `predict`."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from program import call, call_json

from retrain.model_file import load_model
from search_spaces.cost import cost
from search_spaces.ensemble_json import read_ensemble
from search_spaces.published import published
from search_spaces.spec_json import make_spec_file, read_spec, write_spec
from search_spaces.variant import VARIANTS, Variant
from video.keys import SampleKey
from video.manifest import load_manifest
from video.reader import ClipReader
from video.sampling import views

TRAINING = ["--recipe.epochs=2", "--recipe.batch_size=8", "--threads=1", "--workers=0"]


@pytest.fixture(scope="module")
def made(tmp_path_factory, motion_manifest, search_run):
    """Ensemble file without models, runs of both members, ensemble file with models."""
    from launch.cli import main

    folder = tmp_path_factory.mktemp("ensemble")
    spec = next((search_run / "specs").iterdir())
    assert main(["ensemble", str(spec), f"--out={folder / 'plain'}", "--json"]) == 0
    paths = {path.stem: path for path in (folder / "plain").iterdir()}
    (file,) = (path for path in paths.values() if '"movinas.ensemble"' in path.read_text())
    (member,) = (path for path in paths.values() if path != file)
    runs = [folder / "first", folder / "second"]
    for seed, run in enumerate(runs):
        options = [f"--data={motion_manifest}", f"--out={run}", f"--seed={seed}", *TRAINING]
        assert main(["retrain", str(member), *options]) == 0
    assert main(["ensemble", str(file), *map(str, runs), f"--out={folder / 'trained'}", "--json"]) == 0
    return spec, file, runs, folder / "trained" / file.name


def chances_by_hand(spec, runs, items, *, positions):
    """Softmax of the mean of two networks' logits, clip by clip; both see the frames of one clip at full rate."""
    clip = read_spec(spec).arch.clip
    nets = [load_model(run / "model") for run in runs]
    reader = ClipReader(items, geometry=clip, seed=0, short_side=nets[0][1].short_side, training=False)
    rows = []
    for index in range(len(items)):
        softmaxes = []
        for view in views(positions, 1):
            frames_THWC = reader.read(SampleKey(index=index, view=view)).frames_THWC
            logits = []
            for first, (net, _) in enumerate(nets):
                clip_1CTHW = torch.from_numpy(frames_THWC[first::2].copy()).permute(3, 0, 1, 2)[None].float() / 255
                with torch.no_grad():
                    logits.append(net(clip_1CTHW)[0].double().numpy())
            mean_K = np.mean(logits, axis=0)
            softmaxes.append(np.exp(mean_K - mean_K.max()) / np.exp(mean_K - mean_K.max()).sum())
        rows.append(np.mean(softmaxes, axis=0))
    return np.array(rows)


def test_the_files_of_a_spec(made):
    spec, file, _, _ = made
    whole, ensemble_file = read_spec(spec), read_ensemble(file)
    assert ensemble_file.models is None
    assert ensemble_file.provenance.origin == f"temporal ensemble of {whole.fingerprint}"
    for member in ensemble_file.ensemble.members:
        assert member.variant == whole.variant
        assert member.arch.clip.num_frames * 2 == whole.arch.clip.num_frames
    assert {path.suffix for path in file.parent.iterdir()} == {".json"}
    assert len(list(file.parent.iterdir())) == 2


def test_trained_networks_are_named_from_where_the_file_lies(made, tmp_path):
    _, file, runs, trained = made
    assert [(trained.parent / model).resolve() for model in read_ensemble(trained).models] == [
        (run / "model").resolve() for run in runs
    ]
    assert read_ensemble(trained).models == ("../first/model", "../second/model")
    assert dataclasses.replace(read_ensemble(trained), models=None) == read_ensemble(file)


@pytest.mark.parametrize("positions", [1, 3])
def test_predictions_are_the_mean_of_logits_of_alternate_frames(capsys, made, motion_manifest, positions):
    spec, _, runs, trained = made
    items = load_manifest(motion_manifest).of("test")
    videos = [item.path for item in items]
    documents = call_json(capsys, "predict", trained, *videos, "--views", f"{positions}x1", "--top", 8, "--threads", 1)
    wanted_NK = chances_by_hand(spec, runs, items, positions=positions)
    names = load_manifest(motion_manifest).class_names
    for document, wanted_K in zip(documents, wanted_NK, strict=True):
        found = {entry["class"]: entry["probability"] for entry in document["classes"]}
        np.testing.assert_allclose([found[name] for name in names], wanted_K, rtol=1e-4, atol=1e-7)


def test_the_offset_makes_a_difference(capsys, made, motion_manifest, tmp_path):
    """So that the test above is one of the offset: with both members on the same frames the answers are others."""
    _, _, _, trained = made
    document = json.loads(trained.read_text())
    for member in document["ensemble"]["members"]:
        member["offset_frames"] = 0.0
    document["models"] = [str((trained.parent / model).resolve()) for model in document["models"]]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document))
    video = load_manifest(motion_manifest).of("test")[0].path
    code, _, err = call(capsys, "predict", other, video)
    assert code == 2
    wanted = err.split("must be that of ensemble, ")[1].split(",")[0]
    other.write_text(json.dumps(document | {"fingerprint": wanted}))
    assert call_json(capsys, "predict", other, video) != call_json(capsys, "predict", trained, video)


@pytest.mark.parametrize("workers", [0, 3])
def test_evaluate(capsys, made, motion_manifest, workers):
    spec, _, runs, trained = made
    before = sorted(path.name for path in trained.parent.iterdir())
    report = call_json(capsys, "evaluate", trained, "--data", motion_manifest, "--threads", 1, "--workers", workers)
    items = load_manifest(motion_manifest).of("test")
    order_N = chances_by_hand(spec, runs, items, positions=1).argmax(axis=1)
    assert report["num_videos"] == len(items)
    assert report["num_failed"] == 0
    assert report["top1"] == np.mean([item.labels[0] == guess for item, guess in zip(items, order_N, strict=True)])
    assert sorted(path.name for path in trained.parent.iterdir()) == before


def test_a_video_that_cannot_be_decoded_is_counted(capsys, made, motion_manifest, tmp_path):
    _, _, _, trained = made
    broken = tmp_path / "broken.mp4"
    broken.write_text("broken")
    good = load_manifest(motion_manifest).of("test")[0].path
    code, out, err = call(capsys, "predict", trained, broken, good, "--json")
    assert code == 2
    assert "broken.mp4: " in err
    assert [document["failed"] for document in json.loads(out)] == [True, False]


def test_cost_of_files_and_of_a6(capsys, made):
    _, file, _, trained = made
    plain, with_models, a6, a4 = call_json(capsys, "cost", file, trained, "published:A6", "published:A4")
    assert {**plain, "name": ""} == {**with_models, "name": ""}
    assert plain["fingerprint"] == file.stem
    assert [member["offset_frames"] for member in plain["members"]] == [0.0, 0.5]
    for document in (plain, a6):
        for figure in ("macs", "paper_gflops", "params", "stream_state_bytes"):
            assert document[figure] == sum(member[figure] for member in document["members"])
        assert document["peak_activation_bytes"] == max(
            member["peak_activation_bytes"] for member in document["members"]
        )
    assert round(a6["paper_gflops"]) == 386  # Table 10
    assert a6["members"][0]["fingerprint"] == a4["fingerprint"]
    assert a6["members"][0]["macs"] == a4["macs"]
    code, out, _ = call(capsys, "cost", "published:A6")
    assert code == 0
    assert [line.split("│")[1].strip() for line in out.splitlines() if "│" in line] == [
        "published:A6",
        "members[0]",
        "members[1]",
    ]


def test_a_cost_may_be_verified_and_in_another_variant(capsys, made):
    _, file, _, _ = made
    (document,) = call_json(capsys, "cost", file, "--verify", "--classes", 8)
    assert [member["verified"] for member in document["members"]] == [True, True]
    (changed,) = call_json(capsys, "cost", "published:A6", "--variant", "paper-stream")
    member = changed["members"][1]
    assert member["macs"] == cost(published("A5"), VARIANTS["paper-stream"]).macs
    assert (
        member["fingerprint"]
        == call_json(capsys, "cost", "published:A5", "--variant", "paper-stream")[0]["fingerprint"]
    )


def test_files_of_a6_in_a_variant(capsys, tmp_path):
    document = call_json(capsys, "ensemble", "published:A6", "--out", tmp_path, "--variant", "paper-stream")
    members = [read_spec(tmp_path / path) for path in document["members"]]
    assert [member.arch for member in members] == [published("A4"), published("A5")]
    assert {member.variant for member in members} == {VARIANTS["paper-stream"]}
    assert read_ensemble(tmp_path / f"{document['fingerprint']}.json").ensemble.members[1].arch == published("A5")
    code, out, _ = call(capsys, "ensemble", "published:A6", "--out", tmp_path / "text")
    assert code == 0
    assert "80 frames, 290 px, 8 fps, offset by 0 frames" in out


def test_files_that_are_there_stay(capsys, made, tmp_path):
    _, _, _, trained = made
    known = write_spec(make_spec_file(published("A4"), Variant(), metrics={"top1": 0.8}), tmp_path)
    call_json(capsys, "ensemble", "published:A6", "--out", tmp_path)
    assert read_spec(known).metrics == {"top1": 0.8}
    copy = shutil.copy(trained, tmp_path)
    call_json(capsys, "ensemble", copy, "--out", tmp_path)
    assert read_ensemble(tmp_path / trained.name).models == read_ensemble(trained).models


def refused(capsys, *arguments):
    code, out, err = call(capsys, *arguments)
    assert code == 2, err
    assert out == ""
    assert len(err.splitlines()) == 1
    return err


def test_bad_input(capsys, made, motion_manifest, retrain_run, tmp_path):
    spec, file, runs, trained = made
    data = f"--data={motion_manifest}"
    assert "models: must name the folder of each member's trained network" in refused(capsys, "evaluate", file, data)
    assert "models: must name the folder of each member's trained network" in refused(capsys, "predict", file, "a.mp4")
    assert "kind: must be 'movinas.ensemble', but got 'movinas.spec'" in refused(capsys, "evaluate", spec, data)
    assert "no.json: must be a readable file" in refused(capsys, "predict", tmp_path / "no.json", "a.mp4")
    assert "kind: must be 'movinas.spec', but got 'movinas.ensemble'" in refused(
        capsys, "retrain", file, data, f"--out={tmp_path / 'run'}"
    )
    assert "but got 'A6', the ensemble of A4 and A5" in refused(
        capsys, "retrain", "published:A6", data, f"--out={tmp_path / 'run'}"
    )
    out = f"--out={tmp_path / 'out'}"
    line = refused(capsys, "ensemble", file, runs[0], out)
    assert f"{file}: must be one model per member, 2, but got 1" in line
    line = refused(capsys, "evaluate", trained, data, "--stream")
    assert f"{trained}: members[0]: must be a network that streams" in line
    assert "one of A0, A1, A2, A3, A4, A5, A6, but got 'A7'" in refused(capsys, "ensemble", "published:A7", out)
    assert "model: must be of members[1]" in refused(capsys, "ensemble", file, runs[0], retrain_run, out)
    assert "must be" in refused(capsys, "ensemble", file, runs[0], tmp_path, out)
    odd = dataclasses.replace(published("A0"), clip=dataclasses.replace(published("A0").clip, num_frames=25))
    path = write_spec(make_spec_file(odd, Variant()), tmp_path / "odd")
    assert "arch.clip.num_frames: must be even to be halved, but got 25" in refused(capsys, "ensemble", path, out)
    assert not (tmp_path / "out").exists()
    moved = shutil.copy(trained, tmp_path)
    assert "first/model/model.json: must be a readable file" in refused(capsys, "evaluate", moved, data)
    manifest = tmp_path / "other.jsonl"
    text = motion_manifest.read_text().replace("zoom_in", "zoom")
    manifest.write_text(text)
    assert "a manifest must have the classes of the network" in refused(capsys, "evaluate", trained, "--data", manifest)
