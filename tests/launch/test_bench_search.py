"""`movinas bench search`: shares of a step, from a search that leaves nothing behind."""

import pytest
from program import call, call_json

from launch.bench import search

OPTIONS = ("--proxy=frames=2,resolution=16", "--weights.batch_size=2", "--weights.reward_batch_size=2", "--workers=0")


@pytest.fixture(autouse=True)
def few_videos(monkeypatch):
    monkeypatch.setattr(search, "VIDEOS_PER_CLASS", 4)


@pytest.mark.parametrize("given", [True, False])
def test_all_phases_of_a_step_add_up(capsys, motion_manifest, tmp_path, given):
    data = [f"--data={motion_manifest}"] if given else []
    document = call_json(capsys, "bench", "search", *OPTIONS, "--steps=3", f"--clips.cache_dir={tmp_path}", *data)
    shares = document["shares"]
    assert {"train", "measure", "optimizer", "data", "policy", "journal", "sample"} <= set(shares)
    assert sum(shares.values()) == pytest.approx(1)
    assert document["neither_forward_nor_backward"] == pytest.approx(1 - shares["train"] - shares["measure"])
    assert document["step_ms"] > 0
    assert document["goal"] == 0.05


def test_no_steps(capsys):
    code, _, err = call(capsys, "bench", "search", "--steps=0")
    assert code == 2
    assert "steps must be at least 1, but got 0" in err
