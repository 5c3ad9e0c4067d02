"""Which options of a training or search say how many processes run it and where, and how those are started."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import torch

from launch.compute import ComputeOptions, resolved
from launch.executors import require_token
from launch.ranks import RankMain, local_number, run_ranks
from search_spaces.errors import UsageError
from supernet.distributed import Ranks

T = TypeVar("T")
OptionsT = TypeVar("OptionsT", bound="RankOptions")

RankExecutor = Literal["inline", "ray"]


class RankOptions(ComputeOptions, Protocol):
    """The options of a verb that computes on ranks."""

    @property
    def ranks(self) -> int:
        """Processes."""
        ...

    @property
    def executor(self) -> RankExecutor:
        """Who starts them."""
        ...

    @property
    def gpus(self) -> int:
        """GPUs of each on Ray."""
        ...

    @property
    def ray_address(self) -> str | None:
        """Of a running cluster."""
        ...

    @property
    def max_failures(self) -> int:
        """How often Ray starts them again."""
        ...


def check_ranks(options: RankOptions) -> None:
    """Refuse options that do not go together, before anything is written or started.

    Raises:
        UsageError: A number outside its range, or an option of Ray without Ray.
    """
    if options.ranks < 1:
        raise UsageError(f"ranks must be at least 1, but got {options.ranks}")
    if options.gpus not in (0, 1) or options.max_failures < 0:
        raise UsageError(
            f"gpus must be 0 or 1 and max_failures at least 0, but got {options.gpus} and {options.max_failures}"
        )
    if options.executor == "inline" and (options.gpus or options.ray_address is not None):
        raise UsageError("gpus and ray_address must go with --executor ray, but got inline")


def resolved_on_ranks(options: OptionsT, ranks: Ranks, *, check: Callable[[OptionsT], None]) -> OptionsT:
    """The options as a run folder keeps them, with what was left open chosen for the machine of each rank.

    Args:
        options: Checked.
        ranks: Of torchrun; without it, ranks are still to be started.
        check: Refuses a number of ranks that does not divide the work.

    Raises:
        UsageError: What the machine lacks, or `check` refuses.
    """
    if ranks.size > 1:
        if options.ranks != 1 or options.executor != "inline":
            raise UsageError("ranks and executor must not be given under torchrun, which says how many ranks there are")
        options = _changed(options, ranks=ranks.size)
        check(options)
        return resolved(options, ranks=local_number("LOCAL_WORLD_SIZE", ranks.size))
    if options.executor == "ray":
        return _changed(resolved(options), device=options.device)  # the nodes know which, not this machine
    options = resolved(options, ranks=options.ranks)
    found = torch.cuda.device_count()
    if options.device.startswith("cuda") and options.ranks > max(1, found):
        raise UsageError(f"each rank must have a CUDA device, but there are {options.ranks} ranks and {found} devices")
    return options


def moved(options: OptionsT, size: int) -> OptionsT:
    """The options of a run that goes on, on so many ranks of this machine or of torchrun, wherever it was before."""
    return _changed(options, ranks=size, executor="inline", gpus=0, ray_address=None)


def on_cluster(options: OptionsT, ray_address: str | None) -> OptionsT:
    """The options of a run that goes on at another address than it was begun at; None leaves them.

    Raises:
        UsageError: Its ranks are not on Ray.
    """
    if ray_address is None:
        return options
    if options.executor != "ray":
        raise UsageError(
            "ray_address must go with a sweep or with a run begun with --executor ray, but this is neither"
        )
    return _changed(options, ray_address=ray_address)


def are_elsewhere(options: RankOptions, ranks: Ranks) -> bool:
    """Whether other processes are to be started to compute, rather than this one, which is one of `ranks`."""
    return ranks.size == 1 and (options.ranks > 1 or options.executor == "ray")


def start_ranks(main: RankMain[T], argument: T, options: RankOptions, *, folder: Path) -> None:
    """Run `main(argument, ranks)` on as many ranks as the options say, and wait for their end.

    Args:
        main: What every rank does.
        argument: Of it.
        options: Resolved.
        folder: Of the run, absolute.

    Raises:
        RankLostError: A rank was killed, on Ray in all tries.
        MovinasError: What a rank raised.
        ClusterError: A cluster of Ray does not start or answer.
    """
    if options.executor == "inline":
        run_ranks(main, argument, size=options.ranks)
        return
    if options.ray_address is None:
        require_token()
    # Ray takes a second to import, which others must not pay
    from launch import ray_backend, ray_train  # noqa: PLC0415

    ray_train.train_on_ray(
        main,
        argument,
        size=options.ranks,
        place=ray_backend.Place(num_cpus=options.threads + options.workers, num_gpus=options.gpus),
        threads=options.threads,
        address=options.ray_address,
        max_failures=options.max_failures,
        folder=folder,
    )


def _changed(options: OptionsT, **changes: Any) -> OptionsT:  # noqa: ANN401
    return replace(options, **changes)  # type: ignore[type-var]
