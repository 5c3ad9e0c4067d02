"""What all sweeps share: units that the journal lacks are computed, journaled one by one, and failures told."""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

from launch import console
from launch.executors import ExecutorName, ExecutorOptions, check_executor, started
from nas.executor import Failure, Unit
from results.files import remove_folder, replace_file
from results.journal import Journal, read_journal
from results.records import AuditRecord, MemberRecord, ScalingRecord, SharedRecord, TrainedRecord
from results.run_dir import RunDir, lock
from results.telemetry import Telemetry, read_telemetry
from search_spaces.errors import MovinasError, RunFolderError, SweepError

TaskT = TypeVar("TaskT")
RecordT = TypeVar("RecordT", bound=ScalingRecord | MemberRecord | TrainedRecord | SharedRecord | AuditRecord)
OptionsT = TypeVar("OptionsT")


class Overrides(Protocol):
    """How `resume` may change who computes a sweep."""

    @property
    def executor(self) -> ExecutorName | None:
        """None leaves it."""
        ...

    @property
    def parallel(self) -> int | None:
        """None leaves it."""
        ...

    @property
    def ray_address(self) -> str | None:
        """None leaves it."""
        ...


def with_executor(options: OptionsT, overrides: Overrides) -> OptionsT:
    """The options of a sweep with another executor; inline drops what goes with Ray alone."""
    given: dict[str, Any] = {
        name: value
        for name in ("executor", "parallel", "ray_address")
        if (value := getattr(overrides, name)) is not None
    }
    if given.get("executor") == "inline":
        given = {"parallel": 1, "gpus": 0.0, "ray_address": None, **given}
    return replace(options, **given)  # type: ignore[type-var]


@contextlib.contextmanager
def held_new(folder: RunDir) -> Iterator[None]:
    """Hold a sweep just made; it goes again where bad input or a missing cluster ends it before its first member."""
    with lock(folder):
        try:
            yield
        except MovinasError:
            if not folder.members_path.exists() and not folder.journal_path.stat().st_size:
                shutil.rmtree(folder.path)
            raise


def done_records(folder: RunDir, kind: type[RecordT]) -> dict[str, RecordT]:
    """The records of a sweep's journal by the name of their unit; of two with one name the first counts."""
    done: dict[str, RecordT] = {}
    for record in read_journal(folder.journal_path):
        if isinstance(record, kind):
            done.setdefault(record.name, record)
    return done


def carry_out(
    folder: RunDir,
    options: ExecutorOptions,
    function: Callable[[TaskT], RecordT],
    units: Iterable[Unit[TaskT]],
    *,
    done: MutableMapping[str, RecordT],
    label: str,
    total: int,
) -> None:
    """Compute units; each record is safe in the journal, and in `done`, before the next unit is made.

    A failure goes to the telemetry, for `failures` to find, and stops no other unit.

    Args:
        folder: Of the sweep, whose lock the caller holds.
        options: Who computes.
        function: Makes the record of a unit's task; see `nas.executor`.
        units: Those that the journal lacks.
        done: Records by name; grows.
        label: Of the line of progress.
        total: Units of the whole sweep.
    """
    check_executor(options)  # a resumed sweep may have another one
    todo = iter(units)
    first = next(todo, None)
    if first is None:
        return  # and no cluster need be there
    telemetry = Telemetry(folder.telemetry_path)
    progress = console.Progress(label, total=total, done=len(done))
    with (
        started(options, folder=folder.path) as executor,
        Journal.open(folder.journal_path) as journal,
        contextlib.closing(executor.run(function, chain([first], todo))) as outcomes,  # type: ignore[type-var]
    ):
        for outcome in outcomes:
            if isinstance(outcome.outcome, Failure):
                failure = outcome.outcome
                telemetry.append("failed", name=outcome.name, error=failure.error, trace=failure.trace)
                console.log(f"{outcome.name} failed: {failure.error}")
                continue
            if outcome.name not in done:
                journal.append(outcome.outcome)
                done[outcome.name] = outcome.outcome
            progress.update(len(done), outcome.name)


def failures(folder: RunDir, done: Iterable[str]) -> dict[str, str]:
    """The latest error of every unit that failed and has no record."""
    events = (event for event in read_telemetry(folder.telemetry_path) if event["kind"] == "failed")
    found = {str(event.get("name")): str(event.get("error")) for event in events}
    return {name: error for name, error in sorted(found.items()) if name not in set(done)}


def require_complete(folder: RunDir, *, missing: Iterable[str], failed: dict[str, str]) -> None:
    """Refuse to call a sweep done that is not.

    Raises:
        SweepError: A unit has no result.
    """
    names = sorted(missing)
    if not names:
        return
    first = next((name for name in names if name in failed), names[0])
    reason = f"{first}: {failed[first]}" if first in failed else f"{first} was not computed"
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    raise SweepError(
        f"every member of a sweep must end, but {reason}{others}; movinas resume {folder.path} tries again what failed",
    )


def write_files(folder: RunDir, texts: Mapping[str, str]) -> None:
    """Write files of a sweep's folder, each in one step, replacing earlier ones.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    for name, text in texts.items():
        try:
            replace_file(folder.path / name, text.encode())
        except OSError as error:
            raise RunFolderError(f"must be writable, but got {error.strerror or error}", path=folder.path) from error


def drop_checkpoints(member: Path) -> None:
    """Free the disk of a member's checkpoints, which a result in the journal makes useless."""
    for checkpoint in (member / "checkpoints").glob("step_*"):
        remove_folder(checkpoint)
