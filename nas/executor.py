"""Work that outgrows one process: named units, each computed at least once, wherever there is room.

A unit may be computed twice, or again after it was lost half-way, so its function must be one whose repetition changes
nothing: units that leave files go on with what they find, and records are kept by the name of the unit, the first one
counts. `launch` has the implementations.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from search_spaces.errors import MovinasError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit(Generic[TaskT]):
    """One piece of work.

    Attributes:
        name: Different from that of every other unit.
        task: What the function is called with; a value that can be sent to another process.
    """

    name: str
    task: TaskT


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a unit has no result.

    Attributes:
        error: One line.
        again: Whether another try may end better: not where movinas itself refused, which it will do again.
        trace: Where it happened, for those who look into it; empty where a worker was lost.
    """

    error: str
    again: bool
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[ResultT]):
    """What became of a unit: a result, or a failure after the last try."""

    name: str
    outcome: ResultT | Failure


class Executor(Protocol):
    """Computes units, some at a time."""

    def run(self, function: Callable[[TaskT], ResultT], units: Iterable[Unit[TaskT]]) -> Iterator[Outcome[ResultT]]:
        """One outcome of every unit, in the order they end; a failed unit stops no other one.

        A unit is taken from `units` only when there is room for it and every earlier outcome was taken, so that whoever
        makes the units may look at the outcomes before. To close the iterator stops what is being computed.

        Args:
            function: Found by name in its module, for other processes to import; what it is called with and what it
                returns can be sent between processes.
            units: With different names.
        """
        ...


def attempt(function: Callable[[TaskT], ResultT], task: TaskT) -> ResultT | Failure:
    """One try of a unit; an interrupt is none of its failures and passes."""
    try:
        return function(task)
    except MovinasError as error:
        return Failure(error=str(error), again=False, trace=traceback.format_exc())
    except Exception as error:  # whatever a unit does wrong ends that unit alone
        line = " ".join(f"{type(error).__name__}: {error}".split())
        return Failure(error=line, again=True, trace=traceback.format_exc())
