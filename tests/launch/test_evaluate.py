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
