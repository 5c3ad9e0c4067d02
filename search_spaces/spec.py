"""What a video network is, as a value: absolute channel counts, kernels and strides, and the clip it looks at.

Letters: C channels, T frames, H and W pixels. Blocks and layers of one network are numbered as in the paper's Table 1:
the stem is block 1, so the first block of layers is block 2; layers count from 1.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from search_spaces.errors import SpecError, shown

MAX_CHANNELS = 1 << 14
MAX_FRAMES = 1 << 14
MAX_RESOLUTION = 1 << 12
MAX_LAYERS_PER_BLOCK = 64
MAX_BLOCKS = 16
FIRST_BLOCK = 2
INPUT_CHANNELS = 3

Kernel = tuple[int, int, int]
"""Kernel extent in (time, height, width)."""
STEM_KERNEL: Kernel = (1, 3, 3)
STEM_STRIDE = 2


def kernel_name(kernel: Kernel) -> str:
    """The name of a kernel, such as `5x3x3`."""
    return "x".join(map(str, kernel))


def parse_kernel(name: str) -> Kernel:
    """The kernel of a name such as `5x3x3`.

    Raises:
        SpecError: Not three odd numbers from 1 to 15.
    """
    parts = name.split("x")
    if len(parts) != 3 or not all(re.fullmatch("[1-9][0-9]{0,8}", part) for part in parts):
        raise SpecError(f"a kernel must be written as time x height x width, such as 5x3x3, but got {shown(name)}")
    time, height, width = map(int, parts)
    _check_kernel((time, height, width))
    return time, height, width


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipGeometry:
    """The clip a network looks at.

    Attributes:
        num_frames: Frames per clip, T.
        resolution: Height and width, pixels.
        rate_fps: Frames per second of video.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    num_frames: int
    resolution: int
    rate_fps: float

    def __post_init__(self) -> None:
        _check_range("num_frames", self.num_frames, 1, MAX_FRAMES)
        _check_range("resolution", self.resolution, 8, MAX_RESOLUTION)
        if not 0.0 < self.rate_fps <= 1000.0:
            raise SpecError(f"must be in (0, 1000], but got {self.rate_fps}", where="rate_fps")
        # 5 and 5.0 are equal here and must be equal in a file, which has the fingerprint of its text
        object.__setattr__(self, "rate_fps", float(self.rate_fps))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """One inverted-bottleneck layer.

    Attributes:
        kernel: Depthwise kernel (time, height, width), odd numbers.
        width: Output channels.
        expansion: Channels inside the bottleneck.
        stride: Spatial stride, 1 or 2; there is no temporal stride (paper 3.1).
        se: Whether the layer has squeeze-and-excitation.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    kernel: Kernel
    width: int
    expansion: int
    stride: int = 1
    se: bool = True

    def __post_init__(self) -> None:
        _check_kernel(self.kernel)
        _check_range("width", self.width, 1, MAX_CHANNELS)
        _check_range("expansion", self.expansion, 1, MAX_CHANNELS)
        _check_range("stride", self.stride, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpec:
    """A block: layers that follow each other."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    layers: tuple[LayerSpec, ...]

    def __post_init__(self) -> None:
        _check_length("layers", len(self.layers), MAX_LAYERS_PER_BLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchSpec:
    """A whole network without its classifier: clip, stem, blocks, head (paper, Table 1).

    Attributes:
        clip: Frames, resolution and frame rate it is meant for.
        stem_width: Channels of the strided 1x3x3 convolution.
        blocks: Blocks 2 to n.
        head_width: Channels of the 1x1x1 convolution before the pool.
        dense_width: Channels of the dense layer after the pool.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    clip: ClipGeometry
    stem_width: int
    blocks: tuple[BlockSpec, ...]
    head_width: int
    dense_width: int = 2048

    def __post_init__(self) -> None:
        _check_range("stem_width", self.stem_width, 1, MAX_CHANNELS)
        _check_length("blocks", len(self.blocks), MAX_BLOCKS)
        _check_range("head_width", self.head_width, 1, MAX_CHANNELS)
        _check_range("dense_width", self.dense_width, 1, MAX_CHANNELS)

    @property
    def num_layers(self) -> int:
        """Inverted-bottleneck layers over all blocks."""
        return sum(len(block.layers) for block in self.blocks)


def layer_name(block: int, layer: int) -> str:
    """Name of a layer, both numbers from 0: `(0, 0)` is `block2.layer1`, as the paper counts."""
    return f"block{block + FIRST_BLOCK}.layer{layer + 1}"


def same_size(size: int, stride: int) -> int:
    """Output extent of a "SAME" convolution."""
    return -(-size // stride)


def has_skip_projection(layer: LayerSpec, in_width: int) -> bool:
    """Whether the skip is a pooled 1x1x1 convolution and not the identity (movinet.md 1.3)."""
    return layer.stride > 1 or in_width != layer.width


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise SpecError(f"must be in [{low}, {high}], but got {value}", where=name)


def _check_length(name: str, length: int, most: int) -> None:
    if not 1 <= length <= most:
        raise SpecError(f"must be 1 to {most} {name}, but got {length}", where=name)


def _check_kernel(kernel: Kernel) -> None:
    if len(kernel) != 3 or any(extent not in range(1, 16, 2) for extent in kernel):
        raise SpecError(f"must be three odd numbers from 1 to 15, but got {shown(kernel)}", where="kernel")
