"""`movinas evaluate`: accuracy on a manifest."""

import json

from program import call, call_json


def test_evaluate(capsys, retrain_run, motion_manifest):
    document = call_json(capsys, "evaluate", retrain_run, "--data", motion_manifest, "--views", "2x1", "--threads", 1)
    assert {"top1", "top5", "num_videos", "num_failed"} <= set(document)
    assert document["num_videos"] == sum(map(sum, document["confusion"]))
    assert document["num_failed"] == 0
    assert json.loads((retrain_run / "test.json").read_text()) == document
    code, out, _ = call(capsys, "evaluate", retrain_run, "--data", motion_manifest, "--split", "val")
    assert code == 0
    assert "top-1" in out


def test_the_folder_of_a_network_is_enough_and_stays_as_it_is(capsys, retrain_run, motion_manifest):
    before = {path.name: path.read_bytes() for path in (retrain_run / "model").iterdir()}
    options = ("--data", motion_manifest, "--threads", 1)
    document = call_json(capsys, "evaluate", retrain_run / "model", *options)
    assert document == call_json(capsys, "evaluate", retrain_run, *options)
    assert {path.name: path.read_bytes() for path in (retrain_run / "model").iterdir()} == before


def test_a_folder_of_neither_is_refused(capsys, tmp_path, motion_manifest):
    code, _, err = call(capsys, "evaluate", tmp_path, "--data", motion_manifest)
    assert code == 2
    assert f"{tmp_path}: must be a run folder" in err
