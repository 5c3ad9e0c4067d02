"""`movinas cost`: what specs cost, and what one stream of them remembers."""

import math

import pytest
from program import call, call_json

from search_spaces.cost import cost
from search_spaces.published import published, released_stream
from search_spaces.spec_json import fingerprint, make_spec_file, write_spec
from search_spaces.variant import VARIANTS, Variant


def test_the_document_holds_what_it_promises(capsys):
    (document,) = call_json(capsys, "cost", "published:A0")
    assert {"name", "fingerprint", "macs", "paper_gflops", "params", "peak_activation_bytes"} <= set(document)
    assert (document["macs"], document["params"]) == (2_630_733_808, 3_111_799)
    assert document["fingerprint"] == fingerprint(published("A0"), Variant())
    assert (document["stream_buffer_bytes"], document["stream_state_bytes"]) == (0, 0)
    assert document["macs_per_frame"] is document["streams_per_gb"] is None
    assert document["stream_entries"] == []


def test_a_stream_has_a_state_and_costs_of_a_step(capsys):
    small, large = call_json(capsys, "cost", "published:A0", "published:A3", "--stream", "--dtype", "fp16")
    costs = cost(published("A0"), released_stream("A0"), dtype="fp16")
    assert small["fingerprint"] == fingerprint(published("A0"), released_stream("A0"))
    assert small["stream_buffer_bytes"] == 2_683_776 // 2
    assert small["stream_state_bytes"] == costs.stream_state_bytes
    assert small["macs_per_frame"] == costs.macs_per_frame
    assert small["streams_per_gb"] == 10**9 // costs.stream_state_bytes
    # A3 was released with positional encoding, which A0 was not
    assert large["params"] == cost(published("A3"), VARIANTS["released-stream"]).params + published("A3").num_layers


def test_the_entries_add_up_to_the_state(capsys):
    (document,) = call_json(capsys, "cost", "published:A0", "--variant", "paper-stream", "--dtype", "bf16")
    entries = {entry["name"]: entry for entry in document["stream_entries"]}
    assert sum(entry["bytes"] for entry in entries.values()) == document["stream_state_bytes"]
    buffer = entries["block3.layer1.stream_buffer"]
    assert (buffer["shape"], buffer["dtype"], buffer["bytes"]) == ([2, 43, 43, 80], "bfloat16", 2 * 2 * 43 * 43 * 80)
    assert entries["head.pool"]["dtype"] == "float32"
    assert entries["frame_count"] == {"name": "frame_count", "shape": [], "dtype": "int32", "bytes": 4}
    sizes = {"bfloat16": 2, "float32": 4, "int32": 4}
    assert all(entry["bytes"] == math.prod(entry["shape"]) * sizes[entry["dtype"]] for entry in entries.values())


def test_the_text_shows_streams_and_their_entries_where_there_are_any(capsys):
    code, plain, _ = call(capsys, "cost", "published:A0", "--entries")
    assert code == 0
    assert "streams per GB" not in plain
    assert "State of a stream" not in plain
    _, stream, _ = call(capsys, "cost", "published:A0", "--stream")
    assert "streams per GB" in stream
    assert "a step holds its old and new state at once, besides activations" in stream
    assert "its old and new state are held at once" in " ".join(call(capsys, "cost", "--help")[1].split())
    assert "370" in stream
    assert "block3.layer1.stream_buffer" not in stream
    _, entries, _ = call(capsys, "cost", "published:A0", "--stream", "--entries")
    assert "block3.layer1.stream_buffer" in entries


def test_a_spec_file_brings_its_variant(capsys, tmp_path):
    path = write_spec(make_spec_file(published("A1"), VARIANTS["paper-stream"]), tmp_path)
    assert call_json(capsys, "cost", path)[0]["fingerprint"] == path.stem
    (base,) = call_json(capsys, "cost", path, "--variant", "base")
    assert base["stream_state_bytes"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stream", "--variant", "base"], "--stream is short for --variant released-stream: only one can be given"),
        (["--classes", 0], "classes must be in"),
        (["--dtype", "fp8"], "dtype"),
        (["--variant", "streams"], "a variant must be one of base, paper-stream, released-stream or a JSON file"),
    ],
)
def test_wrong_usage(capsys, arguments, message):
    code, out, err = call(capsys, "cost", "published:A0", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_variant_that_does_not_fit_is_refused(capsys, tmp_path):
    variant = tmp_path / "shift.json"
    variant.write_text('{"temporal_shift": true}')
    code, _, err = call(capsys, "cost", "published:A0", "--variant", variant)
    assert code == 2
    assert "arch.blocks[1].layers[0].kernel: must have no extent in time" in err


def test_verify_counts_on_the_built_network(capsys, tmp_path):
    call_json(capsys, "space", "sample", "nano", "--out", tmp_path)
    (path,) = tmp_path.iterdir()
    assert call_json(capsys, "cost", path, "--verify")[0]["verified"] is True
