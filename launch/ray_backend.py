"""Units of work on actors of Ray: how a cluster is started or reached, and a pool that outlives its workers.

Nothing of Ray is kept: what ends is told to the caller, who journals it; the cluster may be thrown away at any time.
"""

import contextlib
import logging
import math
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import ray
import torch
from ray.exceptions import RayActorError, RayError

from launch.executors import tell_retry
from nas.executor import Failure, Outcome, Unit, attempt
from results.run_dir import environment
from search_spaces.errors import ClusterError, UsageError

logger = logging.getLogger(__name__)

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

ANSWER_S = 5.0
"""How long the address of a cluster may take to answer."""
QUIET_S = 30.0
"""After so long without a worker, say what is waited for."""
OBJECT_STORE_BYTES = 128 << 20
"""Of a cluster of one's own; tasks and results are small."""
_MAX_ROOT = 24
_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The empty frame of settings that each side of HTTP/2, and so of gRPC, begins with (RFC 9113, 3.4)."""
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS
_MUST_MATCH = ("movinas", "torch", "python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one worker takes of a cluster: bookkeeping of Ray, which limits nobody.

    Attributes:
        num_gpus: A share of one, or a whole number; with 0 a worker sees no GPU.
    """

    num_cpus: int
    num_gpus: float


@contextlib.contextmanager
def connected(address: str | None, place: Place, *, parallel: int) -> Iterator[None]:
    """A connection to a cluster: one of one's own on this machine, or the one at an address.

    One's own has room for `parallel` workers, no dashboard and a folder of its own, and ends with the context; for the
    token that its requests carry, see `launch.executors`.

    Args:
        address: `host:port`, or `auto` for the cluster that this machine is a node of; None starts one.
        place: Of one worker.
        parallel: Workers.

    Raises:
        ClusterError: It does not answer or does not start, or the machine lacks the GPUs.
        UsageError: An address of another form.
    """
    stop = signal.getsignal(signal.SIGTERM)
    with contextlib.ExitStack() as stack:
        if address is None:
            _check_gpus(place, parallel)
            settings = _own_cluster(stack, place, parallel)
        else:
            settings = {"address": _answering(address)}
        stack.callback(ray.shutdown)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # where Ray tells of lost workers
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, namespace="movinas", **settings)
        except Exception as error:  # Ray has no class of its own for this, and raises bare ones where time is up
            raise ClusterError(f"a Ray cluster must start or answer, but got: {_line(error)}", where=address) from error
        finally:
            signal.signal(signal.SIGTERM, stop)  # Ray puts a handler of its own there
        yield


def set_up_worker(threads: int, num_gpus: float) -> None:
    """Put in force what makes a worker compute as this process would; Ray sets no thread count of a reused process."""
    if num_gpus == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(threads)


def expected_of_nodes() -> dict[str, object]:
    """What must be on every node as it is here."""
    found = environment()
    return {name: found[name] for name in _MUST_MATCH}


def refusal(expected: dict[str, object], folder: Path | None) -> str | None:
    """What of the node that asks does not fit, None where workers may work on it.

    Args:
        expected: Of `expected_of_nodes`, where the work was begun.
        folder: Must be seen; None asks nothing.
    """
    found = environment()
    for name, wanted in expected.items():
        if found[name] != wanted:
            return f"{name} must be {wanted} on every node, but got {found[name]}"
    if folder is not None and not folder.is_dir():
        return f"{folder} must be storage that every node sees, but this one does not"
    return None


@dataclass(slots=True, kw_only=True)
class _Job(Generic[TaskT]):
    unit: Unit[TaskT]
    num_failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPool:
    """Implements `nas.executor.Executor` with a pool of actors; a lost worker's unit is computed again by another.

    Attributes:
        place: Of one worker.
        threads: Of torch in each worker.
        parallel: Workers at once, as far as the cluster has room.
        max_failures: How often a unit is tried again, after the loss of its worker or an error that is not movinas's.
        folder: Every worker must see it; None asks nothing.
    """

    place: Place
    threads: int
    parallel: int
    max_failures: int
    folder: Path | None = None

    def run(self, function: Callable[[TaskT], ResultT], units: Iterable[Unit[TaskT]]) -> Iterator[Outcome[ResultT]]:
        """As the protocol says.

        Raises:
            ClusterError: A worker can be started, but refuses its node; the cluster itself was lost.
        """
        crew: _Crew[TaskT, ResultT] = _Crew(self, function, iter(units))
        try:
            yield from crew.outcomes()
        finally:
            crew.dismiss()


class _Worker:
    """The actor."""

    def __init__(self, threads: int, num_gpus: float) -> None:
        set_up_worker(threads, num_gpus)

    def refusal(self, expected: dict[str, object], folder: Path | None) -> str | None:
        """See the function."""
        return refusal(expected, folder)

    def run(self, function: Callable[[TaskT], ResultT], task: TaskT) -> ResultT | Failure:
        """One try."""
        return attempt(function, task)


class _Crew(Generic[TaskT, ResultT]):
    """The workers of one call, and which unit each has."""

    def __init__(self, pool: RayPool, function: Callable[[TaskT], ResultT], units: Iterator[Unit[TaskT]]) -> None:
        self._pool, self._function, self._units = pool, function, units
        self._waiting: deque[_Job[TaskT]] = deque()
        self._starting: dict[Any, Any] = {}
        self._running: dict[Any, tuple[Any, _Job[TaskT]]] = {}
        self._idle: list[Any] = []
        self._num_lost_starts = 0

    def outcomes(self) -> Iterator[Outcome[ResultT]]:
        waited_s = 0.0
        while self._take() or self._running:
            self._hire()
            self._hand_out()
            done, _ = ray.wait([*self._starting, *self._running], num_returns=1, timeout=QUIET_S)
            waited_s = 0.0 if done or self._running else waited_s + QUIET_S
            if waited_s:
                tell_of_waiting("workers", self._pool.place, waited_s=waited_s)
            for ref in done:
                if ref in self._starting:
                    self._begin(ref)
                elif (outcome := self._end(ref)) is not None:
                    yield outcome

    def dismiss(self) -> None:
        for actor in (*self._starting.values(), *(actor for actor, _ in self._running.values()), *self._idle):
            _kill(actor)

    def _take(self) -> bool:
        """Have the next unit made where there is room for it; whether units wait for a worker."""
        has_room = self._idle or not self._running  # where nothing runs, workers are to come
        if has_room and not self._waiting and (unit := next(self._units, None)) is not None:
            self._waiting.append(_Job(unit=unit))
        return bool(self._waiting)

    def _hire(self) -> None:
        pool = self._pool
        num_missing = pool.parallel - len(self._starting) - len(self._running) - len(self._idle)
        for _ in range(num_missing if self._waiting else 0):
            actor_class = ray.remote(_Worker).options(num_cpus=pool.place.num_cpus, num_gpus=pool.place.num_gpus)
            actor: Any = actor_class.remote(pool.threads, pool.place.num_gpus)  # Ray's own types know no methods
            self._starting[actor.refusal.remote(expected_of_nodes(), pool.folder)] = actor

    def _hand_out(self) -> None:
        while self._idle and self._waiting:
            actor, job = self._idle.pop(), self._waiting.popleft()
            self._running[actor.run.remote(self._function, job.unit.task)] = (actor, job)
            self._take()

    def _begin(self, ref: Any) -> None:  # noqa: ANN401 -- Ray's own types are generated
        actor = self._starting.pop(ref)
        try:
            refusal = ray.get(ref)
        except RayError as error:
            _kill(actor)
            self._num_lost_starts += 1
            if self._num_lost_starts > self._pool.max_failures + self._pool.parallel:
                raise ClusterError(f"a worker must start, but got: {_line(error)}") from error
            return
        if refusal is not None:
            raise ClusterError(refusal)
        self._num_lost_starts = 0
        self._idle.append(actor)

    def _end(self, ref: Any) -> Outcome[ResultT] | None:  # noqa: ANN401
        actor, job = self._running.pop(ref)
        outcome: ResultT | Failure
        try:
            outcome = ray.get(ref)
        except RayActorError as error:
            _kill(actor)
            outcome = Failure(error=f"its worker was lost: {_line(error)}", again=True)
        except RayError as error:
            self._idle.append(actor)
            outcome = Failure(error=_line(error), again=True)
        else:
            self._idle.append(actor)
        if not (isinstance(outcome, Failure) and outcome.again):
            return Outcome(name=job.unit.name, outcome=outcome)
        job.num_failures += 1
        tell_retry(job.unit.name, outcome.error, number=job.num_failures, max_failures=self._pool.max_failures)
        if job.num_failures > self._pool.max_failures:
            return Outcome(name=job.unit.name, outcome=outcome)
        self._waiting.append(job)
        return None


def tell_of_waiting(what: str, place: Place, *, waited_s: float) -> None:
    """Log for how long the cluster has had no room, and for what; whoever waits calls it every `QUIET_S`."""
    room = ray.available_resources()  # type: ignore[no-untyped-call]
    logger.warning(
        "for %.0f s %s could not start: each needs %d CPUs and %g GPUs, and the cluster has %g and %g free",
        waited_s,
        what,
        place.num_cpus,
        place.num_gpus,
        room.get("CPU", 0.0),
        room.get("GPU", 0.0),
    )


def _kill(actor: Any) -> None:  # noqa: ANN401
    with contextlib.suppress(RayError, ValueError):
        ray.kill(actor)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _check_gpus(place: Place, parallel: int) -> None:
    found = torch.cuda.device_count()
    if place.num_gpus * parallel > found:
        raise ClusterError(
            f"this machine must have the GPUs of all workers, {place.num_gpus:g} for each of {parallel}, "
            f"but has {found}; take a smaller share, fewer workers, or a cluster with --ray-address"
        )


def _own_cluster(stack: contextlib.ExitStack, place: Place, parallel: int) -> dict[str, Any]:
    """Settings of a cluster that nobody else finds; its folder goes with `stack`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of it
    root = tempfile.gettempdir()
    # the path of a socket within has at most 107 bytes, of which Ray takes 65
    folder = tempfile.mkdtemp(prefix="movinas-", dir=root if len(root) <= _MAX_ROOT else "/tmp")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return {
        "address": "local",
        "include_dashboard": False,
        "num_cpus": place.num_cpus * parallel,
        "num_gpus": math.ceil(place.num_gpus * parallel),
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": folder,
        "_system_config": {"worker_niceness": 0},  # by default 15: whatever else runs would stop the sweep
    }


def _greeting(connection: socket.socket) -> bytes:
    """What the other side says first to somebody who speaks HTTP/2, at most 9 bytes."""
    connection.sendall(_HELLO)
    with connection.makefile("rb") as stream:
        return stream.read(len(_SETTINGS))


def _answering(address: str) -> str:
    """The address, once something answers there; Ray itself would try for minutes.

    Raises:
        UsageError: It is not written as an address.
        ClusterError: Nothing answers.
    """
    if address == "auto":
        return address
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        raise UsageError(
            f"ray_address must be auto or host:port of the cluster's head, such as 10.0.0.4:6379, but got {address!r}; "
            "run this on a machine of the cluster"
        )
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_S) as connection:
            greeting = _SETTINGS if os.environ.get("RAY_USE_TLS") == "1" else _greeting(connection)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClusterError(f"a Ray cluster must answer at ray_address, but got {reason}", where=address) from error
    if greeting[3:4] != _SETTINGS[3:4]:
        raise ClusterError("a Ray cluster must answer at ray_address, but something else does", where=address)
    return address
