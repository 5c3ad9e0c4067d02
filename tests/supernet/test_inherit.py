"""Shared weights that start from trained ones."""

import dataclasses

import numpy as np
import pytest
import torch
from made_clips import noise
from made_nets import STREAMS, TINY_SPEC, assert_close, randomise
from made_spaces import TINY, frame_wise

from search_spaces.errors import WeightsError
from search_spaces.movinet import KERNELS
from search_spaces.spec import BlockSpec, parse_kernel
from search_spaces.variant import VARIANTS, Variant
from supernet.convolve import branch_name
from supernet.inherit import inherit, inherit_shared, ordered
from supernet.supernet import Supernet
from supernet.video_net import VideoNet

SPACE = dataclasses.replace(TINY, kernels=KERNELS, se=(True, False))
CLIPS_BCTHW = noise(2, num_frames=6, height=13, width=9)  # at even sizes, 1x1 kernels of stride 2 sample other pixels
SHIFT = Variant(causal=True, se="none", temporal_shift=True)


def made_net(spec, variant, *, num_classes=3):
    net = VideoNet(spec, variant, num_classes=num_classes, seed=3)
    randomise(net)
    return net


def member(variant=VARIANTS["base"], *, seed=0, **choices):
    """An architecture of the space; `choices` are of every layer."""
    genotype = SPACE.sample(np.random.default_rng(seed))
    changed = {
        name: choices.get(name.rpartition(".")[2], choice) if "layer" in name else choice
        for name, choice in genotype.items()
    }
    return SPACE.decode(changed, variant)


def with_kernel(spec, kernel):
    blocks = [[dataclasses.replace(layer, kernel=kernel) for layer in block.layers] for block in spec.blocks]
    return dataclasses.replace(spec, blocks=tuple(BlockSpec(layers=tuple(layers)) for layers in blocks))


@pytest.mark.parametrize("variant", [Variant(), *STREAMS.values(), SHIFT], ids=["base", *STREAMS, "shift"])
def test_channels_change_places_and_nothing_else(variant):
    net = made_net(frame_wise(TINY_SPEC) if variant == SHIFT else TINY_SPEC, variant).eval()
    again = ordered(net)
    assert not again.training
    assert_close(again(CLIPS_BCTHW), net(CLIPS_BCTHW), tolerance=2e-5)
    moved = [name for name, tensor in net.state_dict().items() if not torch.equal(tensor, again.state_dict()[name])]
    assert "head.conv.weight" in moved
    assert "stem.weight" in moved


def test_the_most_important_channels_come_first():
    net = ordered(made_net(TINY_SPEC, Variant()))
    for weight in (net.blocks[0][1].project.weight, net.head.dense_weight[:, :, None]):
        sums_C = weight.flatten(2).abs().sum(dim=(0, 2))
        assert (sums_C.diff() <= 1e-5).all()


def test_channels_of_a_skip_keep_one_order():
    """The second layer of TINY_SPEC adds to the first one's: both are read by the third's expansion and projection."""
    net = ordered(made_net(TINY_SPEC, Variant()))
    readers = (net.blocks[0][1].expand, net.blocks[1][0].expand, net.blocks[1][0].skip)
    shares = [reader.weight.flatten(1).abs().sum(dim=0) for reader in readers]
    total_C = sum(share_C / share_C.mean() for share_C in shares)
    assert (total_C.diff() <= 1e-5).all()


@pytest.mark.parametrize("variant", [Variant(), *STREAMS.values()], ids=["base", *STREAMS])
def test_the_sub_network_of_its_spec_computes_what_the_network_did(variant):
    for seed in range(3):
        candidate = member(variant, seed=seed)
        net, supernet = made_net(candidate.spec, variant), Supernet(SPACE, variant, num_classes=3)
        found = inherit(supernet, net, same_classes=True)
        assert_close(supernet(CLIPS_BCTHW, candidate.spec), net.train()(CLIPS_BCTHW), tolerance=5e-5)
        assert not found.unexpected
        assert "head.classifier.weight" in found.whole


@pytest.mark.parametrize(
    ("small", "large"), [("1x3x3", "5x3x3"), ("1x3x3", "1x7x7"), ("3x3x3", "5x3x3"), ("5x1x1", "5x3x3")]
)
@pytest.mark.parametrize("variant", [Variant(), VARIANTS["paper-stream"]], ids=["base", "causal"])
def test_a_larger_kernel_begins_as_the_smaller_one(variant, small, large):
    candidate = member(variant, kernel=small)
    net, supernet = made_net(candidate.spec, variant), Supernet(SPACE, variant, num_classes=3)
    inherit(supernet, net, same_classes=True)
    larger = with_kernel(candidate.spec, tuple(map(int, large.split("x"))))
    assert_close(supernet(CLIPS_BCTHW, larger), net.train()(CLIPS_BCTHW), tolerance=5e-5)


def test_what_does_not_fit_stays_as_it_was_drawn():
    candidate = member(kernel="3x3x3")
    net = made_net(candidate.spec, Variant(), num_classes=5)
    supernet, fresh = (Supernet(SPACE, Variant(), num_classes=3, seed=7) for _ in range(2))
    found = inherit(supernet, net, same_classes=False)
    kept = {name for name, tensor in fresh.state_dict().items() if torch.equal(tensor, supernet.state_dict()[name])}
    assert set(found.missing) <= kept
    assert {"head.classifier.weight", "head.classifier.bias", "blocks.0.0.depthwise.1x3x3.conv.weight"} <= kept
    assert not kept & {name for name in found.whole + found.partly if name.endswith("weight")}
    assert found.unexpected == ("head.classifier.bias", "head.classifier.weight")
    assert sorted(found.whole + found.partly + found.missing) == sorted(fresh.state_dict())


def test_more_channels_and_layers_than_the_space_has_lose_the_least_important():
    wide = dataclasses.replace(TINY, width_multipliers=(1.25,))
    narrow = dataclasses.replace(
        wide, width_multipliers=(0.75,), blocks=(dataclasses.replace(wide.blocks[0], depths=(1,)), wide.blocks[1])
    )
    spec = wide.largest_widths()
    net, supernet = made_net(spec, Variant()), Supernet(narrow, Variant(), num_classes=3)
    found = inherit(supernet, net, same_classes=True)
    assert any(name.startswith("blocks.0.1.") for name in found.unexpected)
    dense = ordered(net).head.dense_weight
    assert torch.equal(supernet.head.dense_weight, dense[:, : supernet.head.dense_weight.shape[1]])


def test_the_forms_of_convolution_do_not_mix():
    both = dataclasses.replace(SPACE, conv_choices=("3d", "3d_2plus1d"))
    stream = VARIANTS["released-stream"]
    candidate = both.decode({**member(stream, kernel="3x3x3").genotype, "conv": "3d_2plus1d"}, stream)
    net, supernet = made_net(candidate.spec, candidate.variant), Supernet(both, stream, num_classes=3)
    found = inherit(supernet, net, same_classes=True)
    assert_close(
        supernet(CLIPS_BCTHW, candidate.spec, variant=candidate.variant), net.train()(CLIPS_BCTHW), tolerance=5e-5
    )
    assert "blocks.0.0.depthwise.3x3x3.conv.weight" in found.missing
    assert not found.unexpected


def test_weights_of_four_dimensions_fit_those_of_five():
    flat = dataclasses.replace(VARIANTS["released-stream"], conv="2plus1d")
    candidate = member(flat)
    net, supernet = made_net(candidate.spec, flat), Supernet(SPACE, VARIANTS["released-stream"], num_classes=3)
    inherit(supernet, net, same_classes=True)
    assert_close(supernet(CLIPS_BCTHW, candidate.spec), net.train()(CLIPS_BCTHW), tolerance=5e-5)


def test_shared_weights_go_on_in_another_search():
    first, second = (Supernet(SPACE, Variant(), num_classes=3, seed=seed) for seed in (1, 2))
    found = inherit_shared(second, first.state_dict(), same_classes=False)
    for name, tensor in second.state_dict().items():
        assert torch.equal(tensor, first.state_dict()[name]) or name == "head.classifier.weight"
    assert found.missing == found.unexpected == ("head.classifier.bias", "head.classifier.weight")


FORMS = {"3d": None, "3d_2plus1d": None, "2plus1d": None, "both": ("3d", "3d_2plus1d")}


@pytest.mark.parametrize("to", FORMS)
@pytest.mark.parametrize("of", FORMS)
def test_shared_kernels_go_on_in_the_form_that_they_have(of, to):
    first, second = (
        Supernet(
            dataclasses.replace(SPACE, conv_choices=FORMS[form]),
            dataclasses.replace(VARIANTS["released-stream"], conv="3d" if form == "both" else form),
            num_classes=3,
            seed=seed,
        )
        for seed, form in enumerate((of, to))
    )
    drawn = {name: tensor.clone() for name, tensor in second.state_dict().items()}
    found = inherit_shared(second, first.state_dict(), same_classes=True)
    assert {name for name, tensor in second.state_dict().items() if not torch.equal(tensor, drawn[name])}.isdisjoint(
        found.missing
    )
    convs = {form.removeprefix("3d_") for form in first.convs} & {form.removeprefix("3d_") for form in second.convs}
    for kernel in ("1x3x3", "3x3x3", "5x1x1"):
        for conv in convs:
            weights = []
            for supernet in (first, second):
                layer = supernet.blocks[0][0]
                depthwise = layer.depthwise[branch_name(parse_kernel(kernel), conv, both=layer.both)]
                weights.append([weight.flatten() for weight in depthwise.parameters()])
            for source, target in zip(*weights, strict=True):
                assert torch.equal(source, target)
    if not convs:
        assert "blocks.0.0.depthwise.3x3x3.conv.weight" in found.missing
        assert "blocks.0.0.depthwise.1x3x3.conv.weight" in found.whole


def test_a_temporal_head_goes_over_to_one_of_its_sizes_alone():
    variant = STREAMS["head"]
    net = made_net(member(variant).spec, variant)
    same = Supernet(SPACE, variant, num_classes=3)
    inherit(same, net, same_classes=True)
    assert torch.equal(same.head.temporal.layers[1].qkv.weight, net.head.temporal.layers[1].qkv.weight)
    assert torch.equal(same.head.classifier.weight, net.head.classifier.weight)
    other = dataclasses.replace(variant, temporal_head=dataclasses.replace(variant.temporal_head, embed_dim=16))
    for target in (other, VARIANTS["released-stream"]):
        supernet = Supernet(SPACE, target, num_classes=3)
        before = {name: tensor.clone() for name, tensor in supernet.head.state_dict().items()}
        inherited = inherit(supernet, net, same_classes=True)
        kept = {name for name, tensor in supernet.head.state_dict().items() if torch.equal(tensor, before[name])}
        assert kept >= {name for name in before if name.startswith(("temporal.", "classifier."))}
        assert "head.classifier.weight" in inherited.missing


def test_other_blocks_are_refused():
    net = made_net(dataclasses.replace(TINY_SPEC, blocks=TINY_SPEC.blocks[:1]), Variant())
    with pytest.raises(WeightsError, match="must have as many blocks as the space, 2, but has 1"):
        inherit(Supernet(SPACE, Variant(), num_classes=3), net, same_classes=True)
