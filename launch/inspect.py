"""`movinas inspect`: where runs stand, and the network that a search favours, layer by layer."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch import console
from launch.inspect_retrain import look_at_retraining
from launch.inspect_search import SearchView
from launch.inspect_several import SeveralView
from launch.look import Look
from results.run_dir import RunDir, open_run
from search_spaces.errors import UsageError

POSITIONALS = ("runs",)
DAMAGED = 2
"""Exit code where not everything could be read."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Look at a run, a sweep or several of them side by side, while they go on or after they ended.

    Attributes:
        runs: Run or sweep folders.
        watch: Draw anew until the runs end, or until Ctrl-C; both end well. Of a sweep, its members side by side.
        every: Seconds between two drawings.
        json: Print one JSON document; with --watch one line each time.
    """

    runs: tuple[str, ...]
    watch: bool = False
    every: float = 5.0
    json: bool = False


def run(options: Options) -> int:
    """Print what there is, once or again and again."""
    if not 0.1 <= options.every <= 86400:
        raise UsageError(f"every must be from 0.1 to 86400 seconds, but got {options.every}")
    folders = [open_run(Path(path)) for path in options.runs]
    if options.watch:
        return _watch(_view(folders), every_s=options.every, as_json=options.json)
    if len(folders) == 1 and folders[0].kind not in ("search", "retrain"):
        _show_sweep(folders[0], as_json=options.json)
        return 0
    look = _view(folders)()
    if options.json:
        console.show_json(look.document)
    else:
        console.show_screen(look.screen)
    return _told(look)


def _view(folders: list[RunDir]) -> Callable[[], Look]:
    """What gives a look at them each time it is called."""
    match folders:
        case [RunDir(kind="search") as folder]:
            return SearchView(folder).look
        case [RunDir(kind="retrain") as folder]:
            return lambda: look_at_retraining(folder)
    return SeveralView(folders).look


def _watch(view: Callable[[], Look], *, every_s: float, as_json: bool) -> int:
    """Until nothing runs any more; whoever interrupts has seen enough."""
    try:
        with console.redrawn() as draw:
            while True:
                look = view()
                if as_json:
                    console.show_json_line(look.document)
                else:
                    draw(look.screen)
                if look.ended:
                    break
                time.sleep(every_s)
    except KeyboardInterrupt:
        return 0
    return _told(look)


def _told(look: Look) -> int:
    if not look.damages:
        return 0
    more = f" (and {len(look.damages) - 1} more lines)" if len(look.damages) > 1 else ""
    console.error(f"the journal is damaged, and what is shown was made of the rest: {look.damages[0]}{more}")
    return DAMAGED


def _show_unfinished(folder: RunDir, names: Sequence[str]) -> None:
    """How far the members of a family are that have begun and have not finished."""
    begun = [open_run(path) for path in (folder.members_path / name for name in names) if path.exists()]
    if begun:
        console.show("Begun")
        console.show_screen(SeveralView(begun).look().screen)


def _show_sweep(folder: RunDir, *, as_json: bool) -> None:
    # what a sweep plans is in its command's options, whose types bring torch along
    from launch import (  # noqa: PLC0415
        audit,
        audit_table,
        ensemble_train,
        family,
        family_table,
        scaling_table,
        sweep_scaling,
    )

    match folder.kind:
        case "scaling":
            scaling_table.show(folder, sweep_scaling.table(folder), as_json=as_json)
        case "family":
            found = family.table(folder)
            family_table.show(folder, found, as_json=as_json)
            if not as_json:
                _show_unfinished(folder, found["missing"])
        case "audit":
            audit_table.show(folder, *audit.outcome(folder), as_json=as_json)
        case _:
            ensemble_train.show(folder, ensemble_train.table(folder), as_json=as_json)
