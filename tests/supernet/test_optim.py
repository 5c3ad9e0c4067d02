import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_nets import TINY_SPEC
from torch import nn

from search_spaces.variant import Variant
from supernet.optim import RMSProp, WeightAverage, cosine_with_warmup, rate_factor, weight_decay_groups
from supernet.video_net import VideoNet


def test_the_rate_rises_to_one_and_falls_to_zero():
    factors = [cosine_with_warmup(step, num_steps=12, warmup_steps=4) for step in range(13)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[8] == pytest.approx(0.5)
    assert factors[6] == pytest.approx(0.5 + math.sqrt(0.125))
    assert factors[12] == pytest.approx(0.0, abs=1e-12)


def test_without_warmup_the_first_step_has_the_full_rate():
    assert cosine_with_warmup(0, num_steps=10, warmup_steps=0) == 1.0


def test_the_rate_stays_zero_after_the_end():
    assert cosine_with_warmup(50, num_steps=10, warmup_steps=2) == pytest.approx(0.0, abs=1e-12)


def test_a_warmup_as_long_as_the_training_only_rises():
    assert [cosine_with_warmup(step, num_steps=4, warmup_steps=4) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


@given(num_steps=st.integers(1, 300), data=st.data())
def test_the_rate_is_positive_rises_then_falls(num_steps, data):
    warmup_steps = data.draw(st.integers(0, num_steps))
    factors = [cosine_with_warmup(step, num_steps=num_steps, warmup_steps=warmup_steps) for step in range(num_steps)]
    assert all(0.0 < factor <= 1.0 for factor in factors)
    rising, falling = factors[:warmup_steps], factors[warmup_steps:]
    assert all(first < second for first, second in itertools.pairwise(rising))
    assert all(first > second for first, second in itertools.pairwise(falling))
    assert max(factors) == 1.0


@given(num_steps=st.integers(1, 50), data=st.data())
def test_a_rate_falls_as_it_is_told(num_steps, data):
    step = data.draw(st.integers(0, num_steps - 1))
    warmup_steps = data.draw(st.integers(0, num_steps))
    factors = {
        schedule: rate_factor(step, schedule=schedule, num_steps=num_steps, warmup_steps=warmup_steps)
        for schedule in ("cosine", "linear", "constant")
    }
    assert factors["cosine"] == cosine_with_warmup(step, num_steps=num_steps, warmup_steps=warmup_steps)
    if step < warmup_steps:
        assert set(factors.values()) == {(step + 1) / warmup_steps}
        return
    assert factors["constant"] == 1.0
    left = (num_steps - step) / (num_steps - warmup_steps)
    assert factors["linear"] == pytest.approx(left)
    assert factors["cosine"] == pytest.approx(math.sin(math.pi / 2 * left) ** 2, abs=1e-12)


class Scalar(nn.Module):
    """A weight and a running statistic."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("running_mean", torch.zeros(2))

    def set(self, value):
        with torch.no_grad():
            self.weight.fill_(value)
            self.running_mean.copy_(torch.tensor([value, -value]))


def test_the_average_by_hand():
    """Decays 1/10, 2/11, 3/12, ... until 0.5, which (1 + n) / (10 + n) reaches at n = 8."""
    net = Scalar()
    net.set(3.0)
    average = WeightAverage(net, decay=0.5)
    wanted, decays = 3.0, []
    for step in range(20):
        net.set(value := float(step**2 % 7))
        decays.append(min(0.5, (1 + step) / (10 + step)))
        wanted = decays[-1] * wanted + (1 - decays[-1]) * value
        average.update(net)
        assert float(average.tensors["weight"]) == pytest.approx(wanted, rel=1e-6)
        assert average.tensors["running_mean"].tolist() == pytest.approx([wanted, -wanted], rel=1e-6)
    assert decays[:3] == [1 / 10, 2 / 11, 3 / 12]
    assert decays[7] < 0.5 == decays[8] == decays[19]
    assert average.num_updates == 20


def test_the_beginning_is_soon_forgotten():
    net = Scalar()
    net.set(1e6)
    average = WeightAverage(net, decay=0.999)
    net.set(1.0)
    for _ in range(10):
        average.update(net)
    # the product of (1 + n) / (10 + n) over ten updates
    assert float(average.tensors["weight"]) == pytest.approx(1 + 1e6 / math.comb(19, 9), rel=1e-3)


def test_a_decay_of_zero_is_the_newest_network():
    net = Scalar()
    average = WeightAverage(net, decay=0.0)
    net.set(5.0)
    average.update(net)
    assert float(average.tensors["weight"]) == 5.0


def test_the_average_does_not_move_the_network_or_with_it():
    net = Scalar()
    net.set(2.0)
    average = WeightAverage(net, decay=0.9)
    net.set(4.0)
    assert float(average.tensors["weight"]) == 2.0
    average.update(net)
    assert net.weight.tolist() == 4.0
    assert not average.tensors["weight"].requires_grad


def test_only_kernels_and_matrices_decay():
    net = VideoNet(TINY_SPEC, Variant(), num_classes=3)
    names = {parameter: name for name, parameter in net.named_parameters()}
    decayed, free = (
        {names[parameter] for parameter in group["params"]} for group in weight_decay_groups(net, weight_decay=0.1)
    )
    assert decayed | free == set(names.values())
    assert all(name.endswith("weight") for name in decayed)
    assert all(name.endswith(("scale", "shift", "bias", "rezero")) for name in free)
    assert [group["weight_decay"] for group in weight_decay_groups(net, weight_decay=0.1)] == [0.1, 0.0]


def test_frozen_parameters_are_in_no_group():
    net = VideoNet(TINY_SPEC, Variant(), num_classes=3)
    net.stem.requires_grad_(False)
    grouped = {id(parameter) for group in weight_decay_groups(net, weight_decay=0.1) for parameter in group["params"]}
    assert len(grouped) == len(list(net.parameters())) - 3
    assert not grouped & {id(parameter) for parameter in net.stem.parameters()}


def test_rmsprop_by_hand():
    """TensorFlow's: epsilon within the root, the mean square from 1, the rate within the momentum.

    Gradients 2, -1, 4 at rates 0.5, 0.25, 0.25:
    s = 0.9 + 0.1 * 4 = 1.3, then 1.27, then 2.743;
    m = 0.5 * 2 / sqrt(2.3) = 0.659380, then 0.9 m - 0.25 / sqrt(2.27) = 0.427512,
    then 0.9 m + 0.25 * 4 / sqrt(3.743) = 0.901641.
    """
    weight = nn.Parameter(torch.tensor([3.0]))
    optimizer = RMSProp([weight], lr=0.5)
    found = []
    for rate, gradient in ((0.5, 2.0), (0.25, -1.0), (0.25, 4.0)):
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        found.append(float(weight.detach()))
    assert found == pytest.approx([3 - 0.659380, 3 - 0.659380 - 0.427512, 3 - 0.659380 - 0.427512 - 0.901641], abs=2e-6)
    state = optimizer.state[weight]
    assert (float(state["mean_square"]), float(state["momentum"])) == pytest.approx((2.743, 0.901641), abs=2e-6)


def test_rmsprop_of_keras_by_hand():
    """Its mean square starts at 0: s = 0.1 * 4 = 0.4, then 0.36 + 0.1 = 0.46; m = 0.5 * 2 / sqrt(0.401), then
    0.9 m - 0.5 / sqrt(0.461).
    """
    weight = nn.Parameter(torch.tensor([3.0]))
    optimizer = RMSProp([weight], lr=0.5, epsilon=1e-3, first_mean_square=0.0)
    found = []
    for gradient in (2.0, -1.0):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        found.append(float(weight.detach()))
    first = 1 / math.sqrt(0.401)
    second = 0.9 * first - 0.5 / math.sqrt(0.461)
    assert found == pytest.approx([3 - first, 3 - first - second], rel=1e-6)


def test_rmsprop_is_not_torchs():
    ours, theirs = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizers = (RMSProp([ours], lr=0.1), torch.optim.RMSprop([theirs], lr=0.1, alpha=0.9, momentum=0.9, eps=1.0))
    for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
        weight.grad = torch.ones(1)
        optimizer.step()
    # 1 / sqrt(1 + 1) against 1 / (sqrt(0.1) + 1)
    assert float(ours.detach()) == pytest.approx(1 - 0.1 / math.sqrt(2))
    assert float(theirs.detach()) == pytest.approx(1 - 0.1 / (math.sqrt(0.1) + 1))


def test_rmsprop_leaves_what_has_no_gradient():
    moved, still = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = RMSProp([moved, still], lr=0.1)
    for number in range(2):
        moved.grad, still.grad = torch.ones(2), torch.ones(2) if number == 0 else None
        optimizer.step()
    before = still.detach().clone()
    optimizer.step()
    assert torch.equal(still, before)
    assert set(optimizer.state) == {moved, still}


def test_rmsprop_evaluates_a_closure_with_gradients():
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = RMSProp([weight], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 4.0
    assert float(weight.detach()) == pytest.approx(2 - 0.1 * 4 / math.sqrt(0.9 + 0.1 * 16 + 1))
