"""Weight decay of what was run and nothing else (tunas.md 2): the leading channels of the kernels on sampled paths.

Norms, biases, ReZero scalars and the classifier do not decay.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from search_spaces.rounding import se_hidden_width
from search_spaces.spec import ArchSpec, has_skip_projection, layer_name
from search_spaces.variant import Convolution
from supernet.convolve import branch_name
from supernet.layers import Bottleneck
from supernet.supernet import Supernet


class Run(NamedTuple):
    """What one candidate of a step ran: an architecture, in which form, and the layers that ran all their kernels."""

    spec: ArchSpec
    conv: Convolution
    mixed: frozenset[str]


class _Part(NamedTuple):
    """The leading part of a weight, and its share in what it is averaged with: 1 where it runs alone."""

    weight: Tensor
    sizes: tuple[int, ...]
    share: float = 1.0


@torch.no_grad()
def decay_weights(supernet: Supernet, runs: Sequence[Run], *, amount: float) -> None:
    """Shrink what each of K runs used by 1 - amount / K (decoupled: `amount` is rate times weight decay)."""
    for run in runs:
        for part in _parts(supernet, run):
            part.weight[_leading(part.sizes)].mul_(1.0 - amount * part.share / len(runs))


@torch.no_grad()
def add_decay_gradients(supernet: Supernet, runs: Sequence[Run], *, weight_decay: float) -> None:
    """Add to the gradients what weight decay / 2 times the mean squared norm of what the runs used adds to the loss."""
    for run in runs:
        for part in _parts(supernet, run):
            assert part.weight.grad is not None
            where = _leading(part.sizes)
            part.weight.grad[where].add_(part.weight[where], alpha=weight_decay * part.share / len(runs))


def _leading(sizes: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(0, size) for size in sizes)


def _parts(supernet: Supernet, run: Run) -> Iterator[_Part]:
    spec, width = run.spec, run.spec.stem_width
    yield _Part(supernet.stem.weight, (width,))
    for number, block in enumerate(spec.blocks):
        layers = cast("nn.ModuleList", supernet.blocks[number])
        for position, layer in enumerate(block.layers):
            module = cast("Bottleneck", layers[position])
            inner = layer.expansion
            yield _Part(module.expand.weight, (inner, width))
            mixed = layer_name(number, position) in run.mixed
            kernels = module.kernels if mixed else (layer.kernel,)
            names = [branch_name(kernel, run.conv, both=module.both) for kernel in kernels]
            for name in names:
                for weight in module.depthwise[name].parameters():
                    if weight.dim() > 1:
                        yield _Part(weight, (inner,), 1.0 / len(names))
            if layer.se and module.se is not None:
                hidden = se_hidden_width(module.se.num_pools * inner)
                yield _Part(module.se.reduce_weight, (hidden, module.se.num_pools, inner))
                yield _Part(module.se.expand_weight, (inner, hidden))
            yield _Part(module.project.weight, (layer.width, inner))
            if has_skip_projection(layer, width):
                assert module.skip is not None
                yield _Part(module.skip.weight, (layer.width, width))
            width = layer.width
    yield _Part(supernet.head.conv.weight, (spec.head_width, width))
    if supernet.head.temporal is None:
        yield _Part(supernet.head.dense_weight, (spec.dense_width, spec.head_width))
        return
    for weight in supernet.head.temporal.parameters():
        if weight is supernet.head.temporal.embed.weight:
            yield _Part(weight, (weight.shape[0], spec.head_width))
        elif weight.dim() > 1:
            yield _Part(weight, tuple(weight.shape))
