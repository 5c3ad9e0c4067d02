"""`movinas report`: one offline HTML file about a run or a sweep, or about several side by side."""

from dataclasses import dataclass
from pathlib import Path

from launch import audit, audit_table, console, family, family_table, scaling_table, sweep_scaling
from launch.run_report import write_report
from results.compare import compare
from results.compare_page import write_comparison
from results.run_dir import open_run
from search_spaces.errors import UsageError

POSITIONALS = ("runs",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write report.html into the folder of a run or a sweep, whether it has finished or not.

    Attributes:
        runs: Run or sweep folder; several are put side by side on one page.
        out: File for the page of several runs.
        json: Print one JSON document.
    """

    runs: tuple[str, ...]
    out: Path | None = None
    json: bool = False


def run(options: Options) -> int:
    """Write the report."""
    folders = [open_run(Path(path)) for path in options.runs]
    if (len(folders) > 1) != (options.out is not None):
        raise UsageError("--out FILE goes with several runs: the report of one lies in its folder")
    if options.out is not None:
        return _told(write_comparison(options.out, compare(folders)), as_json=options.json)
    (folder,) = folders
    match folder.kind:
        case "scaling":
            scaling_table.write(folder, sweep_scaling.table(folder))
        case "family":
            family_table.write(folder, family.table(folder))
        case "audit":
            audit_table.write(folder, *audit.outcome(folder))
        case "search" | "retrain" | "ensemble":
            write_report(folder)
    return _told(folder.report_path, as_json=options.json)


def _told(path: Path, *, as_json: bool) -> int:
    if as_json:
        console.show_json({"report": str(path)})
    else:
        console.show(str(path))
    return 0
