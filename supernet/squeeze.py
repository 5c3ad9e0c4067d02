"""The ends of squeeze-and-excitation that see every pixel: the mean of each frame, the product with its gate."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from supernet import native


def frame_means(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The frames again, and the mean of each, (N, C), in at least fp32 (movinet.md, fact 10).

    Where the frames go on from here, take them as they come back: then both their gradients are one tensor.
    """
    if not _fast(x_NCHW):
        return x_NCHW, x_NCHW.mean(dim=(2, 3), dtype=torch.promote_types(x_NCHW.dtype, torch.float32))
    if torch.is_grad_enabled() and x_NCHW.requires_grad:
        again_NPC, means_NC = _FrameMeans.apply(_pixels(x_NCHW))  # type: ignore[no-untyped-call]
        return _frames(again_NPC, x_NCHW), means_NC
    return x_NCHW, native.frame_means(_pixels(x_NCHW))


def scale_frames(x_NCHW: Tensor, gate_NC: Tensor) -> Tensor:
    """Every frame and channel times its gate."""
    if not (_fast(x_NCHW) and native.usable(gate_NC)):
        return x_NCHW * gate_NC[:, :, None, None]
    x_NPC, gate_NC = _pixels(x_NCHW), gate_NC.contiguous()
    if torch.is_grad_enabled() and (x_NCHW.requires_grad or gate_NC.requires_grad):
        return _frames(_ScaleFrames.apply(x_NPC, gate_NC), x_NCHW)  # type: ignore[no-untyped-call]
    y_NPC = torch.empty_like(x_NPC)
    native.scale_frames(x_NPC, gate_NC, y_NPC)
    return _frames(y_NPC, x_NCHW)


class _FrameMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NPC: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        ctx.set_materialize_grads(False)
        ctx.shape = x_NPC.shape
        return x_NPC.view_as(x_NPC), native.frame_means(x_NPC)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_NPC: Tensor | None, gmeans_NC: Tensor | None) -> Tensor | None:  # noqa: ANN401
        if gmeans_NC is None:
            return g_NPC
        g_NPC = gmeans_NC.new_zeros(ctx.shape) if g_NPC is None else g_NPC.contiguous()
        return native.add_frame_means_gradient(gmeans_NC.contiguous(), g_NPC)


class _ScaleFrames(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NPC: Tensor, gate_NC: Tensor) -> Tensor:  # noqa: ANN401
        y_NPC = torch.empty_like(x_NPC)
        native.scale_frames(x_NPC, gate_NC, y_NPC)
        ctx.save_for_backward(x_NPC, gate_NC)
        return y_NPC

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_NPC: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        return native.scale_frames_backward(g_NPC.contiguous(), *ctx.saved_tensors)


def _fast(x_NCHW: Tensor) -> bool:
    return native.usable(x_NCHW) and x_NCHW.is_contiguous(memory_format=torch.channels_last)


def _pixels(x_NCHW: Tensor) -> Tensor:
    return x_NCHW.permute(0, 2, 3, 1).flatten(1, 2)


def _frames(x_NPC: Tensor, like_NCHW: Tensor) -> Tensor:
    return x_NPC.view(-1, *like_NCHW.shape[2:], x_NPC.shape[2]).permute(0, 3, 1, 2)


def softmax_pooled(logits_BTK: Tensor) -> Tensor:
    """For each class the mean of the frames' logits, weighted by their softmax over time: (B, K).

    The logits are divided by sqrt(T) within the softmax, as in the official code (`TemporalSoftmaxPool`, after
    AssembleNet). The weights add up to 1, so that the mean of one frame is its own logits.
    """
    weights_BTK = (logits_BTK / math.sqrt(logits_BTK.shape[1])).softmax(dim=1)
    return (weights_BTK * logits_BTK).sum(dim=1)
