"""Where and with how many hands something is computed."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import torch

from results.run_dir import Environment, environment
from search_spaces.errors import UsageError
from supernet.depthwise.table import table_digest
from supernet.native.build import library

Amp = Literal["off", "bf16"]
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
TrainingAmp = Literal["off", "bf16", "fp16"]
"""Where gradients are scaled, which fp16 needs."""

T = TypeVar("T", bound="ComputeOptions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Resolved settings of a computation.

    Attributes:
        device: Such as `cpu` or `cuda:0`.
        num_threads: Of torch in this process; results of another number may differ in the last bits.
        num_workers: Processes that read clips; 0 reads them in this one.
        amp_dtype: Type of autocast, None for none.
    """

    device: torch.device
    num_threads: int
    num_workers: int
    amp_dtype: torch.dtype | None


def resolve_device(name: str) -> str:
    """`auto` becomes the first CUDA device, or the CPU where there is none.

    Raises:
        UsageError: No such device here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device must be one that torch finds here, but got {name!r}") from error
    return name


def memory_bytes(device: str) -> int:
    """All memory of a device; of the CPU what this machine, or the group of processes that this one is in, may have."""
    if device != "cpu":
        return torch.cuda.get_device_properties(device).total_memory
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [path.read_text("ascii").strip() for path in MEMORY_LIMITS if path.is_file()]
    return min([whole, *(int(limit) for limit in limits if limit.isdecimal())])


def resolve_threads(threads: int, *, ranks: int = 1) -> int:
    """0 becomes the number of cores this process may use, or its share where `ranks` processes compute here."""
    if threads < 0:
        raise UsageError(f"threads must be at least 0, but got {threads}")
    return threads or max(1, len(os.sched_getaffinity(0)) // ranks)


def resolve_workers(workers: int, device: str, *, ranks: int = 1) -> int:
    """-1 becomes two less than the cores, shared as threads are, at most 8; at least 1 where a device computes."""
    if workers < -1:
        raise UsageError(f"workers must be at least -1, but got {workers}")
    fewest = 0 if torch.device(device).type == "cpu" else 1
    return max(fewest, min(8, len(os.sched_getaffinity(0)) // ranks - 2)) if workers == -1 else workers


def amp_dtype_of(amp: TrainingAmp) -> torch.dtype | None:
    """Type of autocast, None for none."""
    return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]


def environment_of(threads: int, *, ranks: int = 1) -> Environment:
    """What equal results depend on, with what torch and our own kernels add to it."""
    return {
        **environment(),
        "threads": threads,
        "ranks": ranks,
        "native_kernels": library() is not None,
        "depthwise_table": table_digest(),
    }


class ComputeOptions(Protocol):
    """The options that every verb that computes has."""

    @property
    def device(self) -> str:
        """As torch names it, or `auto`."""
        ...

    @property
    def threads(self) -> int:
        """Of torch; 0 takes all cores."""
        ...

    @property
    def workers(self) -> int:
        """Processes that read clips; -1 chooses."""
        ...

    @property
    def amp(self) -> TrainingAmp:
        """Autocast of the network."""
        ...


def resolved(options: T, *, ranks: int = 1) -> T:
    """The same options with what was left open chosen for this machine, for a run folder to keep.

    Args:
        options: As given.
        ranks: Processes that compute on this machine together, each with these options.

    Raises:
        UsageError: A setting that this machine does not have, or outside its range.
    """
    device = resolve_device(options.device)
    chosen = {
        "device": device,
        "threads": resolve_threads(options.threads, ranks=ranks),
        "workers": resolve_workers(options.workers, device, ranks=ranks),
    }
    return replace(options, **chosen)  # type: ignore[type-var]


def set_up(options: ComputeOptions, *, local_rank: int | None = None) -> Compute:
    """Resolve settings and put them in force for this process; errors as `resolved`.

    Args:
        options: As given, or resolved.
        local_rank: Of one of several processes of this machine, of which each has the CUDA device of its number.
    """
    device = resolve_device(options.device)
    if local_rank is not None and device == "cuda":
        device = resolve_device(f"cuda:{local_rank}")
        torch.cuda.set_device(local_rank)
    compute = Compute(
        device=torch.device(device),
        num_threads=resolve_threads(options.threads),
        num_workers=resolve_workers(options.workers, device),
        amp_dtype=amp_dtype_of(options.amp),
    )
    torch.set_num_threads(compute.num_threads)
    return compute
