"""`movinas export`: the best architectures of a search as spec files; a run for the viewers of others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch import console
from launch.found import best_specs
from launch.runs import options_of
from launch.search import Options as SearchOptions
from results.run_dir import RunDir, open_run
from search_spaces.cost import cost
from search_spaces.errors import UsageError
from search_spaces.spec_json import write_spec
from video.manifest import load_manifest

POSITIONALS = ("run",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write the selected architecture, and the next best ones, as spec files; or what a run measured, for viewers.

    Attributes:
        run: Run folder: of a finished search for spec files, of any search for Optuna, of a retraining too for
            TensorBoard.
        out: Folder for the spec files.
        top: How many at most.
        optuna: New file for a study of Optuna with the measured architectures (optuna-dashboard FILE shows it); a
            database where it ends in .db, .sqlite or .sqlite3.
        trials: Of that study, at most; the final comparison and the latest ones before.
        tensorboard: Folder in which TensorBoard finds the run; a later mirror of it replaces an earlier one.
        json: Print one JSON document.
    """

    run: Path
    out: Path | None = None
    top: int = 1
    optuna: Path | None = None
    trials: int = 1000
    tensorboard: Path | None = None
    json: bool = False


def run(options: Options) -> int:
    """Write what was asked for, and say where it lies."""
    if options.out is None and options.optuna is None and options.tensorboard is None:
        raise UsageError("one of --out DIR, --optuna FILE or --tensorboard DIR must be given, but got none")
    if options.top < 1 or options.trials < 1:
        raise UsageError(f"top and trials must be at least 1, but got {options.top} and {options.trials}")
    folder = open_run(options.run)
    mirrors: dict[str, Any] = {}
    if options.optuna is not None:
        mirrors |= _optuna(options.run, options.optuna, most=options.trials)
    if options.tensorboard is not None:
        mirrors |= _tensorboard(folder, options.tensorboard)
    if options.out is not None:
        _specs(open_run(options.run, kind="search"), options.out, top=options.top, as_json=options.json)
    elif options.json:
        console.show_json(mirrors)
    if mirrors and not (options.json and options.out is None):
        console.log("\n".join(f"{name}: {value}" for name, value in mirrors.items()))
    return 0


def _specs(folder: RunDir, out: Path, *, top: int, as_json: bool) -> None:
    tolerance = options_of(folder, SearchOptions).search.selection.tolerance
    num_classes = load_manifest(folder.manifest_path).num_classes
    documents = []
    for spec_file in best_specs(folder, top=top, tolerance=tolerance):
        path = write_spec(spec_file, out)
        documents.append(
            {
                "path": str(path),
                "fingerprint": spec_file.fingerprint,
                "macs": cost(spec_file.arch, spec_file.variant, num_classes=num_classes).macs,
                "ratio": spec_file.metrics["cost_ratio"],
                "quality": spec_file.metrics["heldout_quality"],
            }
        )
    if as_json:
        console.show_json(documents)
        return
    console.show_table(
        f"{len(documents)} architectures in {out}",
        ("file", "MACs", "cost/target", "held-out quality"),
        [
            (
                f"{document['fingerprint']}.json",
                f"{document['macs']:,}",
                f"{document['ratio']:.3f}",
                f"{document['quality']:.3f}",
            )
            for document in documents
        ],
    )


def _optuna(run: Path, path: Path, *, most: int) -> dict[str, Any]:
    from results.optuna_study import write_study  # noqa: PLC0415 -- Optuna takes a second to import

    return {"optuna": str(path), "trials": write_study(open_run(run, kind="search"), path, most=most)}


def _tensorboard(folder: RunDir, path: Path) -> dict[str, Any]:
    try:
        from results.tensorboard_events import write_events  # noqa: PLC0415 -- of the optional viewers
    except ImportError as error:
        raise UsageError("--tensorboard needs TensorBoard: pip install 'movinas[viewer]'") from error
    return {"tensorboard": str(write_events(folder, path))}
