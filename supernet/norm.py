"""Batch norm and the activation after it, as one operation: what lies between them is neither written nor kept."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from search_spaces.variant import Activation
from supernet import native


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
    """
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
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean_C, momentum)
                running_var.lerp_(variance_C * (len(x_RC) / max(1, len(x_RC) - 1)), momentum)
    else:
        assert running_mean is not None
        assert running_var is not None
        scale_C = weight * torch.rsqrt(running_var + eps)
        y_RC = x_RC
        native.scale_activate(x_RC, scale_C, bias - running_mean * scale_C, activation, y_RC)
    y_NCHW: Tensor = y_RC.view(x_NCHW.shape[0], *x_NCHW.shape[2:], -1).permute(0, 3, 1, 2)
    return y_NCHW


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
