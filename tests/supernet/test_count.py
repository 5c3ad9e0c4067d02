import dataclasses
import math
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_nets import HARD, TINY_SPEC
from torch.overrides import TorchFunctionMode

from search_spaces.cost import cost
from search_spaces.movinet import A2, NANO, SPACES
from search_spaces.published import published
from search_spaces.variant import Variant
from supernet.count import count_macs_and_params
from supernet.video_net import VideoNet

BASE = Variant()
NUM_CLASSES = 600


def random_specs(space, num, *, seed):
    indices_ND = space.sample_indices(np.random.default_rng(seed), num)
    return [space.decode(space.genotype(indices_D), BASE).spec for indices_D in indices_ND]


def by_arithmetic(spec):
    found = cost(spec, BASE, num_classes=NUM_CLASSES)
    return found.macs, found.params


def by_fvcore(spec):
    return count_macs_and_params(spec, BASE, num_classes=NUM_CLASSES)


class Macs(TorchFunctionMode):
    """Adds up multiply-adds from the shapes of convolutions and linear layers; leaves out norms, which take long."""

    def __init__(self):
        super().__init__()
        self.num = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.batch_norm:
            return args[0]
        out = function(*args, **(kwargs or {}))
        if function in (torch.conv2d, torch.conv3d, F.linear):
            self.num += out.numel() * math.prod(args[1].shape[1:])
        return out


def macs_on_meta(spec):
    with torch.device("meta"):
        net = VideoNet(spec, BASE, num_classes=NUM_CLASSES).eval()
        clips_BCTHW = torch.empty(1, 3, spec.clip.num_frames, spec.clip.resolution, spec.clip.resolution)
    with Macs() as macs, torch.no_grad():
        net(clips_BCTHW)
    return macs.num


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_shapes_of_200_random_networks_agree_with_the_arithmetic(space):
    """At the space's own clips, all frames of them, without computing anything."""
    for spec in random_specs(space, 200, seed=11):
        assert macs_on_meta(spec) == by_arithmetic(spec)[0]


@pytest.mark.parametrize(
    "spec",
    [*random_specs(A2, 4, seed=1), *random_specs(NANO, 6, seed=2)],
    ids=[*(f"a2-{number}" for number in range(4)), *(f"nano-{number}" for number in range(6))],
)
def test_fvcore_agrees_with_the_arithmetic(spec):
    assert by_fvcore(spec) == by_arithmetic(spec)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fvcore_agrees_with_the_arithmetic_on_200_random_networks_of_each_space():
    """At the spaces' own clips. A trace of the base space takes a second, whatever the resolution: two processes."""
    specs = [spec for space in SPACES.values() for spec in random_specs(space, 200, seed=3)]
    with ProcessPoolExecutor(2, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        counted = pool.map(by_fvcore, specs, chunksize=5)
        assert list(counted) == [by_arithmetic(spec) for spec in specs]


def test_a0_by_the_table():
    # movinet.md 9: 2.631 G and 3.112 M
    macs, params = count_macs_and_params(published("A0"), BASE, num_classes=NUM_CLASSES)
    assert (macs, params) == (2_630_733_808, 3_111_799)


@pytest.mark.parametrize("num_frames", [1, 2, 7])
def test_two_frames_tell_the_cost_of_any_number(num_frames):
    spec = dataclasses.replace(TINY_SPEC, clip=dataclasses.replace(TINY_SPEC.clip, num_frames=num_frames))
    assert count_macs_and_params(spec, BASE, num_classes=3)[0] == cost(spec, BASE, num_classes=3).macs


def test_switches_of_the_variant_do_not_change_the_count():
    assert count_macs_and_params(TINY_SPEC, HARD, num_classes=3) == count_macs_and_params(
        TINY_SPEC, BASE, num_classes=3
    )
