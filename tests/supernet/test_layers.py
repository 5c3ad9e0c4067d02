import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from made_clips import noise
from made_nets import HARD, TINY_SPEC, assert_close, randomise, reference_logits, same_average_pool, same_conv

from search_spaces.movinet import KERNELS
from search_spaces.spec import ArchSpec, BlockSpec, ClipGeometry, LayerSpec, parse_kernel
from search_spaces.variant import VARIANTS, Variant
from supernet.convolve import average_pool, convolve, convolve_channels, same_padding
from supernet.initial import TRUNCATED_NORMAL_STD, he_normal
from supernet.layers import Bottleneck, ConvNorm, Head, SqueezeExcitation, gated
from supernet.norm import activate
from supernet.timeline import Timeline
from supernet.video_net import VideoNet

BASE = Variant()
CAUSAL = Variant(causal=True, se="none")
SIZES_HW = ((1, 1), (1, 2), (2, 2), (2, 5), (3, 3), (4, 4), (5, 8), (8, 7), (9, 9))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def numbers(*shape, seed=0):
    """Normal float64 numbers, in plain layout."""
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def frames_of(x_BCTHW):
    return x_BCTHW.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)


def clips_of(x_NCHW, num_clips):
    return x_NCHW.unflatten(0, (num_clips, -1)).transpose(1, 2)


def through(module, x_BCTHW, *arguments, variant=BASE, **options):
    """A layer on clips."""
    timeline = Timeline.of(x_BCTHW, variant)
    return clips_of(module(frames_of(x_BCTHW), *arguments, timeline, "name", **options), len(x_BCTHW))


def convolved(x_BCTHW, weight, *, stride, groups, variant=BASE):
    if groups > 1:
        timeline, kernel = Timeline.of(x_BCTHW, variant), tuple(weight.shape[2:])
        y_NCHW = convolve_channels(
            frames_of(x_BCTHW), weight, kernel, stride=stride, timeline=timeline, name="stream_buffer"
        )
    else:
        y_NCHW = convolve(frames_of(x_BCTHW), weight, stride=stride)
    return clips_of(y_NCHW, len(x_BCTHW))


def assert_equal_with_gradients(mine, reference, *inputs):
    """Two functions give equal values and equal gradients of all inputs, to float64 rounding."""
    results = []
    for function in (mine, reference):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
        out = function(*leaves)
        cotangent = numbers(*out.shape, seed=99)
        results.append((out, *torch.autograd.grad(out, leaves, cotangent)))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found.contiguous(), wanted.contiguous(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kernel", [*KERNELS, "3x5x1", "1x1x7", "15x1x3"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("variant", [BASE, CAUSAL])
def test_depthwise_convolution_is_same_padded(kernel, stride, variant):
    weight = numbers(3, 1, *parse_kernel(kernel), seed=1)
    for num_frames in (1, 2, 5):
        for height, width in SIZES_HW:
            assert_equal_with_gradients(
                lambda x, w: convolved(x, w, stride=stride, groups=3, variant=variant),
                lambda x, w: same_conv(x, w, stride=stride, groups=3, causal=variant.causal),
                numbers(2, 3, num_frames, height, width),
                weight,
            )


@pytest.mark.parametrize(("kernel", "stride"), [((1, 1, 1), 1), ((1, 3, 3), 2), ((1, 5, 5), 1)])
def test_dense_convolution_is_same_padded(kernel, stride):
    weight = numbers(5, 3, *kernel, seed=1)
    for height, width in SIZES_HW:
        assert_equal_with_gradients(
            lambda x, w: convolved(x, w, stride=stride, groups=1),
            lambda x, w: same_conv(x, w, stride=stride, groups=1),
            numbers(2, 3, 3, height, width),
            weight,
        )


@pytest.mark.parametrize("kernel", ["1x1x1", *KERNELS])
def test_convolution_keeps_the_layout_in_memory_that_it_gets(kernel):
    x_BCTHW = torch.rand(2, 8, 4, 6, 6, generator=generator())
    weight = torch.rand(8, 1, *parse_kernel(kernel), generator=generator())
    y_BCTHW = convolved(x_BCTHW, weight, stride=2, groups=8)
    assert y_BCTHW.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("kernel", ["1x1x1", *KERNELS])
@pytest.mark.parametrize("stride", [1, 2])
def test_autocast_gradients_do_not_depend_on_what_lay_in_memory_before(kernel, stride):
    for attempt in range(10):
        for count in (100, 1_000, 10_000, 100_000) * 5:
            torch.full((count,), math.nan)
        x_BCTHW = torch.rand(2, 16, 4, 6, 6, generator=generator()).requires_grad_()
        conv = ConvNorm(
            16,
            16,
            parse_kernel(kernel),
            stride=stride,
            depthwise=True,
            variant=BASE,
            running=False,
            generator=generator(),
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y_BCTHW = through(conv, x_BCTHW, 16)
        gradients = torch.autograd.grad(y_BCTHW.float().square().sum(), (x_BCTHW, conv.weight))
        assert all(gradient.isfinite().all() for gradient in gradients), attempt


@given(size=st.integers(1, 300), extent=st.sampled_from((1, 3, 5, 7)), stride=st.sampled_from((1, 2)))
def test_same_padding_gives_as_many_windows_as_tensorflow(size, extent, stride):
    before, after = same_padding(size, extent, stride)
    windows = (size + before + after - extent) // stride + 1
    assert windows == math.ceil(size / stride)
    assert 0 <= before <= after <= before + 1
    if before:  # no window lies in the padding alone, and none would do with less
        assert (size + before + after - 1 - extent) // stride + 1 < windows


def test_average_pool_does_not_count_padded_cells():
    for num_frames in (1, 3):
        for height, width in (*SIZES_HW, (6, 6), (1, 7)):
            assert_equal_with_gradients(
                lambda x: clips_of(average_pool(frames_of(x)), len(x)),
                same_average_pool,
                numbers(2, 3, num_frames, height, width),
            )


def test_average_pool_by_hand():
    even = torch.arange(16.0).view(1, 1, 4, 4)
    assert average_pool(even).flatten().tolist() == [5.0, 6.5, 11.0, 12.5]  # 9, 6, 6 and 4 cells
    odd = torch.arange(9.0).view(1, 1, 3, 3)
    assert average_pool(odd).flatten().tolist() == [2.0, 3.0, 5.0, 6.0]  # 4 cells each


@pytest.mark.parametrize(
    ("activation", "at_minus_4", "at_1"),
    [("swish", -4 / (1 + math.exp(4)), 1 / (1 + math.exp(-1))), ("hard_swish", 0.0, 4 / 6)],
)
def test_activations_by_hand(activation, at_minus_4, at_1):
    found = activate(torch.tensor([-4.0, 0.0, 1.0], dtype=torch.float64), activation).tolist()
    assert found == pytest.approx([at_minus_4, 0.0, at_1], abs=1e-12)


@pytest.mark.parametrize(
    ("gate", "wanted"),
    [
        ("sigmoid", [1 / (1 + math.exp(-x)) for x in (-4.0, -2.75, 0.0, 1.0, 2.0, 2.8)]),
        ("hard_sigmoid", [0.0, 0.25 / 6, 0.5, 4 / 6, 5 / 6, 5.8 / 6]),
        ("legacy_hard_sigmoid", [0.0, 0.0, 0.5, 0.7, 0.9, 1.0]),
    ],
)
def test_gates_by_hand(gate, wanted):
    found = gated(torch.tensor([-4.0, -2.75, 0.0, 1.0, 2.0, 2.8], dtype=torch.float64), gate).tolist()
    assert found == pytest.approx(wanted, rel=0.0, abs=1e-12)


def test_std_of_the_cut_normal():
    # a unit normal cut at two: variance 1 - 2 c phi(c) / P(|x| < c)
    density, inside = math.exp(-2.0) / math.sqrt(2 * math.pi), math.erf(2 / math.sqrt(2))
    assert pytest.approx(math.sqrt(1 - 4 * density / inside), abs=1e-12) == TRUNCATED_NORMAL_STD


def test_he_normal_has_the_std_and_the_cut_of_keras():
    weight = torch.empty(200_000)
    he_normal(weight, fan_in=50, generator=generator())
    assert float(weight.std()) == pytest.approx(0.2, rel=0.01)
    assert float(weight.mean()) == pytest.approx(0.0, abs=0.002)
    cut = 2 * 0.2 / TRUNCATED_NORMAL_STD
    assert 0.99 * cut < float(weight.abs().max()) <= cut


@pytest.mark.parametrize(
    ("kernel", "depthwise", "fan_in"),
    [((5, 3, 3), True, 45), ((1, 7, 7), True, 49), ((1, 1, 1), False, 1000), ((1, 3, 3), False, 9 * 1000)],
)
def test_convolutions_start_with_the_fan_in_of_a_grouped_3d_convolution(kernel, depthwise, fan_in):
    # movinet.md 1.9: kt k k for a depthwise 3-D convolution, not Keras' C k k of a 2-D one
    conv = ConvNorm(1000, 1000, kernel, depthwise=depthwise, variant=BASE, running=False, generator=generator())
    assert conv.weight.shape == (1000, 1 if depthwise else 1000, *kernel)
    assert float(conv.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_in), rel=0.02)


@pytest.mark.parametrize(("se", "num_pools"), [("3d", 1), ("2plus3d", 2)])
def test_squeeze_excitation_starts_with_the_fan_in_of_all_its_pools(se, num_pools):
    squeeze = SqueezeExcitation(1000, Variant(se=se), generator=generator())
    hidden = squeeze.reduce_bias.numel()
    assert squeeze.reduce_weight.shape == (hidden, num_pools, 1000)
    reduce_std, expand_std = (float(w.detach().std()) for w in (squeeze.reduce_weight, squeeze.expand_weight))
    assert reduce_std == pytest.approx(math.sqrt(2 / (1000 * num_pools)), rel=0.02)
    assert expand_std == pytest.approx(math.sqrt(2 / hidden), rel=0.02)


def test_norm_is_that_of_the_batch_and_running_statistics_follow():
    conv = ConvNorm(3, 4, (1, 3, 3), stride=2, variant=BASE, running=True, generator=generator()).double()
    randomise(conv)
    mean_C, var_C = conv.running_mean.clone(), conv.running_var.clone()
    x_BCTHW = numbers(2, 3, 4, 7, 6)
    y_BCTHW = same_conv(x_BCTHW, conv.weight, stride=2, groups=1)
    batch_mean_C, batch_var_C = y_BCTHW.mean(dim=(0, 2, 3, 4)), y_BCTHW.var(dim=(0, 2, 3, 4))

    def normed(mean_C, var_C):
        by_channel = [tensor[None, :, None, None, None] for tensor in (mean_C, var_C, conv.scale, conv.shift)]
        return (y_BCTHW - by_channel[0]) / torch.sqrt(by_channel[1] + 1e-3) * by_channel[2] + by_channel[3]

    count = y_BCTHW.numel() // 4
    torch.testing.assert_close(through(conv, x_BCTHW, 4), normed(batch_mean_C, batch_var_C * (count - 1) / count))
    torch.testing.assert_close(conv.running_mean, 0.99 * mean_C + 0.01 * batch_mean_C)
    torch.testing.assert_close(conv.running_var, 0.99 * var_C + 0.01 * batch_var_C)
    conv.eval()
    mean_C, var_C = conv.running_mean.clone(), conv.running_var.clone()
    torch.testing.assert_close(through(conv, x_BCTHW, 4), normed(mean_C, var_C))
    assert torch.equal(conv.running_mean, mean_C)


def test_without_running_statistics_the_batch_decides_in_evaluation_too():
    conv = ConvNorm(3, 4, (1, 1, 1), variant=BASE, running=False, generator=generator())
    randomise(conv)
    x_BCTHW = noise(2, num_frames=2, height=3, width=3)
    assert torch.equal(through(conv.train(), x_BCTHW, 4), through(conv.eval(), x_BCTHW, 4))
    assert set(conv.state_dict()) == {"weight", "scale", "shift"}


@pytest.mark.parametrize(("kernel", "depthwise"), [((1, 1, 1), False), ((3, 3, 3), True), ((1, 5, 5), True)])
def test_a_narrow_convolution_is_the_leading_part_of_the_wide_one(kernel, depthwise):
    inputs, outputs = (8, 8) if depthwise else (8, 16)
    wide = ConvNorm(24, 24, kernel, depthwise=depthwise, variant=BASE, running=False, generator=generator())
    randomise(wide)
    narrow = ConvNorm(inputs, outputs, kernel, depthwise=depthwise, variant=BASE, running=False, generator=generator(1))
    with torch.no_grad():
        for name, parameter in narrow.named_parameters():
            parameter.copy_(wide.get_parameter(name)[tuple(map(slice, parameter.shape))])
    x_BCTHW = torch.rand(2, inputs, 3, 5, 5, generator=generator(2))
    assert torch.equal(through(wide, x_BCTHW, outputs), through(narrow, x_BCTHW, outputs))


@pytest.mark.parametrize("variant", [BASE, HARD])
@pytest.mark.parametrize("channels", [24, 76])
def test_squeeze_excitation_by_hand(variant, channels):
    """Also on the leading channels: 24 have 8 hidden ones; 76 have 24, for a quarter is 19 and 16 less than 90 %."""
    se = SqueezeExcitation(104, variant, generator=generator()).double().requires_grad_(False)
    randomise(se)
    assert se.reduce_weight.shape == (24, 1, 104)
    x_BCTHW = numbers(2, channels, 3, 4, 5)
    hidden = {24: 8, 76: 24}[channels]
    found_BCTHW = through(se, x_BCTHW, variant=variant)
    for clip in range(2):
        pooled = [float(x_BCTHW[clip, channel].mean()) for channel in range(channels)]
        reduced = [
            sum(float(se.reduce_weight[row, 0, channel]) * pooled[channel] for channel in range(channels))
            + float(se.reduce_bias[row])
            for row in range(hidden)
        ]
        reduced = activate(torch.tensor(reduced, dtype=torch.float64), variant.activation).tolist()
        for channel in range(channels):
            logit = sum(float(se.expand_weight[channel, row]) * reduced[row] for row in range(hidden))
            logit += float(se.expand_bias[channel])
            gate = 1 / (1 + math.exp(-logit)) if variant is BASE else min(max(logit + 3, 0), 6) / 6
            torch.testing.assert_close(found_BCTHW[clip, channel], x_BCTHW[clip, channel] * gate)


def bottleneck(layer, *, in_width, skip, variant=BASE, kernels=None):
    kernels = kernels or [layer.kernel]
    return Bottleneck(
        layer,
        in_width=in_width,
        kernels=kernels,
        convs=[variant.conv],
        skip=skip,
        variant=variant,
        running=False,
        generator=generator(),
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", [8, 16])
def test_a_fresh_layer_is_its_shortcut(stride, width):
    layer = LayerSpec(kernel=(3, 3, 3), width=width, expansion=24, stride=stride)
    identity = stride == 1 and width == 8
    block = bottleneck(layer, in_width=8, skip=not identity)
    x_BCTHW = torch.rand(2, 8, 3, 5, 6, generator=generator())
    found_BCTHW = through(block, x_BCTHW, layer)
    if identity:
        assert torch.equal(found_BCTHW, x_BCTHW)
    else:
        pooled_BCTHW = same_average_pool(x_BCTHW) if stride == 2 else x_BCTHW
        torch.testing.assert_close(found_BCTHW, through(block.skip, pooled_BCTHW, width))
    (gradient,) = torch.autograd.grad(found_BCTHW.square().sum(), block.rezero)
    assert float(gradient) != 0.0  # so the branch wakes up in the first step


def test_the_identity_is_taken_where_the_widths_agree_although_a_projection_is_there():
    widest = LayerSpec(kernel=(1, 3, 3), width=24, expansion=24)
    block = bottleneck(widest, in_width=24, skip=True)
    x_BCTHW = torch.rand(2, 8, 3, 5, 5, generator=generator())
    narrow = LayerSpec(kernel=(1, 3, 3), width=8, expansion=16)
    assert torch.equal(through(block, x_BCTHW, narrow), x_BCTHW)
    assert through(block, x_BCTHW, widest).shape == (2, 24, 3, 5, 5)


@pytest.mark.parametrize("variant", [BASE, HARD])
@pytest.mark.parametrize("se", [True, False])
@pytest.mark.parametrize(("stride", "width"), [(1, 8), (1, 16), (2, 8)])
def test_a_layer_as_movinet_md_writes_it(stride, width, se, variant):
    layer = LayerSpec(kernel=(5, 3, 3), width=width, expansion=24, stride=stride, se=se)
    spec = ArchSpec(
        clip=ClipGeometry(num_frames=3, resolution=8, rate_fps=1.0),
        stem_width=8,
        blocks=(BlockSpec(layers=(layer,)),),
        head_width=8,
        dense_width=8,
    )
    block = bottleneck(layer, in_width=8, skip=stride == 2 or width != 8, variant=variant).double()
    randomise(block)
    x_BCTHW = numbers(2, 3, 3, 10, 9)
    stem = ConvNorm(3, 8, (1, 3, 3), stride=2, variant=BASE, running=False, generator=generator()).double()
    head = make_head(in_width=width, variant=variant).double()
    randomise(head)
    tensors = {
        f"{part}.{name}": tensor
        for part, module in (("stem", stem), ("blocks.0.0", block), ("head", head))
        for name, tensor in module.state_dict().items()
    }
    inner_BCTHW = through(block, activate(through(stem, x_BCTHW, 8), variant.activation), layer, variant=variant)
    found_BK = head_logits(head, inner_BCTHW, variant=variant)
    assert_close(found_BK, reference_logits(tensors, x_BCTHW, spec, variant), tolerance=1e-4)  # fp32 pools


def test_mixed_kernels_are_averaged_after_norm_and_activation():
    kernels = [parse_kernel(name) for name in KERNELS]
    layer = LayerSpec(kernel=kernels[0], width=8, expansion=16, stride=2, se=False)
    block = bottleneck(layer, in_width=8, skip=True, kernels=kernels).double()
    randomise(block)
    x_BCTHW = numbers(2, 8, 4, 6, 6)
    inner_BCTHW = F.silu(through(block.expand, x_BCTHW, 16))
    branches = [through(block.depthwise[name], inner_BCTHW) for name in KERNELS]
    branch_BCTHW = through(block.project, sum(branches) / 7, 8)
    shortcut_BCTHW = through(block.skip, same_average_pool(x_BCTHW), 8)
    found_BCTHW = through(block, x_BCTHW, layer, mixed=True)
    torch.testing.assert_close(found_BCTHW, branch_BCTHW * block.rezero + shortcut_BCTHW)


def test_mixing_a_single_kernel_changes_nothing():
    layer = LayerSpec(kernel=(3, 3, 3), width=8, expansion=16)
    block = bottleneck(layer, in_width=8, skip=False)
    randomise(block)
    x_BCTHW = torch.rand(2, 8, 3, 5, 5, generator=generator())
    assert torch.equal(through(block, x_BCTHW, layer, mixed=True), through(block, x_BCTHW, layer))


def make_head(*, in_width, variant=BASE, dense_width=8):
    return Head(
        in_width=in_width,
        head_width=8,
        dense_width=dense_width,
        num_classes=5,
        variant=variant,
        running=False,
        generator=generator(),
    )


def head_logits(head, x_BCTHW, *, variant=BASE):
    return head(frames_of(x_BCTHW), 8, Timeline.of(x_BCTHW, variant))


def test_the_classifier_starts_small_and_without_bias():
    head = make_head(in_width=8, dense_width=40_000)
    assert float(head.classifier.weight.detach().std()) == pytest.approx(0.01, rel=0.02)
    assert not head.classifier.bias.any()
    assert float(head.dense_weight.detach().std()) == pytest.approx(math.sqrt(2 / 8), rel=0.02)


def test_the_head_pools_over_time_and_space():
    head = make_head(in_width=8)
    randomise(head)
    x_BCTHW = torch.rand(2, 8, 4, 3, 3, generator=generator())
    turned_BCTHW = x_BCTHW.flip(2).roll(1, dims=3)
    assert head_logits(head, x_BCTHW).shape == (2, 5)
    torch.testing.assert_close(head_logits(head, x_BCTHW), head_logits(head, turned_BCTHW))
    assert not torch.allclose(head_logits(head, x_BCTHW), head_logits(head, x_BCTHW * 1.5 - x_BCTHW.square()))


@pytest.mark.parametrize("variant", [BASE, VARIANTS["released-stream"]], ids=["base", "released-stream"])
def test_a_network_in_bfloat16_answers_in_fp32(variant):
    net = VideoNet(TINY_SPEC, variant, num_classes=3).bfloat16().eval()
    with torch.no_grad():
        assert net(noise(2, num_frames=3, height=24, width=24).bfloat16()).dtype == torch.float32


def test_a_network_in_bfloat16_pools_in_fp32():
    """Over pixels and frames, in squeeze-and-excitation and in the head (movinet.md, fact 10)."""
    net = VideoNet(TINY_SPEC, VARIANTS["released-stream"], num_classes=3)
    randomise(net)
    net, pooled = net.bfloat16().eval(), {}
    layers = {"block2.layer1.pool": net.blocks[0][0].depthwise["3x3x3"], "head.pool": net.head.conv}
    for name, module in layers.items():
        module.register_forward_hook(lambda *call, name=name: pooled.update({name: call[2].detach()}))
    with torch.no_grad():
        clips_BCTHW = noise(2, num_frames=5, height=48, width=48).bfloat16()
        _, state = net.step(clips_BCTHW, net.init_state(2, 48, 48))
    assert pooled.keys() == layers.keys()
    for name, x_NCHW in pooled.items():
        assert x_NCHW.dtype == torch.bfloat16
        assert state[name].dtype == torch.float32
        sums_BC = x_NCHW.double().mean(dim=(2, 3)).unflatten(0, (2, 5)).sum(dim=1)
        assert_close(state[name].double(), sums_BC, tolerance=1e-6)
