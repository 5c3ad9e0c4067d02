import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from made_clips import noise
from made_nets import HARD, TINY_SPEC, randomise, reference_logits
from made_spaces import specs

from search_spaces.cost import cost
from search_spaces.published import NAMES, published
from search_spaces.variant import Variant
from supernet.layers import Bottleneck
from supernet.video_net import VideoNet

BASE = Variant()

CONV = ("weight", "scale", "shift", "running_mean", "running_var")
SE = ("reduce_weight", "reduce_bias", "expand_weight", "expand_bias")
# what files of weights hold: a change here breaks everyone's
GOLDEN_NAMES = {
    *(f"stem.{name}" for name in CONV),
    *(f"blocks.0.0.expand.{name}" for name in CONV),
    *(f"blocks.0.0.depthwise.3x3x3.{name}" for name in CONV),
    *(f"blocks.0.0.se.{name}" for name in SE),
    *(f"blocks.0.0.project.{name}" for name in CONV),
    "blocks.0.0.rezero",
    *(f"blocks.0.0.skip.{name}" for name in CONV),
    *(f"blocks.0.1.expand.{name}" for name in CONV),
    *(f"blocks.0.1.depthwise.1x5x5.{name}" for name in CONV),
    *(f"blocks.0.1.project.{name}" for name in CONV),
    "blocks.0.1.rezero",
    *(f"blocks.1.0.expand.{name}" for name in CONV),
    *(f"blocks.1.0.depthwise.5x1x1.{name}" for name in CONV),
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


@settings(max_examples=60, deadline=None)
@given(specs())
def test_parameters_are_those_of_the_arithmetic(spec):
    assert num_params(spec, num_classes=7) == cost(spec, BASE, num_classes=7).params


def test_names_of_the_state_are_stable():
    assert set(made().state_dict()) == GOLDEN_NAMES


@pytest.mark.parametrize("variant", [BASE, HARD])
@pytest.mark.parametrize("training", [True, False])
def test_a_network_is_the_one_that_movinet_md_writes_down(training, variant):
    net = made(variant=variant).double().train(training)
    clips_BCTHW = noise(2, num_frames=4, height=13, width=10).double()
    tensors = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    wanted_BK = reference_logits(tensors, clips_BCTHW, TINY_SPEC, variant, batch_statistics=training)
    torch.testing.assert_close(net(clips_BCTHW), wanted_BK)


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
    assert shapes == [(2, channels, num_frames, *half) for channels, half in zip((8, 8, 16), halves, strict=True)]


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
        net.get_parameter("blocks.0.1.depthwise.1x5x5.weight").fill_(1.0)
    assert torch.equal(net(clips_BCTHW), before_BK)
