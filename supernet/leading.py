"""The leading part of a shared weight, whose gradient gets back to the whole without costing what the whole does."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def leading(weight: Tensor, *sizes: int) -> Tensor:
    """The leading part of a weight, contiguous; the weight itself where that is all of it.

    Where a weight of several dimensions is cut in more than the first, its gradient is added to `weight.grad` in place,
    so that only the first part of a step fills a tensor of full size, and none adds one. Such a weight must be a leaf.
    """
    if tuple(weight.shape[: len(sizes)]) == sizes:
        return weight
    if tuple(weight.shape[1 : len(sizes)]) == sizes[1:]:
        return weight[: sizes[0]]
    part: Tensor = _Leading.apply(weight, sizes)  # type: ignore[no-untyped-call]
    return part


class _Leading(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, sizes: Sequence[int]) -> Tensor:  # noqa: ANN401
        ctx.weight = weight
        return _part(weight, sizes).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, None]:  # noqa: ANN401
        if ctx.weight.grad is not None:
            _part(ctx.weight.grad, g.shape).add_(g)
            return None, None
        gradient = torch.zeros_like(ctx.weight)
        _part(gradient, g.shape).copy_(g)
        return gradient, None


def _part(weight: Tensor, sizes: Sequence[int]) -> Tensor:
    return weight[tuple(slice(0, size) for size in sizes)]
