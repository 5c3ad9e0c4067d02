import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_clips import noise
from made_nets import TINY_SPEC, assert_close, randomise, reference_logits, settled
from made_spaces import frame_wise, specs, variants
from torch.utils._python_dispatch import TorchDispatchMode

from search_spaces.cost import cost
from search_spaces.errors import SpecError, StateError, UsageError
from search_spaces.published import NAMES, published, released_stream
from search_spaces.stream_state import state_entries
from search_spaces.variant import VARIANTS, Variant
from supernet.layers import Bottleneck
from supernet.video_net import VideoNet

BASE = Variant()

CONV = ("weight", "scale", "shift", "running_mean", "running_var")
SE = ("reduce_weight", "reduce_bias", "expand_weight", "expand_bias")
# what files of weights hold: a change here breaks everyone's
GOLDEN_NAMES = {
    *(f"stem.{name}" for name in CONV),
    *(f"blocks.0.0.expand.{name}" for name in CONV),
    *(f"blocks.0.0.depthwise.3x3x3.conv.{name}" for name in CONV),
    *(f"blocks.0.0.se.{name}" for name in SE),
    *(f"blocks.0.0.project.{name}" for name in CONV),
    "blocks.0.0.rezero",
    *(f"blocks.0.0.skip.{name}" for name in CONV),
    *(f"blocks.0.1.expand.{name}" for name in CONV),
    *(f"blocks.0.1.depthwise.1x5x5.conv.{name}" for name in CONV),
    *(f"blocks.0.1.project.{name}" for name in CONV),
    "blocks.0.1.rezero",
    *(f"blocks.1.0.expand.{name}" for name in CONV),
    *(f"blocks.1.0.depthwise.5x1x1.conv.{name}" for name in CONV),
    *(f"blocks.1.0.se.{name}" for name in SE),
    *(f"blocks.1.0.project.{name}" for name in CONV),
    "blocks.1.0.rezero",
    *(f"blocks.1.0.skip.{name}" for name in CONV),
    *(f"head.conv.{name}" for name in CONV),
    "head.dense_weight",
    "head.dense_bias",
    "head.classifier.weight",
    "head.classifier.bias",
}


def made(spec=TINY_SPEC, variant=BASE, *, seed=0):
    net = VideoNet(spec, variant, num_classes=3, seed=seed)
    randomise(net)
    return net


def num_params(spec, *, num_classes):
    with torch.device("meta"):
        net = VideoNet(spec, BASE, num_classes=num_classes)
    return sum(parameter.numel() for parameter in net.parameters())


def test_a0_has_the_published_number_of_parameters():
    assert num_params(published("A0"), num_classes=600) == 3_111_799


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_a_published_network_are_those_of_the_arithmetic(name):
    assert num_params(published(name), num_classes=600) == cost(published(name), BASE).params


@settings(max_examples=60)
@given(specs())
def test_parameters_are_those_of_the_arithmetic(spec):
    assert num_params(spec, num_classes=7) == cost(spec, BASE, num_classes=7).params


def test_names_of_the_state_are_stable():
    assert set(made().state_dict()) == GOLDEN_NAMES


@settings(max_examples=80)
@given(spec=specs(), variant=variants(), shift=st.booleans(), training=st.booleans(), data=st.data())
def test_a_network_is_the_one_that_movinet_md_writes_down(spec, variant, shift, training, data):
    if shift:
        spec, variant = frame_wise(spec), dataclasses.replace(variant, temporal_shift=True)
    net = made(spec, variant).double().train(training)
    num_frames, height, width = (data.draw(st.integers(1, most)) for most in (8, 24, 24))
    clips_BCTHW = noise(2, num_frames=num_frames, height=height, width=width).double()
    tensors = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    wanted_BK = reference_logits(tensors, clips_BCTHW, spec, variant, batch_statistics=training)
    assert_close(net(clips_BCTHW), wanted_BK)


@pytest.mark.parametrize("num_frames", [1, 2, 5])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (13, 10), (1, 3), (2, 31)])
def test_any_clip_goes_through_and_every_size_is_rounded_up(num_frames, height, width):
    net = made().eval()
    shapes = []
    for module in net.modules():
        if isinstance(module, Bottleneck):
            module.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    assert net(noise(2, num_frames=num_frames, height=height, width=width)).shape == (2, 3)
    halves = [(math.ceil(height / stride), math.ceil(width / stride)) for stride in (4, 4, 4)]
    assert shapes == [(2 * num_frames, channels, *half) for channels, half in zip((8, 8, 16), halves, strict=True)]


def test_the_layout_of_the_input_in_memory_does_not_matter():
    net = made().eval()
    plain_BCTHW = noise(2, num_frames=4, height=9, width=12)
    last_BCTHW = plain_BCTHW.contiguous(memory_format=torch.channels_last_3d)
    assert plain_BCTHW.stride() != last_BCTHW.stride()
    assert torch.equal(net(plain_BCTHW), net(last_BCTHW))


def test_the_seed_decides_the_initial_weights():
    first, second, other = (VideoNet(TINY_SPEC, BASE, num_classes=3, seed=seed) for seed in (4, 4, 5))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    weights = [name for name in first.state_dict() if name.endswith("weight")]
    assert not any(torch.equal(first.state_dict()[name], other.state_dict()[name]) for name in weights)


def test_no_two_layers_start_with_the_same_numbers():
    state = VideoNet(TINY_SPEC, BASE, num_classes=3).state_dict()
    weights = [state[name].flatten()[:64] for name in state if name.endswith("weight")]
    for first, second in itertools.combinations(weights, 2):
        length = min(len(first), len(second))
        ratio = first[:length] / second[:length]
        assert not torch.allclose(ratio, ratio[0].expand(length))


def test_nothing_is_drawn_from_the_global_generator():
    before = torch.random.get_rng_state()
    VideoNet(TINY_SPEC, BASE, num_classes=3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_evaluation_takes_each_clip_for_itself():
    net = made()
    clips_BCTHW = noise(4, num_frames=4, height=12, width=12)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.eval()
    torch.testing.assert_close(net(clips_BCTHW)[:1], net(clips_BCTHW[:1]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    net.train()
    assert not torch.allclose(net(clips_BCTHW)[:2], net(clips_BCTHW[:2]), rtol=1e-3)
    moved = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in before if name.endswith(("running_mean", "running_var"))}


def test_every_parameter_gets_a_gradient():
    net = made()
    net(noise(2, num_frames=4, height=12, width=12)).square().sum().backward()
    without = [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert without == []


def test_a_fresh_network_answers_the_same_whatever_its_branches_hold():
    """ReZero starts at 0: a test of equality on a fresh network would prove nothing (design.md, last section)."""
    net = VideoNet(TINY_SPEC, BASE, num_classes=3)
    clips_BCTHW = noise(2, num_frames=4, height=12, width=12)
    before_BK = net(clips_BCTHW)
    with torch.no_grad():
        net.get_parameter("blocks.0.1.depthwise.1x5x5.conv.weight").fill_(1.0)
    assert torch.equal(net(clips_BCTHW), before_BK)


STREAMING = (
    VARIANTS["paper-stream"],
    VARIANTS["released-stream"],
    dataclasses.replace(VARIANTS["released-stream"], conv="2plus1d", positional_encoding=True),
)


@torch.no_grad()
def step_through(net, clips_BCTHW, lengths):
    """Logits after every frame, in pieces of these lengths, and the state at the end."""
    state = net.init_state(clips_BCTHW.shape[0], *clips_BCTHW.shape[-2:])
    logits, start = [], 0
    for length in lengths:
        piece_BTK, state = net.step(clips_BCTHW[:, :, start : start + length], state, per_frame=True)
        logits.append(piece_BTK)
        start += length
    assert start == clips_BCTHW.shape[2]
    return torch.cat(logits, dim=1), state


def assert_stream_is_clip(net, clips_BCTHW, lengths):
    """Also half-way: the logits after each frame are those of the clip that ends there."""
    found_BTK, state = step_through(net, clips_BCTHW, lengths)
    with torch.no_grad():
        assert_close(found_BTK[:, -1], net(clips_BCTHW))
        half = (clips_BCTHW.shape[2] + 1) // 2
        assert_close(found_BTK[:, half - 1], net(clips_BCTHW[:, :, :half]))
    return state


@st.composite
def splits(draw, num_frames):
    """Lengths of pieces, single frames among them."""
    lengths = []
    while (left := num_frames - sum(lengths)) > 0:
        lengths.append(draw(st.one_of(st.just(1), st.integers(1, left))))
    return lengths


@settings(max_examples=200)
@given(spec=specs(), variant=variants(streaming=True), shift=st.booleans(), data=st.data())
def test_a_stream_in_any_pieces_is_the_clip(spec, variant, shift, data):
    if shift:
        spec, variant = frame_wise(spec), dataclasses.replace(variant, temporal_shift=True)
    num_frames, height, width = (
        data.draw(st.integers(1, 12)),
        data.draw(st.integers(1, 33)),
        data.draw(st.integers(1, 33)),
    )
    net = settled(made(spec, variant), height=height, width=width)
    clips_BCTHW = noise(2, num_frames=num_frames, height=height, width=width)
    state = assert_stream_is_clip(net, clips_BCTHW, data.draw(splits(num_frames)))
    entries = state_entries(spec, variant, height=height, width=width)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        name: (2, *entry.shape) for name, entry in entries.items()
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (45, 80)])
def test_a_published_stream_is_the_clip(name, form, height, width):
    variant = VARIANTS["paper-stream"] if form == "paper" else released_stream(name)
    net = settled(made(published(name), variant), height=height, width=width)
    for lengths in ([1] * 7, [1, 1, 3, 2]):
        assert_stream_is_clip(net, noise(1, num_frames=7, height=height, width=width), lengths)


@pytest.mark.parametrize("variant", [*STREAMING, BASE])
@pytest.mark.parametrize(("height", "width"), [(91, 160), (172, 229)])
def test_frames_of_odd_sizes_that_are_not_square_go_through_a0(variant, height, width):
    net = settled(made(published("A0"), variant), height=height, width=width)
    clips_BCTHW = noise(1, num_frames=3, height=height, width=width)
    if variant.streams:
        assert_stream_is_clip(net, clips_BCTHW, [1, 2])
    else:
        assert net(clips_BCTHW).isfinite().all()


def check_state_after_a_step(spec, variant, height, width):
    """The tensors that a step returns come out of its computation, not out of the arithmetic."""
    with torch.device("meta"):
        net = VideoNet(spec, variant, num_classes=2).eval()
        state = net.init_state(1, height, width)
        _, state = net.step(torch.empty(1, 3, 1, height, width), state)
    entries = state_entries(spec, variant, height=height, width=width)
    assert {name: (tuple(tensor.shape[1:]), tensor.nbytes) for name, tensor in state.items()} == {
        name: (entry.shape, entry.num_bytes(bytes_per_element=4)) for name, entry in entries.items()
    }


@settings(max_examples=60)
@given(spec=specs(), variant=variants(streaming=True), height=st.integers(1, 40), width=st.integers(1, 40))
def test_state_after_a_step_is_what_the_arithmetic_says(spec, variant, height, width):
    check_state_after_a_step(spec, variant, height, width)


@pytest.mark.long
@settings(max_examples=1000)
@given(spec=specs(), variant=variants(streaming=True), height=st.integers(1, 40), width=st.integers(1, 40))
def test_state_after_a_step_is_what_the_arithmetic_says_of_1000_networks(spec, variant, height, width):
    check_state_after_a_step(spec, variant, height, width)


def test_streams_side_by_side_do_not_mix_and_may_differ_in_age():
    net = made(variant=STREAMING[2]).eval()
    clips_BCTHW = noise(2, num_frames=6, height=12, width=10)
    _, old = step_through(net, clips_BCTHW[:1, :, :3], [3])
    new = net.init_state(1, 12, 10)
    both = {name: torch.cat((old[name], new[name])) for name in old}
    with torch.no_grad():
        logits_BK, _ = net.step(torch.cat((clips_BCTHW[:1, :, 3:], clips_BCTHW[1:, :, :3])), both)
        assert_close(logits_BK[:1], net(clips_BCTHW[:1]))
        assert_close(logits_BK[1:], net(clips_BCTHW[1:, :, :3]))


def test_a_step_leaves_its_state_as_it_was_and_remembers_nothing():
    net = made(variant=STREAMING[0]).eval()
    frames_BCHW = noise(1, num_frames=1, height=9, width=9)[:, :, 0]
    state = net.init_state(1, 9, 9)
    with torch.no_grad():
        first_BK, after = net.step(frames_BCHW, state)
        second_BK, _ = net.step(frames_BCHW, after)
        again_BK, _ = net.step(frames_BCHW, state)
    assert all(not tensor.any() for tensor in state.values())
    assert torch.equal(first_BK, again_BK)
    assert not torch.allclose(first_BK, second_BK)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state.pop("head.pool"), "head.pool: a state must have exactly the entries .* is missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "extra: .* got an unknown one"),
        (
            lambda state: state.update({"frame_count": torch.zeros(3, dtype=torch.int32)}),
            r"frame_count: must be of shape \(2,\) for 2 streams of 12x10 pixels, torch.int32 on cpu, but got \(3,\)",
        ),
        (
            lambda state: state.update({"block2.layer1.stream_buffer": torch.zeros(2, 2, 6, 6, 16)}),
            r"block2.layer1.stream_buffer: must be of shape \(2, 2, 6, 5, 16\)",
        ),
        (
            lambda state: state.update({"head.pool": state["head.pool"].half()}),
            r"head.pool: must be .* torch.float32 on cpu, but got \(2, 24\), torch.float16 on cpu",
        ),
        (
            lambda state: state.update(
                {"block2.layer1.stream_buffer": state["block2.layer1.stream_buffer"].to(torch.int32)}
            ),
            r"block2.layer1.stream_buffer: must be .* torch.float32 on cpu, but got .* torch.int32 on cpu",
        ),
        (
            lambda state: state.update({"head.pool": state["head.pool"].to("meta")}),
            r"head.pool: must be .* on cpu, but got \(2, 24\), torch.float32 on meta",
        ),
        (lambda state: state.update({"head.pool": None}), "head.pool: a state must have .* is missing"),
        (lambda state: (state.pop("head.pool"), state.pop("block2.layer1.pool")), r"^block2.layer1.pool: "),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_its_entry(damage, message):
    net = made(variant=STREAMING[0]).eval()
    state = net.init_state(2, 12, 10)
    damage(state)
    with pytest.raises(StateError, match=message):
        net.step(noise(2, num_frames=1, height=12, width=10), state)


@pytest.mark.parametrize("variant", [BASE, Variant(causal=True), Variant(se="2d")])
def test_a_network_that_looks_ahead_does_not_stream(variant):
    net = made(variant=variant)
    with pytest.raises(
        SpecError, match="variant: must be causal, with no global pool in se, for a network that streams"
    ):
        net.init_state(1, 8, 8)
    with pytest.raises(SpecError, match="variant: must be causal"):
        net.step(noise(1, num_frames=1, height=8, width=8), {})


def test_a_temporal_shift_beside_a_temporal_kernel_is_refused():
    with pytest.raises(SpecError, match="must have no extent in time"):
        made(variant=Variant(temporal_shift=True))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_means_of_a_long_stream_stay_right_in_16_bit(dtype):
    """movinet.md, fact 10: a sum of 5,000 times 0.37 in bfloat16 stops at 128."""
    net = made(variant=STREAMING[0]).to(dtype).eval()
    frame_BCHW = torch.full((1, 3, 8, 8), 0.37, dtype=dtype)
    state = net.init_state(1, 8, 8)
    assert state["head.pool"].dtype == torch.float32
    assert state["block2.layer1.stream_buffer"].dtype == dtype
    sums = []
    with torch.no_grad():
        for _ in range(5000):
            _, state = net.step(frame_BCHW, state)
            sums.append(state["block2.layer1.pool"].double())
    assert int(state["frame_count"]) == 5000
    settled_C = sums[9] - sums[8]  # after the buffers are full, every frame adds the same
    assert_close(sums[-1], sums[9] + 4990 * settled_C, tolerance=1e-3)


@pytest.mark.parametrize("shape", [(2, 1, 4, 8, 8), (2, 4, 4, 8, 8), (3, 4, 8, 8), (2, 3, 0, 8, 8), (1, 2, 3, 4, 8, 8)])
def test_clips_of_another_shape_are_refused(shape):
    net = made().eval()
    message = rf"clips must be of shape \(B, 3, T, H, W\), but got \({', '.join(map(str, shape))}\)"
    with pytest.raises(UsageError, match=message):
        net(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 8, 8), (1, 3, 0, 8, 8)])
def test_frames_of_another_shape_are_refused(shape):
    net = made(variant=STREAMING[0]).eval()
    with pytest.raises(UsageError, match=r"clips must be of shape .*, or frames \(B, 3, H, W\), but got"):
        net.step(torch.zeros(shape), net.init_state(1, 8, 8))


def test_gradients_flow_through_the_state():
    net = made(variant=STREAMING[0])
    clips_BCTHW = noise(1, num_frames=4, height=8, width=8).requires_grad_()
    _, state = net.step(clips_BCTHW[:, :, :2], net.init_state(1, 8, 8))
    logits_BK, _ = net.step(clips_BCTHW[:, :, 2:], state)
    (gradient,) = torch.autograd.grad(logits_BK.sum(), clips_BCTHW)
    assert gradient[:, :, :2].any()


@pytest.mark.parametrize("switches", [{"pool_window": 4}, {"pool_decay": 0.5}])
def test_an_endless_stream_forgets_what_a_mean_of_all_frames_keeps(switches):
    forgetful = made(variant=dataclasses.replace(VARIANTS["paper-stream"], **switches)).eval()
    faithful = made(variant=VARIANTS["paper-stream"]).eval()
    early, late = noise(1, num_frames=40, height=12, width=12), noise(1, num_frames=40, height=12, width=12, seed=1)
    differences = []
    with torch.no_grad():
        for net in (forgetful, faithful):
            after_other, alone = net(torch.cat((early, late), dim=2)), net(torch.cat((late, late), dim=2))
            differences.append(float((after_other - alone).abs().max() / alone.abs().max()))
    assert differences[0] < 1e-3 < differences[1]


def test_dropout_and_stochastic_depth_are_for_training_alone():
    spec, clips_BCTHW = TINY_SPEC, noise(8, num_frames=2, height=12, width=12)
    net = VideoNet(spec, BASE, num_classes=3, dropout=0.5, drop_path=0.5)
    randomise(net)
    rates = [module.drop_path for module in net.modules() if isinstance(module, Bottleneck)]
    assert rates == pytest.approx([0.5 / 3, 1.0 / 3, 0.5])  # base i / L (movinet.md 1.2)
    assert torch.equal(net.eval()(clips_BCTHW), made().eval()(clips_BCTHW))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.allclose(net.train()(clips_BCTHW), net(clips_BCTHW))


def test_stochastic_depth_drops_whole_clips_and_keeps_the_mean():
    layer = TINY_SPEC.blocks[1].layers[0]
    spec = dataclasses.replace(TINY_SPEC, blocks=(dataclasses.replace(TINY_SPEC.blocks[1], layers=(layer,)),))
    net = VideoNet(spec, BASE, num_classes=3, drop_path=0.25)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn_N = net.blocks[0][0]._survivors(1000, torch.zeros(4000, 1, 1, 1)).flatten()
    assert sorted(set(drawn_N.tolist())) == pytest.approx([0.0, 1 / 0.75])
    assert (drawn_N.view(1000, 4) == drawn_N.view(1000, 4)[:, :1]).all()
    assert float(drawn_N.mean()) == pytest.approx(1.0, abs=0.05)


class _Dimensions(TorchDispatchMode):
    """The most dimensions of any tensor that an operator of torch gives or takes."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves((args, results)):
            if isinstance(tensor, torch.Tensor):
                self.most = max(self.most, tensor.ndim)
        return results


@pytest.mark.parametrize(("conv", "wanted"), [("2plus1d", 4), ("3d_2plus1d", 5)])
def test_a_flat_network_needs_no_more_than_four_dimensions(conv, wanted):
    net = made(variant=dataclasses.replace(VARIANTS["released-stream"], conv=conv)).eval()
    frame_BCHW = noise(1, num_frames=1, height=12, width=12)[:, :, 0]
    state = net.init_state(1, 12, 12)
    with torch.no_grad(), _Dimensions() as dimensions:
        net.step(frame_BCHW, state)
    assert dimensions.most == wanted


class _Step(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, frames_BCHW, state):
        return self.net.step(frames_BCHW, state)


@pytest.mark.parametrize("variant", STREAMING)
def test_an_exported_step_takes_and_gives_the_whole_state(variant):
    net = made(variant=variant).eval()
    frames_BCHW, state = noise(1, num_frames=1, height=12, width=12)[:, :, 0], net.init_state(1, 12, 12)
    with torch.no_grad():
        program = torch.export.export(_Step(net), (frames_BCHW, state))
    signature = program.graph_signature
    assert len(signature.user_inputs) == 1 + len(state)
    assert len(signature.user_outputs) == 1 + len(state)
    assert not signature.buffers_to_mutate
    step = program.module()
    first_BK, after = step(frames_BCHW, state)
    second_BK, _ = step(frames_BCHW, after)
    assert set(after) == set(state)
    assert not torch.allclose(first_BK, second_BK)
    with torch.no_grad():
        assert_close(first_BK, net.step(frames_BCHW, state)[0])
        assert_close(second_BK, net.step(frames_BCHW, after)[0])
