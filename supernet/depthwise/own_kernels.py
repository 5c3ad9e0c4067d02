"""Kernels of our own as backends: in C++ on the CPU, in Triton on a GPU."""

import functools
from importlib.util import find_spec

import torch
from torch import Tensor

from supernet import native
from supernet.depthwise.backend import Backend
from supernet.depthwise.geometry import Geometry, innermost

# ---- cpp: our kernels for the CPU (supernet/native) ----


def _cpp_usable(geometry: Geometry, device: str, dtype: torch.dtype) -> bool:
    fits = max(geometry.kernel) <= native.MAX_TAPS
    return fits and device == "cpu" and dtype == torch.float32 and native.usable()


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


CPP = Backend(
    usable=_cpp_usable,
    forward=_cpp_forward,
    input_gradient=_cpp_input_gradient,
    weight_gradient=_cpp_weight_gradient,
)


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


TRITON = Backend(
    usable=_triton_usable,
    forward=_triton_forward,
    input_gradient=_triton_input_gradient,
    weight_gradient=_triton_weight_gradient,
)
