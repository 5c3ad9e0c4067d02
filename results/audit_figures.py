"""An audit as sections of a report: each score of the shared weights against stand-alone accuracy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results.audit import OUTCOME_FILE, Agreement, Audit, Audited, Band, read_audit
from results.estimate import RankCorrelation
from results.figures import PERCENT, Figure, legend_above, numbers
from results.page import Page, Section, Table, percent, write_page
from results.run_dir import RunDir, is_locked
from search_spaces.errors import SpecError

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star")
STATISTICS = {"batch": "batch statistics", "recalibrated": "recalibrated running statistics"}


def audit_sections(folder: Path) -> list[Section]:
    """The scatters of an audit for the report of its search; none where there is no audit, or a damaged one.

    Args:
        folder: Of the audit, such as `runs/a0-audit`.
    """
    try:
        return scatter_sections(read_audit(folder / OUTCOME_FILE))
    except SpecError:
        return []


def write_audit_report(run: RunDir, audit: Audit, *, failed: Sequence[tuple[str, str]]) -> Path:
    """Write `report.html` of an audit.

    Args:
        run: The audit's folder.
        audit: What it came to.
        failed: Names of units without a result, and the latest error of each.

    Raises:
        RunFolderError: The report cannot be written.
    """
    total = audit.agreements[0]
    facts = [
        ("Search target", audit.target),
        ("Architectures", f"{len(audit.architectures)} in {len(audit.bands)} bands of cost"),
        ("Trainings of each", f"{len(audit.seeds)}"),
        ("Kendall's tau, batch statistics", str(total.batch.kendall)),
        ("Kendall's tau, recalibrated", str(total.recalibrated.kendall)),
        ("Ceiling: tau of two trainings", str(total.ceiling.kendall)),
    ]
    sections = [
        *scatter_sections(audit),
        Section(heading="Rank correlations", note=_HOW_TO_READ, table=correlation_table(audit)),
        Section(heading="Architectures", table=_architecture_table(audit)),
    ]
    if failed:
        note = "These have no result; `movinas resume` tries them again."
        sections.append(
            Section(heading="Failed", note=note, table=Table(headings=("unit", "error"), rows=list(failed)))
        )
    status = "finished"
    if audit.missing:
        status = f"{'running' if is_locked(run) else 'stopped'}, {len(audit.missing):,} missing"
    page = Page(title=f"Audit {run.path.resolve().name}", status=status, facts=facts, sections=sections)
    return write_page(run.report_path, page)


def scatter_sections(audit: Audit) -> list[Section]:
    """One section per kind of statistics; none before an architecture has all its scores."""
    shown = [each for each in audit.architectures if is_complete(each)]
    if not shown:
        return []
    total = audit.agreements[0]
    sections = []
    for name, words in STATISTICS.items():
        found: RankCorrelation = getattr(total, name)
        one: RankCorrelation = getattr(total, f"{name}_one")
        note = (
            f"Kendall's tau {found.kendall}; Spearman {found.spearman}. Against one training alone tau {one.kendall}, "
            f"whose ceiling, tau between two trainings, is {total.ceiling.kendall}. Each mark is an architecture; its "
            f"bar goes from the lowest to the highest of {len(audit.seeds)} trainings."
        )
        figure = scatter(shown, audit.bands, statistics=name, quality=audit.quality)
        heading = f"Shared weights against stand-alone training: {words}"
        sections.append(Section(heading=heading, note=note, figures=[figure]))
    return sections


def scatter(architectures: Sequence[Audited], bands: Sequence[Band], *, statistics: str, quality: str) -> Figure:
    """Mean stand-alone accuracy against the score of the shared weights; colour and shape say the band of cost."""
    data: list[dict[str, Any]] = []
    for number, band in enumerate(bands, start=1):
        own = [each for each in architectures if each.sampled.band == number]
        top1s = [[top1 for top1 in each.top1s if top1 is not None] for each in own]
        means = [sum(values) / len(values) for values in top1s]
        above = [max(values) - mean for values, mean in zip(top1s, means, strict=True)]
        below = [mean - min(values) for values, mean in zip(top1s, means, strict=True)]
        style = {"color": f"@c{(number - 1) % 6}", "symbol": SYMBOLS[(number - 1) % len(SYMBOLS)]}
        bars: dict[str, Any] = {"type": "data", "symmetric": False, "thickness": 1, "width": 3, "color": style["color"]}
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"cost/target {band}",
                "x": numbers(getattr(each, statistics) for each in own),
                "y": numbers(means),
                "error_y": {**bars, "array": numbers(above), "arrayminus": numbers(below)},
                "text": [f"{each.sampled.name}, cost / target {each.sampled.ratio:.3f}" for each in own],
                "hovertemplate": "%{text}<br>shared %{x:.1%}, stand-alone %{y:.1%}<extra></extra>",
                "marker": {"size": 10, **style, "line": {"width": 1, "color": "@page"}},
            }
        )
    axes = {
        "xaxis": {"title": {"text": f"{quality} with shared weights"}, "tickformat": PERCENT},
        "yaxis": {"title": {"text": "stand-alone accuracy"}, "tickformat": PERCENT},
    }
    layout = {**axes, **legend_above(), "showlegend": True}
    return Figure(name=f"audit-{statistics}", data=data, layout=layout, height_px=460)


def correlation_table(audit: Audit) -> Table:
    """Every correlation with its interval and number, over all bands and band by band."""
    headings = ("cost/target", "", "Kendall's tau", "Spearman", "tau against one training")
    rows = [
        (band_words(agreement, audit.bands), words, str(found.kendall), str(found.spearman), one)
        for agreement in audit.agreements
        for words, found, one in _lines(agreement)
    ]
    return Table(headings=headings, rows=rows)


def is_complete(architecture: Audited) -> bool:
    """Whether all scores of an architecture are known."""
    return None not in (architecture.batch, architecture.recalibrated, *architecture.top1s)


def band_words(agreement: Agreement, bands: Sequence[Band]) -> str:
    """Which band an agreement is of."""
    return "all" if agreement.band is None else str(bands[agreement.band - 1])


def _lines(agreement: Agreement) -> tuple[tuple[str, RankCorrelation, str], ...]:
    return (
        ("batch statistics", agreement.batch, str(agreement.batch_one.kendall)),
        ("recalibrated", agreement.recalibrated, str(agreement.recalibrated_one.kendall)),
        ("ceiling", agreement.ceiling, ""),
    )


def _architecture_table(audit: Audit) -> Table:
    headings = ("", "cost/target", "batch", "recalibrated", *(f"seed {seed}" for seed in audit.seeds), "fingerprint")
    rows = [
        (
            each.sampled.name,
            f"{each.sampled.ratio:.3f}",
            percent(each.batch),
            percent(each.recalibrated),
            *map(percent, each.top1s),
            each.sampled.fingerprint[:12],
        )
        for each in audit.architectures
    ]
    return Table(headings=headings, rows=rows, numeric=frozenset(range(1, 4 + len(audit.seeds))))


_HOW_TO_READ = (
    "1: the same order, 0: no relation. In brackets the 95 % bootstrap interval over architectures, n of them. The "
    "first two columns are against the mean of an architecture's trainings, the last one against a single training, "
    "which the ceiling, two trainings of the same architectures against each other, bounds."
)
