"""What a network costs, by arithmetic alone, exact to the integer (design decision 4).

One MAC is one multiply-add of a convolution or linear layer, padded taps included, as every counter has it. The paper's
"GFLOPs" are MACs plus one per batch-norm element plus a half per element of squeeze-and-excitation's product, of
ReZero's product and of the residual sum (movinet.md, section 3). Sizes are TensorFlow's "SAME": ceil(n / stride).

Squeeze-and-excitation is two linear layers, computed once per clip, or for every frame where each has its own gate. A
temporal kernel in its (2+1)D form is two convolutions and two norms. Dense layer and classifier are computed once per
call, or for every frame where the head pools with a softmax over frames: a stream of single frames computes them for
every frame.

The peak of activations is the largest sum of tensors alive at once for a batch of one, one operator at a time, none
fused, all in one type: inputs, skips and residuals included; weights, state, and what is put around a convolution's
input (padding, frames of a stream buffer) excluded. Of squeeze-and-excitation, everything of each frame that has its
own gate counts: both pools of `2plus3d` beside their concatenation, the positional encoding beside what it is added to.
A temporal head is computed for every frame, its attention over a window with the frames before the first one included;
its layer norms, softmax, rotations and sums are side operators, as pools are, and count nothing.
The (2+1)D form, and a temporal shift, put no more beside each other than a norm does, its input and output.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from search_spaces.rounding import se_hidden_width
from search_spaces.spec import (
    INPUT_CHANNELS,
    STEM_KERNEL,
    STEM_STRIDE,
    ArchSpec,
    ClipGeometry,
    LayerSpec,
    has_skip_projection,
    layer_name,
    same_size,
)
from search_spaces.stream_state import StateEntry, head_state, layer_state, state_bytes, state_entries
from search_spaces.temporal_head import temporal_macs, temporal_params, temporal_peak
from search_spaces.variant import Variant, check_fits

DEFAULT_CLASSES = 600
DataType = Literal["fp32", "bf16", "fp16"]
BYTES: dict[DataType, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Bytes per element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCost:
    """Cost of one part of a network for one clip.

    Attributes:
        macs: Multiply-adds of convolutions and linear layers.
        extra_half_macs: What the paper's GFLOPs count beyond `macs`, in halves of a multiply-add.
        params: Trainable numbers; running statistics are not.
        peak_activations: Largest sum of the elements of tensors alive at once.
        state: What a stream remembers of it between two steps.
    """

    macs: int
    extra_half_macs: int
    params: int
    peak_activations: int
    state: Mapping[str, StateEntry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost of a whole network for one clip, or one stream.

    Attributes:
        macs: Multiply-adds of convolutions and linear layers for the clip in one call.
        paper_gflops: The paper's GFLOPs for it, in units of 1e9.
        params: Trainable numbers.
        peak_activation_bytes: Largest sum of tensors alive at once for it.
        stream_buffer_bytes: Bytes of a stream's buffers; 0 where the network does not stream.
        stream_state_bytes: Bytes of everything between two steps of a stream; 0 likewise.
        macs_per_frame: Multiply-adds of a step of a single frame; None where the network does not stream.
        step_peak_activation_bytes: Largest sum of tensors alive at once in such a step; None likewise.
    """

    macs: int
    paper_gflops: float
    params: int
    peak_activation_bytes: int
    stream_buffer_bytes: int
    stream_state_bytes: int
    macs_per_frame: int | None
    step_peak_activation_bytes: int | None


def stem_cost(width: int, *, clip: ClipGeometry) -> PartCost:
    """The strided 1x3x3 convolution with its norm and activation."""
    taps = STEM_KERNEL[0] * STEM_KERNEL[1] * STEM_KERNEL[2] * INPUT_CHANNELS
    pixels = clip.num_frames * same_size(clip.resolution, STEM_STRIDE) ** 2
    image = clip.num_frames * clip.resolution**2 * INPUT_CHANNELS
    return PartCost(
        macs=pixels * taps * width,
        extra_half_macs=2 * pixels * width,
        params=taps * width + 2 * width,
        peak_activations=image + 2 * pixels * width,
    )


def layer_cost(layer: LayerSpec, variant: Variant, *, in_width: int, in_size: int, num_frames: int) -> PartCost:
    """One inverted-bottleneck layer.

    Args:
        layer: The layer.
        variant: How it is built.
        in_width: Channels of its input.
        in_size: Height and width of its input, pixels.
        num_frames: Frames of the clip.
    """
    before = num_frames * in_size**2
    after = num_frames * same_size(in_size, layer.stride) ** 2
    inner, width = layer.expansion, layer.width
    time, space = layer.kernel[0], layer.kernel[1] * layer.kernel[2]
    separable = time > 1 and variant.conv != "3d"
    taps, num_norms = (space + time, 2) if separable else (time * space, 1)
    macs = before * in_width * inner + after * inner * taps + after * inner * width
    params = in_width * inner + inner * taps + inner * width + 2 * (inner + num_norms * inner + width) + 1
    half = 2 * (before * inner + num_norms * after * inner + after * width) + 2 * after * width
    if layer.se and variant.se != "none":
        num_gates, pooled, hidden = _squeeze(inner, variant, num_frames=num_frames)
        macs += num_gates * (pooled * hidden + hidden * inner)
        params += pooled * hidden + hidden + hidden * inner + inner + int(variant.positional_encoding)
        half += after * inner
    if has_skip_projection(layer, in_width):
        macs += after * in_width * width
        params += in_width * width + 2 * width
        half += 2 * after * width
    return PartCost(
        macs=macs,
        extra_half_macs=half,
        params=params,
        peak_activations=_layer_peak(
            layer, variant, in_width=in_width, before=before, after=after, num_frames=num_frames
        ),
        state=layer_state(layer, variant, height=in_size, width=in_size),
    )


def head_cost(
    variant: Variant,
    *,
    in_width: int,
    head_width: int,
    dense_width: int,
    in_size: int,
    num_frames: int,
    num_classes: int,
) -> PartCost:
    """Head convolution, pool, dense layer or temporal head, and classifier."""
    pixels, head = num_frames * in_size**2, variant.temporal_head
    calls = num_frames if variant.temporal_pooling == "softmax" else 1
    if head is None:
        features = dense_width
        macs, params = calls * head_width * dense_width, (head_width + 1) * dense_width
        peak = calls * 2 * dense_width
    else:
        features = head.embed_dim
        macs = temporal_macs(head, in_width=head_width, num_frames=num_frames)
        params = temporal_params(head, in_width=head_width)
        peak = temporal_peak(head, in_width=head_width, num_frames=num_frames)
    return PartCost(
        macs=pixels * in_width * head_width + macs + calls * features * num_classes,
        extra_half_macs=2 * pixels * head_width,
        params=in_width * head_width + 2 * head_width + params + (features + 1) * num_classes,
        peak_activations=max(
            pixels * in_width + pixels * head_width,
            2 * pixels * head_width,
            peak,
            calls * (features + num_classes),
        ),
        state=head_state(head_width, variant),
    )


def part_costs(
    spec: ArchSpec, variant: Variant, *, num_classes: int = DEFAULT_CLASSES, clip: ClipGeometry | None = None
) -> dict[str, PartCost]:
    """Cost of every part in order: `stem`, `block2.layer1`, ..., `head`.

    Args:
        spec: The architecture.
        variant: How it is built.
        num_classes: Outputs of the classifier.
        clip: Clip geometry where it is not the spec's own.

    Raises:
        SpecError: The spec cannot be built in this variant.
    """
    check_fits(spec, variant)
    clip = clip or spec.clip
    parts = {"stem": stem_cost(spec.stem_width, clip=clip)}
    width, size = spec.stem_width, same_size(clip.resolution, STEM_STRIDE)
    for number, block in enumerate(spec.blocks):
        for position, layer in enumerate(block.layers):
            parts[layer_name(number, position)] = layer_cost(
                layer, variant, in_width=width, in_size=size, num_frames=clip.num_frames
            )
            width, size = layer.width, same_size(size, layer.stride)
    parts["head"] = head_cost(
        variant,
        in_width=width,
        head_width=spec.head_width,
        dense_width=spec.dense_width,
        in_size=size,
        num_frames=clip.num_frames,
        num_classes=num_classes,
    )
    return parts


def cost(
    spec: ArchSpec,
    variant: Variant,
    *,
    num_classes: int = DEFAULT_CLASSES,
    clip: ClipGeometry | None = None,
    dtype: DataType = "fp32",
) -> Cost:
    """Cost of a network for one clip, and of a step of one stream; errors as `part_costs`.

    The peak of a network is the largest of its parts', since one part runs at a time.

    Args:
        spec: The architecture.
        variant: How it is built.
        num_classes: Outputs of the classifier.
        clip: Clip geometry where it is not the spec's own.
        dtype: Type of activations and stream buffers; sums over time stay in fp32, counts in int32.
    """
    clip = clip or spec.clip
    parts = part_costs(spec, variant, num_classes=num_classes, clip=clip).values()
    macs = sum(part.macs for part in parts)
    entries = state_entries(spec, variant, height=clip.resolution, width=clip.resolution)
    buffer_bytes, state_in_bytes = state_bytes(entries, bytes_per_element=BYTES[dtype])
    macs_per_frame = step_peak = None
    if variant.streams:
        step = part_costs(spec, variant, num_classes=num_classes, clip=replace(clip, num_frames=1)).values()
        macs_per_frame = sum(part.macs for part in step)
        step_peak = BYTES[dtype] * max(part.peak_activations for part in step)
    return Cost(
        macs=macs,
        paper_gflops=(2 * macs + sum(part.extra_half_macs for part in parts)) / 2e9,
        params=sum(part.params for part in parts),
        peak_activation_bytes=BYTES[dtype] * max(part.peak_activations for part in parts),
        stream_buffer_bytes=buffer_bytes,
        stream_state_bytes=state_in_bytes,
        macs_per_frame=macs_per_frame,
        step_peak_activation_bytes=step_peak,
    )


def streams_per_gb(stream_state_bytes: int) -> int | None:
    """How many streams' states 10^9 bytes hold; None where there is none."""
    return 10**9 // stream_state_bytes if stream_state_bytes else None


def _squeeze(channels: int, variant: Variant, *, num_frames: int) -> tuple[int, int, int]:
    """Of squeeze-and-excitation: how many gates there are over time, and the widths of what is pooled and hidden."""
    pooled = variant.se_num_pools * channels
    return num_frames if variant.se_per_frame else 1, pooled, se_hidden_width(pooled)


def _layer_peak(layer: LayerSpec, variant: Variant, *, in_width: int, before: int, after: int, num_frames: int) -> int:
    """Most elements alive at once: the layer's input stays until the skip has used it."""
    source, inner, branch = before * in_width, layer.expansion, after * layer.width
    steps = [
        source + 2 * before * inner,  # norm and activation of the expansion: input and output
        source + before * inner + after * inner,  # depthwise convolution
        source + 2 * after * inner,  # its norm and activation
        source + after * inner + branch,  # projection
        source + 2 * branch,  # its norm, ReZero's product, the sum with an identity skip
    ]
    if layer.se and variant.se != "none":
        num_gates, pooled, hidden = _squeeze(inner, variant, num_frames=num_frames)
        beside = [num_gates * (pooled + hidden), num_gates * 2 * hidden, num_gates * (hidden + inner)]
        beside += [after * inner + num_gates * inner]  # the gate's product
        if variant.se == "2plus3d":
            beside += [2 * num_gates * pooled]  # both pools, and their concatenation
        if variant.positional_encoding:
            beside += [3 * num_gates * pooled]
        steps += [source + after * inner + num for num in beside]
    if has_skip_projection(layer, in_width):
        pooled_source = after * in_width if layer.stride > 1 else 0
        steps += [source + branch + pooled_source, branch + (pooled_source or source) + branch, 3 * branch]
    return max(steps)
