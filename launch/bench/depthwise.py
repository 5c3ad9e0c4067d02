"""The depthwise convolutions of networks, and the time each backend takes for each of their passes."""

import functools
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from launch.bench.machine import seconds
from search_spaces.spec import STEM_STRIDE, ArchSpec, Kernel, same_size
from search_spaces.variant import Variant
from supernet.convolve import frame_padding
from supernet.depthwise.backend import Function
from supernet.depthwise.geometry import Geometry
from supernet.depthwise.table import BACKENDS, Entry, Pass, chosen, class_of, dtype_name, is_parallel

LEAST_SECONDS = 2e-3
"""A shorter computation is repeated until a sample takes so long."""
HOPELESS = 4.0
"""A backend that takes so many times the fastest one's time is measured once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One pass of one convolution.

    Attributes:
        geometry: Its sizes.
        work: The pass.
        seconds: Of each backend, its samples.
        chosen: The backend that is in force.
    """

    geometry: Geometry
    work: Pass
    seconds: Mapping[str, Sequence[float]]
    chosen: str

    @property
    def medians(self) -> dict[str, float]:
        """Of each backend, the fastest first."""
        medians = {name: statistics.median(seconds) for name, seconds in self.seconds.items()}
        return dict(sorted(medians.items(), key=lambda item: item[1]))

    @property
    def fastest(self) -> str:
        """The backend with the least median."""
        return next(iter(self.medians))

    def spread(self, name: str) -> float:
        """Between a backend's slowest and fastest sample, relative to its median."""
        return (max(self.seconds[name]) - min(self.seconds[name])) / statistics.median(self.seconds[name])

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        return self.geometry.num_outputs * math.prod(self.geometry.kernel)

    @property
    def num_moved(self) -> int:
        """Numbers read and written at least: each of input and output, or of their gradients, once."""
        inputs = self.geometry.clips * math.prod(self.geometry.input_THW) * self.geometry.channels
        return inputs + self.geometry.num_outputs


def geometries(arch: ArchSpec, variant: Variant, *, clips: int, frames: int) -> list[Geometry]:
    """The depthwise convolutions of a network in order, as the layers call for them.

    Args:
        arch: At the resolution of its clip.
        variant: One that is causal sees its look-back as part of the input, as from a stream.
        clips: B.
        frames: T, of the output.
    """
    found = []
    size = same_size(arch.clip.resolution, STEM_STRIDE)
    for layer in (layer for block in arch.blocks for layer in block.layers):
        time_extent, *space = layer.kernel
        separate = variant.conv != "3d" and time_extent > 1
        kernels: list[tuple[Kernel, int]] = [(layer.kernel, layer.stride)]
        if separate:
            kernels = [((1, space[0], space[1]), layer.stride), ((time_extent, 1, 1), 1)]
        for kernel, stride in kernels:
            reach = kernel[0] // 2
            rows, columns = frame_padding((size, size), kernel[1:], stride)
            found.append(
                Geometry(
                    clips=clips,
                    input_THW=(frames + kernel[0] - 1 if variant.causal else frames, size, size),
                    channels=layer.expansion,
                    kernel=kernel,
                    stride=stride,
                    padding=((0, 0) if variant.causal else (reach, reach), rows, columns),
                )
            )
            size = same_size(size, stride)
    return found


def distinct(found: Iterable[Geometry]) -> list[Geometry]:
    """Each once, in order; a convolution of single frames is the same whatever clips they are of."""
    by_sizes: dict[object, Geometry] = {}
    for geometry in found:
        frames, height, width = geometry.input_THW
        sizes = (geometry.clips * frames, 1) if geometry.kernel[0] == 1 else (geometry.clips, frames)
        key = (*sizes, height, width, geometry.channels, geometry.kernel, geometry.stride, geometry.padding)
        by_sizes.setdefault(key, geometry)
    return list(by_sizes.values())


def measure(geometry: Geometry, work: Pass, *, device: str, dtype: torch.dtype, repeats: int) -> Timing:
    """Time all usable backends in turns, after a run of each that is not counted; what two of them share, once."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "x": (geometry.clips, *geometry.input_THW, geometry.channels),
        "g": (geometry.clips, *geometry.output_THW, geometry.channels),
        "w": (geometry.channels, 1, *geometry.kernel),
    }
    x, g, w = (torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes.values())
    arguments = {"forward": (x, w), "input_gradient": (g, w), "weight_gradient": (g, x)}[work]
    names: dict[Function, str] = {}
    for name, backend in BACKENDS.items():
        if backend.usable(geometry, device, dtype):
            names.setdefault(getattr(backend, work), name)
    calls = {name: functools.partial(function, *arguments, geometry) for function, name in names.items()}
    with torch.inference_mode():
        for call in calls.values():
            call()  # compiles kernels, fills caches
        first = {name: _seconds(call, device) for name, call in calls.items()}
        samples = {name: [taken] for name, taken in first.items()}
        hopeful = [name for name, taken in first.items() if taken <= HOPELESS * min(first.values())]
        times = {name: max(1, math.ceil(LEAST_SECONDS / first[name])) for name in hopeful}
        for name in hopeful:
            samples[name].clear()
        for _ in range(repeats):
            for name in hopeful:
                samples[name].append(_seconds(calls[name], device, times=times[name]))
    in_force = names[getattr(BACKENDS[chosen(geometry, device, dtype, work)], work)]
    return Timing(geometry=geometry, work=work, seconds=samples, chosen=in_force)


def _seconds(call: Callable[[], object], device: str, *, times: int = 1) -> float:
    """Of one call, the mean of so many."""

    def calls() -> None:
        for _ in range(times):
            call()

    return seconds(calls, torch.device(device)) / times


def entries_of(timings: Iterable[Timing], *, device: str, dtype: torch.dtype, machine: str) -> list[Entry]:
    """What the timings say, key by key."""
    grouped: dict[tuple[object, ...], list[Timing]] = defaultdict(list)
    for timing in timings:
        grouped[class_of(timing.geometry), timing.work].append(timing)
    return [_entry(group, device=device, dtype=dtype, machine=machine) for group in grouped.values()]


def _entry(group: Sequence[Timing], *, device: str, dtype: torch.dtype, machine: str) -> Entry:
    logarithms: dict[str, list[float]] = defaultdict(list)
    for timing in group:
        for name, taken in timing.medians.items():
            logarithms[name].append(math.log(taken / min(timing.medians.values())))
    means = {name: math.exp(statistics.mean(values)) for name, values in logarithms.items()}
    least = min(means.values())
    kernel, stride, symmetric, size = class_of(group[0].geometry)
    return Entry(
        device=device,
        parallel=is_parallel(device),
        dtype=dtype_name(dtype),
        kernel=kernel,
        stride=stride,
        symmetric=symmetric,
        size=size,
        work=group[0].work,
        times={name: round(means[name] / least, 3) for name in sorted(means, key=means.__getitem__)},
        shapes=len(group),
        machine=machine,
    )
