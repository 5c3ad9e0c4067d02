"""`--plan`: figures, and nothing written."""

import pytest
from program import TARGET, call_json


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
