"""What a sweep over scaling coefficients comes to: a table, the averaged coefficients, a plot."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from launch import console
from launch.sweeps import done_records, failures, write_files
from nas.scaling_sweep import CandidateScore, average, scores, trials_of
from results.records import ScalingRecord
from results.run_dir import RunDir
from results.sweep_report import write_scaling_report
from search_spaces.scaling import Coefficients
from search_spaces.space_json import read_space
from search_spaces.strict_json import pretty

HEADINGS = ("depth", "width", "resolution", "frame_rate")


def document(
    folder: RunDir, planned: Sequence[Coefficients], *, num_planned: int, num_architectures: int, top: int
) -> dict[str, Any]:
    """The sweep so far.

    Args:
        folder: Of the sweep.
        planned: Candidates that are known.
        num_planned: Candidates, known or to be suggested.
        num_architectures: Of each candidate.
        top: Candidates that the final coefficients are the average of.

    Returns:
        `candidates` by rank, those of which every architecture was trained; `missing` and `failed` trainings;
        `average`, None before a candidate was whole.
    """
    done = done_records(folder, ScalingRecord)
    ranked = scores(done.values(), num_architectures=num_architectures)
    best = ranked[:top]
    result = average(best) if best else None
    names = [trial.name for each in planned for trial in trials_of(each, num_architectures=num_architectures)]
    missing = [name for name in names if name not in done]
    missing += [f"candidate {number + 1}" for number in range(len(planned), num_planned)]
    return {
        "run": str(folder.path),
        "space": read_space(folder.space_path).name,
        "trained": len(done),
        "candidates": [_row(score, rank) for rank, score in enumerate(ranked, start=1)],
        "top": len(best),
        "average": None if result is None else {**asdict(result), "growth": result.growth},
        "missing": missing,
        "failed": failures(folder, done),
    }


def write(folder: RunDir, found: Mapping[str, Any]) -> None:
    """Write `table.json`, `table.csv` and `report.html`; the tables hold only what seed and data determine.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    content = {name: found[name] for name in ("space", "candidates", "top", "average", "missing")}
    write_files(folder, {"table.json": pretty(content), "table.csv": _csv(found["candidates"])})
    write_scaling_report(folder, found)


def show(folder: RunDir, found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the table."""
    if as_json:
        console.show_json(found)
        return
    columns = (
        "",
        *(name.replace("_", " ") for name in HEADINGS),
        "growth",
        "MACs/frame",
        "mean top-1",
        "top-1 of each",
    )
    rows: list[tuple[object, ...]] = [
        (
            each["rank"],
            *(f"{each[name]:.2f}" for name in HEADINGS),
            f"{each['growth']:.2f}",
            console.count(each["macs_per_frame"]),
            f"{each['top1_mean']:.3f}",
            " ".join(f"{value:.3f}" for value in each["top1s"]),
        )
        for each in found["candidates"]
    ]
    if found["average"] is not None:
        values = (f"{found['average'][name]:.3f}" for name in HEADINGS)
        rows.append(("", *values, f"{found['average']['growth']:.2f}", "", "", f"average of the best {found['top']}"))
    console.show_table(f"Scaling of space {found['space']}: one unit of phi multiplies", columns, rows)
    if found["missing"]:
        console.show(f"{len(found['missing'])} trainings are missing, {len(found['failed'])} of them failed")
    console.show(f"sweep   {folder.path}\nreport  {folder.report_path}")


def _row(score: CandidateScore, rank: int) -> dict[str, Any]:
    return {
        "rank": rank,
        **asdict(score.coefficients),
        "growth": score.coefficients.growth,
        "macs_per_frame": score.macs_per_frame,
        "top1_mean": score.mean,
        "top1s": list(score.top1s),
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", *HEADINGS, "growth", "macs_per_frame", "top1_mean", "top1s"])
    for row in rows:
        writer.writerow([*list(row.values())[:-1], " ".join(map(str, row["top1s"]))])
    return text.getvalue()
