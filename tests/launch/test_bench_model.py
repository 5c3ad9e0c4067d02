"""`movinas bench model`: the time of a streamed frame beside what the machine can do."""

import pytest
from program import call, call_json


def test_every_network_and_form_is_measured(capsys):
    document = call_json(capsys, "bench", "model", "published:A0", "--repeats", 2)
    assert document["machine"]["threads"] == 1
    assert document["machine"]["matrix_gmacs_per_s"] > 0
    steps = document["steps"]
    assert [(step["name"], step["variant"], step["macs"]) for step in steps] == [
        ("published:A0", "paper-stream", 55_115_448),
        ("published:A0", "released-stream", 50_696_504),
    ]
    for step in steps:
        floor_ms = step["macs"] / document["machine"]["matrix_gmacs_per_s"] / 1e6
        assert step["floor_ms"] == pytest.approx(floor_ms)
        assert step["ratio"] == pytest.approx(step["median_ms"] / floor_ms)
        assert 0 < step["min_ms"] <= step["median_ms"] <= step["max_ms"]


def test_a_form_that_does_not_stream_and_numbers_that_are_none(capsys):
    code, _, err = call(capsys, "bench", "model", "published:A0", "--variants", "[base]", "--repeats", 1)
    assert code == 2
    assert "variant: must be causal" in err
    code, _, err = call(capsys, "bench", "model", "--variants", "[]")
    assert code == 2
    assert "specs and variants must not be empty, but got ('published:A0'," in err
    code, _, err = call(capsys, "bench", "model", "--repeats", 0)
    assert code == 2
    assert "repeats and threads must be at least 1, but got 0 and 1" in err
