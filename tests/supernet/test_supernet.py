import dataclasses

import numpy as np
import pytest
import torch
from made_clips import noise
from made_nets import HARD, STREAMS, assert_close, randomise, reference_logits
from made_spaces import TINY

from search_spaces.movinet import KERNELS, NANO
from search_spaces.randomness import generator
from search_spaces.spec import layer_name
from search_spaces.variant import Variant
from supernet.supernet import Supernet
from supernet.video_net import VideoNet

BASE = Variant()
SPACE = dataclasses.replace(TINY, kernels=KERNELS, se=(True, False))


def made(space=SPACE, variant=BASE):
    supernet = Supernet(space, variant, num_classes=3)
    randomise(supernet)
    return supernet


def random_specs(space, num, *, seed=0):
    indices_ND = space.sample_indices(np.random.default_rng(seed), num)
    return [space.decode(space.genotype(indices_D), BASE).spec for indices_D in indices_ND]


def names_of_layers(spec):
    return [layer_name(number, layer) for number, block in enumerate(spec.blocks) for layer in range(len(block.layers))]


CLIPS_BCTHW = noise(2, num_frames=4, height=15, width=12)


def test_it_holds_the_largest_network_and_every_kernel():
    supernet, widest = made(), SPACE.largest_widths()
    assert [len(block) for block in supernet.blocks] == [2, 3]
    for block, wide in zip(supernet.blocks, widest.blocks, strict=True):
        for position, layer in enumerate(block):
            assert tuple(layer.depthwise) == KERNELS
            assert layer.project.weight.shape[:2] == (wide.layers[0].width, wide.layers[0].expansion)
            assert layer.se is not None
            assert (layer.skip is not None) == (position == 0)
    assert supernet.head.conv.weight.shape[0] == widest.head_width == 80
    assert not any("running" in name for name in supernet.state_dict())


def test_a_space_without_squeeze_excitation_has_no_weights_for_it():
    supernet = made(dataclasses.replace(SPACE, se=(False,)))
    assert not any(".se." in name for name in supernet.state_dict())


@pytest.mark.parametrize("variant", [BASE, HARD, *STREAMS.values()], ids=["base", "hard", *STREAMS])
def test_a_sub_network_is_the_leading_part_as_movinet_md_writes_it(variant):
    supernet = made(variant=variant).double()
    for spec in random_specs(SPACE, 6):
        wanted_BK = reference_logits(supernet.state_dict(), CLIPS_BCTHW.double(), spec, variant)
        assert_close(supernet(CLIPS_BCTHW.double(), spec), wanted_BK)


@pytest.mark.parametrize("variant", [BASE, *STREAMS.values()], ids=["base", *STREAMS])
def test_mixed_layers_average_all_their_kernels(variant):
    supernet = made(variant=variant).double()
    for number, spec in enumerate(random_specs(SPACE, 4)):
        mixed = frozenset(names_of_layers(spec)[number % 2 :])
        wanted_BK = reference_logits(
            supernet.state_dict(), CLIPS_BCTHW.double(), spec, variant, mixed=dict.fromkeys(mixed, KERNELS)
        )
        found_BK = supernet(CLIPS_BCTHW.double(), spec, mixed)
        assert_close(found_BK, wanted_BK)
        assert not torch.allclose(found_BK, supernet(CLIPS_BCTHW.double(), spec), rtol=1e-3)


def test_the_kernel_of_a_mixed_layer_does_not_matter():
    supernet = made()
    (spec,) = random_specs(SPACE, 1)
    first = spec.blocks[0].layers[0]
    outputs = []
    for kernel in ((1, 3, 3), (7, 1, 1)):
        layers = (dataclasses.replace(first, kernel=kernel), *spec.blocks[0].layers[1:])
        other = dataclasses.replace(spec, blocks=(dataclasses.replace(spec.blocks[0], layers=layers), *spec.blocks[1:]))
        outputs.append(supernet(CLIPS_BCTHW, other, frozenset({"block2.layer1"})))
    assert torch.equal(*outputs)


def test_only_the_sampled_path_gets_gradients():
    supernet = made()
    for spec in random_specs(SPACE, 5, seed=3):
        supernet.zero_grad(set_to_none=True)
        supernet(CLIPS_BCTHW, spec).square().sum().backward()
        used = {"stem", "head"}
        for number, block in enumerate(spec.blocks):
            for position, layer in enumerate(block.layers):
                prefix = f"blocks.{number}.{position}"
                used |= {f"{prefix}.expand", f"{prefix}.project", f"{prefix}.rezero"}
                used.add(f"{prefix}.depthwise.{'x'.join(map(str, layer.kernel))}.conv")
                used |= {f"{prefix}.se"} if layer.se else set()
                used |= {f"{prefix}.skip"} if _projects(spec, number, position) else set()
        for name, parameter in supernet.named_parameters():
            sampled = any(name == part or name.startswith(f"{part}.") for part in used)
            assert (parameter.grad is not None) == sampled, name
            assert not sampled or parameter.grad.any(), name


def _projects(spec, number, position):
    layer = spec.blocks[number].layers[position]
    before = spec.stem_width if number == 0 else spec.blocks[number - 1].layers[-1].width
    return position == 0 and (layer.stride > 1 or before != layer.width)


def test_channels_beyond_the_sampled_width_get_zero():
    supernet = made()
    spec = min(random_specs(SPACE, 20), key=lambda spec: spec.blocks[0].layers[0].expansion)
    layer = spec.blocks[0].layers[0]
    supernet(CLIPS_BCTHW, spec).square().sum().backward()
    first = supernet.blocks[0][0]
    gradients = {
        first.expand.weight: (layer.expansion, spec.stem_width),
        first.expand.scale: (layer.expansion,),
        first.depthwise["x".join(map(str, layer.kernel))].conv.weight: (layer.expansion,),
        first.project.weight: (layer.width, layer.expansion),
        first.skip.weight: (layer.width, spec.stem_width),
        supernet.head.dense_weight: (supernet.head.dense_weight.shape[0], spec.head_width),
    }
    assert any(parameter.shape[: len(sizes)] != sizes for parameter, sizes in gradients.items())
    for parameter, sizes in gradients.items():
        inside = parameter.grad[tuple(map(slice, sizes))].clone()
        assert inside.flatten(1).any(dim=1).all() if inside.ndim > 1 else inside.all()
        parameter.grad[tuple(map(slice, sizes))] = 0.0
        assert not parameter.grad.any()


def test_mixed_layers_give_gradients_to_all_their_kernels():
    supernet = made()
    (spec,) = random_specs(SPACE, 1)
    supernet(CLIPS_BCTHW, spec, frozenset({"block3.layer1"})).square().sum().backward()
    assert all(conv.conv.weight.grad is not None for conv in supernet.blocks[1][0].depthwise.values())
    assert sum(conv.conv.weight.grad is not None for conv in supernet.blocks[0][0].depthwise.values()) == 1


def test_a_call_leaves_nothing_behind():
    """Neither tensors nor the order of calls, nor training mode, make a difference."""
    supernet = made()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in supernet.named_modules()}
    specs = random_specs(SPACE, 6)
    mixed = [frozenset(names_of_layers(spec)[: number % 2]) for number, spec in enumerate(specs)]
    with torch.no_grad():
        forwards = [supernet(CLIPS_BCTHW, spec, names) for spec, names in zip(specs, mixed, strict=True)]
        supernet.eval()
        backwards = [supernet(CLIPS_BCTHW, spec, names) for spec, names in zip(specs[::-1], mixed[::-1], strict=True)]
    assert all(torch.equal(*pair) for pair in zip(forwards, backwards[::-1], strict=True))
    assert not any(torch.allclose(forwards[0], other) for other in forwards[1:])
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    assert {name: set(vars(module)) for name, module in supernet.named_modules()} == attributes


def test_the_seed_decides_the_initial_weights():
    states = [Supernet(SPACE, BASE, num_classes=3, seed=seed).state_dict() for seed in (4, 4, 5)]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert not torch.equal(states[0]["stem.weight"], states[2]["stem.weight"])


def test_nothing_is_drawn_from_the_global_generator():
    before = torch.random.get_rng_state()
    Supernet(SPACE, BASE, num_classes=3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_nano_takes_its_own_clips():
    supernet = made(NANO)
    clips_BCTHW = noise(2, num_frames=8, height=48, width=48)
    for spec in (NANO.largest_widths(), *random_specs(NANO, 2)):
        assert supernet(clips_BCTHW, spec).shape == (2, 3)


def test_the_initial_weight_of_the_branches_is_the_published_zero_unless_given():
    for rezero in (None, 0.5):
        options = {} if rezero is None else {"rezero": rezero}
        supernet = Supernet(NANO, Variant(), num_classes=3, **options)
        spec = NANO.decode(NANO.sample(generator(0, "rezero")), Variant()).spec
        net = VideoNet(spec, Variant(), num_classes=3, **options)
        for network in (supernet, net):
            scalars = [value.item() for name, value in network.state_dict().items() if name.endswith("rezero")]
            assert set(scalars) == {rezero or 0.0}


def saved_bytes(supernet, spec, mixed):
    """Bytes that the forward pass keeps for the backward pass, layer inputs of checkpoints aside."""
    total = 0

    def count(tensor):
        nonlocal total
        total += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        supernet(torch.randn(2, 3, 8, 48, 48), spec, mixed)
    return total


def test_checkpointing_keeps_less_for_the_backward_pass():
    """Of layers with seven kernels at once, hardly anything."""
    spec = NANO.largest_widths()
    everything = frozenset(layer_name(b, n) for b, block in enumerate(spec.blocks) for n in range(len(block.layers)))
    kept = {}
    for checkpointing in ("none", "mixed", "all"):
        supernet = Supernet(NANO, Variant(), num_classes=3, checkpointing=checkpointing)
        kept[checkpointing] = [saved_bytes(supernet, spec, mixed) for mixed in (frozenset(), everything)]
    assert kept["mixed"][0] == kept["none"][0]
    assert kept["all"][0] < 0.4 * kept["none"][0]
    for checkpointing in ("mixed", "all"):
        assert kept[checkpointing][1] < 0.15 * kept["none"][1]
