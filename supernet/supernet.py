"""The weight-sharing network of a whole search space."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from search_spaces.space import SearchSpace
from search_spaces.spec import ArchSpec, LayerSpec, parse_kernel
from search_spaces.variant import Variant
from supernet.layers import Bottleneck, ConvNorm, Head
from supernet.timeline import Timeline
from supernet.video_net import build, run

Checkpointing = Literal["none", "mixed", "all"]
"""Layers of which only the input is kept for the backward pass, which runs them a second time: none, those that run all
their kernels, or all."""


class Supernet(nn.Module):
    """Every network of a space in one set of weights (tunas.md 2).

    1x1x1 convolutions are shared by all widths, which take the leading channels; every kernel has weights of its own.
    Batch norm uses the statistics of the batch, always. Only the path of the spec given to `forward` is computed, and
    nothing remembers it.

    Args:
        space: The space.
        variant: How its networks are built.
        num_classes: Outputs of the classifier.
        seed: Of the initial weights.
        rezero: Initial weight of every layer's branch; 0 as published, more where training is short.
        checkpointing: Layers that trade time for memory; results are the same.
    """

    def __init__(
        self,
        space: SearchSpace,
        variant: Variant,
        *,
        num_classes: int,
        seed: int = 0,
        rezero: float = 0.0,
        checkpointing: Checkpointing = "none",
    ) -> None:
        super().__init__()
        self.space, self.variant, self.num_classes, self.checkpointing = space, variant, num_classes, checkpointing
        self.stem, self.blocks, self.head = build(
            space.largest_widths(),
            variant,
            num_classes=num_classes,
            seed=seed,
            rezero=rezero,
            shared_kernels=[parse_kernel(name) for name in space.kernels],
        )

    def forward(self, clips_BCTHW: Tensor, spec: ArchSpec, mixed: frozenset[str] = frozenset()) -> Tensor:
        """Logits of one architecture.

        Args:
            clips_BCTHW: Clips (B, 3, T, H, W), values in [0, 1].
            spec: An architecture of the space.
            mixed: Names of layers, such as `block2.layer1`, whose kernels are all run and averaged.

        Returns:
            Logits (B, number of classes).
        """
        if self.checkpointing == "none" or not torch.is_grad_enabled():
            return run(self, clips_BCTHW, spec, mixed=mixed)
        return run(_Recomputed.of(self), clips_BCTHW, spec, mixed=mixed)


@dataclass(slots=True)
class _Recomputed:
    """The same parts, whose layers are run anew in the backward pass."""

    stem: ConvNorm
    blocks: nn.ModuleList
    head: Head
    variant: Variant

    @classmethod
    def of(cls, supernet: Supernet) -> "_Recomputed":
        everywhere = supernet.checkpointing == "all"
        blocks = [
            [_recomputed(cast("Bottleneck", layer), everywhere=everywhere) for layer in cast("nn.ModuleList", block)]
            for block in supernet.blocks
        ]
        return cls(supernet.stem, cast("nn.ModuleList", blocks), supernet.head, supernet.variant)


def _recomputed(module: Bottleneck, *, everywhere: bool) -> Callable[..., Tensor]:
    def forward(x_NCHW: Tensor, layer: LayerSpec, timeline: Timeline, name: str, *, mixed: bool = False) -> Tensor:
        if not (everywhere or mixed):
            return cast("Tensor", module(x_NCHW, layer, timeline, name))
        # without random numbers, for a supernet draws none
        result = checkpoint(
            module, x_NCHW, layer, timeline, name, mixed=mixed, use_reentrant=False, preserve_rng_state=False
        )
        return cast("Tensor", result)

    return forward
