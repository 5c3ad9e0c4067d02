"""A whole network as `inference.cpp` takes it, field by field, and its weights in the order in which they are read."""

import contextlib
import ctypes
from collections.abc import Iterator
from ctypes import c_double, c_int64, c_void_p
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces.variant import Activation, Gate, Variant
from supernet.native import CODES
from supernet.native.build import library

GATES: dict[Gate, int] = {"sigmoid": 0, "hard_sigmoid": 1, "legacy_hard_sigmoid": 2}
LANES, PANEL = 16, 32
"""As in `matrix.h`."""
PHASES = ("stem", "expand", "depthwise", "gates", "project", "head")
"""Of a call, as in `inference.cpp`."""
_seconds: list[Any] = []


class Matrix(ctypes.Structure):
    """A linear map: `outputs` is 0 where there is none."""

    _fields_ = (("inputs", c_int64), ("outputs", c_int64), ("weight", c_void_p), ("bias", c_void_p))

    @classmethod
    def of(cls, weight_OI: Tensor, bias_O: Tensor, kept: list[Tensor]) -> Self:
        """Weights in panels of columns, filled up with zeros; `kept` is what must outlive it."""
        outputs, inputs = weight_OI.shape
        filling = -outputs % LANES
        columns_IO = F.pad(weight_OI, (0, 0, 0, filling)).T
        weight = torch.cat([panel_IP.flatten() for panel_IP in torch.split(columns_IO, PANEL, dim=1)])
        bias = torch.cat((bias_O, bias_O.new_zeros(filling)))
        kept += [weight, bias]
        return cls(inputs, outputs, weight.data_ptr(), bias.data_ptr())


class Depthwise(ctypes.Structure):
    """A depthwise convolution: `taps_t` is 0 where there is none."""

    _fields_ = (
        ("taps_t", c_int64),
        ("taps_h", c_int64),
        ("taps_w", c_int64),
        ("stride", c_int64),
        ("weight", c_void_p),
        ("bias", c_void_p),
    )

    @classmethod
    def of(cls, weight_CTHW: Tensor, bias_C: Tensor, *, stride: int, kept: list[Tensor]) -> Self:
        """Channels innermost; `kept` is what must outlive it."""
        weight_THWC, bias_C = weight_CTHW.permute(1, 2, 3, 0).contiguous(), bias_C.contiguous()
        kept += [weight_THWC, bias_C]
        return cls(*weight_THWC.shape[:3], stride, weight_THWC.data_ptr(), bias_C.data_ptr())


class Layer(ctypes.Structure):
    """A bottleneck."""

    _fields_ = (
        ("expand", Matrix),
        ("first", Depthwise),
        ("second", Depthwise),
        ("reduce", Matrix),
        ("gates", Matrix),
        ("encoding", c_void_p),
        ("project", Matrix),
        ("skip", Matrix),
    )


class Network(ctypes.Structure):
    """A network."""

    _fields_ = (
        ("causal", c_int64),
        ("activation", c_int64),
        ("head_activation", c_int64),
        ("gate", c_int64),
        ("pool_time", c_int64),
        ("pool_frames", c_int64),
        ("cumulative", c_int64),
        ("window", c_int64),
        ("decay", c_double),
        ("stem", Matrix),
        ("head", Matrix),
        ("dense", Matrix),
        ("classifier", Matrix),
        ("num_layers", c_int64),
        ("layers", ctypes.POINTER(Layer)),
    )

    @classmethod
    def of(cls, variant: Variant, **parts: object) -> Self:
        """The switches of a variant, which must not shift in time, and the parts."""
        activations: dict[str, Activation] = {
            "activation": variant.activation,
            "head_activation": variant.head_activation,
        }
        return cls(
            causal=variant.causal,
            gate=GATES[variant.gate],
            pool_time=variant.se_over_time,
            pool_frames=variant.se in ("2d", "2plus3d"),
            cumulative=variant.se_over_time and variant.se_pool == "cumulative",
            window=variant.pool_window or 0,
            decay=variant.pool_decay or 1.0,
            **{name: CODES[activation] for name, activation in activations.items()},
            **parts,
        )


class Call(ctypes.Structure):
    """Clips or frames, the state before and after them, and where the logits go."""

    _fields_ = (
        ("clips", c_int64),
        ("frames", c_int64),
        ("height", c_int64),
        ("width", c_int64),
        ("streams", c_int64),
        ("per_frame", c_int64),
        ("in_place", c_int64),
        ("x", c_void_p),
        ("clip_stride", c_int64),
        ("frame_stride", c_int64),
        ("channel_stride", c_int64),
        ("row_stride", c_int64),
        ("column_stride", c_int64),
        ("count", c_void_p),
        ("past", ctypes.POINTER(c_void_p)),
        ("future", ctypes.POINTER(c_void_p)),
        ("logits", c_void_p),
        ("seconds", c_void_p),
        ("part_seconds", c_void_p),
    )


def run(network: Network, call: Call) -> None:
    """Compute the logits and the new state.

    Raises:
        MemoryError: There is not enough of it.
    """
    loaded = library()
    assert loaded is not None
    if _seconds:
        call.seconds = ctypes.addressof(_seconds[-1])
    if not loaded.movinas_run(ctypes.byref(network), ctypes.byref(call), torch.get_num_threads()):
        raise MemoryError(f"for {call.clips} clips of {call.frames} frames of {call.height} x {call.width} pixels")


@contextlib.contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Seconds that the calls meanwhile take, phase by phase; there when all is over."""
    taken: dict[str, float] = {}
    _seconds.append((c_double * len(PHASES))())
    try:
        yield taken
    finally:
        taken.update(zip(PHASES, _seconds.pop(), strict=True))


def pointers(tensors: list[Tensor | None]) -> ctypes.Array[c_void_p]:
    """Where contiguous tensors lie."""
    return (c_void_p * len(tensors))(*[tensor if tensor is None else tensor.data_ptr() for tensor in tensors])
