"""The report of a run, whatever kind it is of."""

from pathlib import Path

from results.report import write_search_report
from results.retrain_report import write_ensemble_report, write_retrain_report
from results.run_dir import RunDir


def write_report(run: RunDir) -> Path:
    """The report of a search, of a retraining, or of an ensemble."""
    if run.kind == "retrain":
        return write_retrain_report(run)
    if run.kind == "ensemble":
        return write_ensemble_report(run)
    return write_search_report(run)
