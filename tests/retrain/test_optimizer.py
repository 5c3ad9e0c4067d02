"""What turns gradients into a step: by hand, weight by weight."""

import dataclasses
import math

import pytest
import torch
from made_nets import TINY_SPEC, randomise

from retrain.optimizer import WeightUpdate, clip_each, parameter_groups
from retrain.recipe import Recipe
from search_spaces.temporal_head import TemporalHead
from search_spaces.variant import VARIANTS, Variant
from supernet.layers import ConvNorm, SqueezeExcitation
from supernet.video_net import VideoNet

RMSPROP = Recipe(
    optimizer="rmsprop",
    learning_rate=0.5,
    warmup_epochs=0.0,
    schedule="constant",
    weight_decay=0.1,
    max_gradient_norm=None,
    ema_decay=0.0,
)

WITH_HEAD = Variant(temporal_head=TemporalHead(embed_dim=8, heads=2, mlp_dim=8))


def net_with_gradients(variant=None, seed=0):
    net = VideoNet(TINY_SPEC, variant or Variant(), num_classes=3)
    randomise(net)
    draw = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    return net


def update_of(net, recipe, *, num_steps=10, steps_per_epoch=5):
    return WeightUpdate(net, recipe, num_steps=num_steps, steps_per_epoch=steps_per_epoch)


def kernels_of(net):
    """By kind of layer, not by name: convolutions, those of squeeze-and-excitation, and the dense layer, if any."""
    kernels = [layer.weight for layer in net.modules() if isinstance(layer, ConvNorm)]
    for layer in net.modules():
        if isinstance(layer, SqueezeExcitation):
            kernels += [layer.reduce_weight, layer.expand_weight]
    dense = [net.head.dense_weight] if net.head.temporal is None else []
    return {id(kernel) for kernel in [*kernels, *dense]}


@pytest.mark.parametrize("variant", [Variant(), VARIANTS["released-stream"], WITH_HEAD], ids=["clip", "stream", "head"])
def test_l2_is_of_the_kernels_of_convolutions_alone(variant):
    net = net_with_gradients(variant)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    decayed = {
        names[id(parameter)]
        for group in parameter_groups(net, RMSPROP)
        for parameter in group["params"]
        if group["weight_decay"]
    }
    assert decayed == {names[kernel] for kernel in kernels_of(net)}
    assert "head.classifier.weight" not in decayed
    every = [id(parameter) for group in parameter_groups(net, RMSPROP) for parameter in group["params"]]
    assert sorted(every) == sorted(names)


@pytest.mark.parametrize("max_norm", [None, 0.8])
def test_two_steps_of_rmsprop_by_hand(max_norm):
    """Decay joins the gradient, which is then clipped weight by weight, then TensorFlow's recurrences."""
    net = net_with_gradients()
    recipe = dataclasses.replace(RMSPROP, max_weight_gradient_norm=max_norm, epsilon=0.3, first_mean_square=0.0)
    kernels, update = kernels_of(net), update_of(net, recipe)
    wanted = {}
    for name, parameter in net.named_parameters():
        weight, square, moment = parameter.detach().double(), 0.0, 0.0
        for step in range(2):
            gradient = parameter.grad.double() * (1 + step)
            if id(parameter) in kernels:
                gradient = gradient + 0.1 * weight
            norm = float(gradient.square().sum().sqrt())
            if max_norm is not None and norm > max_norm:
                gradient = gradient * (max_norm / norm)
            square = 0.9 * square + 0.1 * gradient**2
            moment = 0.9 * moment + 0.5 * gradient / (square + 0.3).sqrt()
            weight = weight - moment
        wanted[name] = weight
    gradients = {name: parameter.grad.clone() for name, parameter in net.named_parameters()}
    for step in range(2):
        for name, parameter in net.named_parameters():
            parameter.grad = gradients[name] * (1 + step)
        update.step(step)
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), wanted[name], rtol=1e-4, atol=1e-5, msg=name)


def test_adamw_decays_apart_from_the_gradient():
    """With a rate of r, the first step is sign(g) r, and what decays has lost r times weight_decay before."""
    net = net_with_gradients()
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    recipe = Recipe(learning_rate=0.01, weight_decay=0.5, warmup_epochs=0.0, schedule="constant")
    update_of(net, recipe).step(0)
    for name, parameter in net.named_parameters():
        kept = before[name] * (1 - 0.005) if parameter.dim() > 1 else before[name]
        assert (parameter.detach() - kept).abs().max() <= 0.0101, name
        moved = (parameter.detach() - kept)[parameter.grad.abs() > 1e-2]
        assert torch.allclose(moved.abs(), torch.tensor(0.01), rtol=1e-2), name


def test_gradients_are_clipped_each_on_its_own():
    first, second, third = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    module = torch.nn.ParameterList([first, second, third])
    first.grad, second.grad = torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4])
    clip_each(module, 1.0)
    assert first.grad.tolist() == pytest.approx([0.6, 0.8])
    assert second.grad.tolist() == pytest.approx([0.3, 0.4])
    assert third.grad is None
    second.grad = torch.zeros(2)
    clip_each(module, 0.5)
    assert second.grad.tolist() == [0.0, 0.0]
    clip_each(torch.nn.ParameterList(), 1.0)


def test_gradients_are_clipped_together():
    net = net_with_gradients()
    length = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in net.parameters()))
    before = {name: parameter.grad.clone() for name, parameter in net.named_parameters()}
    update_of(net, dataclasses.replace(RMSPROP, max_gradient_norm=2.0, weight_decay=0.0)).step(0)
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, before[name] * (2.0 / length), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("variant", [Variant(), WITH_HEAD], ids=["dense", "head"])
def test_the_backbone_learns_at_a_rate_of_its_own(variant):
    net = net_with_gradients(variant)
    update = update_of(net, Recipe(learning_rate=0.2, backbone_rate=0.1, warmup_epochs=2.0), num_steps=20)
    assert update.rate(0) == pytest.approx(0.02)
    update.step(4)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    rates = {
        names[id(parameter)]: group["lr"] for group in update.optimizer.param_groups for parameter in group["params"]
    }
    assert set(rates) == set(names.values())
    for name, rate in rates.items():
        on_top = name.startswith(("head.classifier.", "head.temporal."))
        assert rate == pytest.approx(0.1 if on_top else 0.01), name


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("cosine", [0.5, 1.0, 1.0, 0.75, 0.25]),
        ("linear", [0.5, 1.0, 1.0, 2 / 3, 1 / 3]),
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_schedules_are_functions_of_the_step(schedule, rates):
    update = update_of(
        net_with_gradients(), Recipe(learning_rate=1.0, schedule=schedule, warmup_epochs=0.4), num_steps=5
    )
    assert [update.rate(step) for step in reversed(range(5))] == pytest.approx(rates[::-1])


def test_the_average_counts_every_step():
    """0.9 is reached from below, as (1 + n) / (10 + n); statistics are averaged too."""
    net = net_with_gradients()
    update = update_of(net, dataclasses.replace(RMSPROP, ema_decay=0.9))
    wanted = {name: tensor.double() for name, tensor in net.state_dict().items()}
    for step in range(4):
        update.step(step)
        net.stem.running_mean.add_(1.0)
        decay = (1 + step) / (10 + step)
        before_last = {name: tensor.double() for name, tensor in net.state_dict().items()}
        before_last["stem.running_mean"] = before_last["stem.running_mean"] - 1.0
        wanted = {name: decay * wanted[name] + (1 - decay) * before_last[name] for name in wanted}
    assert update.average.num_updates == 4
    for name, tensor in update.average.tensors.items():
        torch.testing.assert_close(tensor.double(), wanted[name], rtol=1e-4, atol=1e-5, msg=name)


def test_frozen_weights_are_left_alone():
    net = net_with_gradients()
    net.stem.requires_grad_(False)
    before = net.stem.weight.clone()
    update_of(net, RMSPROP).step(0)
    assert torch.equal(net.stem.weight, before)
