"""What a network costs, by arithmetic alone, exact to the integer (design decision 4).

One MAC is one multiply-add of a convolution or linear layer, padded taps included, as every counter has it. The paper's
"GFLOPs" are MACs plus one per batch-norm element plus a half per element of squeeze-and-excitation's product, of
ReZero's product and of the residual sum (movinet.md, section 3). Sizes are TensorFlow's "SAME": ceil(n / stride).
"""

from collections.abc import Iterable
from dataclasses import dataclass

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
from search_spaces.variant import Variant

DEFAULT_CLASSES = 600
BYTES_PER_ELEMENT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCost:
    """Cost of one part of a network for one clip.

    Attributes:
        macs: Multiply-adds of convolutions and linear layers.
        extra_half_macs: What the paper's GFLOPs count beyond `macs`, in halves of a multiply-add.
        params: Trainable numbers; running statistics are not.
        peak_activation_bytes: Largest sum of tensors alive at once in fp32, batch 1.
    """

    macs: int
    extra_half_macs: int
    params: int
    peak_activation_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost of a whole network for one clip, batch 1.

    Attributes:
        macs: Multiply-adds of convolutions and linear layers.
        paper_gflops: The paper's GFLOPs, in units of 1e9.
        params: Trainable numbers.
        peak_activation_bytes: Largest sum of fp32 tensors alive at once, batch 1, one operator at a time; inputs,
            skips and residuals included, weights, state and padding copies excluded.
        stream_buffer_bytes: Bytes of stream buffers; 0, for no network of this version is causal.
        stream_state_bytes: Bytes of all state between two steps of a stream; 0 likewise.
    """

    macs: int
    paper_gflops: float
    params: int
    peak_activation_bytes: int
    stream_buffer_bytes: int = 0
    stream_state_bytes: int = 0


def stem_cost(width: int, *, clip: ClipGeometry) -> PartCost:
    """The strided 1x3x3 convolution with its norm and activation."""
    taps = STEM_KERNEL[0] * STEM_KERNEL[1] * STEM_KERNEL[2] * INPUT_CHANNELS
    pixels = clip.num_frames * same_size(clip.resolution, STEM_STRIDE) ** 2
    image = clip.num_frames * clip.resolution**2 * INPUT_CHANNELS
    return PartCost(
        macs=pixels * taps * width,
        extra_half_macs=2 * pixels * width,
        params=taps * width + 2 * width,
        peak_activation_bytes=BYTES_PER_ELEMENT * (image + 2 * pixels * width),
    )


def layer_cost(layer: LayerSpec, *, in_width: int, in_size: int, num_frames: int) -> PartCost:
    """One inverted-bottleneck layer.

    Args:
        layer: The layer.
        in_width: Channels of its input.
        in_size: Height and width of its input, pixels.
        num_frames: Frames of the clip.
    """
    before = num_frames * in_size**2
    after = num_frames * same_size(in_size, layer.stride) ** 2
    inner, width = layer.expansion, layer.width
    taps = layer.kernel[0] * layer.kernel[1] * layer.kernel[2]
    macs = before * in_width * inner + after * inner * taps + after * inner * width
    params = in_width * inner + inner * taps + inner * width + 2 * (inner + inner + width) + 1
    half = 2 * (before * inner + after * inner + after * width) + 2 * after * width
    if layer.se:
        hidden = se_hidden_width(inner)
        macs += 2 * inner * hidden
        params += 2 * inner * hidden + hidden + inner
        half += after * inner
    if has_skip_projection(layer, in_width):
        macs += after * in_width * width
        params += in_width * width + 2 * width
        half += 2 * after * width
    return PartCost(
        macs=macs,
        extra_half_macs=half,
        params=params,
        peak_activation_bytes=BYTES_PER_ELEMENT * _layer_peak(layer, in_width=in_width, before=before, after=after),
    )


def head_cost(
    *, in_width: int, head_width: int, dense_width: int, in_size: int, num_frames: int, num_classes: int
) -> PartCost:
    """Head convolution, pool, dense layer and classifier."""
    pixels = num_frames * in_size**2
    return PartCost(
        macs=pixels * in_width * head_width + head_width * dense_width + dense_width * num_classes,
        extra_half_macs=2 * pixels * head_width,
        params=in_width * head_width
        + 2 * head_width
        + head_width * dense_width
        + dense_width
        + dense_width * num_classes
        + num_classes,
        peak_activation_bytes=BYTES_PER_ELEMENT
        * max(
            pixels * in_width + pixels * head_width,
            2 * pixels * head_width,
            2 * dense_width,
            dense_width + num_classes,
        ),
    )


def part_costs(
    spec: ArchSpec, *, num_classes: int = DEFAULT_CLASSES, clip: ClipGeometry | None = None
) -> dict[str, PartCost]:
    """Cost of every part in order: `stem`, `block2.layer1`, ..., `head`.

    Args:
        spec: The architecture.
        num_classes: Outputs of the classifier.
        clip: Clip geometry where it is not the spec's own.
    """
    clip = clip or spec.clip
    parts = {"stem": stem_cost(spec.stem_width, clip=clip)}
    width, size = spec.stem_width, same_size(clip.resolution, STEM_STRIDE)
    for number, block in enumerate(spec.blocks):
        for position, layer in enumerate(block.layers):
            parts[layer_name(number, position)] = layer_cost(
                layer, in_width=width, in_size=size, num_frames=clip.num_frames
            )
            width, size = layer.width, same_size(size, layer.stride)
    parts["head"] = head_cost(
        in_width=width,
        head_width=spec.head_width,
        dense_width=spec.dense_width,
        in_size=size,
        num_frames=clip.num_frames,
        num_classes=num_classes,
    )
    return parts


def cost(
    spec: ArchSpec, variant: Variant, *, num_classes: int = DEFAULT_CLASSES, clip: ClipGeometry | None = None
) -> Cost:
    """Cost of a network for one clip.

    Args:
        spec: The architecture.
        variant: How it is built; today's switches do not change what it costs.
        num_classes: Outputs of the classifier.
        clip: Clip geometry where it is not the spec's own.
    """
    del variant
    return total(part_costs(spec, num_classes=num_classes, clip=clip).values())


def total(parts: Iterable[PartCost]) -> Cost:
    """Sum of the parts; the peak is the largest of theirs, since one part runs at a time."""
    parts = tuple(parts)
    macs = sum(part.macs for part in parts)
    return Cost(
        macs=macs,
        paper_gflops=(2 * macs + sum(part.extra_half_macs for part in parts)) / 2e9,
        params=sum(part.params for part in parts),
        peak_activation_bytes=max(part.peak_activation_bytes for part in parts),
    )


def _layer_peak(layer: LayerSpec, *, in_width: int, before: int, after: int) -> int:
    """Most elements alive at once: the layer's input stays until the skip has used it."""
    source, inner, branch = before * in_width, layer.expansion, after * layer.width
    hidden = se_hidden_width(inner) if layer.se else 0
    steps = [
        source + 2 * before * inner,  # norm and activation of the expansion: input and output
        source + before * inner + after * inner,  # depthwise convolution
        source + 2 * after * inner + (inner if layer.se else 0),  # its norm and activation, then the gate's product
        source + after * inner + hidden + max(inner, hidden),  # squeeze-and-excitation beside what it will scale
        source + after * inner + branch,  # projection
        source + 2 * branch,  # its norm, ReZero's product, the sum with an identity skip
    ]
    if has_skip_projection(layer, in_width):
        pooled = after * in_width if layer.stride > 1 else 0
        steps += [source + branch + pooled, branch + (pooled or source) + branch, 3 * branch]
    return max(steps)
