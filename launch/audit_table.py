"""What an audit came to: its files, and its tables for people."""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict

from launch import console
from launch.sweeps import write_files
from results.audit import OUTCOME_FILE, Audit, audit_text
from results.audit_figures import correlation_table, write_audit_report
from results.run_dir import RunDir

CSV_FILE = "audit.csv"


def write(folder: RunDir, audit: Audit, failed: Mapping[str, str]) -> None:
    """Write `audit.json`, `audit.csv` and `report.html`.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    write_files(folder, {OUTCOME_FILE: audit_text(audit), CSV_FILE: _csv(audit)})
    write_audit_report(folder, audit, failed=list(failed.items()))


def show(folder: RunDir, audit: Audit, failed: Mapping[str, str], *, as_json: bool) -> None:
    """Print the scores of every architecture, and the correlations."""
    if as_json:
        console.show_json(
            {"run": str(folder.path), "report": str(folder.report_path), **asdict(audit), "failed": failed}
        )
        return
    clips = "" if audit.num_clips is None else f", all scored on the same {audit.num_clips} held-out clips"
    console.show_table(
        f"{folder.path}: {len(audit.architectures)} architectures around {audit.target}{clips}",
        ("", "cost/target", "batch", "recalibrated", *(f"seed {seed}" for seed in audit.seeds), "fingerprint"),
        [
            (
                each.sampled.name,
                f"{each.sampled.ratio:.3f}",
                *map(_number, (each.batch, each.recalibrated, *each.top1s)),
                each.sampled.fingerprint[:16],
            )
            for each in audit.architectures
        ],
    )
    correlations = correlation_table(audit)
    console.show_table(
        f"Rank correlation of {audit.quality} with shared weights and stand-alone accuracy, 95 % bootstrap intervals",
        correlations.headings,
        correlations.rows,
    )
    if audit.missing:
        console.show(f"{len(audit.missing)} results are missing, {len(failed)} of them failed")
    console.show(f"audit   {folder.path}\nreport  {folder.report_path}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _csv(audit: Audit) -> str:
    """One row per architecture, empty where a score is missing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    seeds = [f"top1_seed{seed}" for seed in audit.seeds]
    writer.writerow(["name", "band", "fingerprint", "cost", "ratio", "batch", "recalibrated", *seeds])
    for each in audit.architectures:
        own = each.sampled
        writer.writerow(
            [own.name, own.band, own.fingerprint, own.cost, own.ratio, each.batch, each.recalibrated, *each.top1s]
        )
    return text.getvalue()
