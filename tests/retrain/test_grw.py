"""GRW-smoothing beside its definition written down a second time, order by order, and beside known values."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain.grw import GRWSmoothing, frame_embeddings, normalised, warmed_up


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_definition(x_TC, *, alpha, sigma):
    """Order term and velocity term of one window, with every re-ordered window made."""

    def energy(order):
        z = [x_TC[frame] for frame in order]
        return (
            -0.5 * sum(((c - b) - (b - a)).square().sum() for a, b, c in zip(z, z[1:], z[2:], strict=False)) / sigma**2
        )

    frames = range(len(x_TC))
    energies = torch.stack([energy((0, *rest)) for rest in itertools.permutations(frames[1:])])
    velocity = 0.5 * sum((x_TC[t + 1] - x_TC[t]).square().sum() for t in frames[:-1]) / sigma**2
    order = torch.logsumexp(energies, 0) - energy(tuple(frames))
    return order, velocity, order + alpha * velocity


@pytest.mark.parametrize(
    ("frames", "alpha", "order", "velocity", "loss"),
    [  # grw.md 2.5, which are the inputs of upstream's own tests
        ([[0.0], [1.0], [2.0], [3.0]], 1.0, 0.0138385, 1.5, 1.5138385),
        ([[4.0], [2.0], [1.0], [3.0]], 1.0, 5.0138388, 4.5, 9.5138388),
        ([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]], 0.5, 0.0, 12.0, 6.0),
    ],
)
def test_known_values(frames, alpha, order, velocity, loss):
    found = GRWSmoothing(4, alpha=alpha)(torch.tensor([frames]))
    assert [float(found.order), float(found.velocity), float(found.loss)] == pytest.approx(
        [order, velocity, loss], abs=2e-6
    )


@pytest.mark.parametrize(
    ("window", "step", "order", "velocity", "loss"),
    [(4, 0.73, None, None, 0.5496), (5, 0.75, 0.1887, 1.1250, 0.7512), (6, 0.77, 0.2255, 1.4822, 0.9666)],
)
def test_a_steady_straight_walk(window, step, order, velocity, loss):
    """grw.md 2.5: the best step of a uniform motion, and what it costs."""
    found = GRWSmoothing(window)((torch.arange(float(window)) * step).view(1, -1, 1))
    assert float(found.loss) == pytest.approx(loss, abs=1e-4)
    assert float(found.acceleration_ratio) == pytest.approx(0.0, abs=1e-5)
    if order is not None:
        assert [float(found.order), float(found.velocity)] == pytest.approx([order, velocity], abs=6e-3)


def test_the_optimum_is_no_steady_walk():
    """grw.md 2.5: 0.5904 at T = 5, with a short first step and |a| / |v| of 0.37."""
    smoothing, x_1TC = GRWSmoothing(5), torch.linspace(0, 3, 5, dtype=torch.float64).view(1, 5, 1).requires_grad_()
    optimizer = torch.optim.LBFGS([x_1TC], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = smoothing(x_1TC).loss
        loss.backward()
        return loss

    optimizer.step(closure)
    found = smoothing(x_1TC)
    assert float(found.loss.detach()) == pytest.approx(0.5904, abs=1e-4)
    assert float(found.acceleration_ratio) == pytest.approx(0.37, abs=0.01)
    steps = x_1TC.detach().diff(dim=1).abs().flatten()
    assert steps.tolist() == pytest.approx([0.17, 0.61, 0.84, 0.86], abs=0.01)


@pytest.mark.parametrize("window", [4, 5, 6, 7])
def test_equal_frames_are_a_stationary_point_at_chance(window):
    x_BTC = torch.full((2, window, 3), 0.5, dtype=torch.float64, requires_grad=True)
    found = GRWSmoothing(window)(x_BTC)
    assert float(found.order) == pytest.approx(math.log(math.factorial(window - 1)))
    assert float(found.velocity) == float(found.acceleration_ratio) == 0.0
    found.loss.backward()
    assert not x_BTC.grad.any()


@settings(max_examples=25)
@given(
    window=st.integers(3, 6),
    channels=st.integers(1, 4),
    alpha=st.floats(0, 2),
    sigma=st.floats(0.5, 3),
    seed=st.integers(0, 99),
)
def test_loss_and_gradient_are_those_of_the_definition(window, channels, alpha, sigma, seed):
    x_BTC = drawn(2, 2 * window, channels, seed=seed).requires_grad_()
    found = GRWSmoothing(window, alpha=alpha, sigma=sigma)(x_BTC)
    windows = [x_BTC[clip, start : start + window] for clip in (0, 1) for start in (0, window)]
    order, velocity, loss = (
        torch.stack(parts).mean()
        for parts in zip(*(by_definition(each, alpha=alpha, sigma=sigma) for each in windows), strict=True)
    )
    torch.testing.assert_close((found.order, found.velocity, found.loss), (order, velocity, loss))
    (gradient,), (wanted,) = (torch.autograd.grad(each, x_BTC) for each in (found.loss, loss))
    torch.testing.assert_close(gradient, wanted, atol=1e-9, rtol=1e-6)
    assert found.num_windows == 4


def test_moved_and_turned_embeddings_are_as_smooth_and_larger_ones_are_not():
    x_BTC, smoothing = drawn(3, 5, 4), GRWSmoothing(5)
    turn_CC, _ = torch.linalg.qr(drawn(4, 4, seed=1))
    wanted = smoothing(x_BTC).loss
    torch.testing.assert_close(smoothing(x_BTC @ turn_CC + 7.0).loss, wanted)
    assert abs(smoothing(1.1 * x_BTC).loss - wanted) > 0.01
    torch.testing.assert_close(GRWSmoothing(5, sigma=1.1)(1.1 * x_BTC).loss, wanted)
    torch.testing.assert_close(GRWSmoothing(5, sigma=None)(2.0 * x_BTC).loss, wanted)  # sqrt(4 channels)


def test_frames_in_disorder_are_told_from_frames_in_order():
    straight_BTC = torch.arange(5.0).view(1, 5, 1).expand(2, 5, 3)
    assert float(GRWSmoothing(5)(straight_BTC).order_accuracy) == 1.0
    mixed_BTC = straight_BTC.clone()
    mixed_BTC[1] = mixed_BTC[1, [0, 3, 1, 4, 2]]
    assert float(GRWSmoothing(5)(mixed_BTC).order_accuracy) == 0.5


def test_windows_do_not_overlap_and_frames_that_fill_none_are_left_out():
    x_BTC, smoothing = drawn(2, 13, 3), GRWSmoothing(5)
    torch.testing.assert_close(smoothing(x_BTC).loss, smoothing(x_BTC[:, :10]).loss)
    halves = (smoothing(x_BTC[:, 3:8]).loss + smoothing(x_BTC[:, 8:13]).loss) / 2
    torch.testing.assert_close(smoothing(x_BTC, offset=3).loss, halves)
    short_BTC = x_BTC[:, :4].clone().requires_grad_()
    found = smoothing(short_BTC)
    assert (float(found.loss.detach()), found.num_windows) == (0.0, 0)
    found.loss.backward()
    assert not short_BTC.grad.any()


def test_low_precision_and_autocast_do_not_reach_the_differences():
    x_BTC, smoothing = drawn(2, 5, 64).float() + 100.0, GRWSmoothing(5)
    wanted = smoothing(x_BTC.double()).loss.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = smoothing(x_BTC)
        assert found.loss.dtype == normalised(x_BTC).dtype == torch.float32
    torch.testing.assert_close(found.loss, wanted, rtol=1e-4, atol=0.0)
    assert smoothing(x_BTC.bfloat16()).loss.dtype == torch.float32


@pytest.mark.parametrize(("window", "num"), [(3, 2), (5, 24), (7, 720), (8, 1000), (12, 1000)])
def test_orders_are_different_and_begin_with_the_true_one(window, num):
    orders = [tuple(order) for order in GRWSmoothing(window).orders.tolist()]
    assert orders[0] == tuple(range(window))
    assert len(orders) == len(set(orders)) == num
    assert all(order[0] == 0 and sorted(order) == list(range(window)) for order in orders)


def test_drawn_orders_follow_the_seed_and_nothing_lands_in_a_state_dict():
    first, again, other = (GRWSmoothing(9, max_orders=50, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.orders, again.orders)
    assert not torch.equal(first.orders, other.orders)
    assert len(first.orders) == 50
    assert first.state_dict() == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 2}, "window must be at least 3 and max_orders at least 2, but got window=2"),
        ({"max_orders": 1}, "max_orders=1"),
        ({"alpha": -0.1}, "alpha must be at least 0 and sigma above 0, but got alpha=-0.1"),
        ({"sigma": 0.0}, "sigma=0.0"),
    ],
)
def test_numbers_outside_their_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GRWSmoothing(**options)


def test_the_intermediate_form_pools_over_space_and_normalises_channels():
    x_BCTHW = drawn(2, 3, 4, 5, 6) * torch.tensor([1.0, 10.0, 0.1]).view(3, 1, 1, 1) + 4.0
    found_BTC = frame_embeddings(x_BCTHW)
    assert found_BTC.shape == (2, 4, 3)
    flat_XC = found_BTC.flatten(0, 1)
    torch.testing.assert_close(flat_XC.mean(dim=0), torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    assert flat_XC.var(dim=0, correction=0).tolist() == pytest.approx([1.0] * 3, abs=0.1)
    means_BTC = x_BCTHW.mean(dim=(3, 4)).transpose(1, 2)
    centred_BTC = means_BTC - means_BTC.mean(dim=(0, 1))
    ratio_BTC = found_BTC / centred_BTC
    torch.testing.assert_close(ratio_BTC, ratio_BTC[:1, :1].expand_as(ratio_BTC))


def test_the_weight_rises_linearly():
    assert [warmed_up(0.1, step=step, warmup_steps=4) for step in (0, 1, 3, 9)] == pytest.approx(
        [0.025, 0.05, 0.1, 0.1]
    )
    assert warmed_up(0.1, step=0, warmup_steps=0) == 0.1


def test_it_needs_torch_alone():
    code = (
        "import sys, retrain.grw; ours = ('search_spaces', 'supernet', 'video', 'results', 'nas', 'launch');"
        "assert not [name for name in sys.modules if name.split('.')[0] in ours]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
