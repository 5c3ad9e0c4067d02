"""Times of networks and of their parts as inference runs them, on a machine that others use too."""

import importlib.metadata
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from launch.bench.machine import processor_name
from search_spaces.errors import LatencyTableError, UsageError
from search_spaces.latency_table import CALL, Device, Unit, keys_of
from search_spaces.space import Candidate
from supernet.frozen import FrozenNet
from supernet.native.build import library
from supernet.video_net import VideoNet

T = TypeVar("T")

PATIENCE = 8
"""Calls, per call that counts, after which disturbed ones count too."""
UNCOUNTED_CALLS = 5
"""Before those that count, whenever a network has its turn: its weights and memory come back into the caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What one network took: its parts in order, and the rest of the call; seconds."""

    parts: tuple[float, ...]
    rest: float


class Timed:
    """A frozen network with weights of no meaning, called again and again for one frame or clip after the other.

    Raises:
        SpecError: A frame is asked for of a network that does not stream.
    """

    def __init__(self, candidate: Candidate, *, per: Unit, num_classes: int) -> None:
        clip = candidate.spec.clip
        self._net = FrozenNet(VideoNet(candidate.spec, candidate.variant, num_classes=num_classes, rezero=1.0).eval())
        frames = 1 if per == "frame" else clip.num_frames
        self._clips_BCTHW = torch.rand(
            1, 3, frames, clip.resolution, clip.resolution, generator=torch.Generator().manual_seed(0)
        )
        self._state = self._net.init_state(1, clip.resolution, clip.resolution) if per == "frame" else None

    def seconds(self, *, calls: int) -> float:
        """Median time of whole calls."""
        self._warm_up()
        return statistics.median(seconds for seconds, _ in undisturbed(self._whole, calls=calls))

    def visit(self, *, calls: int) -> Visit:
        """Median time of each part, and of what a call costs beside them."""
        self._warm_up()
        found = undisturbed(lambda: self._net.part_seconds(self._clips_BCTHW, self._state).numpy(), calls=calls)
        parts_NP = np.stack([parts_P for _, parts_P in found])
        rest_N = np.array([seconds for seconds, _ in found]) - parts_NP.sum(axis=1)
        return Visit(parts=tuple(np.median(parts_NP, axis=0).tolist()), rest=max(0.0, float(np.median(rest_N))))

    def _warm_up(self) -> None:
        for _ in range(UNCOUNTED_CALLS):
            self._whole()

    def _whole(self) -> None:
        if self._state is None:
            self._net(self._clips_BCTHW)
        else:
            self._net.step_(self._clips_BCTHW, self._state)


def undisturbed(work: Callable[[], T], *, calls: int) -> list[tuple[float, T]]:
    """Wall time and result of calls during which no thread of ours lost its processor to another process.

    On a machine so busy that there are too few of these, the fastest others make up the number.
    """
    clean: list[tuple[float, T]] = []
    other: list[tuple[float, T]] = []
    while len(clean) < calls and len(clean) + len(other) < PATIENCE * calls:
        switches, start = _switches(), time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
        (clean if _switches() == switches else other).append((seconds, result))
    return clean + sorted(other, key=lambda each: each[0])[: calls - len(clean)]


def _switches() -> int:
    """How often a thread of ours lost its processor so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def this_device(*, threads: int) -> Device:
    """The device that networks are timed on, with `threads` in force.

    Raises:
        UsageError: There are no kernels of our own, so that parts cannot be timed.
    """
    kernels = library()
    if kernels is None:
        raise UsageError(
            "a latency table must be measured with the kernels that movinas builds, on Linux with a C++ compiler, but "
            "there are none"
        )
    torch.set_num_threads(threads)
    return Device(
        processor=processor_name(),
        device="cpu",
        backend="native",
        kernels=Path(kernels._name).stem.removeprefix("kernels-"),
        dtype="fp32",
        threads=threads,
        torch=torch.__version__,
        movinas=importlib.metadata.version("movinas"),
    )


def check_device(found: Device, *, wanted: Device) -> None:
    """Refuse to compare times of two devices.

    Raises:
        LatencyTableError: They differ.
    """
    here = asdict(wanted)
    different = [
        f"{name} {value!r} and not {here[name]!r}" for name, value in asdict(found).items() if value != here[name]
    ]
    if different:
        raise LatencyTableError(f"times must be of this device, but are of another: {', '.join(different)}")


def combined(candidates: Sequence[Candidate], visits: Sequence[Visit]) -> tuple[dict[str, float], float]:
    """The time of every entry, and the median of the entries' spreads.

    What an entry took is the median over the networks that it stood in. Whole calls are a line over the sum of what
    their entries took: layers are slower where others are large, for they share the caches, and a call does more than
    run its parts. Entries are multiplied by its slope, and its constant is the entry of the call; it may be negative.
    """
    taken: dict[str, list[float]] = {}
    keys = [keys_of(candidate.spec) for candidate in candidates]
    for keys_P, visit in zip(keys, visits, strict=True):
        for key, seconds in zip(keys_P, visit.parts, strict=True):
            taken.setdefault(key, []).append(seconds)
    medians = {key: statistics.median(values) for key, values in taken.items()}
    constant, slope = resistant_line(
        np.array([sum(medians[key] for key in keys_P) for keys_P in keys]),
        np.array([sum(visit.parts) + visit.rest for visit in visits]),
    )
    spreads = [(max(values) - min(values)) / medians[key] for key, values in taken.items() if medians[key] > 0]
    return {CALL: constant, **{key: slope * median for key, median in medians.items()}}, statistics.median(spreads)


def resistant_line(x_N: NDArray[np.float64], y_N: NDArray[np.float64]) -> tuple[float, float]:
    """Constant and slope of the line through the medians of the outer thirds (Tukey, Exploratory Data Analysis, 1977).

    The slope is 1 where the thirds are not apart, or do not rise, as on a machine so disturbed that calls of larger
    networks took less than those of smaller ones: no entry takes less than no time.
    """
    order_N, third = np.argsort(x_N, kind="stable"), len(x_N) // 3
    low_N, high_N = order_N[:third], order_N[len(x_N) - third :]
    run = float(np.median(x_N[high_N]) - np.median(x_N[low_N])) if third else 0.0
    rise = float(np.median(y_N[high_N]) - np.median(y_N[low_N])) if third else 0.0
    slope = rise / run if run > 0 and rise > 0 else 1.0
    return float(np.median(y_N - slope * x_N)), slope


def interleaved(nets: Sequence[Timed], *, calls: int, rounds: int) -> NDArray[np.float64]:
    """Times of networks in turns, so that all meet with the same disturbances, (rounds, networks), seconds."""
    return np.array([[net.seconds(calls=calls) for net in nets] for _ in range(rounds)])
