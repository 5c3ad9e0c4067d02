"""`movinas bench supernet`: a shared step beside that of the network alone."""

import statistics

import pytest
from program import call, call_json

OPTIONS = ("--proxy=frames=4,resolution=16", "--num=2", "--batch_size=2", "--repeats=1")


def test_every_architecture_is_measured_both_ways(capsys):
    document = call_json(capsys, "bench", "supernet", *OPTIONS)
    rows = document["architectures"]
    assert len(rows) == 2
    for row in rows:
        assert row["ratio"] == pytest.approx(row["supernet_ms"] / row["alone_ms"])
        larger_ms = max(row["arithmetic_floor_ms"], row["bandwidth_floor_ms"])
        assert row["over_floor"] == pytest.approx(row["supernet_ms"] / larger_ms)
    assert document["ratio"] == pytest.approx(statistics.median(row["ratio"] for row in rows))
    assert document["clip"] == {"num_frames": 4, "resolution": 16, "rate_fps": 8.0}
    assert document["profiles"] == []


def test_a_profile_tells_both_steps(capsys):
    code, out, _ = call(capsys, "bench", "supernet", *OPTIONS, "--profile")
    assert code == 0
    assert "a supernet step, by kind" in out
    assert "the training step of the sampled network, by kind" in out
    assert "part of a shared weight" in out
    assert "wanted at most 1.05" in out


def test_numbers_that_are_none(capsys):
    code, _, err = call(capsys, "bench", "supernet", "--num=0")
    assert code == 2
    assert "num, batch_size, classes and repeats must be at least 1, but got" in err
    code, _, err = call(capsys, "bench", "supernet", "--proxy=size=3")
    assert code == 2
    assert "proxy must be written as frames=16,resolution=112,rate_fps=5, but got 'size=3'" in err
