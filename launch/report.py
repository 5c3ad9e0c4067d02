"""`movinas report`: one offline HTML file about a run or a sweep."""

from dataclasses import dataclass
from pathlib import Path

from launch import audit, audit_table, console, family, family_table, scaling_table, sweep_scaling
from launch.run_report import write_report
from results.run_dir import open_run

POSITIONALS = ("run",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write report.html into the folder of a run or a sweep, whether it has finished or not.

    Attributes:
        run: Run or sweep folder.
        json: Print one JSON document.
    """

    run: Path
    json: bool = False


def run(options: Options) -> int:
    """Write the report."""
    folder = open_run(options.run)
    match folder.kind:
        case "scaling":
            scaling_table.write(folder, sweep_scaling.table(folder))
        case "family":
            family_table.write(folder, family.table(folder))
        case "audit":
            audit_table.write(folder, *audit.outcome(folder))
        case "search" | "retrain" | "ensemble":
            write_report(folder)
    if options.json:
        console.show_json({"report": str(folder.report_path)})
    else:
        console.show(str(folder.report_path))
    return 0
