"""The kernels for GPUs: interpreted here, compiled here, and on a device where there is one."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from made_nets import assert_close

from search_spaces.movinet import KERNELS
from search_spaces.spec import parse_kernel
from supernet.depthwise import depthwise_conv
from supernet.depthwise.geometry import Geometry
from supernet.depthwise.own_kernels import TRITON
from supernet.depthwise.torch_ways import TORCH3D

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for CUDA, or [dev]")
HERE = Path(__file__).parent


def run(program, *arguments, cache, **environment):
    command = [sys.executable, str(HERE / program), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "TRITON_CACHE_DIR": str(cache), **environment}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


FIRST = "3x3x3"
OTHERS = sorted(set(KERNELS) - {FIRST})


@needs_triton
@pytest.mark.parametrize(
    ("kernels", "dtype", "tolerance"),
    [
        ([FIRST], "float32", 1e-5),
        pytest.param([*OTHERS, "3x1x5"], "float32", 1e-5, marks=pytest.mark.slow),
        pytest.param([FIRST], "bfloat16", 1e-2, marks=pytest.mark.slow),
        pytest.param(OTHERS, "bfloat16", 1e-2, marks=pytest.mark.long),
    ],
)
def test_interpreted_kernels_are_the_definition(tmp_path, kernels, dtype, tolerance):
    errors = run("triton_on_cpu.py", dtype, *kernels, cache=tmp_path, TRITON_INTERPRET="1")
    assert max(errors) <= tolerance, dict(zip(kernels, errors, strict=True))


@needs_triton
@pytest.mark.slow
def test_kernels_compile_for_devices_that_are_not_here(tmp_path):
    """And load 16 bytes at a time where channels are a multiple of eight."""
    loads = run("triton_compiled.py", cache=tmp_path)
    assert len(loads) == 12
    assert {name: number for name, number in loads.items() if number == 0} == {}


gpu = pytest.mark.gpu
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def on_device(kernel, stride, dtype):
    padding = tuple(((k - 1) // 2, k // 2) for k in kernel)
    geometry = Geometry(clips=3, input_THW=(6, 21, 18), channels=72, kernel=kernel, stride=stride, padding=padding)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, 21, 18, 72, generator=generator).to("cuda", dtype)
    weight = torch.randn(72, 1, *kernel, generator=generator).cuda()
    g = torch.randn(3, *geometry.output_THW, 72, generator=generator).to("cuda", dtype)
    return geometry, x, weight, g


@gpu
@needs_cuda
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_on_a_device_all_passes_are_the_definition(kernel, stride, dtype, tolerance):
    geometry, x, weight, g = on_device(parse_kernel(kernel), stride, dtype)
    for work, arguments in (
        ("forward", (x, weight)),
        ("input_gradient", (g, weight)),
        ("weight_gradient", (g, x)),
    ):
        found = getattr(TRITON, work)(*arguments, geometry)
        assert torch.equal(found, getattr(TRITON, work)(*arguments, geometry))
        wanted = getattr(TORCH3D, work)(*(argument.double().cpu() for argument in arguments), geometry)
        assert_close(found.double().cpu(), wanted, tolerance=tolerance)


@gpu
@needs_cuda
def test_on_a_device_autocast_keeps_gradients_in_fp32():
    geometry, x, weight, g = on_device((3, 3, 3), 1, torch.float32)
    x.requires_grad_()
    weight.requires_grad_()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        y = depthwise_conv(x, weight, stride=1, padding=geometry.padding)
    assert y.dtype == torch.bfloat16
    y.backward(g.bfloat16())
    assert x.grad.dtype == weight.grad.dtype == torch.float32
    wanted = TORCH3D.weight_gradient(g.double().cpu(), x.detach().double().cpu(), geometry)
    assert_close(weight.grad.double().cpu(), wanted, tolerance=1e-2)
