"""Depthwise convolution over clips whose channels lie innermost, by whichever way is fast where it runs.

On the CPU in fp32 our own kernels compute it and both its gradients (`native`). Elsewhere torch does: kernels of one
frame as 2-D convolutions, longer ones in 3-D, where on the CPU the gradient by the input is itself a forward pass with
the kernel turned around, for which oneDNN has a fast kernel and for the gradient it has not.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from supernet import native

Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Cells in front and behind, in time, height and width."""


def depthwise_conv(x_BTHWC: Tensor, weight: Tensor, *, stride: int, padding: Padding) -> Tensor:
    """Convolve each channel with its own kernel.

    Args:
        x_BTHWC: Input, contiguous.
        weight: One odd kernel per channel, (C, 1, time, height, width).
        stride: Spatial.
        padding: With zeros.

    Returns:
        (B, T', H', W', C), contiguous.
    """
    if native.usable(x_BTHWC, weight) and x_BTHWC.is_contiguous():
        if torch.is_grad_enabled() and (x_BTHWC.requires_grad or weight.requires_grad):
            y_BTHWC: Tensor = _Native.apply(x_BTHWC, weight, stride, padding)  # type: ignore[no-untyped-call]
            return y_BTHWC
        return _native_forward(x_BTHWC, _innermost(weight), stride, padding)[0]
    times, rows, columns = padding
    if rows[0] != rows[1] or columns[0] != columns[1]:
        x_BTHWC = F.pad(x_BTHWC, (0, 0, *columns, *rows))
        rows = columns = (0, 0)
    if times[0] != times[1]:
        x_BTHWC = F.pad(x_BTHWC, (0, 0, 0, 0, 0, 0, *times))
        times = (0, 0)
    channels = x_BTHWC.shape[4]
    if weight.shape[2] == 1:
        x_NCHW = x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2)
        y_NCHW = F.conv2d(x_NCHW, weight[:, :, 0], stride=stride, padding=(rows[0], columns[0]), groups=channels)
        return y_NCHW.permute(0, 2, 3, 1).reshape(*x_BTHWC.shape[:2], *y_NCHW.shape[2:], channels)
    x_BCTHW = x_BTHWC.permute(0, 4, 1, 2, 3)
    inside = (times[0], rows[0], columns[0])
    differentiable = torch.is_grad_enabled() and (x_BCTHW.requires_grad or weight.requires_grad)
    if differentiable and stride == 1 and x_BCTHW.device.type == "cpu":
        y_BCTHW: Tensor = _TurnedAround.apply(x_BCTHW, weight, inside)  # type: ignore[no-untyped-call]
    else:
        y_BCTHW = F.conv3d(x_BCTHW, weight, stride=(1, stride, stride), padding=inside, groups=channels)
    return y_BCTHW.permute(0, 2, 3, 4, 1)


class _Native(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTHWC: Tensor, weight: Tensor, stride: int, padding: Padding) -> Tensor:  # noqa: ANN401
        w_THWC = _innermost(weight)
        y_BTHWC, shape = _native_forward(x_BTHWC, w_THWC, stride, padding)
        ctx.save_for_backward(x_BTHWC, w_THWC)
        ctx.shape = shape
        return y_BTHWC

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_BTHWC: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN401
        x_BTHWC, w_THWC = ctx.saved_tensors
        g_BTHWC = g_BTHWC.contiguous()
        gx_BTHWC = gw = None
        if ctx.needs_input_grad[0]:
            gx_BTHWC = torch.empty_like(x_BTHWC)
            native.depthwise_input_gradient(ctx.shape, g_BTHWC, w_THWC, gx_BTHWC)
        if ctx.needs_input_grad[1]:
            gw_THWC = torch.empty_like(w_THWC)
            native.depthwise_weight_gradient(ctx.shape, x_BTHWC, g_BTHWC, gw_THWC)
            gw = gw_THWC.permute(3, 0, 1, 2)[:, None]
        return gx_BTHWC, gw, None, None


def _native_forward(x_BTHWC: Tensor, w_THWC: Tensor, stride: int, padding: Padding) -> tuple[Tensor, native.Shape]:
    kernel = w_THWC.shape[:3]
    out = [
        (size + sum(padded) - extent) // step + 1
        for size, padded, extent, step in zip(x_BTHWC.shape[1:4], padding, kernel, (1, stride, stride), strict=True)
    ]
    shape = native.shape_of(x_BTHWC.shape, out, kernel, stride, [padded[0] for padded in padding])
    y_BTHWC = x_BTHWC.new_empty(x_BTHWC.shape[0], *out, x_BTHWC.shape[4])
    native.depthwise_forward(shape, x_BTHWC, w_THWC, y_BTHWC)
    return y_BTHWC, shape


def _innermost(weight: Tensor) -> Tensor:
    """(C, 1, T, H, W) to (T, H, W, C)."""
    return weight[:, 0].permute(1, 2, 3, 0).contiguous()


class _TurnedAround(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCTHW: Tensor, weight: Tensor, padding: Sequence[int]) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x_BCTHW, weight)
        ctx.padding = padding
        return F.conv3d(x_BCTHW, weight, padding=tuple(padding), groups=x_BCTHW.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BCTHW: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # noqa: ANN401
        x_BCTHW, weight = ctx.saved_tensors
        channels, ones = x_BCTHW.shape[1], [1, 1, 1]
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            around = [extent - 1 - padded for extent, padded in zip(weight.shape[2:], ctx.padding, strict=True)]
            grad_x = F.conv3d(grad_BCTHW, weight.flip(2, 3, 4), padding=around, groups=channels)
        if ctx.needs_input_grad[1]:
            grad_weight = torch.ops.aten.convolution_backward(
                grad_BCTHW,
                x_BCTHW,
                weight,
                None,
                ones,
                list(ctx.padding),
                ones,
                False,
                [0, 0, 0],
                channels,
                [False, True, False],
            )[1]
        return grad_x, grad_weight, None
