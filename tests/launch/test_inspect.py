"""`movinas inspect`: what a run says of itself."""

from program import TARGET, call, call_json


def test_inspect(capsys, search_run):
    document = call_json(capsys, "inspect", search_run)
    assert {"status", "steps_done", "steps_total", "target", "argmax", "best", "quality", "entropy", "reward"} <= set(
        document
    )
    assert (document["status"], document["steps_done"], document["target"]) == ("finished", 8, TARGET)
    assert {"fingerprint", "macs", "ratio"} <= set(document["argmax"])
    assert [row["part"] for row in document["network"]][:2] == ["stem", "block2.layer1"]
    block = next(place for place in document["layers"] if place["name"] == "block2")
    assert set(block["entropy"]) == {"depth", "width"}
    assert all(0 <= value <= 1 for place in document["layers"] for value in place["entropy"].values())
    code, out, _ = call(capsys, "inspect", search_run)
    assert code == 0
    assert "Share of time" in out
    assert "Decisions of the likeliest network" in out
    assert " H 0." in out
    assert "all but forward and backward passes" in out
