"""What this machine can do at most, measured in the same run as what is compared with it."""

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from search_spaces.floors import Floors

CPU = torch.device("cpu")
MATRIX_SIZE = {"cpu": 1024, "cuda": 8192}
COPY_BYTES = 256 << 20
"""Beyond what caches hold."""
REPEATS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where a figure was measured.

    Attributes:
        processor: As the system names it; of a device, its name.
        threads: Of torch.
        torch: Version.
        matrix_gmacs_per_s: Best rate of a product of two square matrices on so many threads, 1e9 multiply-adds per
            second; in fp32, or in the type of autocast.
        copy_gbytes_per_s: Best rate of a copy in memory, 1e9 bytes read or written per second.
    """

    processor: str
    threads: int
    torch: str
    matrix_gmacs_per_s: float
    copy_gbytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Floored:
    """A time beside the least that its work can take on a machine.

    Attributes:
        ms: As measured.
        arithmetic_floor_ms: Its multiply-adds at the rate of a product of matrices.
        bandwidth_floor_ms: The bytes it must move at the rate of a copy.
        ratio: Time / the larger of the two.
    """

    ms: float
    arithmetic_floor_ms: float
    bandwidth_floor_ms: float
    ratio: float


def measure_machine(*, threads: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Machine:
    """Put `threads` in force and measure."""
    torch.set_num_threads(threads)
    where = torch.device(device)
    return Machine(
        processor=torch.cuda.get_device_name(where) if where.type == "cuda" else processor_name(),
        threads=threads,
        torch=torch.__version__,
        matrix_gmacs_per_s=matrix_gmacs_per_s(where, dtype),
        copy_gbytes_per_s=copy_gbytes_per_s(where),
    )


def floored(ms: float, floors: Floors, machine: Machine) -> Floored:
    """A time beside its floors on the machine."""
    arithmetic_ms = floors.macs / machine.matrix_gmacs_per_s / 1e6
    bandwidth_ms = floors.num_bytes / machine.copy_gbytes_per_s / 1e6
    return Floored(
        ms=ms,
        arithmetic_floor_ms=arithmetic_ms,
        bandwidth_floor_ms=bandwidth_ms,
        ratio=ms / max(arithmetic_ms, bandwidth_ms),
    )


def matrix_gmacs_per_s(device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    """Best of some products of two matrices, 1e9 multiply-adds per second."""
    size = MATRIX_SIZE[device.type]
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(size, size, generator=generator).to(device, dtype) for _ in range(2))
    return size**3 / best_seconds(lambda: left @ right, device) / 1e9


def copy_gbytes_per_s(device: torch.device) -> float:
    """Best of some copies from memory to memory, 1e9 bytes per second, those read and those written."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return 2 * COPY_BYTES / best_seconds(lambda: target.copy_(source), device) / 1e9


def best_seconds(work: Callable[[], object], device: torch.device) -> float:
    """The shortest of some runs."""
    return min(seconds(work, device) for _ in range(REPEATS))


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of some work, until the device has done it."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def in_turns(works: Sequence[Callable[[], object]], *, repeats: int, device: torch.device = CPU) -> list[float]:
    """Median milliseconds of each of some works, done in turns, so that they meet with the same disturbances.

    Each is done once before, which does not count.
    """
    taken = [[seconds(work, device) for work in works] for _ in range(repeats + 1)]
    return [1000 * statistics.median(column) for column in zip(*taken[1:], strict=True)]


def processor_name() -> str:
    """The processor, as Linux names it, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def line_of(machine: Machine) -> str:
    """One line about a machine."""
    return (
        f"{machine.processor}, {machine.threads} threads, torch {machine.torch}, "
        f"matrix product at {machine.matrix_gmacs_per_s:.1f} GMAC/s, copy at {machine.copy_gbytes_per_s:.1f} GB/s"
    )
