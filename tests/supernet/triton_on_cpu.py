"""Run as a program under TRITON_INTERPRET=1: the GPU kernels, interpreted, beside torch's operators on the CPU."""

import json
import sys

import torch

from supernet.depthwise import triton_kernels
from supernet.depthwise.geometry import Geometry
from supernet.depthwise.torch_ways import TORCH3D

SMALL_BLOCKS = {"POSITIONS": 64, "MAX_CHANNELS": 8, "GRADIENT_POSITIONS": 32, "MIN_CHUNK": 64, "MAX_CHUNKS": 2}
"""So that small convolutions have several programs, chunks and groups of channels."""
WORKS = ("forward", "input_gradient", "weight_gradient")


def geometries(kernel):
    """One frame at stride 2 and several at stride 1; causal and symmetric; and more padding than kernel."""
    for size, channels, stride, causal in (((1, 5, 7), 11, 2, True), ((3, 4, 6), 8, 1, True), ((4, 4, 5), 8, 2, False)):
        padding = tuple(_same(extent, k, s) for extent, k, s in zip(size, kernel, (1, stride, stride), strict=True))
        if causal:
            padding = ((kernel[0] - 1, 0), *padding[1:])
        yield Geometry(clips=2, input_THW=size, channels=channels, kernel=kernel, stride=stride, padding=padding)
    wide = tuple((extent, extent + 1) for extent in kernel)
    yield Geometry(clips=1, input_THW=(1, 2, 3), channels=8, kernel=kernel, stride=2, padding=wide)


def _same(size, extent, stride):
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def worst_error(kernel, dtype):
    """Of values and gradients, by max |a - b| / max |a|, over all geometries."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for geometry in geometries(kernel):
        sizes = (geometry.input_THW, geometry.output_THW)
        x, g = (torch.randn(geometry.clips, *size, geometry.channels, generator=generator).to(dtype) for size in sizes)
        weight = torch.randn(geometry.channels, 1, *kernel, generator=generator)
        for work in WORKS:
            arguments = {"forward": (x, weight), "input_gradient": (g, weight), "weight_gradient": (g, x)}[work]
            found = getattr(triton_kernels, work)(*arguments, geometry)
            assert found.dtype == (torch.float32 if work == "weight_gradient" else dtype)
            wanted = getattr(TORCH3D, work)(*(argument.double() for argument in arguments), geometry)
            assert found.shape == wanted.shape
            worst = max(worst, float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12)))
    return worst


if __name__ == "__main__":
    for name, value in SMALL_BLOCKS.items():
        setattr(triton_kernels, name, value)
    kernels = [tuple(map(int, name.split("x"))) for name in sys.argv[2:]]
    dtype = getattr(torch, sys.argv[1])
    json.dump([worst_error(kernel, dtype) for kernel in kernels], sys.stdout)
