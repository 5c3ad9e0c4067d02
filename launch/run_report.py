"""The report of a run, with what only `launch` can add to it."""

from pathlib import Path

from launch.found import found_spec
from results.architectures import layer_rows
from results.report import write_ensemble_report, write_retrain_report, write_search_report
from results.run_dir import RunDir
from search_spaces.errors import RunFolderError
from video.manifest import load_manifest


def write_report(run: RunDir) -> Path:
    """The report of a search, with the found network's layers once there is one, of a retraining, or of an ensemble."""
    if run.kind == "retrain":
        return write_retrain_report(run)
    if run.kind == "ensemble":
        return write_ensemble_report(run)
    try:
        found = found_spec(run)
    except RunFolderError:
        return write_search_report(run)
    num_classes = load_manifest(run.manifest_path).num_classes
    return write_search_report(run, layers=layer_rows(found.arch, found.variant, num_classes=num_classes))
