"""`movinas resume`: go on with a search or a retraining, as if nothing had happened."""

from dataclasses import dataclass
from pathlib import Path

from launch import console, retrain, search
from launch.compute import environment_of
from launch.runs import options_of
from results.history import read_history
from results.run_dir import RunDir, environment_differences, lock, open_run
from search_spaces.errors import DocumentError
from search_spaces.strict_json import load

POSITIONALS = ("run",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Go on with an interrupted run, to the same end as if it had not been.

    Attributes:
        run: Run folder.
        json: Print one JSON document at the end.
    """

    run: Path
    json: bool = False


def run(options: Options) -> int:
    """Take the lock, say what differs from the run's first environment, and go on."""
    folder = open_run(options.run)
    with lock(folder):
        if folder.kind == "search":
            _resume_search(folder, options)
        else:
            _resume_retrain(folder, options)
    return 0


def _resume_search(folder: RunDir, options: Options) -> None:
    finished = read_history(folder.journal_path).result
    if finished is not None:
        search.finish(folder)
        console.log(f"{folder.path} had finished; its specs and report are written anew")
        search.show_result(folder, finished, as_json=options.json)
        return
    resolved = options_of(folder, search.Options)
    _tell_differences(folder, threads=resolved.threads)
    search.show_result(folder, search.execute(folder, resolved), as_json=options.json)


def _resume_retrain(folder: RunDir, options: Options) -> None:
    resolved = options_of(folder, retrain.Options)
    _tell_differences(folder, threads=resolved.threads)
    retrain.show_result(folder, retrain.execute(folder, resolved), as_json=options.json)


def _tell_differences(folder: RunDir, *, threads: int) -> None:
    try:
        before = load(folder.env_path)
    except DocumentError as error:
        console.log(f"the run's first environment is unknown: {error}")
        return
    for line in environment_differences(before, environment_of(threads)):
        console.log(f"environment differs, so results may: {line}")
