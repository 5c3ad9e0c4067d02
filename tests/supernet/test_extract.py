import dataclasses

import numpy as np
import pytest
import torch
from made_clips import batch_of, noise
from made_nets import HARD, STREAMS, assert_close, randomise

from search_spaces.movinet import A2, NANO
from search_spaces.variant import Variant
from supernet.calibrate import calibrate
from supernet.extract import extract
from supernet.inputs import network_input
from supernet.supernet import Supernet

BASE = Variant()
CPU = torch.device("cpu")


def made(space, variant=BASE):
    supernet = Supernet(space, variant, num_classes=5, seed=1)
    randomise(supernet)
    return supernet


def random_specs(space, num, *, seed=0):
    indices_ND = space.sample_indices(np.random.default_rng(seed), num)
    return [space.decode(space.genotype(indices_D), BASE).spec for indices_D in indices_ND]


@torch.no_grad()
def assert_equal_bit_for_bit(supernet, specs, clips_BCTHW):
    seen = []
    for spec in specs:
        shared_BK = supernet(clips_BCTHW, spec)
        assert torch.equal(shared_BK, extract(supernet, spec).train()(clips_BCTHW))
        assert not any(torch.allclose(shared_BK, other_BK, rtol=1e-3) for other_BK in seen)
        seen.append(shared_BK)


def test_a_network_taken_out_equals_the_shared_one():
    """50 random networks of nano, at its own clips."""
    assert_equal_bit_for_bit(made(NANO), random_specs(NANO, 50), noise(2, num_frames=8, height=48, width=48))


@pytest.mark.parametrize("name", STREAMS)
def test_a_network_that_streams_equals_the_shared_one_too(name):
    assert_equal_bit_for_bit(
        made(NANO, STREAMS[name]), random_specs(NANO, 6, seed=2), noise(2, num_frames=6, height=32, width=24)
    )


@pytest.mark.parametrize("name", STREAMS)
def test_a_network_of_a_space_that_streams_can_be_stepped(name):
    net = extract(made(NANO, STREAMS[name]), random_specs(NANO, 1)[0])
    assert net.variant == STREAMS[name]
    clips_BCTHW = noise(2, num_frames=6, height=32, width=24)
    state = net.eval().init_state(2, 32, 24)
    with torch.no_grad():
        for frames_BCTHW in clips_BCTHW.split((1, 2, 3), dim=2):
            stepped_BK, state = net.step(frames_BCTHW, state)
        assert_close(stepped_BK, net(clips_BCTHW), tolerance=1e-4)


def test_two_threads_compute_equal_numbers_too():
    torch.set_num_threads(2)
    assert_equal_bit_for_bit(made(NANO), random_specs(NANO, 2, seed=1), noise(2, num_frames=8, height=48, width=48))


def test_a_network_of_the_base_space_taken_out_equals_the_shared_one():
    clips_BCTHW = noise(2, num_frames=3, height=33, width=20)
    assert_equal_bit_for_bit(made(A2), random_specs(A2, 4), clips_BCTHW)


def test_the_smallest_and_the_largest_of_nano():
    smallest = {
        decision.name: decision.choices[0]
        for decision in NANO.decisions
        if decision.layer is None or not decision.layer
    }
    specs = [NANO.decode(smallest, BASE).spec, NANO.largest_widths()]
    assert_equal_bit_for_bit(made(NANO, HARD), specs, noise(2, num_frames=8, height=48, width=48))


def test_gradients_are_equal_too():
    supernet, (spec,) = made(NANO), random_specs(NANO, 1)
    net = extract(supernet, spec).train()
    clips_BCTHW = noise(2, num_frames=4, height=24, width=24)
    for network in (lambda: supernet(clips_BCTHW, spec), lambda: net(clips_BCTHW)):
        network().square().sum().backward()
    for name, parameter in net.named_parameters():
        shared = supernet.get_parameter(name).grad[tuple(map(slice, parameter.shape))]
        torch.testing.assert_close(parameter.grad, shared)


def test_the_weights_are_a_copy():
    supernet, (spec,) = made(NANO), random_specs(NANO, 1)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    net = extract(supernet, spec)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())


def test_the_network_knows_what_it_is():
    supernet, (spec,) = made(NANO, HARD), random_specs(NANO, 1)
    net = extract(supernet, spec)
    assert (net.spec, net.variant, net.num_classes) == (spec, HARD, 5)


def test_running_statistics_are_fresh_until_calibrated():
    supernet, (spec,) = made(NANO), random_specs(NANO, 1)
    net = extract(supernet, spec)
    running = {name: tensor for name, tensor in net.state_dict().items() if "running_" in name}
    assert running
    assert all(not tensor.any() for name, tensor in running.items() if name.endswith("mean"))
    assert all((tensor == 1).all() for name, tensor in running.items() if name.endswith("var"))
    batch = batch_of(0, size=8, num_frames=8, resolution=48)
    clips_BCTHW, _ = network_input(batch, CPU)
    calibrate(net, [batch], device=CPU)
    with torch.no_grad():
        wanted_BK, found_BK = supernet(clips_BCTHW, spec), net.eval()(clips_BCTHW)
    assert float((found_BK - wanted_BK).abs().max() / wanted_BK.abs().max()) < 0.02


@pytest.mark.parametrize("name", ["paper-stream", "released-stream"])
def test_either_form_taken_out_equals_the_shared_one(name):
    space = dataclasses.replace(NANO, conv_choices=("3d", "3d_2plus1d"))
    supernet = made(space, STREAMS[name])
    clips_BCTHW = noise(2, num_frames=4, height=24, width=24)
    rows_ND = space.sample_indices(np.random.default_rng(2), 8)
    forms = set()
    for row_D in rows_ND:
        candidate = space.decode(space.genotype(row_D), STREAMS[name])
        net = extract(supernet, candidate.spec, candidate.variant).train()
        assert torch.equal(supernet(clips_BCTHW, candidate.spec, variant=candidate.variant), net(clips_BCTHW))
        forms.add(net.variant.conv)
    assert forms == {"3d", "3d_2plus1d"}
