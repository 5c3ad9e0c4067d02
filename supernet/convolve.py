"""Convolutions and pools over frames, with TensorFlow's "SAME" padding for any height and width.

Frames are (N, C, H, W), N = B T, channels-last in memory; time enters through the `Timeline`.
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from search_spaces.spec import Kernel, kernel_name, same_size
from search_spaces.variant import Convolution
from supernet.depthwise import depthwise_conv, listened_to
from supernet.timeline import Timeline

SEPARATE = "_2plus1d"
"""Ends the name of a kernel's weights over space and then time where those in one piece stand beside them."""


def flat_kernel(kernel: Kernel) -> tuple[int, int]:
    """A kernel over space or over time alone as that of a 2-D convolution, (H, W) or (T, H W)."""
    time, height, width = kernel
    return (height, width) if time == 1 else (time, 1)


def branch_name(kernel: Kernel, conv: Convolution, *, both: bool) -> str:
    """Name of the weights of a depthwise kernel; `both` where a layer holds its two forms beside each other."""
    separate = both and conv != "3d" and kernel[0] > 1
    return kernel_name(kernel) + SEPARATE * separate


def convolve(x_NCHW: Tensor, weight: Tensor, *, stride: int) -> Tensor:
    """Convolve single frames with "SAME" padding; the weight has one frame."""
    if weight[0, 0].numel() == 1 and stride == 1:  # a product of matrices is as fast or faster
        return F.linear(x_NCHW.permute(0, 2, 3, 1), weight.flatten(1)).permute(0, 3, 1, 2)
    rows, columns = frame_padding(x_NCHW.shape[2:], weight.shape[-2:], stride)
    if rows[0] != rows[1] or columns[0] != columns[1]:
        x_NCHW = F.pad(x_NCHW, (*columns, *rows))
        rows = columns = (0, 0)
    kernel = weight[:, :, 0] if weight.ndim == 5 else weight
    return F.conv2d(x_NCHW, kernel, stride=stride, padding=(rows[0], columns[0]))


def convolve_channels(
    x_NCHW: Tensor, weight: Tensor, kernel: Kernel, *, stride: int, timeline: Timeline, name: str
) -> Tensor:
    """Convolve each channel over space, time, or both, with "SAME" padding, in time causal where the variant is.

    Args:
        x_NCHW: Frames.
        weight: Of four or five dimensions, as the variant wants tensors.
        kernel: Its extent.
        stride: Spatial.
        timeline: Of the call.
        name: Of the stream buffer.
    """
    channels, (height, width) = x_NCHW.shape[1], x_NCHW.shape[2:]
    rows, columns = frame_padding((height, width), kernel[1:], stride)
    times = (kernel[0] // 2, kernel[0] // 2)
    if kernel[0] == 1:
        x_BTXC = x_NCHW.permute(0, 2, 3, 1)[:, None] if weight.ndim == 5 else x_NCHW.permute(0, 2, 3, 1)
    else:
        x_BTXC = timeline.clips_of(x_NCHW)
        if timeline.variant.causal:
            x_BTXC = timeline.look_back(name, x_BTXC, kernel[0] - 1)
            times = (0, 0)
    if weight.ndim == 5 or not listened_to():
        x_BTHWC = x_BTXC if x_BTXC.ndim == 5 else x_BTXC.unsqueeze(3 if kernel[0] > 1 else 1)
        padding = (times, rows, columns)
        y_BTXC = depthwise_conv(x_BTHWC, weight.view(channels, 1, *kernel), stride=stride, padding=padding)
    elif kernel[0] > 1:  # with the pixels of a frame in a row
        x_BCTX = x_BTXC.permute(0, 3, 1, 2)
        y_BTXC = F.conv2d(x_BCTX, weight, padding=(times[0], 0), groups=channels).permute(0, 2, 3, 1)
    else:
        x_NCHW = F.pad(x_NCHW, (*columns, *rows))
        y_BTXC = F.conv2d(x_NCHW, weight, stride=stride, groups=channels).permute(0, 2, 3, 1)
    size_HW = same_size(height, stride), same_size(width, stride)
    return y_BTXC.reshape(-1, *size_HW, channels).permute(0, 3, 1, 2)


def average_pool(x_NCHW: Tensor) -> Tensor:
    """Mean over 3x3 windows at stride 2, "SAME"; padded cells do not count (movinet.md 1.3)."""
    odd = (x_NCHW.shape[2] % 2, x_NCHW.shape[3] % 2)
    return F.avg_pool2d(x_NCHW, 3, stride=2, padding=odd, ceil_mode=True, count_include_pad=False)


def frame_padding(
    size_HW: Sequence[int], extent_HW: Sequence[int], stride: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns, before and after, that "SAME" adds to a frame."""
    rows, columns = (same_padding(size, extent, stride) for size, extent in zip(size_HW, extent_HW, strict=True))
    return rows, columns


def same_padding(size: int, extent: int, stride: int) -> tuple[int, int]:
    """Cells before and after, as TensorFlow's "SAME" has them."""
    total = max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2
