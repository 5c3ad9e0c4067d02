"""`movinas bench model`: the time of a streamed frame beside what the machine can do."""

import pytest
import torch
from program import call, call_json

from launch.bench.plain_net import plain_copy
from search_spaces.published import published
from search_spaces.variant import VARIANTS
from supernet.calibrate import settle
from supernet.video_net import VideoNet


def test_every_network_and_form_is_measured(capsys):
    document = call_json(capsys, "bench", "model", "published:A0", "--repeats", 2, "--works", "[frame]")
    assert document["machine"]["threads"] == 1
    assert document["machine"]["matrix_gmacs_per_s"] > 0
    steps = document["steps"]
    assert [(step["name"], step["variant"], step["macs"]) for step in steps] == [
        ("published:A0", "paper-stream", 55_115_448),
        ("published:A0", "released-stream", 50_696_504),
    ]
    assert document["machine"]["copy_gbytes_per_s"] > 0
    for step in steps:
        floor_ms = step["macs"] / document["machine"]["matrix_gmacs_per_s"] / 1e6
        assert step["arithmetic_floor_ms"] == pytest.approx(floor_ms)
        larger_ms = max(floor_ms, step["bandwidth_floor_ms"])
        assert step["ratio"] == pytest.approx(step["median_ms"] / larger_ms)
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
    assert "repeats, work_repeats, threads and batch_size must be at least 1, but got 0, 5, 1 and 2" in err


def test_every_work_is_measured_beside_a_plain_network(capsys, tmp_path):
    assert call(capsys, "space", "sample", "nano", "-n", "1", "--out", tmp_path)[0] == 0
    (spec,) = tmp_path.iterdir()
    document = call_json(capsys, "bench", "model", spec, "--repeats", 1, "--work_repeats", 1, "--profile")
    rows = document["beside_plain"]
    assert [row["work"] for row in rows] == ["train", "clip", "frame"]
    assert all(row["speedup"] == pytest.approx(row["plain_ms"] / row["ms"]) for row in rows)
    macs = [row["arithmetic_floor_ms"] * document["machine"]["matrix_gmacs_per_s"] * 1e6 for row in rows]
    assert 2.9 < macs[0] / macs[1] < 3  # the clips have no gradient
    assert 16 < macs[1] / macs[2] < 34  # 2 clips of 16 frames, whose dense layers run once
    for profile, work in zip(document["profiles"], ("train", "clip", "frame"), strict=True):
        assert profile["name"].endswith(f", {work}")
        assert sum(kind["share"] for kind in profile["kinds"]) == pytest.approx(1, abs=0.01)
        kinds = {kind["name"] for kind in profile["kinds"]}
        assert {"depthwise convolution", "product of matrices", "between operators"} <= kinds


@pytest.mark.parametrize("stream", [False, True])
def test_the_plain_network_is_the_same_function(stream):
    spec = published("A0")
    ours = VideoNet(spec, VARIANTS["released-stream" if stream else "base"], num_classes=5, rezero=0.5)
    clips_BCTHW = torch.rand(1, 3, 6, 50, 61, generator=torch.Generator().manual_seed(0))
    settle(ours, clips_BCTHW)
    plain = plain_copy(ours, stream=stream)
    assert sum(map(torch.numel, plain.parameters())) == sum(map(torch.numel, ours.parameters()))
    with torch.no_grad():
        wanted_BK = ours(clips_BCTHW)
        found_BK, _ = plain.eval()(clips_BCTHW)
        assert (found_BK - wanted_BK).abs().max() <= 1e-5 * wanted_BK.abs().max()
        if stream:
            _, state = plain(clips_BCTHW[:, :, :2])
            found_BK, _ = plain(clips_BCTHW[:, :, 2:], state)
            assert (found_BK - wanted_BK).abs().max() <= 1e-5 * wanted_BK.abs().max()
