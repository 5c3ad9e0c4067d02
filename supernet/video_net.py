"""A network for one spec: what people retrain, load, stream and deploy."""

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from search_spaces.ceilings import check_ceilings
from search_spaces.errors import UsageError
from search_spaces.spec import (
    INPUT_CHANNELS,
    STEM_KERNEL,
    STEM_STRIDE,
    ArchSpec,
    Kernel,
    has_skip_projection,
    layer_name,
)
from search_spaces.variant import Convolution, Variant
from supernet.layers import Bottleneck, ConvNorm, Head
from supernet.state import State, StateForm
from supernet.timeline import Timeline


class VideoNet(nn.Module):
    """The network of a spec.

    Args:
        spec: Its architecture.
        variant: How it is built.
        num_classes: Outputs of the classifier.
        seed: Of the initial weights.
        rezero: Initial weight of every layer's branch; 0 as published, more where training is short.
        dropout: Before the classifier, in training, in [0, 1).
        drop_path: Stochastic depth of the last layer, in training, in [0, 1); layer i of L has i / L of it.

    Raises:
        SpecError: The spec cannot be built in this variant, or is above a ceiling (`search_spaces.ceilings`).
    """

    def __init__(
        self,
        spec: ArchSpec,
        variant: Variant,
        *,
        num_classes: int,
        seed: int = 0,
        rezero: float = 0.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.spec, self.variant, self.num_classes = spec, variant, num_classes
        self.stem, self.blocks, self.head = build(
            spec, variant, num_classes=num_classes, seed=seed, rezero=rezero, dropout=dropout, drop_path=drop_path
        )

    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        """Clips (B, 3, T, H, W), values in [0, 1], any T, H and W, to logits (B, number of classes), fp32.

        Raises:
            UsageError: Clips of another shape.
        """
        return run(self, clips_BCTHW, self.spec)

    def frame_logits(self, clips_BCTHW: Tensor) -> Tensor:
        """Clips (B, 3, T, H, W) to what is said of every frame by itself, logits (B, T, number of classes), fp32.

        The network sees the whole clip; dense layer and classifier see the features of one frame, not pooled over time
        (paper, C.4).

        Raises:
            UsageError: Clips of another shape.
        """
        return run(self, clips_BCTHW, self.spec, per_frame=True, alone=True)

    def init_state(self, num_streams: int, height: int, width: int) -> State:
        """The state before the first frame, all zeros, on the device and in the type of the weights.

        Args:
            num_streams: Streams that are stepped side by side, B.
            height: Of their frames, pixels.
            width: Likewise.

        Raises:
            SpecError: The network does not stream.
        """
        return self._state_form(height, width).zeros(num_streams)

    def step(
        self, clips_BCTHW: Tensor, state: Mapping[str, Tensor], *, per_frame: bool = False
    ) -> tuple[Tensor, State]:
        """Go on by some frames; pieces of any lengths give the answer of the whole clip.

        Gradients flow through the state. Run under `torch.inference_mode()` where none are wanted, or detach the state
        between two pieces: else it holds on to all frames before.

        Args:
            clips_BCTHW: The next frames of each stream, (B, 3, T, H, W), or one frame each, (B, 3, H, W).
            state: Of `init_state` or of the step before; it is left as it is.
            per_frame: Logits after every frame, not after the last alone.

        Returns:
            Logits (B, number of classes), or with `per_frame` (B, T, number of classes), in fp32; and the new state.

        Raises:
            SpecError: The network does not stream.
            StateError: An entry is missing, unknown, or not of these streams, this frame size, or the type and place of
                the weights.
            UsageError: Frames of another shape.
        """
        check_clips(clips_BCTHW, dimensions=(4, 5))
        self._state_form(*clips_BCTHW.shape[-2:]).check(state, num_streams=clips_BCTHW.shape[0])
        timeline = Timeline.of(clips_BCTHW, self.variant, past=state)
        return run(self, clips_BCTHW, self.spec, timeline=timeline, per_frame=per_frame), timeline.future

    def _state_form(self, height: int, width: int) -> StateForm:
        return StateForm.of(self.spec, self.variant, height=height, width=width, like=self.stem.weight)


def check_clips(clips_BCTHW: Tensor, *, dimensions: tuple[int, ...]) -> None:
    """Refuse what are no clips (B, 3, T, H, W) or, where four `dimensions` are allowed, frames (B, 3, H, W).

    Raises:
        UsageError: Of another shape, or empty.
    """
    shape = tuple(clips_BCTHW.shape)
    if len(shape) not in dimensions or shape[1] != INPUT_CHANNELS or 0 in shape:
        frames = f", or frames (B, {INPUT_CHANNELS}, H, W)" if 4 in dimensions else ""
        raise UsageError(f"clips must be of shape (B, {INPUT_CHANNELS}, T, H, W){frames}, but got {shape}")


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
    dropout: float = 0.0,
    drop_path: float = 0.0,
    shared_kernels: Sequence[Kernel] = (),
    convs: Sequence[Convolution] = (),
) -> tuple[ConvNorm, nn.ModuleList, Head]:
    """Stem, blocks and head, with initial weights.

    Args:
        spec: The architecture, or the largest of a space.
        variant: How it is built.
        num_classes: Outputs of the classifier.
        seed: Of the initial weights.
        rezero: Initial weight of every layer's branch.
        dropout: As in `VideoNet`.
        drop_path: As in `VideoNet`.
        shared_kernels: What every layer of a supernet chooses from. Without, each layer has the kernel of `spec`, a
            skip is projected only where that is needed, and running statistics are kept.
        convs: Forms of convolution that every layer of a supernet chooses from. Without, that of the variant.

    Raises:
        SpecError: As `VideoNet`.
    """
    check_ceilings(spec, variant, num_classes=num_classes, kernels=tuple(shared_kernels))
    generator, running = torch.Generator().manual_seed(seed), not shared_kernels
    stem = ConvNorm(
        INPUT_CHANNELS,
        spec.stem_width,
        STEM_KERNEL,
        stride=STEM_STRIDE,
        variant=variant,
        running=running,
        generator=generator,
    )
    blocks, width, number = nn.ModuleList(), spec.stem_width, 0
    for block in spec.blocks:
        layers = nn.ModuleList()
        for position, layer in enumerate(block.layers):
            number += 1
            layers.append(
                Bottleneck(
                    layer,
                    in_width=width,
                    kernels=shared_kernels or [layer.kernel],
                    convs=convs or [variant.conv],
                    skip=position == 0 if shared_kernels else has_skip_projection(layer, width),
                    variant=variant,
                    running=running,
                    generator=generator,
                    rezero=rezero,
                    drop_path=drop_path * number / spec.num_layers,
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
        dropout=dropout,
    )
    return stem, blocks, head


def run(
    parts: Parts,
    clips_BCTHW: Tensor,
    spec: ArchSpec,
    *,
    mixed: frozenset[str] = frozenset(),
    timeline: Timeline | None = None,
    per_frame: bool = False,
    alone: bool = False,
) -> Tensor:
    """Logits (B, K) of the part that `spec` asks for, or (B, T, K) with `per_frame`.

    Args:
        parts: What runs.
        clips_BCTHW: Clips, (B, 3, T, H, W), or single frames, (B, 3, H, W).
        spec: The architecture.
        mixed: Layers that run every kernel.
        timeline: Of a stream; without one, clips have neither past nor future.
        per_frame: Logits after every frame.
        alone: With `per_frame`, logits of every frame by itself.
    """
    if timeline is None:
        check_clips(clips_BCTHW, dimensions=(5,))
        timeline = Timeline.of(clips_BCTHW, parts.variant)
    x_NCHW = clips_BCTHW if clips_BCTHW.ndim == 4 else clips_BCTHW.transpose(1, 2).flatten(0, 1)
    x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)
    x_NCHW = parts.stem(x_NCHW, spec.stem_width, timeline, "stem", parts.variant.activation)
    for number, block in enumerate(spec.blocks):
        layers = cast("nn.ModuleList", parts.blocks[number])
        for position, layer in enumerate(block.layers):
            name = layer_name(number, position)
            x_NCHW = layers[position](x_NCHW, layer, timeline, name, mixed=name in mixed)
    logits: Tensor = parts.head(x_NCHW, spec.head_width, timeline, per_frame=per_frame, alone=alone)
    return logits
