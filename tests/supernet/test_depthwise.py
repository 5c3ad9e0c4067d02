"""Every way of a depthwise convolution gives the values and gradients of the definition."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nets import assert_close

from search_spaces.movinet import KERNELS
from search_spaces.spec import parse_kernel
from supernet.depthwise import depthwise_conv


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
