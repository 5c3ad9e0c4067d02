"""What every `nas.executor.Executor` must do; put an implementation through all of `CHECKS`.

A check takes an executor that tries a unit again twice, with room for two units at most and one thread of torch in
each, and an empty folder that its workers see. This module must be importable where they run.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from nas.executor import Executor, Failure, Outcome, Unit
from search_spaces.errors import UsageError
from search_spaces.randomness import generator

Check = Callable[[Executor, Path], None]

MAX_FAILURES = 2
PARALLEL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a unit of the suite does: `failures` times `behaviour`, then its work."""

    folder: Path
    name: str
    behaviour: str = ""
    failures: int = 0


def work(task: Task) -> float:
    """Leaves a line for every try."""
    log = task.folder / task.name
    with log.open("a") as file:
        file.write(f"{os.getpid()} {torch.get_num_threads()}\n")
    if len(log.read_text().splitlines()) <= task.failures:
        if task.behaviour == "refuse":
            raise UsageError("a task must be good, but got a bad one")
        if task.behaviour == "break":
            raise ZeroDivisionError("over and\nover")
        os._exit(7)
    weights = torch.from_numpy(generator(0, task.name).normal(size=(64, 64)))
    return float((weights @ weights).sin().sum())


def priority(increment: int) -> int:
    """Of the process of a worker, as `nice` counts."""
    return os.nice(increment)


def unit(folder: Path, name: str, behaviour: str = "", failures: int = 0) -> Unit[Task]:
    return Unit(name=name, task=Task(folder=folder, name=name, behaviour=behaviour, failures=failures))


def outcomes(executor: Executor, units: list[Unit[Task]]) -> dict[str, float | Failure]:
    found: list[Outcome[float]] = list(executor.run(work, units))
    assert len(found) == len(units)
    return {each.name: each.outcome for each in found}


def num_tries(folder: Path, name: str) -> int:
    return len((folder / name).read_text().splitlines())


def every_unit_has_the_result_of_its_function(executor: Executor, folder: Path) -> None:
    units = [unit(folder, f"unit-{number}") for number in range(7)]
    found = outcomes(executor, units)
    tries = {each.name: num_tries(folder, each.name) for each in units}
    assert tries == dict.fromkeys(tries, 1)
    (again := folder / "again").mkdir()
    assert found == {each.name: work(unit(again, each.name).task) for each in units}


def no_units_are_no_outcomes(executor: Executor, folder: Path) -> None:
    assert not outcomes(executor, [])


def workers_have_the_threads_that_were_asked_for(executor: Executor, folder: Path) -> None:
    outcomes(executor, [unit(folder, "unit")])
    assert (folder / "unit").read_text().split()[1] == "1"


def a_refusal_fails_its_unit_at_once_and_alone(executor: Executor, folder: Path) -> None:
    found = outcomes(executor, [unit(folder, "bad", "refuse", 9), *(unit(folder, f"good-{n}") for n in range(3))])
    failure = found.pop("bad")
    assert isinstance(failure, Failure)
    assert failure.error == "a task must be good, but got a bad one"
    assert "UsageError" in failure.trace
    assert num_tries(folder, "bad") == 1
    assert all(isinstance(result, float) for result in found.values())


def an_error_that_passes_is_tried_again(executor: Executor, folder: Path) -> None:
    found = outcomes(executor, [unit(folder, "shaky", "break", MAX_FAILURES), unit(folder, "good")])
    assert all(isinstance(result, float) for result in found.values())
    assert num_tries(folder, "shaky") == MAX_FAILURES + 1


def an_error_that_stays_fails_its_unit_alone(executor: Executor, folder: Path) -> None:
    found = outcomes(executor, [unit(folder, "broken", "break", 99), unit(folder, "good")])
    assert num_tries(folder, "broken") == MAX_FAILURES + 1
    failure = found["broken"]
    assert isinstance(failure, Failure)
    assert failure.error == "ZeroDivisionError: over and over"
    assert isinstance(found["good"], float)


def units_are_made_after_the_outcomes_before(executor: Executor, folder: Path) -> None:
    known: set[str] = set()
    gaps = []

    def made() -> Iterator[Unit[Task]]:
        for number in range(6):
            gaps.append(number - len(known))
            yield unit(folder, f"unit-{number}")

    for outcome in executor.run(work, made()):
        known.add(outcome.name)
    assert len(known) == 6
    assert max(gaps) < PARALLEL


def closing_ends_it(executor: Executor, folder: Path) -> None:
    running = executor.run(work, (unit(folder, f"unit-{number}") for number in range(100)))
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert len(list(folder.iterdir())) <= 1 + PARALLEL


CHECKS: tuple[Check, ...] = (
    every_unit_has_the_result_of_its_function,
    no_units_are_no_outcomes,
    workers_have_the_threads_that_were_asked_for,
    a_refusal_fails_its_unit_at_once_and_alone,
    an_error_that_passes_is_tried_again,
    an_error_that_stays_fails_its_unit_alone,
    units_are_made_after_the_outcomes_before,
    closing_ends_it,
)
