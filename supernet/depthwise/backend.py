"""What a backend of the depthwise convolution is."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from supernet.depthwise.geometry import Geometry

Function = Callable[[Tensor, Tensor, Geometry], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One way to compute a depthwise convolution and its gradients; all have the same values.

    Clips are (B, T, H, W, C) without gaps, weights (C, 1, time, height, width).

    Attributes:
        usable: Whether it can do a convolution on a device (`cpu`, `cuda`) in a dtype, with what is installed here.
        forward: (B, T', H', W', C) from input and weight.
        input_gradient: (B, T, H, W, C) from the gradient by the output, and the weight.
        weight_gradient: (C, 1, time, height, width) from the gradient by the output, and the input; of their dtype, or
            the wider one it was summed in.
    """

    usable: Callable[[Geometry, str, torch.dtype], bool]
    forward: Function
    input_gradient: Function
    weight_gradient: Function
