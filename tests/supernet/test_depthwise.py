"""Every way of a depthwise convolution gives the values and gradients of the definition."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nets import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from search_spaces.movinet import KERNELS
from search_spaces.spec import parse_kernel
from supernet import native
from supernet.depthwise import depthwise_conv
from supernet.depthwise.geometry import Geometry
from supernet.depthwise.table import BACKENDS


def by_definition(x_BTHWC, weight, *, stride, padding):
    """Tap by tap, in fp64."""
    times, rows, columns = padding
    x_BTHWC = F.pad(x_BTHWC.double(), (0, 0, *columns, *rows, *times))
    taps = weight.shape[2:]
    sizes = [
        (size - extent) // step + 1
        for size, extent, step in zip(x_BTHWC.shape[1:4], taps, (1, stride, stride), strict=True)
    ]
    y_BTHWC = 0.0
    for t, h, w in itertools.product(*map(range, taps)):
        read = x_BTHWC[:, t : t + sizes[0], h : h + stride * sizes[1] : stride, w : w + stride * sizes[2] : stride]
        y_BTHWC = y_BTHWC + read[:, : sizes[0], : sizes[1], : sizes[2]] * weight.double()[:, 0, t, h, w]
    return y_BTHWC


def gradients_by_definition(x_BTHWC, weight, *, stride, padding):
    """Output, the cotangent of it that is taken, and the gradients by input and weight; all in fp64."""
    leaves = x_BTHWC.double().requires_grad_(), weight.double().requires_grad_()
    y_BTHWC = by_definition(*leaves, stride=stride, padding=padding)
    g_BTHWC = torch.randn(y_BTHWC.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return y_BTHWC.detach(), g_BTHWC, *torch.autograd.grad(y_BTHWC, leaves, g_BTHWC)


def same(size, extent, stride):
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def check(x_BTHWC, weight, *, stride, causal):
    taps = weight.shape[2:]
    times = (taps[0] - 1, 0) if causal else (taps[0] // 2, taps[0] // 2)
    padding = (times, same(x_BTHWC.shape[2], taps[1], stride), same(x_BTHWC.shape[3], taps[2], stride))
    results = []
    for function in (depthwise_conv, by_definition):
        leaves = x_BTHWC.clone().requires_grad_(), weight.clone().requires_grad_()
        y_BTHWC = function(*leaves, stride=stride, padding=padding)
        cotangent = torch.randn(y_BTHWC.shape, generator=torch.Generator().manual_seed(5))
        results.append((y_BTHWC, *torch.autograd.grad(y_BTHWC, leaves, cotangent.to(y_BTHWC.dtype))))
    for found, wanted in zip(*results, strict=True):
        assert_close(found.double(), wanted.double())


@pytest.mark.parametrize("kernel", [*KERNELS, "3x5x1", "1x1x7", "15x1x3", "1x3x15", "1x1x1"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("causal", [False, True])
def test_values_and_gradients_are_those_of_the_definition(way, kernel, stride, causal):
    generator = torch.Generator().manual_seed(0)
    for size in ((1, 1, 1), (1, 5, 7), (3, 1, 2), (5, 8, 13)):
        x_BTHWC = torch.randn(2, *size, 29, generator=generator)
        weight = torch.randn(29, 1, *parse_kernel(kernel), generator=generator)
        check(x_BTHWC, weight, stride=stride, causal=causal)


@settings(max_examples=100)
@given(
    size=st.tuples(*[st.integers(1, most) for most in (2, 5, 15, 15, 40)]),
    kernel=st.tuples(*[st.sampled_from((1, 3, 5, 7)) for _ in range(3)]),
    stride=st.sampled_from((1, 2)),
    causal=st.booleans(),
    threads=st.sampled_from((1, 2, 3)),
)
def test_any_size_with_any_number_of_threads(size, kernel, stride, causal, threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        generator = torch.Generator().manual_seed(sum(size))
        x_BTHWC = torch.randn(*size, generator=generator)
        check(x_BTHWC, torch.randn(size[4], 1, *kernel, generator=generator), stride=stride, causal=causal)
    finally:
        torch.set_num_threads(before)


def test_only_the_gradients_that_are_needed(way):
    x, weight = torch.ones(1, 3, 3, 3, 8), torch.ones(8, 1, 3, 3, 3, requires_grad=True)
    depthwise_conv(x, weight, stride=1, padding=((1, 1),) * 3).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_second_derivatives_are_refused(way):
    x = torch.ones(1, 3, 3, 3, 8, requires_grad=True)
    y = depthwise_conv(x, torch.ones(8, 1, 3, 3, 3), stride=1, padding=((1, 1),) * 3)
    (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_the_same_numbers_every_time(way):
    x = torch.randn(2, 4, 9, 9, 24, requires_grad=True)
    weight = torch.randn(24, 1, 3, 3, 3, requires_grad=True)
    first, second = (
        torch.autograd.grad(depthwise_conv(x, weight, stride=2, padding=((1, 1),) * 3).square().sum(), (x, weight))
        for _ in range(2)
    )
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def cases(kernel):
    """Sizes, strides and paddings: even and odd sizes, one frame, less than the kernel, nothing and too much padded."""
    ahead = ((0, kernel[0] - 1), *((extent - 1, 1) for extent in kernel[1:]))
    for size, stride in itertools.product(((1, 5, 7), (4, 6, 3), (2, 8, 13)), (1, 2)):
        space = tuple(same(size[i], kernel[i], stride) for i in (1, 2))
        for padding in (((kernel[0] - 1, 0), *space), ((kernel[0] // 2,) * 2, *space), ahead):
            yield size, stride, padding
    yield (kernel[0] + 1, 9, 8), 2, tuple((extent + 1, extent) for extent in kernel)
    yield (kernel[0], kernel[1] + 2, kernel[2]), 1, ((0, 0), (0, 0), (0, 0))


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "triton"])
@pytest.mark.parametrize("kernel", [*KERNELS, "3x5x1"])
def test_every_backend_is_the_definition(name, kernel):
    generator, kernel, ran = torch.Generator().manual_seed(1), parse_kernel(kernel), 0
    for size, stride, padding in cases(kernel):
        x_BTHWC = torch.randn(2, *size, 11, generator=generator)
        weight = torch.randn(11, 1, *kernel, generator=generator)
        geometry = Geometry(clips=2, input_THW=size, channels=11, kernel=kernel, stride=stride, padding=padding)
        if not BACKENDS[name].usable(geometry, "cpu", torch.float32):
            continue
        ran += 1
        y_BTHWC, g_BTHWC, gx_BTHWC, gw = gradients_by_definition(x_BTHWC, weight, stride=stride, padding=padding)
        assert geometry.output_THW == y_BTHWC.shape[1:4]
        for found, wanted in (
            (BACKENDS[name].forward(x_BTHWC, weight, geometry), y_BTHWC),
            (BACKENDS[name].input_gradient(g_BTHWC.float(), weight, geometry), gx_BTHWC),
            (BACKENDS[name].weight_gradient(g_BTHWC.float(), x_BTHWC, geometry), gw),
        ):
            assert found.is_contiguous() or (found.ndim == 5 and found.shape[1] == 1)
            assert_close(found.double(), wanted)
    if name == "cpp" and native.library() is None:
        pytest.skip("no compiler here")
    assert (ran > 0) == (name != "view2d" or kernel[0] == 1 or kernel[1:] == (1, 1))


@pytest.mark.parametrize("name", ["view2d", "torch3d", "hybrid", "taps"])
@pytest.mark.parametrize("kernel", ["1x3x3", "5x1x1", "3x3x3"])
def test_bfloat16_is_fp32_to_its_precision(name, kernel):
    """Forward and by the input: oneDNN's gradient by the weight is that of ConvNorm, which asks for fp32."""
    kernel = parse_kernel(kernel)
    geometry = Geometry(
        clips=2, input_THW=(4, 7, 6), channels=16, kernel=kernel, stride=1, padding=tuple((k // 2,) * 2 for k in kernel)
    )
    if not BACKENDS[name].usable(geometry, "cpu", torch.bfloat16):
        pytest.skip("not for this kernel")
    generator = torch.Generator().manual_seed(2)
    x_BTHWC = torch.randn(2, 4, 7, 6, 16, generator=generator).bfloat16()
    weight = torch.randn(16, 1, *kernel, generator=generator).bfloat16().float()
    for work in ("forward", "input_gradient"):
        found = getattr(BACKENDS[name], work)(x_BTHWC, weight, geometry)
        wanted = getattr(BACKENDS["torch3d"], work)(x_BTHWC.float(), weight, geometry)
        assert found.dtype == torch.bfloat16
        assert (found.float() - wanted).abs().max() <= 2e-2 * wanted.abs().max()


def test_autocast_casts_the_input_and_gradients_have_the_dtype_of_what_they_are_by():
    x = torch.randn(1, 2, 5, 5, 8, requires_grad=True)
    weight = torch.randn(8, 1, 1, 3, 3, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = depthwise_conv(x, weight, stride=1, padding=((0, 0), (1, 1), (1, 1)))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad.dtype == weight.grad.dtype == torch.float32


def test_an_input_with_gaps_and_one_on_no_device():
    x, weight = torch.randn(1, 2, 5, 5, 16)[..., ::2], torch.randn(8, 1, 3, 3, 3)
    y = depthwise_conv(x, weight, stride=2, padding=((2, 0), (1, 1), (1, 1)))
    assert_close(y.double(), by_definition(x, weight, stride=2, padding=((2, 0), (1, 1), (1, 1))))
    meta = depthwise_conv(x.to("meta"), weight.to("meta"), stride=2, padding=((2, 0), (1, 1), (1, 1)))
    assert meta.shape == y.shape


class _Names(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kernel", ["1x3x3", "3x3x3"])
def test_who_listens_to_torch_hears_one_convolution(kernel):
    kernel = parse_kernel(kernel)
    x, weight = torch.randn(1, 3, 6, 5, 8), torch.randn(8, 1, *kernel)
    padding = ((kernel[0] - 1, 0), (0, 1), (1, 1))
    with _Names() as heard:
        y = depthwise_conv(x, weight, stride=2, padding=padding)
    assert heard.names.count("convolution") == 1
    assert_close(y.double(), by_definition(x, weight, stride=2, padding=padding))
    traced = torch.export.export(_Layer(padding), (x, weight)).module()
    assert_close(traced(x, weight), y)


class _Layer(torch.nn.Module):
    def __init__(self, padding):
        super().__init__()
        self.padding = padding

    def forward(self, x, weight):
        return depthwise_conv(x, weight, stride=2, padding=self.padding)
