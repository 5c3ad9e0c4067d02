import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import clips, layers, specs

from search_spaces.cost import cost, head_cost, layer_cost, part_costs, stem_cost, total
from search_spaces.published import NAMES, published
from search_spaces.rounding import se_hidden_width
from search_spaces.spec import ClipGeometry, LayerSpec, kernel_name, same_size
from search_spaces.variant import Variant

CLIP = ClipGeometry(num_frames=2, resolution=9, rate_fps=5.0)


class Walk:
    """Walks a network convolution by convolution, as movinet.md section 1 writes it down, and adds up."""

    def __init__(self, spec, *, num_classes):
        self.macs = self.params = self.half_macs = 0
        self.clip, self.size, self.channels = spec.clip, spec.clip.resolution, 3
        self.conv(3, spec.stem_width, (1, 3, 3), stride=2)
        for block in spec.blocks:
            for layer in block.layers:
                self.layer(layer)
        self.conv(self.channels, spec.head_width, (1, 1, 1))
        self.linear(spec.head_width, spec.dense_width)
        self.linear(spec.dense_width, num_classes)

    def conv(self, inputs, outputs, kernel, *, stride=1, groups=1, norm=True):
        self.size, self.channels = math.ceil(self.size / stride), outputs
        weights = outputs * (inputs // groups) * math.prod(kernel)
        positions = self.clip.num_frames * self.size * self.size
        self.macs += positions * weights
        self.params += weights + (2 * outputs if norm else 0)
        self.half_macs += 2 * positions * outputs if norm else 0

    def linear(self, inputs, outputs):
        self.macs += inputs * outputs
        self.params += inputs * outputs + outputs

    def elements(self, channels):
        return self.clip.num_frames * self.size * self.size * channels

    def layer(self, layer):
        inputs, inner = self.channels, layer.expansion
        self.conv(inputs, inner, (1, 1, 1))
        self.conv(inner, inner, layer.kernel, stride=layer.stride, groups=inner)
        if layer.se:
            hidden = max(8, int(inner / 4 + 4) // 8 * 8)
            hidden += 8 if hidden < 0.9 * inner / 4 else 0
            self.linear(inner, hidden)
            self.linear(hidden, inner)
            self.half_macs += self.elements(inner)
        self.conv(inner, layer.width, (1, 1, 1))
        self.params += 1  # ReZero's scalar
        self.half_macs += 2 * self.elements(layer.width)  # its product, and the residual sum
        if layer.stride == 2 or inputs != layer.width:
            self.conv(inputs, layer.width, (1, 1, 1))


@settings(max_examples=150)
@given(specs())
def test_cost_equals_a_walk_through_the_network(spec):
    walk, found = Walk(spec, num_classes=11), cost(spec, Variant(), num_classes=11)
    assert (found.macs, found.params) == (walk.macs, walk.params)
    assert found.paper_gflops == (2 * walk.macs + walk.half_macs) / 2e9


@pytest.mark.parametrize("name", NAMES)
def test_cost_of_a_published_network_equals_the_walk(name):
    walk, found = Walk(published(name), num_classes=600), cost(published(name), Variant(), num_classes=600)
    assert (found.macs, found.params) == (walk.macs, walk.params)


def test_stem_by_hand():
    # 9 pixels and stride 2 give 5; 2 x 5 x 5 x 27 x 8
    part = stem_cost(8, clip=CLIP)
    assert (part.macs, part.params, part.extra_half_macs) == (10_800, 216 + 16, 2 * 400)
    assert part.peak_activation_bytes == 4 * (2 * 81 * 3 + 2 * 400)


def test_head_by_hand():
    part = head_cost(in_width=8, head_width=16, dense_width=32, in_size=3, num_frames=2, num_classes=5)
    assert part.macs == 18 * 8 * 16 + 16 * 32 + 32 * 5
    assert part.params == 8 * 16 + 32 + (16 * 32 + 32) + (32 * 5 + 5)
    assert part.extra_half_macs == 2 * 18 * 16
    assert part.peak_activation_bytes == 4 * 2 * 18 * 16


def test_peak_of_the_head_may_be_its_classifier():
    part = head_cost(in_width=1, head_width=1, dense_width=64, in_size=1, num_frames=1, num_classes=1000)
    assert part.peak_activation_bytes == 4 * (64 + 1000)


@pytest.mark.parametrize(
    ("layer", "in_width", "elements"),
    [
        # 2 x 4 x 4 pixels; the norm of a wide expansion: input and twice the inside
        ({"width": 8, "expansion": 16}, 8, 256 + 2 * 512),
        # a narrow one: input, branch and their sum
        ({"width": 8, "expansion": 1}, 8, 256 + 2 * 256),
        # the skip's norm beside the branch
        ({"width": 16, "expansion": 1}, 8, 3 * 512),
        # stride 2 with a narrow output: the norm of the expansion before it
        ({"width": 1, "expansion": 16, "stride": 2}, 8, 256 + 2 * 512),
        # stride 2 with a wide output: 2 x 2 x 2 pixels of branch, skip, and the skip's norm
        ({"width": 64, "expansion": 1, "stride": 2}, 8, 3 * 512),
    ],
)
def test_peak_of_a_layer_by_hand(layer, in_width, elements):
    part = layer_cost(LayerSpec(kernel=(1, 3, 3), se=False, **layer), in_width=in_width, in_size=4, num_frames=2)
    assert part.peak_activation_bytes == 4 * elements


def peak_step_by_step(layer, *, in_width, in_size, num_frames):
    """Elements alive while each operator runs, in the order of movinet.md 1.2: the branch first, then the skip."""
    before, after = num_frames * in_size**2, num_frames * math.ceil(in_size / layer.stride) ** 2
    alive, peak = {"input": before * in_width}, 0

    def run(output, size, *, frees=()):
        nonlocal peak
        alive[output] = size
        peak = max(peak, sum(alive.values()))
        for name in frees:
            del alive[name]

    run("expanded conv", before * layer.expansion)
    run("expanded norm", before * layer.expansion, frees=["expanded conv"])
    run("expanded activation", before * layer.expansion, frees=["expanded norm"])
    run("depthwise conv", after * layer.expansion, frees=["expanded activation"])
    run("depthwise norm", after * layer.expansion, frees=["depthwise conv"])
    run("inside", after * layer.expansion, frees=["depthwise norm"])
    if layer.se:
        hidden = se_hidden_width(layer.expansion)
        run("mean", layer.expansion)
        run("hidden", hidden, frees=["mean"])
        run("hidden activation", hidden, frees=["hidden"])
        run("gate", layer.expansion, frees=["hidden activation"])
        run("sigmoid", layer.expansion, frees=["gate"])
        run("scaled", after * layer.expansion, frees=["inside", "sigmoid"])
        alive["inside"] = alive.pop("scaled")
    run("branch conv", after * layer.width, frees=["inside"])
    run("branch norm", after * layer.width, frees=["branch conv"])
    run("branch", after * layer.width, frees=["branch norm"])
    if layer.stride == 2:
        run("pooled", after * in_width, frees=["input"])
        alive["input"] = alive.pop("pooled")
    if layer.stride == 2 or in_width != layer.width:
        run("skip conv", after * layer.width, frees=["input"])
        run("skip norm", after * layer.width, frees=["skip conv"])
    run("sum", after * layer.width)
    return peak


@settings(max_examples=400)
@given(layers(), st.integers(1, 70), st.integers(1, 9), st.integers(1, 4))
def test_peak_of_a_layer_equals_its_operators_step_by_step(layer, in_width, in_size, num_frames):
    place = {"in_width": in_width, "in_size": in_size, "num_frames": num_frames}
    assert layer_cost(layer, **place).peak_activation_bytes == 4 * peak_step_by_step(layer, **place)


def test_peak_counts_the_gate_and_the_hidden_layer():
    layer = LayerSpec(kernel=(1, 3, 3), width=1, expansion=64)
    part = layer_cost(layer, in_width=1, in_size=1, num_frames=1)
    # one pixel: the gate's product holds source, input, output and the gate of 64 numbers
    assert part.peak_activation_bytes == 4 * (1 + 64 + 64 + 64)


def test_peak_of_a0_is_the_first_expansion():
    # 50 x 86 x 86 pixels: 8 channels in, 24 inside before and after the norm
    pixels = 50 * 86 * 86
    assert cost(published("A0"), Variant()).peak_activation_bytes == 4 * pixels * (8 + 24 + 24)


def test_squeeze_and_excitation_costs_two_linear_layers():
    layer = LayerSpec(kernel=(3, 3, 3), width=24, expansion=76)
    on = layer_cost(layer, in_width=24, in_size=5, num_frames=3)
    off = layer_cost(dataclasses.replace(layer, se=False), in_width=24, in_size=5, num_frames=3)
    assert on.macs - off.macs == 2 * 76 * 24  # a quarter of 76 is 19, rounded to 24
    assert on.params - off.params == 2 * 76 * 24 + 24 + 76
    assert on.extra_half_macs - off.extra_half_macs == 3 * 5 * 5 * 76


@settings(max_examples=50)
@given(specs(), clips())
def test_another_clip_costs_as_a_spec_of_that_clip(spec, clip):
    there = cost(dataclasses.replace(spec, clip=clip), Variant(), num_classes=3)
    assert cost(spec, Variant(), num_classes=3, clip=clip) == there


@settings(max_examples=50)
@given(specs())
def test_parts_are_named_in_order_and_add_up(spec):
    parts = part_costs(spec, num_classes=3)
    names = [
        f"block{number}.layer{layer}"
        for number, block in enumerate(spec.blocks, start=2)
        for layer in range(1, len(block.layers) + 1)
    ]
    assert list(parts) == ["stem", *names, "head"]
    found = cost(spec, Variant(), num_classes=3)
    assert found == total(parts.values())
    assert found.macs == sum(part.macs for part in parts.values())
    assert found.peak_activation_bytes == max(part.peak_activation_bytes for part in parts.values())


def test_a_network_that_is_not_causal_has_no_stream_state():
    found = cost(published("A0"), Variant())
    assert (found.stream_buffer_bytes, found.stream_state_bytes) == (0, 0)


def test_variants_of_today_cost_the_same():
    hard = Variant(activation="hard_swish", gate="hard_sigmoid")
    assert cost(published("A1"), hard) == cost(published("A1"), Variant())


@pytest.mark.parametrize(("size", "stride", "out"), [(172, 2, 86), (43, 2, 22), (1, 2, 1), (7, 1, 7)])
def test_same_padding_rounds_up(size, stride, out):
    assert same_size(size, stride) == out


def test_macs_per_frame_of_the_published_networks():
    # movinet.md 3, last line
    per_frame = [cost(published(name), Variant()).macs / published(name).clip.num_frames / 1e6 for name in NAMES]
    assert [round(value) for value in per_frame] == [53, 117, 231, 463, 1292, 2303]


def test_cost_grows_with_every_part_of_a_layer():
    layer = LayerSpec(kernel=(1, 3, 3), width=16, expansion=32)
    base = layer_cost(layer, in_width=16, in_size=8, num_frames=4)
    for change in ({"kernel": (3, 3, 3)}, {"width": 24}, {"expansion": 40}):
        more = layer_cost(dataclasses.replace(layer, **change), in_width=16, in_size=8, num_frames=4)
        assert more.macs > base.macs, kernel_name(layer.kernel)
        assert more.params > base.params
