"""`movinas bench ops`: the convolutions of a network are measured, and what is fastest becomes the table."""

import math
import re

import pytest
import torch
from program import call, call_json

import supernet.convolve
from launch.bench.depthwise import Timing, distinct, entries_of, geometries
from search_spaces.movinet import NANO
from search_spaces.published import published
from search_spaces.randomness import generator
from search_spaces.variant import VARIANTS
from supernet.depthwise.geometry import Geometry
from supernet.depthwise.table import BACKENDS, class_of, read_table, table
from supernet.video_net import VideoNet


@pytest.fixture
def spec(capsys, tmp_path):
    assert call(capsys, "space", "sample", "nano", "-n", "1", "--out", tmp_path)[0] == 0
    (path,) = tmp_path.iterdir()
    return path


def test_every_shape_pass_and_backend_is_measured(capsys, spec, tmp_path):
    path = tmp_path / "new" / "table.json"
    options = ("--forms", "[base@2, released-stream@1]", "--repeats", 1, "--write_table", path)
    document = call_json(capsys, "bench", "ops", spec, *options)
    rows = document["rows"]
    assert {row["pass"] for row in rows} == {"forward", "input_gradient", "weight_gradient"}
    for row in rows:
        assert {"torch3d", "taps", row["chosen"]} <= set(row["backends"]) <= set(BACKENDS)
        assert row["fastest"] == min(row["backends"], key=lambda name: row["backends"][name]["median_ms"])
        taken_s = row["backends"][row["chosen"]]["median_ms"] / 1000
        assert row["copy_share"] == pytest.approx(
            row["bytes"] / taken_s / document["machine"]["copy_gbytes_per_s"] / 1e9
        )
        assert row["product_share"] == pytest.approx(
            row["macs"] / taken_s / document["machine"]["matrix_gmacs_per_s"] / 1e9
        )
    for line in document["sums"]:
        assert 0 < line["fastest_ms"] <= min(line["chosen_ms"], line["torch3d_ms"])
    written = {entry.key: entry for entry in read_table(path)}
    kept = {entry.key: entry for entry in table()}
    assert set(kept) <= set(written)
    changed = [key for key in written if written[key] != kept.get(key)]
    shapes = {(row["kernel"], row["stride"], row["symmetric"], row["size"], row["pass"]) for row in rows}
    assert len(changed) == len(shapes)


def test_forward_alone_and_the_text(capsys, spec):
    code, out, _ = call(capsys, "bench", "ops", spec, "--forms", "[base@1]", "--passes", "[forward]", "--repeats", 1)
    assert code == 0
    assert "Sums over these shapes" in out
    assert "input_gradient" not in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--forms", "[base]"), "a form must be VARIANT@FRAMES .* but got 'base'"),
        (("--forms", "[base@0]"), "with 1 to 1000 frames"),
        (("--forms", "[]"), "specs, forms and passes must not be empty"),
        (("--repeats", 0), "clips, threads and repeats must be at least 1, but got 1, 1 and 0"),
        (("--device", "cuda:99"), "device must be one that torch finds here"),
    ],
)
def test_options_that_are_none(capsys, options, message):
    code, _, err = call(capsys, "bench", "ops", "published:A0", *options)
    assert code == 2
    assert re.search(message, " ".join(err.split()))


@pytest.mark.parametrize("variant", ["base", "paper-stream", "released-stream"])
def test_the_convolutions_are_those_that_the_network_calls_for(monkeypatch, variant):
    arch = NANO.decode(NANO.sample(generator(3, "bench ops")), VARIANTS[variant]).spec
    called = []

    def listen(x_BTHWC, weight, *, stride, padding):
        called.append((tuple(x_BTHWC.shape), tuple(weight.shape[2:]), stride, padding))
        return depthwise_conv(x_BTHWC, weight, stride=stride, padding=padding)

    depthwise_conv = supernet.convolve.depthwise_conv
    monkeypatch.setattr(supernet.convolve, "depthwise_conv", listen)
    size = arch.clip.resolution
    with torch.no_grad():
        VideoNet(arch, VARIANTS[variant], num_classes=3)(torch.zeros(2, 3, 4, size, size))
    wanted = geometries(arch, VARIANTS[variant], clips=2, frames=4)
    assert _keys(distinct(wanted)) == _keys(distinct(_geometry(*call) for call in called))
    assert len(wanted) == len(called)


def _geometry(shape, kernel, stride, padding):
    clips, frames, height, width, channels = shape
    return Geometry(
        clips=clips,
        input_THW=(frames, height, width),
        channels=channels,
        kernel=kernel,
        stride=stride,
        padding=padding,
    )


def _keys(found):
    return [(g.clips * g.input_THW[0], *g.input_THW[1:], g.channels, g.kernel, g.stride, g.padding) for g in found]


def test_entries_are_geometric_means_over_the_shapes_of_a_class():
    arch = published("A0")
    first, second = [g for g in geometries(arch, VARIANTS["base"], clips=1, frames=1) if g.channels == 280][:2]
    assert class_of(first) == class_of(second)
    timings = [
        Timing(geometry=first, work="forward", seconds={"cpp": [1.0, 9.0, 2.0], "taps": [2.0]}, chosen="cpp"),
        Timing(geometry=second, work="forward", seconds={"cpp": [8.0], "taps": [1.0]}, chosen="cpp"),
    ]
    assert timings[0].fastest == "cpp"
    assert timings[0].spread("cpp") == 4.0
    (entry,) = entries_of(timings, device="cpu", dtype=torch.float32, machine="made up")
    assert list(entry.times) == ["taps", "cpp"]
    assert entry.times == {"taps": 1.0, "cpp": pytest.approx(math.sqrt(8.0), abs=1e-3)}
    assert entry.shapes == 2
