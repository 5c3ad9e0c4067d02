"""What a network must at least compute, move and keep: floors under the time and the memory of a step.

Everything is arithmetic from spec and variant, operator by operator, on tensors that each operator must read and write
once: a convolution with its norm, its activation and the products around it (gate, ReZero, residual sum) counts as one,
whose input, output and weights are moved and nothing else. A backward pass reads the gradient by the output, the input
and the weights, and writes gradients by the input and by the weights, with as many multiply-adds for each of the two as
the forward pass has. Clips have no gradient. How much a machine does beyond this is what `movinas bench` reports.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from search_spaces.cost import BYTES, DEFAULT_CLASSES, DataType
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
from search_spaces.temporal_head import TemporalHead, attention_macs
from search_spaces.variant import Variant, check_fits

OperatorKind = Literal["stem", "pointwise", "depthwise", "squeeze", "dense", "attention"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator for one clip; activations are counted in elements.

    Attributes:
        part: Which part of the network it belongs to, such as `block2.layer1`.
        kind: What it is; a skip is pointwise, `squeeze` both layers of squeeze-and-excitation, `attention` its two
            products and what lies between.
        macs: Multiply-adds.
        inputs: Elements read.
        outputs: Elements written.
        params: Trainable numbers.
        kept: Elements that the backward pass must find: the input, unless an operator before keeps it already, and what
            goes into the norm.
        differentiates_input: Whether a backward pass computes a gradient by the input.
    """

    part: str
    kind: OperatorKind
    macs: int
    inputs: int
    outputs: int
    params: int
    kept: int
    differentiates_input: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """The least that a step does.

    Attributes:
        macs: Multiply-adds.
        num_bytes: Bytes moved to or from memory.
    """

    macs: int
    num_bytes: int


def operators(
    spec: ArchSpec, variant: Variant, *, num_classes: int = DEFAULT_CLASSES, clip: ClipGeometry | None = None
) -> tuple[Operator, ...]:
    """The operators of a network in order; their multiply-adds and parameters add up to those of `cost`.

    Args:
        spec: The architecture.
        variant: How it is built.
        num_classes: Outputs of the classifier.
        clip: Clip geometry where it is not the spec's own; one frame is a step of a stream.

    Raises:
        SpecError: The spec cannot be built in this variant.
    """
    check_fits(spec, variant)
    clip = clip or spec.clip
    width, size = spec.stem_width, same_size(clip.resolution, STEM_STRIDE)
    found = [_stem(width, clip=clip)]
    for number, block in enumerate(spec.blocks):
        for position, layer in enumerate(block.layers):
            part = layer_name(number, position)
            found += _layer(layer, variant, part=part, in_width=width, in_size=size, num_frames=clip.num_frames)
            width, size = layer.width, same_size(size, layer.stride)
    pixels = clip.num_frames * size**2
    found.append(_pointwise("head", width, spec.head_width, pixels))
    calls = clip.num_frames if variant.temporal_pooling == "softmax" else 1
    if variant.temporal_head is None:
        found.append(_linear("head", spec.head_width, spec.dense_width, keeps_output=True, num_frames=calls))
        found.append(_linear("head", spec.dense_width, num_classes, keeps_output=False, num_frames=calls))
    else:
        found += _temporal("head", variant.temporal_head, in_width=spec.head_width, num_frames=clip.num_frames)
        found.append(_linear("head", variant.temporal_head.embed_dim, num_classes, keeps_output=False))
    return tuple(found)


def forward_floors(found: Sequence[Operator], *, num_clips: int = 1, dtype: DataType = "fp32") -> Floors:
    """Of a forward pass of some clips at once."""
    moved = sum(num_clips * (operator.inputs + operator.outputs) + operator.params for operator in found)
    return Floors(macs=num_clips * sum(operator.macs for operator in found), num_bytes=BYTES[dtype] * moved)


def training_floors(found: Sequence[Operator], *, num_clips: int = 1, dtype: DataType = "fp32") -> Floors:
    """Of a forward and a backward pass of some clips at once."""
    forward = forward_floors(found, num_clips=num_clips, dtype=dtype)
    macs = moved = 0
    for operator in found:
        gradients = 1 + operator.differentiates_input
        macs += num_clips * gradients * operator.macs
        moved += num_clips * (operator.outputs + gradients * operator.inputs) + gradients * operator.params
    return Floors(macs=forward.macs + macs, num_bytes=forward.num_bytes + BYTES[dtype] * moved)


def kept_bytes(found: Sequence[Operator], *, num_clips: int = 1, dtype: DataType = "fp32") -> int:
    """Bytes of the activations that a backward pass needs, all alive when it begins; without weights."""
    return BYTES[dtype] * num_clips * sum(operator.kept for operator in found)


def _stem(width: int, *, clip: ClipGeometry) -> Operator:
    image = clip.num_frames * clip.resolution**2 * INPUT_CHANNELS
    pixels = clip.num_frames * same_size(clip.resolution, STEM_STRIDE) ** 2
    taps = STEM_KERNEL[0] * STEM_KERNEL[1] * STEM_KERNEL[2] * INPUT_CHANNELS
    return Operator(
        part="stem",
        kind="stem",
        macs=pixels * taps * width,
        inputs=image,
        outputs=pixels * width,
        params=(taps + 2) * width,
        kept=image + pixels * width,
        differentiates_input=False,
    )


def _layer(
    layer: LayerSpec, variant: Variant, *, part: str, in_width: int, in_size: int, num_frames: int
) -> list[Operator]:
    before = num_frames * in_size**2
    after = num_frames * same_size(in_size, layer.stride) ** 2
    inner, (time, height, width) = layer.expansion, layer.kernel
    separate = time > 1 and variant.conv != "3d"
    found = [_pointwise(part, in_width, inner, before)]
    found.append(_depthwise(part, inner, height * width * (1 if separate else time), before, after))
    if separate:
        found.append(_depthwise(part, inner, time, after, after))
    if layer.se and variant.se != "none":
        found.append(_squeeze(part, inner, variant, pixels=after, num_frames=num_frames))
    project = _pointwise(part, inner, layer.width, after)
    found.append(replace(project, params=project.params + 1))  # ReZero
    if has_skip_projection(layer, in_width):
        skip = _pointwise(part, in_width, layer.width, after)
        pooled = after * in_width if layer.stride > 1 else 0
        found.append(replace(skip, inputs=before * in_width, kept=pooled + skip.outputs))
    return found


def _pointwise(part: str, inputs: int, outputs: int, pixels: int) -> Operator:
    return Operator(
        part=part,
        kind="pointwise",
        macs=pixels * inputs * outputs,
        inputs=pixels * inputs,
        outputs=pixels * outputs,
        params=inputs * outputs + 2 * outputs,
        kept=pixels * (inputs + outputs),
    )


def _depthwise(part: str, channels: int, taps: int, before: int, after: int) -> Operator:
    return Operator(
        part=part,
        kind="depthwise",
        macs=after * channels * taps,
        inputs=before * channels,
        outputs=after * channels,
        params=channels * (taps + 2),
        kept=(before + after) * channels,
    )


def _squeeze(part: str, channels: int, variant: Variant, *, pixels: int, num_frames: int) -> Operator:
    """Both layers; the convolutions around them move the pixels, which are kept before the gate and behind it."""
    num_gates, pooled = num_frames if variant.se_per_frame else 1, variant.se_num_pools * channels
    hidden = se_hidden_width(pooled)
    return Operator(
        part=part,
        kind="squeeze",
        macs=num_gates * hidden * (pooled + channels),
        inputs=num_gates * pooled,
        outputs=num_gates * channels,
        params=hidden * (pooled + 1) + channels * (hidden + 1) + int(variant.positional_encoding),
        kept=pixels * channels + num_gates * (pooled + 2 * hidden + 2 * channels),
    )


def _linear(part: str, inputs: int, outputs: int, *, keeps_output: bool, num_frames: int = 1) -> Operator:
    return Operator(
        part=part,
        kind="dense",
        macs=num_frames * inputs * outputs,
        inputs=num_frames * inputs,
        outputs=num_frames * outputs,
        params=(inputs + 1) * outputs,
        kept=num_frames * (inputs + (outputs if keeps_output else 0)),
    )


def _temporal(part: str, head: TemporalHead, *, in_width: int, num_frames: int) -> list[Operator]:
    """Embedding, and of each layer four linear ones and attention; norms belong to what reads them."""
    dim, hidden = head.embed_dim, head.mlp_dim
    embedding = _linear(part, in_width, dim, keeps_output=True, num_frames=num_frames)
    attention = Operator(
        part=part,
        kind="attention",
        macs=attention_macs(head, num_frames=num_frames),
        inputs=num_frames * 3 * dim,
        outputs=num_frames * dim,
        params=0,
        kept=num_frames * (3 * dim + (head.window or num_frames) * head.heads),
    )
    qkv = _linear(part, dim, 3 * dim, keeps_output=False, num_frames=num_frames)
    project = _linear(part, dim, dim, keeps_output=True, num_frames=num_frames)
    widen = _linear(part, dim, hidden, keeps_output=True, num_frames=num_frames)
    narrow = _linear(part, hidden, dim, keeps_output=True, num_frames=num_frames)
    qkv, widen = (replace(each, params=each.params + 2 * dim) for each in (qkv, widen))
    last_norm = replace(embedding, params=embedding.params + 2 * dim)
    return [last_norm, *[qkv, attention, project, widen, narrow] * head.depth]
