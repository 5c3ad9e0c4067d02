"""Depthwise convolution and its gradients in torch's own operators, in four ways, as backends.

A weight of another dtype is cast to that of the input.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from supernet.depthwise.backend import Backend
from supernet.depthwise.geometry import Geometry, Padding, Sizes


def plain(x_BTHWC: Tensor, weight: Tensor, *, stride: int, padding: Padding) -> Tensor:
    """Forward in one convolution of torch's, for where others listen to these; differentiable by torch."""
    times, rows, columns = padding
    if any(front != behind for front, behind in padding):
        x_BTHWC = F.pad(x_BTHWC, (0, 0, *columns, *rows, *times))
        times = rows = columns = (0, 0)
    channels = x_BTHWC.shape[4]
    if weight.shape[2] == 1 and times == (0, 0):
        x_NCHW = x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2)
        y_NCHW = F.conv2d(x_NCHW, weight[:, :, 0], stride=stride, padding=(rows[0], columns[0]), groups=channels)
        return y_NCHW.permute(0, 2, 3, 1).reshape(*x_BTHWC.shape[:2], *y_NCHW.shape[2:], channels)
    x_BCTHW, around = x_BTHWC.permute(0, 4, 1, 2, 3), (times[0], rows[0], columns[0])
    y_BCTHW = F.conv3d(x_BCTHW, weight, stride=(1, stride, stride), padding=around, groups=channels)
    return y_BCTHW.permute(0, 2, 3, 4, 1).contiguous()


def _always(geometry: Geometry, device: str, dtype: torch.dtype) -> bool:
    return True


# ---- torch3d: torch's own convolution in 3-D ----


def _torch3d_forward(x_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    x_BTHWC, padding = _padded(x_BTHWC, geometry)
    x_BCTHW = x_BTHWC.permute(0, 4, 1, 2, 3)
    weight = weight.to(x_BTHWC.dtype)
    y_BCTHW = F.conv3d(x_BCTHW, weight, stride=geometry.strides, padding=padding, groups=geometry.channels)
    return y_BCTHW.permute(0, 2, 3, 4, 1).contiguous()


def _torch3d_input_gradient(g_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    padding = geometry.front if geometry.symmetric else (0, 0, 0)
    size_THW = geometry.input_THW if geometry.symmetric else geometry.padded_THW
    like_BCTHW = g_BTHWC.new_empty(geometry.clips, *size_THW, geometry.channels).permute(0, 4, 1, 2, 3)
    g_BCTHW, weight = g_BTHWC.permute(0, 4, 1, 2, 3), weight.to(g_BTHWC.dtype)
    gx_BCTHW, _ = _gradients(g_BCTHW, like_BCTHW, weight, geometry.strides, padding, by_weight=False)
    gx_BTHWC = gx_BCTHW.permute(0, 2, 3, 4, 1)
    return (gx_BTHWC if geometry.symmetric else _cropped(gx_BTHWC, geometry)).contiguous()


def _torch3d_weight_gradient(g_BTHWC: Tensor, x_BTHWC: Tensor, geometry: Geometry) -> Tensor:
    x_BTHWC, padding = _padded(x_BTHWC, geometry)
    x_BCTHW, g_BCTHW = x_BTHWC.permute(0, 4, 1, 2, 3), g_BTHWC.permute(0, 4, 1, 2, 3)
    like = x_BTHWC.new_empty(geometry.channels, 1, *geometry.kernel)
    return _gradients(g_BCTHW, x_BCTHW, like, geometry.strides, padding, by_weight=True)[1]


def _padded(x_BTHWC: Tensor, geometry: Geometry) -> tuple[Tensor, Sizes]:
    """The input, and the symmetric padding that is still to be put around it."""
    if geometry.symmetric:
        return x_BTHWC, geometry.front
    times, rows, columns = geometry.padding
    return F.pad(x_BTHWC, (0, 0, *columns, *rows, *times)), (0, 0, 0)


def _cropped(gx_BTHWC: Tensor, geometry: Geometry) -> Tensor:
    """What of the gradient by a padded input belongs to the input."""
    for dimension, (front, size) in enumerate(zip(geometry.front, geometry.input_THW, strict=True), start=1):
        gx_BTHWC = gx_BTHWC.narrow(dimension, front, size)
    return gx_BTHWC


def _gradients(
    g: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...], *, by_weight: bool
) -> tuple[Tensor, Tensor]:
    """Of torch's convolution, of which one is computed; of the tensor that is for, only the shape counts."""
    ones, zeros, groups = [1] * len(stride), [0] * len(stride), weight.shape[0]
    mask = [not by_weight, by_weight, False]
    gx, gw, _ = torch.ops.aten.convolution_backward(
        g, x, weight, None, list(stride), list(padding), ones, False, zeros, groups, mask
    )
    return gx, gw


TORCH3D = Backend(
    usable=_always,
    forward=_torch3d_forward,
    input_gradient=_torch3d_input_gradient,
    weight_gradient=_torch3d_weight_gradient,
)


# ---- view2d: torch's own convolution in 2-D, over space alone, or over time alone with the pixels in a row ----


def _view2d_usable(geometry: Geometry, device: str, dtype: torch.dtype) -> bool:
    return _over_space_alone(geometry) or _over_time_alone(geometry)


def _view2d_forward(x_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    x_BTHWC, padding = _padded(x_BTHWC, geometry)
    flat_padding, stride = _flat(geometry, padding)
    w_CHW = _flat_weight(weight.to(x_BTHWC.dtype), geometry)
    x_NCHW = _flat_view(x_BTHWC, geometry)
    y_NCHW = F.conv2d(x_NCHW, w_CHW, stride=stride, padding=flat_padding, groups=geometry.channels)
    return _clips_of(y_NCHW, geometry.clips, geometry.output_THW)


def _view2d_input_gradient(g_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    padding, stride = _flat(geometry, geometry.front if geometry.symmetric else (0, 0, 0))
    size_THW = geometry.input_THW if geometry.symmetric else geometry.padded_THW
    like_BTHWC = g_BTHWC.new_empty(geometry.clips, *size_THW, geometry.channels)
    g_NCHW, like_NCHW = _flat_view(g_BTHWC, geometry), _flat_view(like_BTHWC, geometry)
    w_CHW = _flat_weight(weight.to(g_BTHWC.dtype), geometry)
    gx_NCHW, _ = _gradients(g_NCHW, like_NCHW, w_CHW, stride, padding, by_weight=False)
    gx_BTHWC = _clips_of(gx_NCHW, geometry.clips, size_THW)
    return gx_BTHWC if geometry.symmetric else _cropped(gx_BTHWC, geometry).contiguous()


def _view2d_weight_gradient(g_BTHWC: Tensor, x_BTHWC: Tensor, geometry: Geometry) -> Tensor:
    x_BTHWC, inner = _padded(x_BTHWC, geometry)
    padding, stride = _flat(geometry, inner)
    like = x_BTHWC.new_empty(geometry.channels, 1, *geometry.kernel)
    g_NCHW, x_NCHW = _flat_view(g_BTHWC, geometry), _flat_view(x_BTHWC, geometry)
    _, gw = _gradients(g_NCHW, x_NCHW, _flat_weight(like, geometry), stride, padding, by_weight=True)
    return gw.view_as(like)


def _over_space_alone(geometry: Geometry) -> bool:
    return geometry.kernel[0] == 1 and geometry.padding[0] == (0, 0)


def _over_time_alone(geometry: Geometry) -> bool:
    return geometry.kernel[1:] == (1, 1) and geometry.stride == 1 and geometry.padding[1:] == ((0, 0), (0, 0))


def _flat(geometry: Geometry, padding: Sizes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding and stride in 2-D."""
    if _over_space_alone(geometry):
        return padding[1:], geometry.strides[1:]
    return (padding[0], 0), (1, 1)


def _flat_view(x_BTHWC: Tensor, geometry: Geometry) -> Tensor:
    """(B T, C, H, W), or (B, C, T, H W)."""
    return x_BTHWC.flatten(*((0, 1) if _over_space_alone(geometry) else (2, 3))).permute(0, 3, 1, 2)


def _flat_weight(weight: Tensor, geometry: Geometry) -> Tensor:
    return weight[:, :, 0] if _over_space_alone(geometry) else weight.flatten(3)


def _clips_of(y_NCHW: Tensor, clips: int, size_THW: Sizes) -> Tensor:
    return y_NCHW.permute(0, 2, 3, 1).reshape(clips, *size_THW, y_NCHW.shape[1])


VIEW2D = Backend(
    usable=_view2d_usable,
    forward=_view2d_forward,
    input_gradient=_view2d_input_gradient,
    weight_gradient=_view2d_weight_gradient,
)


# ---- taps: one product per number of the kernel ----


def _taps_forward(x_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    w_XC = weight.to(x_BTHWC.dtype).flatten(1).t().contiguous()
    y_BTHWC = None
    for tap, read_BTHWC in enumerate(_reads(_all_padded(x_BTHWC, geometry), geometry)):
        y_BTHWC = read_BTHWC * w_XC[tap] if y_BTHWC is None else y_BTHWC.addcmul_(read_BTHWC, w_XC[tap])
    assert y_BTHWC is not None
    return y_BTHWC


def _taps_input_gradient(g_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    w_XC = weight.to(g_BTHWC.dtype).flatten(1).t().contiguous()
    gx_BTHWC = g_BTHWC.new_zeros(geometry.clips, *geometry.padded_THW, geometry.channels)
    for tap, read_BTHWC in enumerate(_reads(gx_BTHWC, geometry)):
        read_BTHWC.addcmul_(g_BTHWC, w_XC[tap])
    return _cropped(gx_BTHWC, geometry).contiguous()


def _taps_weight_gradient(g_BTHWC: Tensor, x_BTHWC: Tensor, geometry: Geometry) -> Tensor:
    sums = [
        (g_BTHWC * read_BTHWC).sum(dim=(0, 1, 2, 3), dtype=torch.promote_types(g_BTHWC.dtype, torch.float32))
        for read_BTHWC in _reads(_all_padded(x_BTHWC, geometry), geometry)
    ]
    return torch.stack(sums, dim=1).view(geometry.channels, 1, *geometry.kernel)


def _all_padded(x_BTHWC: Tensor, geometry: Geometry) -> Tensor:
    times, rows, columns = geometry.padding
    return F.pad(x_BTHWC, (0, 0, *columns, *rows, *times))


def _reads(x_BTHWC: Tensor, geometry: Geometry) -> Iterator[Tensor]:
    """For every number of the kernel, what of a padded input it is multiplied with: views as large as the output."""
    frames, height, width = geometry.output_THW
    step = geometry.stride
    for t, h, w in itertools.product(*map(range, geometry.kernel)):
        yield x_BTHWC[:, t : t + frames, h : h + step * height : step, w : w + step * width : step][
            :, :, :height, :width
        ]


TAPS = Backend(
    usable=_always,
    forward=_taps_forward,
    input_gradient=_taps_input_gradient,
    weight_gradient=_taps_weight_gradient,
)


# ---- hybrid: torch's fast kernels in place of its slow ones (engineering.md 6.2) ----


def _hybrid_usable(geometry: Geometry, device: str, dtype: torch.dtype) -> bool:
    reach = zip(geometry.kernel, geometry.padding, strict=True)
    return geometry.stride == 1 and all(max(padded) < extent for extent, padded in reach)


def _hybrid_input_gradient(g_BTHWC: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """At stride 1 this is a convolution too, with the kernel turned around."""
    times, rows, columns = (
        (extent - 1 - front, extent - 1 - behind)
        for extent, (front, behind) in zip(geometry.kernel, geometry.padding, strict=True)
    )
    around = replace(geometry, input_THW=geometry.output_THW, padding=(times, rows, columns))
    return _torch3d_forward(g_BTHWC, weight.flip(2, 3, 4), around)


def _hybrid_weight_gradient(g_BTHWC: Tensor, x_BTHWC: Tensor, geometry: Geometry) -> Tensor:
    """For each frame of the kernel, that of a 2-D convolution of all frames it meets."""
    times, rows, columns = geometry.padding
    x_BTHWC = F.pad(x_BTHWC, (0, 0, *columns, *rows, *times))
    g_NCHW = g_BTHWC.flatten(0, 1).permute(0, 3, 1, 2)
    like = x_BTHWC.new_empty(geometry.channels, 1, *geometry.kernel[1:])
    parts = []
    for frame in range(geometry.kernel[0]):
        x_NCHW = x_BTHWC[:, frame : frame + geometry.output_THW[0]].flatten(0, 1).permute(0, 3, 1, 2)
        parts.append(_gradients(g_NCHW, x_NCHW, like, (1, 1), (0, 0), by_weight=True)[1])
    return torch.stack(parts, dim=2)


HYBRID = Backend(
    usable=_hybrid_usable,
    forward=_torch3d_forward,
    input_gradient=_hybrid_input_gradient,
    weight_gradient=_hybrid_weight_gradient,
)
