"""The ways to compute a depthwise convolution and its gradients, all with the same values.

Clips are (B, T, H, W, C) without gaps; weights (C, 1, time, height, width). A backend is three functions: forward from
input and weight, the gradient by the input from output gradient and weight, the gradient by the weight from output
gradient and input. `table.py` says which is taken for which pass.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

from supernet import native
from supernet.depthwise import torch_ways
from supernet.depthwise.geometry import Geometry, innermost

Function = Callable[[Tensor, Tensor, Geometry], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One way.

    Attributes:
        usable: Whether it can do a convolution on a device (`cpu`, `cuda`) in a dtype, with what is installed here.
        forward: (B, T', H', W', C) from input and weight.
        input_gradient: (B, T, H, W, C) from the gradient by the output, and the weight.
        weight_gradient: (C, 1, time, height, width) from the gradient by the output, and the input; the weight's own
            dtype where the backend sums in another than the input's, else the input's.
    """

    usable: Callable[[Geometry, str, torch.dtype], bool]
    forward: Function
    input_gradient: Function
    weight_gradient: Function


# ---- cpp: our kernels for the CPU (supernet/native) ----


def _cpp_usable(geometry: Geometry, device: str, dtype: torch.dtype) -> bool:
    fits = max(geometry.kernel) <= native.MAX_TAPS
    return fits and device == "cpu" and dtype == torch.float32 and native.library() is not None


def _cpp_forward(x_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    y_BTHWC = geometry.new_output(x_BTHWC)
    native.depthwise_forward(geometry.native_shape, x_BTHWC, innermost(weight), y_BTHWC)
    return y_BTHWC


def _cpp_input_gradient(g_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    gx_BTHWC = geometry.new_input(g_BTHWC)
    native.depthwise_input_gradient(geometry.native_shape, g_BTHWC, innermost(weight), gx_BTHWC)
    return gx_BTHWC


def _cpp_weight_gradient(g_BTHWC: Tensor, x_BTHWC: Tensor, geometry: Geometry) -> Tensor:
    gw_THWC = x_BTHWC.new_empty(*geometry.kernel, geometry.channels)
    native.depthwise_weight_gradient(geometry.native_shape, x_BTHWC, g_BTHWC, gw_THWC)
    return gw_THWC.permute(3, 0, 1, 2)[:, None]


# ---- triton: our kernels for a GPU; imported by the first that runs them, for this takes a while ----


def _triton_usable(geometry: Geometry, device: str, dtype: torch.dtype) -> bool:
    return device == "cuda" and dtype in (torch.float32, torch.bfloat16, torch.float16) and _has_triton()


@functools.cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def _triton_forward(x_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    from supernet.depthwise import triton_kernels  # noqa: PLC0415

    return triton_kernels.forward(x_BTHWC, weight, geometry)


def _triton_input_gradient(g_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    from supernet.depthwise import triton_kernels  # noqa: PLC0415

    return triton_kernels.input_gradient(g_BTHWC, weight, geometry)


def _triton_weight_gradient(g_BTHWC: Tensor, x_BTHWC: Tensor, geometry: Geometry) -> Tensor:
    from supernet.depthwise import triton_kernels  # noqa: PLC0415

    return triton_kernels.weight_gradient(g_BTHWC, x_BTHWC, geometry)


# ---- all ----


def _anywhere(usable: Callable[[Geometry], bool]) -> Callable[[Geometry, str, torch.dtype], bool]:
    return lambda geometry, device, dtype: usable(geometry)


BACKENDS = {
    "cpp": Backend(
        usable=_cpp_usable,
        forward=_cpp_forward,
        input_gradient=_cpp_input_gradient,
        weight_gradient=_cpp_weight_gradient,
    ),
    "triton": Backend(
        usable=_triton_usable,
        forward=_triton_forward,
        input_gradient=_triton_input_gradient,
        weight_gradient=_triton_weight_gradient,
    ),
    "view2d": Backend(
        usable=_anywhere(torch_ways.view2d_usable),
        forward=torch_ways.view2d_forward,
        input_gradient=torch_ways.view2d_input_gradient,
        weight_gradient=torch_ways.view2d_weight_gradient,
    ),
    "hybrid": Backend(
        usable=_anywhere(torch_ways.hybrid_usable),
        forward=torch_ways.torch3d_forward,
        input_gradient=torch_ways.hybrid_input_gradient,
        weight_gradient=torch_ways.hybrid_weight_gradient,
    ),
    "torch3d": Backend(
        usable=_anywhere(lambda geometry: True),
        forward=torch_ways.torch3d_forward,
        input_gradient=torch_ways.torch3d_input_gradient,
        weight_gradient=torch_ways.torch3d_weight_gradient,
    ),
    "taps": Backend(
        usable=_anywhere(lambda geometry: True),
        forward=torch_ways.taps_forward,
        input_gradient=torch_ways.taps_input_gradient,
        weight_gradient=torch_ways.taps_weight_gradient,
    ),
}
