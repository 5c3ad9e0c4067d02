"""`--plan`: figures, and nothing written."""

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
        assert not (tmp_path / "run").exists()
