"""Depthwise 3-D convolution with a backward pass that stays on the CPU's fast path.

oneDNN computes the forward pass of a true 3-D depthwise convolution with a fast kernel, but both gradients with a slow
one. At stride 1 the gradient by the input is itself a forward pass with the kernel turned around; it is taken that way.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Padding = tuple[int, int, int]


def depthwise_conv3d(x_BCTHW: Tensor, weight: Tensor, *, stride: int, padding: Padding) -> Tensor:
    """Convolve each channel with its own kernel.

    Args:
        x_BCTHW: Input.
        weight: One odd kernel per channel, (C, 1, time, height, width).
        stride: Spatial.
        padding: In time, height and width, on both sides; less than the kernel.
    """
    differentiable = torch.is_grad_enabled() and (x_BCTHW.requires_grad or weight.requires_grad)
    if differentiable and stride == 1 and x_BCTHW.device.type == "cpu":
        y_BCTHW: Tensor = _FastBackward.apply(x_BCTHW, weight, padding)  # type: ignore[no-untyped-call]
        return y_BCTHW
    return F.conv3d(x_BCTHW, weight, stride=(1, stride, stride), padding=padding, groups=x_BCTHW.shape[1])


class _FastBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCTHW: Tensor, weight: Tensor, padding: Padding) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x_BCTHW, weight)
        ctx.padding = padding
        return F.conv3d(x_BCTHW, weight, padding=padding, groups=x_BCTHW.shape[1])

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
