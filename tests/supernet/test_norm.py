import math

import pytest
import torch
import torch.nn.functional as F
from made_nets import assert_close

from supernet.norm import activate, norm_activate

ACTIVATIONS = [None, "swish", "hard_swish"]


def drawn(channels, *, size=(6, 5, 7), seed=0):
    """Frames that are not centred, scale and shift, and running statistics."""
    generator = torch.Generator().manual_seed(seed)
    x_NCHW = 3 * torch.randn(size[0], channels, *size[1:], generator=generator) + 10
    x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)
    weight, bias, mean = (torch.randn(channels, generator=generator) for _ in range(3))
    return x_NCHW, weight, bias, mean, torch.rand(channels, generator=generator) + 0.5


def in_fp64(x_NCHW, weight, bias, mean, var, *, training, activation):
    y_NCHW = F.batch_norm(x_NCHW, mean, var, weight, bias, training=training, momentum=0.1, eps=1e-3)
    if activation is None:
        return y_NCHW
    return y_NCHW * y_NCHW.sigmoid() if activation == "swish" else y_NCHW * (y_NCHW + 3).clamp(0, 6) / 6


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("channels", [1, 8, 24, 29])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_values_gradients_and_running_statistics(way, activation, channels, training, threads):
    torch.set_num_threads(threads)
    tensors = drawn(channels)
    results = []
    for dtype in (torch.float32, torch.float64):
        x_NCHW, weight, bias, mean, var = (tensor.to(dtype, copy=True) for tensor in tensors)
        leaves = [tensor.requires_grad_() for tensor in (x_NCHW, weight, bias)]
        if dtype == torch.float32:
            y_NCHW = norm_activate(
                x_NCHW,
                mean,
                var,
                weight,
                bias,
                batch_statistics=training,
                momentum=0.1,
                eps=1e-3,
                activation=activation,
            )
        else:
            y_NCHW = in_fp64(x_NCHW, weight, bias, mean, var, training=training, activation=activation)
        cotangent = torch.randn(y_NCHW.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        results.append((y_NCHW, *torch.autograd.grad(y_NCHW, leaves, cotangent), mean, var))
    for found, wanted in zip(*results, strict=True):
        assert_close(found.double(), wanted)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_evaluation_without_gradients(way, activation):
    x_NCHW, weight, bias, mean, var = drawn(24)
    wanted = in_fp64(
        *(tensor.double() for tensor in (x_NCHW, weight, bias, mean, var)), training=False, activation=activation
    )
    with torch.no_grad():
        found = norm_activate(
            x_NCHW, mean, var, weight, bias, batch_statistics=False, momentum=0.1, eps=1e-3, activation=activation
        )
    assert_close(found.double(), wanted)


def test_statistics_of_far_off_numbers_keep_their_digits(way):
    generator = torch.Generator().manual_seed(0)
    x_NCHW = (100 + torch.randn(8, 16, 20, 20, generator=generator)).contiguous(memory_format=torch.channels_last)
    y_NCHW = norm_activate(
        x_NCHW.clone(memory_format=torch.preserve_format),
        None,
        None,
        torch.ones(16),
        torch.zeros(16),
        batch_statistics=True,
        momentum=0.1,
        eps=1e-12,
        activation=None,
    )
    wanted = F.batch_norm(x_NCHW.double(), None, None, training=True, eps=1e-12)
    assert_close(y_NCHW.double(), wanted, tolerance=1e-4)


@pytest.mark.parametrize("activation", ["swish", "hard_swish"])
def test_large_and_small_numbers_are_activated_and_none_stays_none(way, activation):
    x = torch.tensor([-1e10, -200.0, -88.0, -3.0, -1e-20, 0.0, 1e-20, 3.0, 88.0, 1e10, float("nan"), 1.0] * 4)
    x_NCHW = x.view(1, 48, 1, 1).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        found = norm_activate(
            x_NCHW.clone(memory_format=torch.preserve_format),
            torch.zeros(48),
            torch.ones(48),
            torch.ones(48),
            torch.zeros(48),
            batch_statistics=False,
            momentum=0.1,
            eps=1e-12,
            activation=activation,
        )
    torch.testing.assert_close(found.flatten(), activate(x, activation), rtol=1e-5, atol=1e-7, equal_nan=True)


def batch_normed(x_NCHW, weight, bias):
    return norm_activate(
        x_NCHW, None, None, weight, bias, batch_statistics=True, momentum=0.1, eps=1e-3, activation="swish"
    )


def test_one_number_has_no_variance(way):
    x_NCHW = torch.ones(1, 8, 1, 1).contiguous(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        batch_normed(x_NCHW, torch.ones(8), torch.zeros(8))


def test_no_frames_stay_none(way):
    x_NCHW = torch.ones(0, 8, 2, 2).contiguous(memory_format=torch.channels_last)
    assert batch_normed(x_NCHW, torch.ones(8), torch.zeros(8)).shape == (0, 8, 2, 2)


def test_two_numbers_on_more_threads_than_that(way):
    torch.set_num_threads(5)
    x_NCHW = torch.tensor([[0.0], [2.0]]).expand(2, 8)[:, :, None, None].contiguous(memory_format=torch.channels_last)
    wanted = F.silu(torch.tensor([-1.0, 1.0]) / math.sqrt(1.001))
    found_NCHW = batch_normed(x_NCHW, torch.ones(8), torch.zeros(8))
    assert_close(found_NCHW, wanted[:, None, None, None].expand(2, 8, 1, 1))


def test_scale_and_shift_may_lie_apart_in_memory(way):
    x_NCHW, *_ = drawn(8)
    both = torch.randn(8, 2, generator=torch.Generator().manual_seed(2))
    results = []
    for weight, bias in (both.unbind(dim=1), both.t().contiguous().unbind()):
        leaves = [tensor.detach().requires_grad_() for tensor in (x_NCHW.clone(), weight, bias)]
        results.append(torch.autograd.grad(batch_normed(*leaves).square().sum(), leaves))
    for found, wanted in zip(*results, strict=True):
        assert_close(found, wanted)
