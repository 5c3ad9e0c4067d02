"""A network for one spec: what people retrain, load and deploy."""

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from search_spaces.spec import (
    INPUT_CHANNELS,
    STEM_KERNEL,
    STEM_STRIDE,
    ArchSpec,
    Kernel,
    has_skip_projection,
    layer_name,
)
from search_spaces.variant import Variant
from supernet.layers import Bottleneck, ConvNorm, Head, activate


class VideoNet(nn.Module):
    """The network of a spec.

    Args:
        spec: Its architecture.
        variant: How it is built.
        num_classes: Outputs of the classifier.
        seed: Of the initial weights.
        rezero: Initial weight of every layer's branch; 0 as published, more where training is short.
    """

    def __init__(
        self, spec: ArchSpec, variant: Variant, *, num_classes: int, seed: int = 0, rezero: float = 0.0
    ) -> None:
        super().__init__()
        self.spec, self.variant, self.num_classes = spec, variant, num_classes
        self.stem, self.blocks, self.head = build(spec, variant, num_classes=num_classes, seed=seed, rezero=rezero)

    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        """Clips (B, 3, T, H, W), values in [0, 1], any T, H and W, to logits (B, number of classes)."""
        return run(self, clips_BCTHW, self.spec)


class Parts(Protocol):
    """What a network is made of: exactly what one spec needs, or, in a supernet, more."""

    stem: ConvNorm
    blocks: nn.ModuleList
    head: Head
    variant: Variant


def build(
    spec: ArchSpec,
    variant: Variant,
    *,
    num_classes: int,
    seed: int,
    rezero: float,
    shared_kernels: Sequence[Kernel] = (),
) -> tuple[ConvNorm, nn.ModuleList, Head]:
    """Stem, blocks and head, with initial weights.

    Args:
        spec: The architecture, or the largest of a space.
        variant: How it is built.
        num_classes: Outputs of the classifier.
        seed: Of the initial weights.
        rezero: Initial weight of every layer's branch.
        shared_kernels: What every layer of a supernet chooses from. Without, each layer has the kernel of `spec`, a
            skip is projected only where that is needed, and running statistics are kept.
    """
    generator, running = torch.Generator().manual_seed(seed), not shared_kernels
    stem = ConvNorm(
        INPUT_CHANNELS, spec.stem_width, STEM_KERNEL, stride=STEM_STRIDE, running=running, generator=generator
    )
    blocks, width = nn.ModuleList(), spec.stem_width
    for block in spec.blocks:
        layers = nn.ModuleList()
        for position, layer in enumerate(block.layers):
            layers.append(
                Bottleneck(
                    layer,
                    in_width=width,
                    kernels=shared_kernels or [layer.kernel],
                    skip=position == 0 if shared_kernels else has_skip_projection(layer, width),
                    variant=variant,
                    running=running,
                    generator=generator,
                    rezero=rezero,
                )
            )
            width = layer.width
        blocks.append(layers)
    head = Head(
        in_width=width,
        head_width=spec.head_width,
        dense_width=spec.dense_width,
        num_classes=num_classes,
        variant=variant,
        running=running,
        generator=generator,
    )
    return stem, blocks, head


def run(parts: Parts, clips_BCTHW: Tensor, spec: ArchSpec, *, mixed: frozenset[str] = frozenset()) -> Tensor:
    """Logits (B, number of classes) of the part that `spec` asks for; layers in `mixed` run every kernel."""
    x_BCTHW = clips_BCTHW.contiguous(memory_format=torch.channels_last_3d)
    x_BCTHW = activate(parts.stem(x_BCTHW, spec.stem_width), parts.variant)
    for number, block in enumerate(spec.blocks):
        layers = cast("nn.ModuleList", parts.blocks[number])
        for position, layer in enumerate(block.layers):
            x_BCTHW = layers[position](x_BCTHW, layer, mixed=layer_name(number, position) in mixed)
    logits_BK: Tensor = parts.head(x_BCTHW, spec.head_width)
    return logits_BK
