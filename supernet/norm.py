"""Batch norm and the activation after it, as one operation: what lies between them is neither written nor kept."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from search_spaces.variant import Activation
from supernet import native

Rows = Callable[[Tensor], Tensor]
"""Numbers (S,) of this process to those of all that norm together, (R, S), with the gradients of all."""


def activate(x: Tensor, activation: Activation | None) -> Tensor:
    """`swish`, `hard_swish`, or none."""
    if activation is None:
        return x
    return F.silu(x) if activation == "swish" else F.hardswish(x)


def norm_activate(
    x_NCHW: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    *,
    batch_statistics: bool,
    momentum: float,
    eps: float,
    activation: Activation | None,
    rows: Rows | None = None,
) -> Tensor:
    """Batch norm, then the activation.

    Args:
        x_NCHW: Fresh output of a convolution, which may be overwritten.
        running_mean: Of the channels; moved by `momentum` towards the batch's where its statistics are used.
        running_var: Likewise.
        weight: Scale of each channel.
        bias: Shift of each channel.
        batch_statistics: Norm by the statistics of the batch, and not by the running ones.
        momentum: Weight of the batch in the running statistics.
        eps: Added to the variance.
        activation: Or None.
        rows: Of synchronised batch norm, where the statistics of the batch are those of several processes.
    """
    if rows is not None and batch_statistics:
        mean_C, variance_C, count = _joint_statistics(x_NCHW, rows)
        _move(running_mean, running_var, mean_C, variance_C, count=count, momentum=momentum)
        scale_C = weight * torch.rsqrt(variance_C + eps)
        shift_C = bias - mean_C * scale_C
        joint_NCHW = x_NCHW * scale_C[:, None, None] + shift_C[:, None, None]
        return activate(joint_NCHW.to(x_NCHW.dtype), activation)
    weight, bias = weight.contiguous(), bias.contiguous()  # torch's own kernel too takes them to be so
    differentiable = torch.is_grad_enabled() and (x_NCHW.requires_grad or weight.requires_grad or bias.requires_grad)
    fast = native.usable(x_NCHW, weight, bias) and x_NCHW.is_contiguous(memory_format=torch.channels_last)
    single = x_NCHW.numel() <= x_NCHW.shape[1]  # of one number there is no variance, and torch says so
    if not fast or (single if batch_statistics else differentiable):
        normed_NCHW = F.batch_norm(
            x_NCHW, running_mean, running_var, weight, bias, training=batch_statistics, momentum=momentum, eps=eps
        )
        return activate(normed_NCHW, activation)
    x_RC = x_NCHW.permute(0, 2, 3, 1).reshape(-1, x_NCHW.shape[1])
    if batch_statistics:
        y_RC, mean_C, variance_C = _NormActivate.apply(x_RC, weight, bias, eps, activation)  # type: ignore[no-untyped-call]
        _move(running_mean, running_var, mean_C, variance_C, count=len(x_RC), momentum=momentum)
    else:
        assert running_mean is not None
        assert running_var is not None
        scale_C = weight * torch.rsqrt(running_var + eps)
        y_RC = x_RC
        native.scale_activate(x_RC, scale_C, bias - running_mean * scale_C, activation, y_RC)
    y_NCHW: Tensor = y_RC.view(x_NCHW.shape[0], *x_NCHW.shape[2:], -1).permute(0, 3, 1, 2)
    return y_NCHW


def _joint_statistics(x_NCHW: Tensor, rows: Rows) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance (C,) over the batches of all processes, and the numbers per channel behind them.

    Each process tells those of its own, from which the others follow without the cancellation of a mean of squares
    (Chan, Golub and LeVeque 1983, 2.1).
    """
    full = torch.promote_types(x_NCHW.dtype, torch.float32)
    variance_C, mean_C = torch.var_mean(x_NCHW.to(full), dim=(0, 2, 3), correction=0)
    count = variance_C.new_full((1,), x_NCHW.numel() // x_NCHW.shape[1])
    told_RS = rows(torch.cat([mean_C, variance_C, count]))
    means_RC, variances_RC, counts_R1 = torch.split(told_RS, [len(mean_C), len(mean_C), 1], dim=1)
    shares_R1 = counts_R1 / counts_R1.sum()
    mean_C = (means_RC * shares_R1).sum(dim=0)
    variance_C = ((variances_RC + (means_RC - mean_C).square()) * shares_R1).sum(dim=0)
    return mean_C, variance_C, len(counts_R1) * (x_NCHW.numel() // x_NCHW.shape[1])


@torch.no_grad()
def _move(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean_C: Tensor,
    variance_C: Tensor,
    *,
    count: int,
    momentum: float,
) -> None:
    """Move running statistics, if there are any, towards those of a batch of `count` numbers per channel."""
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean_C, momentum)
        running_var.lerp_(variance_C * (count / max(1, count - 1)), momentum)


class _NormActivate(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 -- as torch calls it
        ctx: Any,  # noqa: ANN401
        x_RC: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        activation: Activation | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean_C, variance_C = native.channel_statistics(x_RC)
        inverse_C = torch.rsqrt(variance_C + eps)
        scale_C = weight * inverse_C
        y_RC = torch.empty_like(x_RC)
        native.scale_activate(x_RC, scale_C, bias - mean_C * scale_C, activation, y_RC)
        ctx.save_for_backward(x_RC, mean_C, inverse_C, weight, bias)
        ctx.activation = activation
        ctx.mark_non_differentiable(mean_C, variance_C)
        return y_RC, mean_C, variance_C

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_RC: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:  # noqa: ANN401
        x_RC, mean_C, inverse_C, weight, bias = ctx.saved_tensors
        gradients = native.norm_backward(
            g_RC=g_RC.contiguous(),
            x_RC=x_RC,
            mean_C=mean_C,
            inverse_C=inverse_C,
            weight_C=weight,
            bias_C=bias,
            activation=ctx.activation,
        )
        return (*gradients, None, None)
