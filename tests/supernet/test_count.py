import dataclasses
import functools
import math
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from made_nets import TINY_SPEC
from made_spaces import frame_wise, specs, variants
from torch.overrides import TorchFunctionMode

from search_spaces.cost import cost
from search_spaces.movinet import A2, NANO, SPACES
from search_spaces.published import NAMES, published, released_stream
from search_spaces.variant import VARIANTS, Variant
from supernet.count import count_macs_and_params
from supernet.video_net import VideoNet

BASE = Variant()
NUM_CLASSES = 600


def random_specs(space, num, *, seed):
    indices_ND = space.sample_indices(np.random.default_rng(seed), num)
    return [space.decode(space.genotype(indices_D), BASE).spec for indices_D in indices_ND]


@functools.cache
def forms():
    """Every combination of the switches that change what a network costs, in an order that mixes them."""
    found = []
    for conv, causal, se, pool, encoding in product(
        ("3d", "3d_2plus1d", "2plus1d"),
        (False, True),
        ("none", "2d", "3d", "2plus3d"),
        ("global", "cumulative"),
        (0, 1),
    ):
        if pool == "cumulative" and se in ("none", "2d"):
            continue
        if encoding and (se == "none" or (se, pool) == ("3d", "global")):
            continue
        found.append(Variant(conv=conv, causal=causal, se=se, se_pool=pool, positional_encoding=bool(encoding)))
    return [found[number] for number in np.random.default_rng(7).permutation(len(found))]


def by_arithmetic(spec, variant=BASE):
    found = cost(spec, variant, num_classes=NUM_CLASSES)
    return found.macs, found.params


def by_fvcore(spec, variant=BASE):
    return count_macs_and_params(spec, variant, num_classes=NUM_CLASSES)


class Macs(TorchFunctionMode):
    """Adds up multiply-adds from the shapes of convolutions and linear layers; leaves out norms, which take long."""

    def __init__(self):
        super().__init__()
        self.num = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.batch_norm:
            return args[0]
        out = function(*args, **(kwargs or {}))
        if function is torch.matmul:
            self.num += out.numel() * args[0].shape[-1]
        if function in (torch.conv2d, torch.conv3d, F.linear):
            self.num += out.numel() * math.prod(args[1].shape[1:])
        return out


def on_meta(spec, variant=BASE):
    """MACs and parameters of the network's own shapes, without computing anything."""
    with torch.device("meta"):
        net = VideoNet(spec, variant, num_classes=NUM_CLASSES).eval()
        clips_BCTHW = torch.empty(1, 3, spec.clip.num_frames, spec.clip.resolution, spec.clip.resolution)
        with Macs() as macs, torch.no_grad():
            net(clips_BCTHW)
    return macs.num, sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", SPACES)
def test_shapes_of_random_networks_agree_with_the_arithmetic(name):
    """At the space's own clips, all frames of them; more networks of the smaller spaces, whose layers are like all."""
    for spec in random_specs(SPACES[name], 50 if name in ("nano", "a0") else 10, seed=11):
        assert on_meta(spec) == by_arithmetic(spec)


@settings(max_examples=60)
@given(specs(), variants() | variants(streaming=True) | variants(temporal_shift=True))
def test_shapes_of_any_network_in_any_form_agree_with_the_arithmetic(spec, variant):
    if variant.temporal_shift:
        spec = frame_wise(spec)
    assert on_meta(spec, variant) == by_arithmetic(spec, variant)


@settings(max_examples=50)
@given(specs(), variants(streaming=True))
def test_shapes_of_a_step_agree_with_the_arithmetic(spec, variant):
    size = spec.clip.resolution
    with torch.device("meta"):
        net = VideoNet(spec, variant, num_classes=NUM_CLASSES).eval()
        state = net.init_state(1, size, size)
        with Macs() as macs, torch.no_grad():
            net.step(torch.empty(1, 3, size, size), state)
    found = cost(spec, variant, num_classes=NUM_CLASSES)
    assert macs.num == found.macs_per_frame
    assert sum(entry.nbytes for entry in state.values()) == found.stream_state_bytes


@pytest.mark.parametrize(
    "spec",
    [*random_specs(A2, 1, seed=1), *random_specs(NANO, 2, seed=2)],
    ids=["a2", "nano-0", "nano-1"],
)
def test_fvcore_agrees_with_the_arithmetic(spec):
    assert by_fvcore(spec) == by_arithmetic(spec)


@pytest.mark.parametrize("variant", forms()[:4])
def test_fvcore_agrees_with_the_arithmetic_in_any_form(variant):
    (spec,) = random_specs(NANO, 1, seed=4)
    assert by_fvcore(spec, variant) == by_arithmetic(spec, variant)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_of_the_published_networks_agree_with_the_arithmetic(name):
    for variant in (*VARIANTS.values(), released_stream(name)):
        assert on_meta(published(name), variant) == by_arithmetic(published(name), variant)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_fvcore_agrees_with_the_arithmetic_on_200_random_networks():
    """At the spaces' own clips, in forms that take turns. Two traces of the base space take three seconds, whatever the
    resolution: two processes, and fewer of them."""
    specs = random_specs(NANO, 150, seed=3) + random_specs(A2, 50, seed=3)
    variants = [forms()[number % len(forms())] for number in range(len(specs))]
    with ProcessPoolExecutor(2, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        counted = list(pool.map(by_fvcore, specs, variants, chunksize=5))
    assert counted == [by_arithmetic(spec, variant) for spec, variant in zip(specs, variants, strict=True)]


def test_a0_by_the_table():
    # movinet.md 9: 2.631 G and 3.112 M
    macs, params = count_macs_and_params(published("A0"), BASE, num_classes=NUM_CLASSES)
    assert (macs, params) == (2_630_733_808, 3_111_799)


def test_the_released_a0_by_the_table():
    # movinet.md 9: 2.426 G and 3.748 M
    macs, params = count_macs_and_params(published("A0"), released_stream("A0"), num_classes=NUM_CLASSES)
    assert (macs, params) == (2_426_445_040, 3_748_031)


@pytest.mark.parametrize("num_frames", [1, 2, 7])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_one_frame_and_two_tell_the_cost_of_any_number(num_frames, variant):
    spec = dataclasses.replace(TINY_SPEC, clip=dataclasses.replace(TINY_SPEC.clip, num_frames=num_frames))
    assert count_macs_and_params(spec, variant, num_classes=3)[0] == cost(spec, variant, num_classes=3).macs
