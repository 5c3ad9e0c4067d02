"""Kernels of our own for the CPU: called with tensors, computed in C++ (`training.cpp`)."""

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from search_spaces.variant import Activation
from supernet.native.build import library

CODES: dict[Activation | None, int] = {None: 0, "swish": 1, "hard_swish": 2}
MAX_TAPS = 15
"""As in `training.cpp`."""
Shape = Any
"""Of a convolution, as `shape_of` makes it."""


def usable(*tensors: Tensor) -> bool:
    """Whether these tensors may go through the kernels: fp32 on the CPU, and nobody listens to torch's operators."""
    if any(tensor.device.type != "cpu" or tensor.dtype != torch.float32 for tensor in tensors):
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._len_torch_dispatch_stack():  # type: ignore[attr-defined, no-untyped-call]
        return False
    return library() is not None


def shape_of(
    input_BTHWC: Sequence[int], output_THW: Sequence[int], kernel: Sequence[int], stride: int, padding: Sequence[int]
) -> Shape:
    """The sizes of a convolution; padding is that in front."""
    assert max(kernel) <= MAX_TAPS, "kernels of a network are at most 15 wide, and so is a table of the kernels here"
    return (ctypes.c_int64 * 15)(*input_BTHWC, *output_THW, *kernel, stride, *padding)


def depthwise_forward(shape: Shape, x_BTHWC: Tensor, w_THWC: Tensor, y_BTHWC: Tensor) -> None:
    """Convolve each channel, into `y`."""
    _function("depthwise_forward")(
        shape, x_BTHWC.data_ptr(), w_THWC.data_ptr(), y_BTHWC.data_ptr(), torch.get_num_threads()
    )


def depthwise_input_gradient(shape: Shape, g_BTHWC: Tensor, w_THWC: Tensor, gx_BTHWC: Tensor) -> None:
    """Gradient by the input, into `gx`."""
    _function("depthwise_input_gradient")(
        shape, g_BTHWC.data_ptr(), w_THWC.data_ptr(), gx_BTHWC.data_ptr(), torch.get_num_threads()
    )


def depthwise_weight_gradient(shape: Shape, x_BTHWC: Tensor, g_BTHWC: Tensor, gw_THWC: Tensor) -> None:
    """Gradient by the weight, into `gw`."""
    done = _function("depthwise_weight_gradient")(
        shape, x_BTHWC.data_ptr(), g_BTHWC.data_ptr(), gw_THWC.data_ptr(), torch.get_num_threads()
    )
    assert done, "kernels of a network are odd and at most 15 wide"


def channel_statistics(x_RC: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel over all rows, (C,) each."""
    rows, channels = x_RC.shape
    mean_C, variance_C = x_RC.new_empty(channels), x_RC.new_empty(channels)
    _function("channel_statistics")(
        rows, channels, x_RC.data_ptr(), mean_C.data_ptr(), variance_C.data_ptr(), torch.get_num_threads()
    )
    return mean_C, variance_C


def scale_activate(x_RC: Tensor, scale_C: Tensor, shift_C: Tensor, activation: Activation | None, y_RC: Tensor) -> None:
    """Scale, shift and activate into `y`, which may be `x`."""
    rows, channels = x_RC.shape
    _function("scale_activate")(
        rows,
        channels,
        x_RC.data_ptr(),
        scale_C.data_ptr(),
        shift_C.data_ptr(),
        CODES[activation],
        y_RC.data_ptr(),
        torch.get_num_threads(),
    )


def norm_backward(
    *,
    g_RC: Tensor,
    x_RC: Tensor,
    mean_C: Tensor,
    inverse_C: Tensor,
    weight_C: Tensor,
    bias_C: Tensor,
    activation: Activation | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of activated batch norm with the statistics of the batch, by input, weight and bias."""
    rows, channels = x_RC.shape
    gx_RC, gweight_C, gbias_C = torch.empty_like(x_RC), x_RC.new_empty(channels), x_RC.new_empty(channels)
    _function("norm_backward")(
        rows,
        channels,
        g_RC.data_ptr(),
        x_RC.data_ptr(),
        mean_C.data_ptr(),
        inverse_C.data_ptr(),
        weight_C.data_ptr(),
        bias_C.data_ptr(),
        CODES[activation],
        gx_RC.data_ptr(),
        gweight_C.data_ptr(),
        gbias_C.data_ptr(),
        torch.get_num_threads(),
    )
    return gx_RC, gweight_C, gbias_C


def frame_means(x_NPC: Tensor) -> Tensor:
    """Mean over the pixels of each frame, (N, C)."""
    frames, pixels, channels = x_NPC.shape
    means_NC = x_NPC.new_empty(frames, channels)
    _function("frame_means")(frames, pixels, channels, x_NPC.data_ptr(), means_NC.data_ptr(), torch.get_num_threads())
    return means_NC


def add_frame_means_gradient(gmeans_NC: Tensor, g_NPC: Tensor) -> Tensor:
    """The gradient of `frame_means` added to `g`."""
    gx_NPC = torch.empty_like(g_NPC)
    _function("add_frame_means_gradient")(
        *g_NPC.shape, gmeans_NC.data_ptr(), g_NPC.data_ptr(), gx_NPC.data_ptr(), torch.get_num_threads()
    )
    return gx_NPC


def scale_frames(x_NPC: Tensor, gate_NC: Tensor, y_NPC: Tensor) -> None:
    """Multiply each frame and channel by its gate into `y`, which may be `x`."""
    _function("scale_frames")(
        *x_NPC.shape, x_NPC.data_ptr(), gate_NC.data_ptr(), y_NPC.data_ptr(), torch.get_num_threads()
    )


def scale_frames_backward(g_NPC: Tensor, x_NPC: Tensor, gate_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `scale_frames` by frames and gates."""
    gx_NPC, ggate_NC = torch.empty_like(x_NPC), torch.empty_like(gate_NC)
    _function("scale_frames_backward")(
        *x_NPC.shape,
        g_NPC.data_ptr(),
        x_NPC.data_ptr(),
        gate_NC.data_ptr(),
        gx_NPC.data_ptr(),
        ggate_NC.data_ptr(),
        torch.get_num_threads(),
    )
    return gx_NPC, ggate_NC


_LONG, _POINTER, _INT = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int
_ARGUMENTS: dict[str, list[Any]] = {
    "depthwise_forward": [_POINTER] * 4 + [_INT],
    "depthwise_input_gradient": [_POINTER] * 4 + [_INT],
    "depthwise_weight_gradient": [_POINTER] * 4 + [_INT],
    "channel_statistics": [_LONG, _LONG, _POINTER, _POINTER, _POINTER, _INT],
    "scale_activate": [_LONG, _LONG, _POINTER, _POINTER, _POINTER, _INT, _POINTER, _INT],
    "frame_means": [_LONG] * 3 + [_POINTER] * 2 + [_INT],
    "add_frame_means_gradient": [_LONG] * 3 + [_POINTER] * 3 + [_INT],
    "scale_frames": [_LONG] * 3 + [_POINTER] * 3 + [_INT],
    "scale_frames_backward": [_LONG] * 3 + [_POINTER] * 5 + [_INT],
    "norm_backward": [_LONG, _LONG] + [_POINTER] * 6 + [_INT] + [_POINTER] * 3 + [_INT],
}


@functools.cache
def _function(name: str) -> Callable[..., int]:
    loaded = library()
    assert loaded is not None
    function = loaded[f"movinas_{name}"]
    function.argtypes = _ARGUMENTS[name]
    function.restype = _INT if name == "depthwise_weight_gradient" else None
    return function
