"""`movinas retrain`: from a spec to a model."""

import json

import pytest
import torch
from program import call, call_json

from launch.retrain import Options, retrain
from retrain.model_file import read_card
from search_spaces.errors import WeightsError
from supernet.tensors import to_bytes


def test_retrain_leaves_a_model(capsys, retrain_run):
    card = json.loads((retrain_run / "model" / "model.json").read_text())
    assert len(card["class_names"]) == 8
    assert card["num_frames"] == 6
    document = call_json(capsys, "inspect", retrain_run)
    assert (document["status"], document["epochs"]) == ("finished", 2)
    assert call(capsys, "inspect", retrain_run)[0] == 0


def test_retrain_from_the_supernet_and_from_weights(capsys, search_run, retrain_run, motion_manifest, tmp_path):
    spec = next((search_run / "specs").iterdir())
    options = ["--recipe.epochs=1", "--recipe.batch_size=8", "--threads=1", "--workers=0"]
    weights = retrain_run / "model" / "model.safetensors"
    for name, init in (("a", f"supernet:{search_run}"), ("b", f"weights:{weights}")):
        document = call_json(
            capsys, "retrain", spec, "--data", motion_manifest, "--out", tmp_path / name, "--init", init, *options
        )
        assert {"run", "spec", "steps", "best"} <= set(document)
        assert document["spec"] == spec.stem
        assert "top1" in document["best"]


@pytest.fixture
def few_videos(motion_manifest, tmp_path):
    """A manifest of four videos to train on and two to measure with."""
    header, *lines = motion_manifest.read_text().splitlines()
    chosen = [line for line in lines if '"train"' in line][:4] + [line for line in lines if '"val"' in line][:2]
    text = "\n".join([header, *chosen, ""]).replace('"videos/', f'"{motion_manifest.parent}/videos/')
    (tmp_path / "few.jsonl").write_text(text)
    return tmp_path / "few.jsonl"


def test_a_published_network_is_tested_with_its_own_minimum_size(capsys, few_videos, tmp_path):
    options = ["--recipe.epochs=1", "--recipe.batch_size=2", "--recipe.train_frames=2", "--recipe.test_frames=3"]
    arguments = ["retrain", "published:A0", "--data", few_videos, *options, "--threads=1", "--workers=0"]
    for out, wanted, more in (("own", 192, ()), ("asked", 180, ["--clips.short_side=180"])):
        code, _, err = call(capsys, *arguments, "--out", tmp_path / out, *more)
        assert code == 0, err
        card = read_card(tmp_path / out / "model")
        assert (card.short_side, card.resolution, card.num_frames) == (wanted, 172, 3)


def test_workers_change_no_byte_of_what_is_trained(capsys, few_videos, search_run, tmp_path):
    spec = next((search_run / "specs").iterdir())
    options = ["--recipe.epochs=3", "--recipe.batch_size=2", "--recipe.train_frames=2", "--threads=1"]
    for workers in (0, 2):
        arguments = [f"--data={few_videos}", f"--out={tmp_path / str(workers)}", f"--workers={workers}", *options]
        assert call(capsys, "retrain", spec, *arguments)[0] == 0
    runs = [tmp_path / "0", tmp_path / "2"]
    newest = [sorted(run.glob("checkpoints/step_*"))[-1] for run in runs]
    assert runs[0].joinpath("journal.jsonl").read_bytes() == runs[1].joinpath("journal.jsonl").read_bytes()
    for path in newest[0].iterdir():
        assert path.read_bytes() == (newest[1] / path.name).read_bytes()


def test_a_published_stream_is_built_as_it_was_released(few_videos, tmp_path):
    """The weights that a file without any lacks are those of the network that was built."""
    (tmp_path / "none.safetensors").write_bytes(to_bytes({"stray": torch.zeros(1)}))
    init, out = f"weights:{tmp_path / 'none.safetensors'}", tmp_path / "run"
    with pytest.raises(WeightsError) as caught:
        retrain(Options(spec="published:A3", data=few_videos, out=out, init=init, variant="released-stream"))
    assert "blocks.0.0.se.encoding" in caught.value.missing
    assert not out.exists()
