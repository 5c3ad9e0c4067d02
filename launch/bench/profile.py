"""Where the time of some work goes: seconds per kind of operator, as torch's profiler books them."""

import contextlib
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from launch import console
from supernet import native
from supernet.native import network

KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("depthwise convolution", ("_Depthwise", "depthwise")),
    ("squeeze-and-excitation", ("FrameMeans", "ScaleFrames", "frame", "aten::mean", "frozen::gates")),
    ("norm and activation", ("Norm", "norm", "silu", "hardswish", "sigmoid", "scale_activate", "channel_statistics")),
    (
        "product of matrices",
        ("aten::mm", "aten::addmm", "aten::bmm", "aten::linear", "frozen::expand", "frozen::project", "frozen::head"),
    ),
    ("other convolution", ("conv", "frozen::stem")),
    ("part of a shared weight", ("_Leading", "slice", "Slice")),
    ("copy", ("aten::copy_", "aten::cat", "aten::clone", "aten::contiguous", "aten::constant_pad_nd", "aten::lerp")),
    ("fill", ("aten::fill_", "aten::zero_", "aten::zeros", "Memset")),
    ("sum and product", ("aten::add", "aten::mul", "aten::div", "aten::sub", "aten::sum", "aten::stack")),
)
"""Kinds, and what the names of their operators contain; the first that fits counts."""
NO_KERNELS = ("usable", "shape_of", "library")
OTHER, BETWEEN = "other operators", "between operators"
NUM_OPERATORS = 12
UNCOUNTED_RUNS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one kind, or one operator, took of a run.

    Attributes:
        name: Of the kind or the operator.
        ms: Milliseconds per run.
        share: Of all of the run, in [0, 1].
        calls: Per run.
    """

    name: str
    ms: float
    share: float
    calls: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where the time of a run goes.

    Attributes:
        name: Of the work.
        kinds: All kinds, largest first; `between operators` is what no operator took: Python, and the profiler.
        operators: The largest operators.
    """

    name: str
    kinds: tuple[Share, ...]
    operators: tuple[Share, ...]


def profile_of(name: str, work: Callable[[], object], *, repeats: int, device: torch.device) -> Profile:
    """Run some work and book where its time goes; the profiler makes it slower, and what is between operators most."""
    for _ in range(UNCOUNTED_RUNS):
        work()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with _named_kernels(), network.timed() as frozen, profile(activities=activities) as profiler:
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        whole_ms = 1000 * (time.perf_counter() - start)
    on_device = device.type == "cuda"
    taken = {
        event.key: ((event.self_device_time_total if on_device else event.self_cpu_time_total) / 1000, event.count)
        for event in profiler.key_averages()
    }
    taken |= {f"frozen::{phase}": (1000 * seconds, repeats) for phase, seconds in frozen.items() if seconds}
    kinds: dict[str, tuple[float, int]] = {}
    for key, (ms, calls) in taken.items():
        before_ms, before_calls = kinds.get(kind_of(key), (0.0, 0))
        kinds[kind_of(key)] = (before_ms + ms, before_calls + calls)
    kinds[BETWEEN] = (max(0.0, whole_ms - sum(ms for ms, _ in taken.values())), 0)
    return Profile(
        name=name,
        kinds=_shares(kinds, whole_ms, repeats),
        operators=_shares(taken, whole_ms, repeats)[:NUM_OPERATORS],
    )


@contextlib.contextmanager
def _named_kernels() -> Iterator[None]:
    """Our own kernels are no operators of torch, whose profiler would not see them where they have no backward pass."""
    kernels = {
        name: function
        for name, function in vars(native).items()
        if inspect.isfunction(function) and name not in NO_KERNELS and not name.startswith("_")
    }
    try:
        for name, function in kernels.items():
            setattr(native, name, record_function(f"native::{name}")(function))
        yield
    finally:
        for name, function in kernels.items():
            setattr(native, name, function)


def kind_of(operator: str) -> str:
    """The kind of an operator, by its name; what autograd wraps around one counts for it."""
    return next((kind for kind, parts in KINDS if any(part in operator for part in parts)), OTHER)


def show_profiles(profiles: Sequence[Profile]) -> None:
    """Print where the time goes."""
    for found in profiles:
        for title, shares in (("by kind", found.kinds), ("largest operators", found.operators)):
            console.show_table(
                f"{found.name}, {title}",
                ("", "ms", "share, %", "calls"),
                [(share.name, f"{share.ms:.2f}", f"{100 * share.share:.1f}", f"{share.calls:.0f}") for share in shares],
            )


def _shares(taken: dict[str, tuple[float, int]], whole_ms: float, repeats: int) -> tuple[Share, ...]:
    found = [
        Share(name=name, ms=ms / repeats, share=ms / whole_ms, calls=calls / repeats)
        for name, (ms, calls) in taken.items()
    ]
    return tuple(sorted(found, key=lambda share: -share.ms))
