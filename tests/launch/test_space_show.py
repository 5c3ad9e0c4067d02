"""`movinas space show`: a space, and where a target lies in it."""

import pytest
from program import TARGET, call, call_json


def test_the_document_holds_what_it_promises(capsys):
    document = call_json(capsys, "space", "show", "nano", "--classes", 8, "--target", TARGET)
    assert {"name", "size_log10", "decisions", "macs", "target"} <= set(document)
    assert document["macs"]["min"] < document["macs"]["median"] < document["macs"]["max"]
    assert document["target"]["feasible"] is True
    assert 0 < document["target"]["percentile"] < 50


def test_a_streaming_variant_shows_the_bytes_of_its_state(capsys):
    base = call_json(capsys, "space", "show", "nano")
    document = call_json(
        capsys, "space", "show", "nano", "--variant", "released-stream", "--target", "state=100kB@fp16"
    )
    assert "stream_state_bytes" not in base
    for metric in ("macs", "params", "stream_state_bytes"):
        assert document[metric]["min"] < document[metric]["median"] < document[metric]["max"]
    assert document["params"]["max"] > base["params"]["max"]
    assert document["target"]["feasible"] is True


def test_a_variant_that_does_not_fit_is_refused(capsys, tmp_path):
    variant = tmp_path / "shift.json"
    variant.write_text('{"temporal_shift": true}')
    code, _, err = call(capsys, "space", "show", "nano", "--variant", variant)
    assert code == 2
    assert "kernels: must have no extent in time where the variant has a temporal shift, but got 5x1x1" in err


@pytest.mark.parametrize(
    ("target", "where"), [("macs=1M/clip", "OUTSIDE the space"), ("macs=12G/clip", "at percentile")]
)
def test_the_text_says_where_a_target_lies(capsys, target, where):
    code, out, _ = call(capsys, "space", "show", "a2", "--target", target)
    assert code == 0
    assert where in out
