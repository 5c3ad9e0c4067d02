"""`movinas space show`: a space, and where a target lies in it."""

import pytest
from program import TARGET, call, call_json


def test_the_document_holds_what_it_promises(capsys):
    document = call_json(capsys, "space", "show", "nano", "--classes", 8, "--target", TARGET)
    assert {"name", "size_log10", "decisions", "macs", "target"} <= set(document)
    assert document["macs"]["min"] < document["macs"]["median"] < document["macs"]["max"]
    assert document["target"]["feasible"] is True
    assert 0 < document["target"]["percentile"] < 50


@pytest.mark.parametrize(
    ("target", "where"), [("macs=1M/clip", "OUTSIDE the space"), ("macs=12G/clip", "at percentile")]
)
def test_the_text_says_where_a_target_lies(capsys, target, where):
    code, out, _ = call(capsys, "space", "show", "a2", "--target", target)
    assert code == 0
    assert where in out
