"""What this machine can do at most, measured in the same run as what is compared with it."""

import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

MATRIX_SIZE = 1024
REPEATS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where a figure was measured.

    Attributes:
        processor: As the system names it.
        threads: Of torch.
        torch: Version.
        matrix_gmacs_per_s: Best rate of an fp32 product of two square matrices on so many threads, 1e9 multiply-adds
            per second.
    """

    processor: str
    threads: int
    torch: str
    matrix_gmacs_per_s: float


def measure_machine(*, threads: int) -> Machine:
    """Put `threads` in force and measure."""
    torch.set_num_threads(threads)
    return Machine(
        processor=processor_name(),
        threads=threads,
        torch=torch.__version__,
        matrix_gmacs_per_s=matrix_gmacs_per_s(),
    )


def matrix_gmacs_per_s() -> float:
    """Best of some products of two fp32 matrices, 1e9 multiply-adds per second."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(MATRIX_SIZE, MATRIX_SIZE, generator=generator) for _ in range(2))
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return MATRIX_SIZE**3 / best / 1e9


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
        f"fp32 matrix product at {machine.matrix_gmacs_per_s:.1f} GMAC/s"
    )
