import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nets import randomise
from made_spaces import TINY, variants

from search_spaces.spec import layer_name
from search_spaces.variant import Variant
from supernet.masked_decay import Run, add_decay_gradients, decay_weights
from supernet.supernet import Supernet

SPACE = dataclasses.replace(TINY, se=(True, False))


def specs(num, seed=0):
    rows_ND = SPACE.sample_indices(np.random.default_rng(seed), num)
    return [SPACE.decode(SPACE.genotype(indices_D), Variant()).spec for indices_D in rows_ND]


def made(variant=None):
    supernet = Supernet(SPACE, variant or Variant(), num_classes=3)
    randomise(supernet)
    return supernet


def kernels(supernet):
    """What may decay."""
    named = {name: weight for name, weight in supernet.named_parameters() if weight.dim() > 1}
    del named["head.classifier.weight"]
    return named


def channels_with_gradient(weight):
    """Which of the leading dimensions, the channels, have a gradient anywhere: a mask of the weight's dimensions."""
    gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
    first, second = (gradient != 0).flatten(1).any(dim=1), (gradient != 0).transpose(0, 1).flatten(1).any(dim=1)
    if weight.dim() == 3:  # of squeeze-and-excitation: hidden, pools, channels
        return first[:, None, None] & (gradient != 0).flatten(0, 1).any(dim=0)[None, None, :]
    shape = (-1, 1, *[1] * (weight.dim() - 2))
    return first.view(shape) & second.view(1, -1, *shape[2:])


def has_gradients(variant):
    """Attention to a single frame has none by queries and keys."""
    return not variant.temporal_shift and (variant.temporal_head is None or variant.temporal_head.window != 1)


@settings(max_examples=15)
@given(st.integers(0, 1 << 16), variants().filter(has_gradients), st.booleans())
def test_what_decays_is_what_has_a_gradient(seed, variant, warm):
    """Found in two independent ways: by the spec, and by the backward pass of a network in general position."""
    # whose gates and activations are nowhere flat
    smooth = dataclasses.replace(variant, gate="sigmoid", activation="swish", head_activation="swish")
    supernet, (spec,) = made(smooth), specs(1, seed)
    mixed = frozenset({layer_name(0, 0), layer_name(1, 1)}) if warm else frozenset()
    clips_BCTHW = torch.randn(3, 3, 5, 30, 30, generator=torch.Generator().manual_seed(seed))
    supernet(clips_BCTHW, spec, mixed).logsumexp(dim=1).sum().backward()
    before = {name: weight.detach().clone() for name, weight in kernels(supernet).items()}
    decay_weights(supernet, [Run(spec, "3d", mixed)], amount=0.25)
    for name, weight in kernels(supernet).items():
        decayed = weight.detach() != before[name]
        assert torch.equal(decayed, channels_with_gradient(weight).expand_as(decayed)), name


def test_amounts_are_means_over_the_runs_and_shares_of_kernels():
    supernet, (first, second) = made(), specs(2)
    before = {name: weight.detach().clone() for name, weight in kernels(supernet).items()}
    decay_weights(
        supernet, [Run(first, "3d", frozenset({"block2.layer1"})), Run(second, "3d", frozenset())], amount=0.2
    )
    after = kernels(supernet)
    torch.testing.assert_close(after["stem.weight"], before["stem.weight"] * 0.9 * 0.9)
    kept = {"x".join(map(str, second.blocks[0].layers[0].kernel))}
    inner = [spec.blocks[0].layers[0].expansion for spec in (first, second)]
    for kernel in SPACE.kernels:
        name = f"blocks.0.0.depthwise.{kernel}.conv.weight"
        factor = torch.ones(before[name].shape[0])
        factor[: inner[0]] *= 0.95  # half of it, for both kernels of the space ran
        factor[: inner[1]] *= 0.9 if kernel in kept else 1.0
        torch.testing.assert_close(after[name], before[name] * factor.view(-1, 1, 1, 1, 1))


def test_gradients_are_those_of_half_the_squared_norm():
    supernet, runs = made(), [Run(spec, "3d", frozenset()) for spec in specs(2)]
    for run in runs:
        supernet(torch.randn(3, 3, 4, 30, 30), run.spec).sum().backward()
    before = {name: None if weight.grad is None else weight.grad.clone() for name, weight in kernels(supernet).items()}
    add_decay_gradients(supernet, runs, weight_decay=0.3)
    added = {name: weight.grad - before[name] for name, weight in kernels(supernet).items() if weight.grad is not None}
    shrunk = made()
    amount = 1e-3
    decay_weights(shrunk, runs, amount=amount)
    for name, weight in kernels(supernet).items():
        if name in added:
            change = (weight.detach() - kernels(shrunk)[name].detach()) / amount
            torch.testing.assert_close(added[name], 0.3 * change, rtol=5e-3, atol=1e-4)


def test_norms_biases_and_the_classifier_do_not_decay():
    supernet = made()
    names = set(kernels(supernet))
    before = {name: weight.detach().clone() for name, weight in supernet.named_parameters() if name not in names}
    decay_weights(supernet, [Run(SPACE.largest_widths(), "3d", frozenset())], amount=0.5)
    for name, weight in before.items():
        assert torch.equal(dict(supernet.named_parameters())[name], weight), name
    assert "head.classifier.weight" in before


def test_a_run_without_gradients_is_a_mistake_of_ours():
    with pytest.raises(AssertionError):
        add_decay_gradients(made(), [Run(specs(1)[0], "3d", frozenset())], weight_decay=0.1)
