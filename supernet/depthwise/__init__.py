"""Depthwise convolution over clips whose channels lie innermost, by whichever way is fast where it runs.

`own_kernels.py` and `torch_ways.py` have the ways, `table.py` says which is taken for which convolution and pass. Where
torch's operators are listened to (compilation, export, tracing, counters of operations) torch's own convolution runs.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from supernet import native
from supernet.depthwise.geometry import Geometry, Padding
from supernet.depthwise.table import Plan, is_parallel, plan_of
from supernet.depthwise.torch_ways import plain

DEVICES = ("cpu", "cuda")
"""Elsewhere too torch's own convolution runs."""


def depthwise_conv(x_BTHWC: Tensor, weight: Tensor, *, stride: int, padding: Padding) -> Tensor:
    """Convolve each channel with its own kernel.

    Under autocast the input is cast as for any convolution; sums are in fp32 in our kernels, elsewhere as torch has
    them. Gradients can be taken once.

    Args:
        x_BTHWC: Input; without gaps, or it is copied.
        weight: One odd kernel per channel, (C, 1, time, height, width).
        stride: Spatial.
        padding: With zeros.

    Returns:
        (B, T', H', W', C), contiguous.
    """
    device = x_BTHWC.device.type
    if device not in DEVICES or listened_to():
        return plain(x_BTHWC, weight, stride=stride, padding=padding)
    if torch.is_autocast_enabled(device):
        x_BTHWC = x_BTHWC.to(torch.get_autocast_dtype(device))
    here = (device, is_parallel(device), native.usable(x_BTHWC))
    plan = _plan(x_BTHWC.shape, weight.shape, stride, padding, x_BTHWC.dtype, here)
    x_BTHWC = x_BTHWC.contiguous()
    if torch.is_grad_enabled() and (x_BTHWC.requires_grad or weight.requires_grad):
        y_BTHWC: Tensor = _Depthwise.apply(x_BTHWC, weight, plan)  # type: ignore[no-untyped-call]
        return y_BTHWC
    return plan.forward(x_BTHWC, weight, plan.geometry)


def listened_to() -> bool:
    """Whether somebody records or replaces the operators of torch that run."""
    return bool(
        torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._len_torch_dispatch_stack()  # type: ignore[attr-defined, no-untyped-call]
    )


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTHWC: Tensor, weight: Tensor, plan: Plan) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x_BTHWC, weight)
        ctx.plan = plan
        return plan.forward(x_BTHWC, weight, plan.geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_BTHWC: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # noqa: ANN401
        x_BTHWC, weight = ctx.saved_tensors
        plan: Plan = ctx.plan
        g_BTHWC = g_BTHWC.contiguous()
        gx_BTHWC = gw = None
        if ctx.needs_input_grad[0]:
            gx_BTHWC = plan.input_gradient(g_BTHWC, weight, plan.geometry)
        if ctx.needs_input_grad[1]:
            gw = plan.weight_gradient(g_BTHWC, x_BTHWC, plan.geometry).to(weight.dtype)
        return gx_BTHWC, gw, None


@functools.lru_cache(maxsize=4096)
def _plan(  # noqa: PLR0917
    shape_BTHWC: torch.Size,
    weight_shape: torch.Size,
    stride: int,
    padding: Padding,
    dtype: torch.dtype,
    here: tuple[str, bool, bool],
) -> Plan:
    """What computes such a convolution on a device; whether with threads and our kernels is part of the key alone."""
    clips, frames, height, width, channels = shape_BTHWC
    geometry = Geometry(
        clips=clips,
        input_THW=(frames, height, width),
        channels=channels,
        kernel=(weight_shape[2], weight_shape[3], weight_shape[4]),
        stride=stride,
        padding=padding,
    )
    return plan_of(geometry, here[0], dtype)
