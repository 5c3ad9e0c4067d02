"""The demo, with too little of everything to learn much."""

from pathlib import Path

import pytest
from program import call, call_json

from retrain.model_file import read_card
from search_spaces.variant import VARIANTS


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_whole_path_ends_in_what_it_promises(capsys):
    document = call_json(capsys, "demo", "--quick", "--threads=1")
    assert {"target", "found", "random", "chance", "run", "report"} <= set(document)
    assert {"fingerprint", "macs", "ratio", "top1"} <= set(document["found"])
    assert {"fingerprint", "macs", "top1"} <= set(document["random"])
    assert abs(document["found"]["ratio"] - 1) <= 0.05
    assert document["chance"] == 1 / 8
    assert Path(document["report"]).stat().st_size > 1e6
    assert Path(document["run"], "journal.jsonl").exists()

    code, _, err = call(capsys, "demo", "--quick", "--out", "runs/demo")
    assert code == 2
    assert "must not exist yet" in err


def test_the_whole_path_of_networks_that_stream(capsys):
    document = call_json(capsys, "demo", "--quick", "--threads=1", "--variant=released-stream")
    assert abs(document["found"]["ratio"] - 1) <= 0.05
    assert read_card(Path("runs/demo/retrain-found/model")).variant == VARIANTS["released-stream"]
