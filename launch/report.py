"""`movinas report`: one offline HTML file about a run."""

from dataclasses import dataclass
from pathlib import Path

from launch import console
from launch.found import found_spec, layer_rows
from results.report import write_retrain_report, write_search_report
from results.run_dir import RunDir, open_run
from search_spaces.errors import RunFolderError
from video.manifest import load_manifest

POSITIONALS = ("run",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write report.html into a run folder, whether the run has finished or not.

    Attributes:
        run: Run folder.
        json: Print one JSON document.
    """

    run: Path
    json: bool = False


def run(options: Options) -> int:
    """Write the report."""
    path = write_report(open_run(options.run))
    if options.json:
        console.show_json({"report": str(path)})
    else:
        console.show(str(path))
    return 0


def write_report(run: RunDir) -> Path:
    """The report of a search, with the found network's layers once there is one, or of a retraining."""
    if run.kind == "retrain":
        return write_retrain_report(run)
    try:
        found = found_spec(run)
    except RunFolderError:
        return write_search_report(run)
    num_classes = load_manifest(run.manifest_path).num_classes
    return write_search_report(run, layers=layer_rows(found.arch, found.variant, num_classes=num_classes))
