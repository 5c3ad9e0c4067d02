import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import clips, frame_wise, layers, specs, variants

from search_spaces.cost import cost, head_cost, layer_cost, part_costs, stem_cost, streams_per_gb
from search_spaces.errors import SpecError
from search_spaces.published import NAMES, published
from search_spaces.rounding import se_hidden_width
from search_spaces.spec import ClipGeometry, LayerSpec, kernel_name, same_size
from search_spaces.stream_state import state_entries
from search_spaces.variant import VARIANTS, Variant

BASE = Variant()
CLIP = ClipGeometry(num_frames=2, resolution=9, rate_fps=5.0)


class Walk:
    """Walks a network convolution by convolution, as movinet.md section 1 writes it down, and adds up."""

    def __init__(self, spec, variant, *, num_classes):
        self.macs = self.params = self.half_macs = 0
        self.variant = variant
        self.clip, self.size, self.channels = spec.clip, spec.clip.resolution, 3
        self.conv(3, spec.stem_width, (1, 3, 3), stride=2)
        for block in spec.blocks:
            for layer in block.layers:
                self.layer(layer)
        self.conv(self.channels, spec.head_width, (1, 1, 1))
        if variant.temporal_head is None:
            self.linear(spec.head_width, spec.dense_width)
            self.linear(spec.dense_width, num_classes)
        else:
            self.temporal(variant.temporal_head)
            self.linear(variant.temporal_head.embed_dim, num_classes)

    def temporal(self, head):
        num_frames = self.clip.num_frames
        self.linear(self.channels, head.embed_dim, times=num_frames)
        for _ in range(head.depth):
            for inputs, outputs in ((1, 3), (1, 1)):
                self.linear(inputs * head.embed_dim, outputs * head.embed_dim, times=num_frames)
            self.linear(head.embed_dim, head.mlp_dim, times=num_frames)
            self.linear(head.mlp_dim, head.embed_dim, times=num_frames)
            for _ in range(num_frames):  # with each key a product, and with each weight a value
                self.macs += 2 * head.embed_dim * (num_frames if head.window is None else head.window)
            self.params += 2 * 2 * head.embed_dim
        self.params += 2 * head.embed_dim

    def conv(self, inputs, outputs, kernel, *, stride=1, groups=1, norm=True):
        self.size, self.channels = math.ceil(self.size / stride), outputs
        weights = outputs * (inputs // groups) * math.prod(kernel)
        positions = self.clip.num_frames * self.size * self.size
        self.macs += positions * weights
        self.params += weights + (2 * outputs if norm else 0)
        self.half_macs += 2 * positions * outputs if norm else 0

    def linear(self, inputs, outputs, *, times=1):
        self.macs += times * inputs * outputs
        self.params += inputs * outputs + outputs

    def elements(self, channels):
        return self.clip.num_frames * self.size * self.size * channels

    def layer(self, layer):
        inputs, inner = self.channels, layer.expansion
        self.conv(inputs, inner, (1, 1, 1))
        if layer.kernel[0] == 1 or self.variant.conv == "3d":
            self.conv(inner, inner, layer.kernel, stride=layer.stride, groups=inner)
        else:
            self.conv(inner, inner, (1, *layer.kernel[1:]), stride=layer.stride, groups=inner)
            self.conv(inner, inner, (layer.kernel[0], 1, 1), groups=inner)
        if layer.se and self.variant.se != "none":
            pools = {"2d": 1, "3d": 1, "2plus3d": 2}[self.variant.se]
            hidden = max(8, int(pools * inner / 4 + 4) // 8 * 8)
            hidden += 8 if hidden < 0.9 * pools * inner / 4 else 0
            once = self.variant.se == "3d" and self.variant.se_pool == "global"
            self.linear(pools * inner, hidden, times=1 if once else self.clip.num_frames)
            self.linear(hidden, inner, times=1 if once else self.clip.num_frames)
            self.params += self.variant.positional_encoding  # its scalar
            self.half_macs += self.elements(inner)
        self.conv(inner, layer.width, (1, 1, 1))
        self.params += 1  # ReZero's scalar
        self.half_macs += 2 * self.elements(layer.width)  # its product, and the residual sum
        if layer.stride == 2 or inputs != layer.width:
            self.conv(inputs, layer.width, (1, 1, 1))


@settings(max_examples=300)
@given(specs(), variants())
def test_cost_equals_a_walk_through_the_network(spec, variant):
    walk, found = Walk(spec, variant, num_classes=11), cost(spec, variant, num_classes=11)
    assert (found.macs, found.params) == (walk.macs, walk.params)
    assert found.paper_gflops == (2 * walk.macs + walk.half_macs) / 2e9
    one_frame = dataclasses.replace(spec, clip=dataclasses.replace(spec.clip, num_frames=1))
    step = Walk(one_frame, variant, num_classes=11)
    assert found.macs_per_frame == (step.macs if variant.streams else None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_cost_of_a_published_network_equals_the_walk(name, variant):
    walk, found = Walk(published(name), variant, num_classes=600), cost(published(name), variant, num_classes=600)
    assert (found.macs, found.params) == (walk.macs, walk.params)


@settings(max_examples=50)
@given(specs(), variants())
def test_a_temporal_shift_costs_nothing_but_its_state(spec, variant):
    still = frame_wise(spec)
    with_shift, without = (
        cost(still, dataclasses.replace(variant, temporal_shift=shift), num_classes=3) for shift in (True, False)
    )
    state = {"stream_buffer_bytes": 0, "stream_state_bytes": 0}
    assert dataclasses.replace(with_shift, **state) == dataclasses.replace(without, **state)


def test_a_variant_that_does_not_fit_costs_nothing_but_an_error():
    with pytest.raises(SpecError, match="must have no extent in time where the variant has a temporal shift"):
        cost(published("A0"), Variant(temporal_shift=True))


def test_stem_by_hand():
    # 9 pixels and stride 2 give 5; 2 x 5 x 5 x 27 x 8
    part = stem_cost(8, clip=CLIP)
    assert (part.macs, part.params, part.extra_half_macs) == (10_800, 216 + 16, 2 * 400)
    assert part.peak_activations == 2 * 81 * 3 + 2 * 400


def test_head_by_hand():
    part = head_cost(BASE, in_width=8, head_width=16, dense_width=32, in_size=3, num_frames=2, num_classes=5)
    assert part.macs == 18 * 8 * 16 + 16 * 32 + 32 * 5
    assert part.params == 8 * 16 + 32 + (16 * 32 + 32) + (32 * 5 + 5)
    assert part.extra_half_macs == 2 * 18 * 16
    assert part.peak_activations == 2 * 18 * 16


def test_peak_of_the_head_may_be_its_classifier():
    part = head_cost(BASE, in_width=1, head_width=1, dense_width=64, in_size=1, num_frames=1, num_classes=1000)
    assert part.peak_activations == 64 + 1000


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
    layer = LayerSpec(kernel=(1, 3, 3), se=False, **layer)
    part = layer_cost(layer, BASE, in_width=in_width, in_size=4, num_frames=2)
    assert part.peak_activations == elements


def peak_step_by_step(layer, variant, *, in_width, in_size, num_frames):
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
    if variant.temporal_shift:
        run("shifted", before * layer.expansion, frees=["expanded activation"])
        alive["expanded activation"] = alive.pop("shifted")
    run("depthwise conv", after * layer.expansion, frees=["expanded activation"])
    run("depthwise norm", after * layer.expansion, frees=["depthwise conv"])
    if variant.conv != "3d" and layer.kernel[0] > 1:
        run("spatial activation", after * layer.expansion, frees=["depthwise norm"])
        run("temporal conv", after * layer.expansion, frees=["spatial activation"])
        run("depthwise norm", after * layer.expansion, frees=["temporal conv"])
    run("inside", after * layer.expansion, frees=["depthwise norm"])
    if layer.se and variant.se != "none":
        once = variant.se == "3d" and variant.se_pool == "global"
        pooled = (1 if once else num_frames) * layer.expansion
        run("mean", pooled)
        if variant.se_pool == "cumulative":
            run("running sum", pooled, frees=["mean"] if variant.se == "3d" else [])
            run("running mean", pooled, frees=["running sum"])
        if variant.se == "2plus3d":
            if variant.se_pool == "global":
                run("running mean", pooled)
            pooled *= 2
            run("both", pooled, frees=["mean", "running mean"])
        source = "both" if variant.se == "2plus3d" else "running mean" if variant.se_pool == "cumulative" else "mean"
        if variant.positional_encoding:
            run("encoding", pooled)
            run("weighted encoding", pooled, frees=["encoding"])
            run("encoded", pooled, frees=["weighted encoding", source])
            source = "encoded"
        hidden = (1 if once else num_frames) * se_hidden_width(layer.expansion * (2 if variant.se == "2plus3d" else 1))
        gates = (1 if once else num_frames) * layer.expansion
        run("hidden", hidden, frees=[source])
        run("hidden activation", hidden, frees=["hidden"])
        run("gate", gates, frees=["hidden activation"])
        run("sigmoid", gates, frees=["gate"])
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


@settings(max_examples=600)
@given(layers(), variants() | variants(temporal_shift=True), st.integers(1, 70), st.integers(1, 9), st.integers(1, 4))
def test_peak_of_a_layer_equals_its_operators_step_by_step(layer, variant, in_width, in_size, num_frames):
    place = {"in_width": in_width, "in_size": in_size, "num_frames": num_frames}
    if variant.temporal_shift:
        layer = dataclasses.replace(layer, kernel=(1, *layer.kernel[1:]))
    assert layer_cost(layer, variant, **place).peak_activations == peak_step_by_step(layer, variant, **place)


@settings(max_examples=50)
@given(specs(), variants())
def test_peak_of_a_step_is_that_of_a_clip_of_one_frame(spec, variant):
    one_frame = cost(spec, variant, num_classes=3, clip=dataclasses.replace(spec.clip, num_frames=1))
    found = cost(spec, variant, num_classes=3)
    assert found.step_peak_activation_bytes == (one_frame.peak_activation_bytes if variant.streams else None)


def test_peak_counts_the_gate_and_the_hidden_layer():
    layer = LayerSpec(kernel=(1, 3, 3), width=1, expansion=64)
    part = layer_cost(layer, BASE, in_width=1, in_size=1, num_frames=1)
    # one pixel: the gate's product holds source, input, output and the gate of 64 numbers
    assert part.peak_activations == 1 + 64 + 64 + 64


def test_peak_counts_both_pools_beside_their_concatenation():
    layer, variant = LayerSpec(kernel=(1, 3, 3), width=1, expansion=64), Variant(se="2plus3d")
    # two frames of one pixel: source, inside, a pool of frames, one of time, and both in one tensor
    part = layer_cost(layer, variant, in_width=1, in_size=1, num_frames=2)
    assert part.peak_activations == 2 * (1 + 64 + 64 + 64 + 128)


def test_peak_of_a0_is_the_first_expansion():
    # 50 x 86 x 86 pixels: 8 channels in, 24 inside before and after the norm
    pixels = 50 * 86 * 86
    assert cost(published("A0"), BASE).peak_activation_bytes == 4 * pixels * (8 + 24 + 24)


def test_squeeze_and_excitation_costs_two_linear_layers():
    layer = LayerSpec(kernel=(3, 3, 3), width=24, expansion=76)
    on = layer_cost(layer, BASE, in_width=24, in_size=5, num_frames=3)
    off = layer_cost(dataclasses.replace(layer, se=False), BASE, in_width=24, in_size=5, num_frames=3)
    assert on.macs - off.macs == 2 * 76 * 24  # a quarter of 76 is 19, rounded to 24
    assert on.params - off.params == 2 * 76 * 24 + 24 + 76
    assert on.extra_half_macs - off.extra_half_macs == 3 * 5 * 5 * 76


@settings(max_examples=50)
@given(specs(), variants(), clips())
def test_another_clip_costs_as_a_spec_of_that_clip(spec, variant, clip):
    there = cost(dataclasses.replace(spec, clip=clip), variant, num_classes=3)
    assert cost(spec, variant, num_classes=3, clip=clip) == there


@settings(max_examples=50)
@given(specs(), variants())
def test_parts_are_named_in_order_and_add_up(spec, variant):
    parts = part_costs(spec, variant, num_classes=3)
    names = [
        f"block{number}.layer{layer}"
        for number, block in enumerate(spec.blocks, start=2)
        for layer in range(1, len(block.layers) + 1)
    ]
    assert list(parts) == ["stem", *names, "head"]
    found = cost(spec, variant, num_classes=3)
    assert found.macs == sum(part.macs for part in parts.values())
    assert found.params == sum(part.params for part in parts.values())
    assert found.peak_activation_bytes == 4 * max(part.peak_activations for part in parts.values())


@settings(max_examples=50)
@given(specs(), variants())
def test_the_states_of_the_parts_are_the_state_of_the_network(spec, variant):
    state = state_entries(spec, variant, height=spec.clip.resolution, width=spec.clip.resolution)
    found = [entry for part in part_costs(spec, variant).values() for entry in part.state.values()]
    assert found == list(state.values())


@settings(max_examples=50)
@given(specs(), variants(streaming=False))
def test_a_network_that_does_not_stream_has_no_state_and_no_steps(spec, variant):
    found = cost(spec, variant)
    assert (found.stream_buffer_bytes, found.stream_state_bytes) == (0, 0)
    assert found.macs_per_frame is found.step_peak_activation_bytes is None
    assert streams_per_gb(found.stream_state_bytes) is None


@settings(max_examples=50)
@given(specs(), variants(streaming=True))
def test_a_type_of_half_the_size_halves_activations_and_buffers_but_no_sums(spec, variant):
    whole, half = (cost(spec, variant, dtype=dtype) for dtype in ("fp32", "bf16"))
    assert half == cost(spec, variant, dtype="fp16")
    assert 2 * half.peak_activation_bytes == whole.peak_activation_bytes
    assert 2 * half.step_peak_activation_bytes == whole.step_peak_activation_bytes
    assert 2 * half.stream_buffer_bytes == whole.stream_buffer_bytes
    sums = whole.stream_state_bytes - whole.stream_buffer_bytes
    assert half.stream_state_bytes - half.stream_buffer_bytes == sums >= 4


def test_streams_per_gb_by_hand():
    # 2,683,776 bytes of buffers; sums of 15 layers, 2,768 channels, and 480 of the head; a count
    found = cost(published("A0"), VARIANTS["released-stream"])
    assert found.stream_state_bytes == 2_683_776 + 4 * (2_768 + 480) + 4
    assert streams_per_gb(found.stream_state_bytes) == 370  # 370.8


def test_activations_cost_nothing():
    hard = Variant(activation="hard_swish", gate="hard_sigmoid", head_activation="hard_swish")
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
    base = layer_cost(layer, BASE, in_width=16, in_size=8, num_frames=4)
    for change in ({"kernel": (3, 3, 3)}, {"width": 24}, {"expansion": 40}):
        more = layer_cost(dataclasses.replace(layer, **change), BASE, in_width=16, in_size=8, num_frames=4)
        assert more.macs > base.macs, kernel_name(layer.kernel)
        assert more.params > base.params
