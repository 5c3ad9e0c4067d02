"""The sizes of one depthwise convolution, which all its backends share."""

import functools
from dataclasses import dataclass

from torch import Tensor

from search_spaces.spec import Kernel
from supernet import native

Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Cells in front and behind, in time, height and width."""
Sizes = tuple[int, int, int]
"""Frames, height and width."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """A depthwise convolution without its numbers.

    Attributes:
        clips: B.
        input_THW: Of the input.
        channels: C.
        kernel: Extent in time, height and width.
        stride: Spatial.
        padding: With zeros.
    """

    clips: int
    input_THW: Sizes
    channels: int
    kernel: Kernel
    stride: int
    padding: Padding

    @functools.cached_property
    def strides(self) -> Sizes:
        """In time, height and width."""
        return 1, self.stride, self.stride

    @functools.cached_property
    def front(self) -> Sizes:
        """The padding in front."""
        times, rows, columns = self.padding
        return times[0], rows[0], columns[0]

    @functools.cached_property
    def symmetric(self) -> bool:
        """Whether as much is padded behind as in front, which is what torch's operators can do."""
        return all(front == behind for front, behind in self.padding)

    @functools.cached_property
    def padded_THW(self) -> Sizes:  # noqa: N802
        """Of the input with its padding."""
        frames, height, width = (size + sum(padded) for size, padded in zip(self.input_THW, self.padding, strict=True))
        return frames, height, width

    @functools.cached_property
    def output_THW(self) -> Sizes:  # noqa: N802
        """Of the output."""
        frames, height, width = (
            (size - extent) // step + 1
            for size, extent, step in zip(self.padded_THW, self.kernel, self.strides, strict=True)
        )
        return frames, height, width

    @functools.cached_property
    def num_outputs(self) -> int:
        """Numbers in the output."""
        frames, height, width = self.output_THW
        return self.clips * frames * height * width * self.channels

    @functools.cached_property
    def native_shape(self) -> native.Shape:
        """As our kernels for the CPU take it."""
        input_BTHWC = (self.clips, *self.input_THW, self.channels)
        return native.shape_of(input_BTHWC, self.output_THW, self.kernel, self.stride, self.front)

    def new_output(self, x_BTHWC: Tensor) -> Tensor:
        """Room for the output, of the type and on the device of `x`."""
        return x_BTHWC.new_empty(self.clips, *self.output_THW, self.channels)

    def new_input(self, g_BTHWC: Tensor) -> Tensor:
        """Room for the input or its gradient, of the type and on the device of `g`."""
        return g_BTHWC.new_empty(self.clips, *self.input_THW, self.channels)


def innermost(weight: Tensor) -> Tensor:
    """(C, 1, T, H, W) to (T, H, W, C)."""
    return weight[:, 0].permute(1, 2, 3, 0).contiguous()
