"""GRW-smoothing, the temporal head and sub-clips by way of the program."""

import dataclasses
import json

import pytest
from program import call, call_json

from launch.retrain import Options
from launch.runs import options_of
from results.run_dir import open_run
from search_spaces.strict_json import pretty
from search_spaces.temporal_head import TemporalHead
from search_spaces.variant import VARIANTS, Variant

SHORT = ["--recipe.epochs=1", "--recipe.batch_size=8", "--recipe.train_frames=6", "--recipe.test_frames=6"]
ONE = ["--threads=1", "--workers=0"]
HEAD = TemporalHead(embed_dim=8, heads=2, mlp_dim=8, window=4)


@pytest.fixture(scope="module")
def head_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("variant") / "head.json"
    variant = dataclasses.replace(VARIANTS["released-stream"], temporal_head=HEAD)
    path.write_text(pretty(dataclasses.asdict(variant)))
    return path


def test_a_smoothed_network_is_trained_in_sub_clips_tested_and_shown(
    capsys, search_run, motion_manifest, head_file, tmp_path
):
    spec, out = next((search_run / "specs").iterdir()), tmp_path / "run"
    smooth = ["--recipe.grw_weight=0.1", "--recipe.grw_window=3", '--recipe.grw_layers=["embedding","stem"]']
    data = ["--data", motion_manifest]
    smooth += ["--recipe.subclip_frames=3", "--variant", head_file]
    call_json(capsys, "retrain", spec, *data, "--out", out, *SHORT, *smooth, *ONE)
    recipe = options_of(open_run(out), Options).recipe
    assert (recipe.grw_layers, recipe.subclip_frames) == (("embedding", "stem"), 3)
    for extra in ((), ("--stream",)):
        document = call_json(capsys, "evaluate", out, *data, *extra, *ONE)
        found = document["embeddings"]
        assert (found["layer"], found["window"]) == ("embedding", 3)
        assert found["num_windows"] == 2 * document["num_videos"]
        assert json.loads((out / "test.json").read_text()) == document
    assert "How the embeddings of frames move" in (out / "report.html").read_text("utf-8")
    alone = call_json(capsys, "evaluate", out / "model", *data, *ONE)["embeddings"]
    assert alone["window"] == 5  # a folder of a network says nothing of how it was trained
    cost = call_json(capsys, "cost", spec, "--variant", head_file)
    assert cost[0]["stream_state_bytes"] > 0


def test_a_layer_is_smoothed_without_a_head(capsys, search_run, motion_manifest, tmp_path):
    spec, out = next((search_run / "specs").iterdir()), tmp_path / "run"
    smooth = ["--recipe.grw_weight=0.1", '--recipe.grw_layers=["block2.layer1"]']
    call_json(capsys, "retrain", spec, "--data", motion_manifest, "--out", out, *SHORT, *smooth, *ONE)
    found = call_json(capsys, "evaluate", out, "--data", motion_manifest, *ONE)["embeddings"]
    assert found["layer"] == "block2.layer1"
    assert call_json(capsys, "evaluate", out / "model", "--data", motion_manifest, *ONE)["embeddings"] is None


def test_what_cannot_be_is_said_before_anything_is_made(capsys, search_run, motion_manifest, tmp_path):
    spec, out = next((search_run / "specs").iterdir()), tmp_path / "run"
    bidirectional = tmp_path / "both.json"
    variant = dataclasses.asdict(dataclasses.replace(VARIANTS["paper-stream"], temporal_head=HEAD))
    variant["temporal_head"]["window"] = None
    bidirectional.write_text(pretty(variant))
    whole = tmp_path / "whole.json"
    whole.write_text(pretty(dataclasses.asdict(Variant(temporal_head=dataclasses.replace(HEAD, window=None)))))
    for options, message in (
        (["--recipe.grw_weight=0.1"], "which needs a temporal_head in the variant"),
        (["--recipe.subclip_frames=2", "--variant", whole], "subclip_frames needs a network that streams"),
        (["--variant", bidirectional], "temporal_head.window: must be a number of frames where the network streams"),
    ):
        code, _, err = call(capsys, "retrain", spec, "--data", motion_manifest, "--out", out, *options)
        assert code == 2
        assert message in err
        assert not out.exists()
