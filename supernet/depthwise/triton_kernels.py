"""Depthwise convolution and its gradients on a GPU, in Triton: clips with channels innermost, sums in fp32.

torch's own kernel for this takes planes of one channel, so that a network whose channels lie innermost is copied there
and back, and reads the input of a weight gradient once per number of the kernel (engineering.md 6.1). Here lanes run
over channels, and what neighbours read again comes from the cache. Numbers of an architecture that change with every
step of a search are arguments, not constants: nothing is compiled anew but for a kernel, stride or dtype not seen yet.

In the kernels: P positions (pixels of all frames), C channels, X numbers of the convolution kernel ("taps"); all sizes
and padding are those of `Geometry`. Channels are passed as a multiple of ALIGN, by which the compiler knows how many
numbers it may load at once.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from supernet.depthwise.geometry import Geometry, innermost

POSITIONS = 64
"""Per program, forward and input gradient."""
MAX_CHANNELS = 64
"""Per program."""
GRADIENT_POSITIONS, GRADIENT_TAPS = 32, 4
"""Of which products are summed at a time."""
MIN_CHUNK, MAX_CHUNKS = 512, 512
"""Least positions, and most parts, of the first of the two sums of a weight gradient."""
SIZES = ("positions", "frames", "height", "width", "out_frames", "out_height", "out_width", "pad_t", "pad_h", "pad_w")
"""Arguments whose values make no kernels of their own."""


@triton.jit(do_not_specialize=[*SIZES, "groups"])
def _forward(
    x_ptr, w_ptr, y_ptr, positions, groups, frames, height, width, out_frames, out_height, out_width,
    pad_t, pad_h, pad_w,
    ALIGN: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, STRIDE: tl.constexpr,
    P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    channels = groups * ALIGN
    p_P = tl.program_id(0) * P + tl.arange(0, P)
    c_C = tl.program_id(1) * C + tl.arange(0, C)
    t_P, h_P, w_P = p_P // (out_width * out_height), p_P // out_width % out_height, p_P % out_width
    clip_P, t_P = t_P // out_frames, t_P % out_frames
    sum_PC = tl.zeros([P, C], tl.float32)
    for kt in range(KT):
        from_t_P = t_P + kt - pad_t
        for kh in tl.static_range(KH):
            from_h_P = h_P * STRIDE + kh - pad_h
            row_P = ((clip_P * frames + from_t_P) * height + from_h_P) * width
            in_row_P = (p_P < positions) & (from_t_P >= 0) & (from_t_P < frames) & (from_h_P >= 0) & (from_h_P < height)
            for kw in tl.static_range(KW):
                from_w_P = w_P * STRIDE + kw - pad_w
                inside_P = in_row_P & (from_w_P >= 0) & (from_w_P < width)
                at_PC = (row_P + from_w_P).to(tl.int64)[:, None] * channels + c_C[None, :]
                x_PC = tl.load(x_ptr + at_PC, mask=inside_P[:, None] & (c_C < channels)[None, :], other=0.0)
                tap = (kt * KH + kh) * KW + kw
                weight_C = tl.load(w_ptr + tap * channels + c_C, mask=c_C < channels, other=0.0)
                sum_PC += x_PC.to(tl.float32) * weight_C.to(tl.float32)[None, :]
    at_PC = p_P.to(tl.int64)[:, None] * channels + c_C[None, :]
    mask_PC = (p_P < positions)[:, None] & (c_C < channels)[None, :]
    tl.store(y_ptr + at_PC, sum_PC.to(y_ptr.dtype.element_ty), mask=mask_PC)


@triton.jit(do_not_specialize=[*SIZES, "groups"])
def _input_gradient(
    g_ptr, w_ptr, gx_ptr, positions, groups, frames, height, width, out_frames, out_height, out_width,
    pad_t, pad_h, pad_w,
    ALIGN: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, STRIDE: tl.constexpr,
    P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Pixels whose row, or column, leaves the same remainder by the stride meet the same taps: a program has such."""
    channels = groups * ALIGN
    rows, columns = (height + STRIDE - 1) // STRIDE, (width + STRIDE - 1) // STRIDE
    remainder_h, remainder_w = tl.program_id(2) // STRIDE, tl.program_id(2) % STRIDE
    first_kh, first_kw = (remainder_h + pad_h) % STRIDE, (remainder_w + pad_w) % STRIDE
    p_P = tl.program_id(0) * P + tl.arange(0, P)
    c_C = tl.program_id(1) * C + tl.arange(0, C)
    t_P, row_P, column_P = p_P // (columns * rows), p_P // columns % rows, p_P % columns
    clip_P, t_P = t_P // frames, t_P % frames
    h_P, w_P = row_P * STRIDE + remainder_h, column_P * STRIDE + remainder_w
    here_P = (p_P < positions) & (h_P < height) & (w_P < width)
    sum_PC = tl.zeros([P, C], tl.float32)
    for kt in range(KT):
        out_t_P = t_P + pad_t - kt
        for step_h in tl.static_range((KH + STRIDE - 1) // STRIDE):
            kh = first_kh + step_h * STRIDE
            out_h_P = row_P + (remainder_h + pad_h) // STRIDE - step_h
            out_row_P = ((clip_P * out_frames + out_t_P) * out_height + out_h_P) * out_width
            in_row_P = here_P & (out_t_P >= 0) & (out_t_P < out_frames) & (out_h_P >= 0) & (out_h_P < out_height)
            for step_w in tl.static_range((KW + STRIDE - 1) // STRIDE):
                kw = first_kw + step_w * STRIDE
                out_w_P = column_P + (remainder_w + pad_w) // STRIDE - step_w
                inside_P = in_row_P & (out_w_P >= 0) & (out_w_P < out_width)
                at_PC = (out_row_P + out_w_P).to(tl.int64)[:, None] * channels + c_C[None, :]
                g_PC = tl.load(g_ptr + at_PC, mask=inside_P[:, None] & (c_C < channels)[None, :], other=0.0)
                tap = (kt * KH + kh) * KW + kw
                lanes = tl.where((kh < KH) & (kw < KW), channels, 0)
                weight_C = tl.load(w_ptr + tap * channels + c_C, mask=c_C < lanes, other=0.0)
                sum_PC += g_PC.to(tl.float32) * weight_C.to(tl.float32)[None, :]
    at_P = ((clip_P * frames + t_P) * height + h_P) * width + w_P
    at_PC = at_P.to(tl.int64)[:, None] * channels + c_C[None, :]
    tl.store(gx_ptr + at_PC, sum_PC.to(gx_ptr.dtype.element_ty), mask=here_P[:, None] & (c_C < channels)[None, :])


@triton.jit(do_not_specialize=[*SIZES, "groups", "chunk"])
def _weight_gradient(
    g_ptr, x_ptr, parts_ptr, chunk, positions, groups, frames, height, width, out_frames, out_height, out_width,
    pad_t, pad_h, pad_w,
    ALIGN: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, STRIDE: tl.constexpr,
    X: tl.constexpr, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """The sum over one chunk of positions, of X taps; programs of the same chunk follow each other."""
    channels = groups * ALIGN
    tap_X = tl.program_id(0) * X + tl.arange(0, X)
    c_C = tl.program_id(2) * C + tl.arange(0, C)
    kt_X1, kh_X1, kw_X1 = (tap_X // (KH * KW))[:, None], (tap_X // KW % KH)[:, None], (tap_X % KW)[:, None]
    sum_XPC = tl.zeros([X, P, C], tl.float32)
    for start in range(0, chunk, P):
        p_P = tl.program_id(1) * chunk + start + tl.arange(0, P)
        t_P, h_P, w_P = p_P // (out_width * out_height), p_P // out_width % out_height, p_P % out_width
        clip_P, t_P = t_P // out_frames, t_P % out_frames
        at_PC = p_P.to(tl.int64)[:, None] * channels + c_C[None, :]
        g_PC = tl.load(g_ptr + at_PC, mask=(p_P < positions)[:, None] & (c_C < channels)[None, :], other=0.0)
        t_XP = t_P[None, :] + kt_X1 - pad_t
        h_XP = h_P[None, :] * STRIDE + kh_X1 - pad_h
        w_XP = w_P[None, :] * STRIDE + kw_X1 - pad_w
        inside_XP = (p_P < positions)[None, :] & (kt_X1 < KT)
        inside_XP &= (t_XP >= 0) & (t_XP < frames) & (h_XP >= 0) & (h_XP < height) & (w_XP >= 0) & (w_XP < width)
        at_XP = ((clip_P[None, :] * frames + t_XP) * height + h_XP) * width + w_XP
        at_XPC = at_XP.to(tl.int64)[:, :, None] * channels + c_C[None, None, :]
        mask_XPC = inside_XP[:, :, None] & (c_C < channels)[None, None, :]
        x_XPC = tl.load(x_ptr + at_XPC, mask=mask_XPC, other=0.0)
        sum_XPC += x_XPC.to(tl.float32) * g_PC.to(tl.float32)[None, :, :]
    sum_XC = tl.sum(sum_XPC, axis=1)
    at_XC = (tl.program_id(1) * channels + c_C[None, :]) * (KT * KH * KW) + tap_X[:, None]
    mask_XC = (tap_X < KT * KH * KW)[:, None] & (c_C < channels)[None, :]
    tl.store(parts_ptr + at_XC, sum_XC, mask=mask_XC)


def forward(x_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """(B, T', H', W', C), of the input's dtype; the weight may have another."""
    y_BTHWC = geometry.new_output(x_BTHWC)
    positions, lanes = geometry.clips * math.prod(geometry.output_THW), lanes_of(geometry.channels)
    grid = (triton.cdiv(positions, POSITIONS), triton.cdiv(geometry.channels, lanes))
    tensors = (x_BTHWC, innermost(weight), y_BTHWC)
    _launch(_forward, grid, (*tensors, positions), geometry, {"P": POSITIONS, "C": lanes})
    return y_BTHWC


def input_gradient(g_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """(B, T, H, W, C), of the dtype of the output's gradient."""
    gx_BTHWC = geometry.new_input(g_BTHWC)
    frames, height, width = geometry.input_THW
    step, lanes = geometry.stride, lanes_of(geometry.channels)
    positions = geometry.clips * frames * triton.cdiv(height, step) * triton.cdiv(width, step)
    grid = (triton.cdiv(positions, POSITIONS), triton.cdiv(geometry.channels, lanes), step * step)
    tensors = (g_BTHWC, innermost(weight), gx_BTHWC)
    _launch(_input_gradient, grid, (*tensors, positions), geometry, {"P": POSITIONS, "C": lanes})
    return gx_BTHWC


def weight_gradient(g_BTHWC: Tensor, x_BTHWC: Tensor, geometry: Geometry) -> Tensor:
    """(C, 1, time, height, width) in fp32: sums over chunks of positions, then of these; the same bits every time."""
    positions, lanes = geometry.clips * math.prod(geometry.output_THW), lanes_of(geometry.channels)
    taps = math.prod(geometry.kernel)
    chunk = GRADIENT_POSITIONS * triton.cdiv(max(MIN_CHUNK, triton.cdiv(positions, MAX_CHUNKS)), GRADIENT_POSITIONS)
    chunks = triton.cdiv(positions, chunk)
    parts = x_BTHWC.new_empty(chunks, geometry.channels, 1, *geometry.kernel, dtype=torch.float32)
    grid = (triton.cdiv(taps, GRADIENT_TAPS), chunks, triton.cdiv(geometry.channels, lanes))
    blocks = {"X": GRADIENT_TAPS, "P": GRADIENT_POSITIONS, "C": lanes}
    _launch(_weight_gradient, grid, (g_BTHWC, x_BTHWC, parts, chunk, positions), geometry, blocks)
    return parts.sum(dim=0)


def lanes_of(channels: int) -> int:
    """Channels per program: the largest power of two, up to `MAX_CHANNELS`, that leaves few lanes without work."""
    sizes = [1 << power for power in range(3, MAX_CHANNELS.bit_length())]
    least = min(triton.cdiv(channels, size) * size for size in sizes)
    return max(size for size in sizes if triton.cdiv(channels, size) * size <= 1.2 * least)


def _launch(
    kernel: Callable[..., Any],
    grid: tuple[int, ...],
    arguments: tuple[Any, ...],
    geometry: Geometry,
    blocks: dict[str, int],
) -> None:
    time, height, width = geometry.kernel
    align = math.gcd(geometry.channels, 16)
    with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call]
        kernel[grid](  # type: ignore[index]
            *arguments, geometry.channels // align, *geometry.input_THW, *geometry.output_THW, *geometry.front,
            ALIGN=align, KT=time, KH=height, KW=width, STRIDE=geometry.stride, **blocks,
        )  # fmt: skip
