"""Units of work as trials of Ray Tune, for clusters where sweeps are watched and limited as Tune's experiments.

What Tune keeps of an experiment (pickles) is never read again: the caller's journal resumes, Tune only computes.
"""

import queue
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from ray import tune
from ray.tune.search import Searcher

from launch.executors import attempts
from launch.ray_backend import Place, set_up_worker
from nas.executor import Failure, Outcome, Unit
from search_spaces.errors import ClusterError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

POLL_S = 1.0
_NO_MORE = cast(dict[str, Any], Searcher.FINISHED)  # a text, which Ray's annotations do not know of


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneExecutor:
    """Implements `nas.executor.Executor` with one experiment of Tune per call.

    Attributes:
        place: Of one trial.
        threads: Of torch in each trial.
        parallel: Trials at once.
        max_failures: How often a trial is tried again, after errors in it and after losses of its worker each.
        storage: Folder of the experiments, absolute; every node must see it.
    """

    place: Place
    threads: int
    parallel: int
    max_failures: int
    storage: Path

    def run(self, function: Callable[[TaskT], ResultT], units: Iterable[Unit[TaskT]]) -> Iterator[Outcome[ResultT]]:
        """As the protocol says.

        Raises:
            ClusterError: Tune itself failed.
        """
        source = iter(units)
        desk = _Desk()
        names: dict[str, None] = {}  # of the units on their way, in order
        experiment = threading.Thread(target=self._experiment, args=(function, desk), daemon=True)
        try:
            while True:
                while len(names) < self.parallel and (unit := next(source, None)) is not None:
                    names[unit.name] = None
                    desk.todo.put(unit)
                    if not experiment.is_alive():
                        experiment.start()
                if not names:
                    return
                outcome = desk.next_outcome(experiment)
                del names[outcome.name]
                yield outcome
        finally:
            desk.closed.set()
            if experiment.is_alive():
                experiment.join()

    def _experiment(self, function: Callable[[Any], Any], desk: "_Desk") -> None:
        threads, num_gpus, max_failures = self.threads, self.place.num_gpus, self.max_failures

        def trial(config: dict[str, Any]) -> None:
            set_up_worker(threads, num_gpus)
            outcome = attempts(function, config["unit"], max_failures=max_failures)
            tune.report({"outcome": outcome})  # Tune itself tries again where a worker or node was lost

        resources = {"CPU": self.place.num_cpus, "GPU": self.place.num_gpus}
        try:
            results = tune.Tuner(
                tune.with_resources(trial, resources),
                tune_config=tune.TuneConfig(
                    search_alg=_Feeder(desk),
                    metric="outcome",
                    mode="max",
                    num_samples=-1,
                    max_concurrent_trials=self.parallel,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name=f"experiment-{uuid.uuid4().hex[:8]}",
                    storage_path=str(self.storage),
                    failure_config=tune.FailureConfig(max_failures=self.max_failures),
                    verbose=0,
                ),
            ).fit()
            if results.num_errors > desk.num_failures:  # trials that failed and were not told of
                raise ClusterError(f"Ray Tune must tell of every trial that failed, but did not: {results.errors[0]}")
        except Exception as error:  # for the thread that waits
            desk.broken = error


class _Desk:
    """Where the caller's thread and Tune's hand units and outcomes to each other."""

    def __init__(self) -> None:
        self.todo: queue.SimpleQueue[Unit[Any]] = queue.SimpleQueue()
        self.outcomes: queue.SimpleQueue[Outcome[Any]] = queue.SimpleQueue()
        self.closed = threading.Event()
        self.broken: Exception | None = None
        self.num_failures = 0

    def __reduce__(self) -> tuple[type["_Desk"], tuple[()]]:
        return _Desk, ()  # Tune writes its searcher to the disk, where nobody reads it

    def __deepcopy__(self, memo: object) -> "_Desk":
        return self

    def next_outcome(self, experiment: threading.Thread) -> Outcome[Any]:
        while True:
            try:
                return self.outcomes.get(timeout=POLL_S)
            except queue.Empty:
                if not experiment.is_alive() and self.outcomes.empty():
                    raise ClusterError(f"Ray Tune must compute every unit, but got: {self.broken}") from self.broken


class _Feeder(Searcher):
    """Gives Tune the units that are at the desk as trials, and lays their outcomes there."""

    def __init__(self, desk: _Desk) -> None:
        super().__init__(metric="outcome", mode="max")
        self._desk = desk
        self._names: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        if self._desk.closed.is_set():
            return _NO_MORE
        try:
            unit = self._desk.todo.get_nowait()
        except queue.Empty:
            return None  # Tune asks again
        self._names[trial_id] = unit.name
        return {"unit": unit}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        name = self._names.pop(trial_id)
        if error or result is None:
            self._desk.num_failures += 1
            failure = Failure(error="its worker was lost in every try", again=True)
            self._desk.outcomes.put(Outcome(name=name, outcome=failure))
        else:
            self._desk.outcomes.put(Outcome(name=name, outcome=result["outcome"]))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal resumes."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing likewise."""
