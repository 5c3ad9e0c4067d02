"""Who computes the units of a sweep: this process, actors of Ray, or trials of Ray Tune, with equal results."""

import contextlib
import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from nas.executor import Executor, Failure, Outcome, Unit, attempt
from search_spaces.errors import UsageError

logger = logging.getLogger(__name__)

ExecutorName = Literal["inline", "ray", "tune"]

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """Where the members of a sweep are computed.

    Attributes:
        threads: Of torch in each member; also its CPUs on Ray, with one for every worker.
        workers: Processes of each member that read clips.
        executor: inline, ray, or tune.
        parallel: Members at once, on Ray.
        gpus: Of each member, on Ray; a share below 1 or a whole number.
        ray_address: host:port of a running cluster, or auto; None starts one on this machine.
        max_failures: How often a member is tried again that lost its worker or broke.
    """

    threads: int = 1
    workers: int = 0
    executor: ExecutorName = "inline"
    parallel: int = 1
    gpus: float = 0.0
    ray_address: str | None = None
    max_failures: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineExecutor:
    """Implements `nas.executor.Executor` in this process, one unit after the other.

    Attributes:
        max_failures: How often a unit is tried again after an error that is not movinas's own.
    """

    max_failures: int = 0

    def run(self, function: Callable[[TaskT], ResultT], units: Iterable[Unit[TaskT]]) -> Iterator[Outcome[ResultT]]:
        """As the protocol says."""
        for unit in units:
            yield Outcome(name=unit.name, outcome=attempts(function, unit, max_failures=self.max_failures))


def attempts(function: Callable[[TaskT], ResultT], unit: Unit[TaskT], *, max_failures: int) -> ResultT | Failure:
    """The result of a unit in this process, or its last failure after `max_failures` tries more."""
    outcome = attempt(function, unit.task)
    for number in range(1, max_failures + 2):
        if not (isinstance(outcome, Failure) and outcome.again):
            break
        tell_retry(unit.name, outcome.error, number=number, max_failures=max_failures)
        if number <= max_failures:
            outcome = attempt(function, unit.task)
    return outcome


def tell_retry(name: str, error: str, *, number: int, max_failures: int) -> None:
    """Log a failure after which there may be another try; `number` counts the failures of the unit."""
    last = "; it is not tried again" if number > max_failures else f"; try {number + 1} of {max_failures + 1} follows"
    logger.warning("%s failed: %s%s", name, error, last)


def check_executor(options: ExecutorOptions) -> None:
    """Refuse options that do not go together, before anything is written or started.

    Raises:
        UsageError: A number outside its range, or an option of Ray without Ray.
    """
    if options.executor not in ("inline", "ray", "tune"):
        raise UsageError(f"executor must be inline, ray or tune, but got {options.executor!r}")
    if options.parallel < 1 or options.max_failures < 0 or options.gpus < 0:
        raise UsageError(
            "parallel must be at least 1, max_failures and gpus at least 0, but got "
            f"{options.parallel}, {options.max_failures} and {options.gpus}"
        )
    if options.gpus > 1 and options.gpus != int(options.gpus):
        raise UsageError(f"gpus must be a share below 1 or a whole number, but got {options.gpus}")
    if options.threads < 1 or options.workers < 0:
        raise UsageError(
            "threads must be at least 1 and workers at least 0, for each member is to have the same number wherever "
            f"it runs, but got {options.threads} and {options.workers}"
        )
    if options.executor == "inline" and (options.parallel > 1 or options.gpus > 0 or options.ray_address is not None):
        raise UsageError("parallel, gpus and ray_address must go with --executor ray or tune, but got inline")


@contextlib.contextmanager
def started(options: ExecutorOptions, *, folder: Path) -> Iterator[Executor]:
    """The executor of some options; a cluster of its own, if it has one, ends with the context.

    Args:
        options: Checked with `check_executor`.
        folder: Must be seen by every worker; units leave their files there.

    Raises:
        ClusterError: The cluster cannot be started or reached.
    """
    if options.executor == "inline":
        yield InlineExecutor(max_failures=options.max_failures)
        return
    if options.ray_address is None:
        require_token()
    # Ray takes a second to import, which a search of one process must not pay
    from launch import ray_backend, tune_backend  # noqa: PLC0415

    place = ray_backend.Place(num_cpus=options.threads + options.workers, num_gpus=options.gpus)
    with ray_backend.connected(options.ray_address, place, parallel=options.parallel):
        if options.executor == "tune":
            yield tune_backend.TuneExecutor(
                place=place,
                threads=options.threads,
                parallel=options.parallel,
                max_failures=options.max_failures,
                storage=folder / "tune",
            )
        else:
            yield ray_backend.RayPool(
                place=place,
                threads=options.threads,
                parallel=options.parallel,
                max_failures=options.max_failures,
                folder=folder,
            )


def require_token() -> None:
    """Have a cluster of this process refuse requests without a token that nobody else knows.

    Ray's processes listen on every interface of the machine, and run what they are sent. Ray reads these variables
    once, when it is imported; where that has happened, or the user has chosen, nothing changes.
    """
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
