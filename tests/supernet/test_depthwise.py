"""The fast backward pass is the same convolution."""

import pytest
import torch
import torch.nn.functional as F

from supernet.depthwise import depthwise_conv3d


@pytest.mark.parametrize("kernel", [(3, 3, 3), (5, 3, 3), (5, 1, 1), (7, 1, 1), (3, 5, 5)])
@pytest.mark.parametrize("size", [(8, 6, 6), (1, 5, 7), (3, 1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_values_and_gradients_equal_the_native_ones(kernel, size, stride):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 16, *size, generator=generator).contiguous(memory_format=torch.channels_last_3d)
    weight = torch.randn(16, 1, *kernel, generator=generator)
    padding = tuple(extent // 2 for extent in kernel)
    results = []
    for convolve in (
        lambda x, w: depthwise_conv3d(x, w, stride=stride, padding=padding),
        lambda x, w: F.conv3d(x, w, stride=(1, stride, stride), padding=padding, groups=16),
    ):
        leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = convolve(*leaves)
        y.backward(torch.linspace(-1, 1, y.numel()).view_as(y))
        results.append((y.detach(), leaves[0].grad, leaves[1].grad))
    for ours, native in zip(*results, strict=True):
        assert (ours - native).abs().max() <= 2e-5 * native.abs().max()


def test_only_the_gradients_that_are_needed():
    x, weight = torch.ones(1, 8, 3, 3, 3), torch.ones(8, 1, 3, 3, 3, requires_grad=True)
    depthwise_conv3d(x, weight, stride=1, padding=(1, 1, 1)).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_second_derivatives_are_refused():
    x = torch.ones(1, 8, 3, 3, 3, requires_grad=True)
    y = depthwise_conv3d(x, torch.ones(8, 1, 3, 3, 3), stride=1, padding=(1, 1, 1))
    (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
