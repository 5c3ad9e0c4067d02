"""`movinas retrain`: from a spec to a model."""

import json

from program import call, call_json


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
