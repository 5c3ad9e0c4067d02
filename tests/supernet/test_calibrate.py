import copy

import pytest
import torch
from made_clips import batch_of
from made_nets import TINY_SPEC, randomise, same_conv

from search_spaces.variant import Variant
from supernet.calibrate import calibrate
from supernet.inputs import network_input
from supernet.layers import BATCH_NORM_MOMENTUM, ConvNorm
from supernet.video_net import VideoNet

CPU = torch.device("cpu")
BATCHES = [batch_of(number, size=4 + number) for number in range(3)]


def made():
    net = VideoNet(TINY_SPEC, Variant(), num_classes=3)
    randomise(net)
    return net


def statistics(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items() if "running_" in name}


def of_one_batch(net, batch):
    """A momentum of 1 leaves the statistics of that batch alone."""
    alone = copy.deepcopy(net).train()
    for layer in alone.modules():
        if isinstance(layer, ConvNorm):
            layer.momentum = 1.0
    with torch.no_grad():
        alone(network_input(batch, CPU)[0])
    return statistics(alone)


def test_statistics_are_the_mean_of_those_of_the_batches():
    net = made()
    each = [of_one_batch(net, batch) for batch in BATCHES]
    calibrate(net, BATCHES, device=CPU)
    found = statistics(net)
    assert len(found) == 2 * sum(isinstance(layer, ConvNorm) for layer in net.modules())
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, sum(batch[name] for batch in each) / 3, rtol=1e-4, atol=1e-6)
        assert not torch.equal(tensor, each[-1][name])


def test_statistics_of_the_stem_by_hand():
    net = made()
    calibrate(net, BATCHES[:2], device=CPU)
    y_BCTHW = [
        same_conv(network_input(batch, CPU)[0], net.stem.weight, stride=2, groups=1).detach() for batch in BATCHES[:2]
    ]
    mean_C = sum(y.mean(dim=(0, 2, 3, 4)) for y in y_BCTHW) / 2
    var_C = sum(y.var(dim=(0, 2, 3, 4), correction=1) for y in y_BCTHW) / 2
    torch.testing.assert_close(net.stem.running_mean, mean_C, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(net.stem.running_var, var_C, rtol=1e-4, atol=1e-6)


def test_what_was_there_before_does_not_matter():
    net, other = made(), made()
    with torch.no_grad():
        other.stem.running_mean.fill_(1e6)
        other.stem.running_var.fill_(1e6)
    for network in (net, other):
        calibrate(network, BATCHES, device=CPU)
    for name, tensor in statistics(net).items():
        assert torch.equal(tensor, statistics(other)[name])


@pytest.mark.parametrize("training", [True, False])
def test_weights_mode_and_momentum_stay(training):
    net = made().train(training)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    calibrate(net, BATCHES, device=CPU)
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None
    assert all(module.training == training for module in net.modules())
    momenta = {layer.momentum for layer in net.modules() if isinstance(layer, ConvNorm)}
    assert momenta == {BATCH_NORM_MOMENTUM}


def test_a_calibrated_network_in_evaluation_answers_nearly_as_with_the_statistics_of_the_batch():
    """Nearly: a running variance is divided by one less than the number of cells."""
    net = made()
    batch = batch_of(0, size=16)
    with torch.no_grad():
        wanted_BK = net.train()(network_input(batch, CPU)[0])
        far_BK = net.eval()(network_input(batch, CPU)[0])
    calibrate(net, [batch], device=CPU)
    with torch.no_grad():
        found_BK = net(network_input(batch, CPU)[0])
    torch.testing.assert_close(found_BK, wanted_BK, rtol=0.02, atol=0.02)
    assert not torch.allclose(far_BK, wanted_BK, rtol=0.02, atol=0.02)
