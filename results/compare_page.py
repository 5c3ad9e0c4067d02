"""Several runs on one page: what they found, how they got there, and what retraining made of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from results.compare import Comparison, RetrainedPair, RunRow
from results.figures import PERCENT, Figure, ema, ema_window, label, legend_above, numbers
from results.page import Cell, Page, Section, percent, table_of, told_damage, write_page

_COLOURS = ("@c0", "@c1", "@c2", "@c3", "@c4", "@c5")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_BAND = 0.05
"""Of cost / target around 1, as in the report of one search."""


def write_comparison(path: Path, found: Comparison) -> Path:
    """Write the page of a comparison.

    Raises:
        RunFolderError: It cannot be written.
        JournalError: A journal is damaged, and the page was made of the rest.
    """
    searches = sum(row.kind == "search" for row in found.rows)
    facts = [("Searches", str(searches)), ("Retrainings", str(len(found.rows) - searches))]
    facts.append(("Architectures searched and retrained", str(len(found.pairs))))
    running = sum(row.status == "running" for row in found.rows)
    status = f"{running} running" if running else "at rest"
    page = Page(
        title=f"{len(found.rows)} runs side by side",
        status=status,
        facts=facts,
        sections=comparison_sections(found),
        warnings=[f"{row.name}: {warning}" for row in found.rows for warning in row.warnings],
    )
    return told_damage(write_page(path, page), [damage for row in found.rows for damage in row.damages])


def comparison_sections(found: Comparison) -> list[Section]:
    """The sections of a comparison, those without content left out."""
    sections = []
    searches = [row for row in found.rows if row.trends]
    if searches:
        note = (
            "Moving averages. Each search's own supernet measures its quality, so that curves of different data, clips "
            "or numbers of steps do not compare. The band is within 5 % of the target."
        )
        sections.append(Section(heading="Quality and cost over the steps", note=note, figures=[_curves(searches)]))
    placed = [row for row in searches if row.macs is not None and row.quality is not None]
    if placed:
        note = "The selected network of each search, and below or above it the mean of random ones of equal cost."
        sections.append(Section(heading="Quality against MACs", note=note, figures=[_found(placed)]))
    if found.strategies:
        note = "Means over finished searches that differ in their seeds alone, with the sample standard deviation."
        rows: list[dict[str, Cell]] = [
            {
                "space": each.space,
                "target": each.target,
                "strategy": each.strategy,
                "searches": each.num_searches,
                "quality": _spread(each.quality, each.quality_std),
                "above random": _spread(each.gain, each.gain_std),
                "off target": percent(each.off_target),
                **({"where": each.settings_text} if any(other.settings for other in found.strategies) else {}),
            }
            for each in found.strategies
        ]
        sections.append(Section(heading="Strategies", note=note, table=table_of(rows)))
    if found.pairs:
        note = (
            "An architecture's quality in its search's final comparison, against the accuracy it reached when trained "
            "by itself. A few pairs tell no rank correlation: `movinas audit` measures one with its interval."
        )
        measured = [pair for pair in found.pairs if _accuracy(pair) is not None]
        figures = [_retrained(measured)] if measured else []
        sections.append(
            Section(heading="Searched and retrained", note=note, figures=figures, table=table_of(_pair_rows(found)))
        )
    return [*sections, Section(heading="Runs", table=table_of([_row(row) for row in found.rows]))]


def _curves(rows: Sequence[RunRow]) -> Figure:
    data: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        for name, axis in (("quality", "y"), ("cost_ratio", "y2")):
            points = (row.trends or {}).get(name, ())
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": label(row.name),
                    "legendgroup": str(number),
                    "showlegend": axis == "y",
                    "x": [point[0] for point in points],
                    "y": numbers(ema(np.array([point[1] for point in points]), ema_window(len(points)))),
                    "yaxis": axis,
                    "line": {
                        "width": 2,
                        "color": _COLOURS[number % len(_COLOURS)],
                        "dash": _DASHES[number // len(_COLOURS) % len(_DASHES)],
                    },
                }
            )
    across = {"xref": "paper", "x0": 0, "x1": 1, "yref": "y2", "layer": "below"}
    shapes = [
        {
            "type": "rect",
            **across,
            "y0": 1 - _BAND,
            "y1": 1 + _BAND,
            "fillcolor": "@grid",
            "opacity": 0.5,
            "line": {"width": 0},
        },
        {"type": "line", **across, "y0": 1, "y1": 1, "line": {"color": "@text", "width": 1, "dash": "dash"}},
    ]
    layout = {
        "xaxis": {"title": {"text": "step"}, "anchor": "y2"},
        "yaxis": {"title": {"text": "quality"}, "domain": [0.54, 1.0], "tickformat": PERCENT},
        "yaxis2": {"title": {"text": "cost / target"}, "domain": [0.0, 0.46]},
        "shapes": shapes,
        **legend_above(),
    }
    return Figure(name="compare-curves", data=data, layout=layout, height_px=560)


def _found(rows: Sequence[RunRow]) -> Figure:
    data: list[dict[str, Any]] = []
    for strategy_number, strategy in enumerate(dict.fromkeys(row.strategy for row in rows)):
        own = [row for row in rows if row.strategy == strategy]
        marker = {
            "size": 11,
            "color": _COLOURS[strategy_number % len(_COLOURS)],
            "symbol": _SYMBOLS[strategy_number % len(_SYMBOLS)],
        }
        names = [label(f"{row.name}, {row.target}") for row in own]
        spot = {"type": "scatter", "mode": "markers", "x": [row.macs for row in own], "text": names}
        hover = "%{text}<br>%{x:.4s} MACs, %{y:.1%}<extra></extra>"
        found = {"name": label(strategy or "search"), "y": numbers(row.quality or 0.0 for row in own)}
        data.append({**spot, **found, "marker": marker, "hovertemplate": hover})
        hollow = {**marker, "symbol": f"{marker['symbol']}-open", "size": 9}
        random = {"name": f"random, beside {label(strategy or 'search')}"}
        values = numbers(float("nan") if row.random_quality is None else row.random_quality for row in own)
        data.append({**spot, **random, "y": values, "marker": hollow, "hovertemplate": hover})
    axes = {
        "xaxis": {"title": {"text": "MACs per clip"}},
        "yaxis": {"title": {"text": "quality"}, "tickformat": PERCENT},
    }
    return Figure(name="compare-found", data=data, layout={**axes, **legend_above()}, height_px=440)


def _retrained(pairs: Sequence[RetrainedPair]) -> Figure:
    data = []
    for number, search in enumerate(dict.fromkeys(pair.search for pair in pairs)):
        own = [pair for pair in pairs if pair.search == search]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label(search),
                "x": numbers(pair.quality for pair in own),
                "y": numbers(_accuracy(pair) or 0.0 for pair in own),
                "text": [label(f"{pair.retraining}, {pair.fingerprint[:12]}") for pair in own],
                "hovertemplate": "%{text}<br>supernet %{x:.1%}, retrained %{y:.1%}<extra></extra>",
                "marker": {
                    "size": 10,
                    "color": _COLOURS[number % len(_COLOURS)],
                    "symbol": _SYMBOLS[number % len(_SYMBOLS)],
                },
            }
        )
    axes = {
        "xaxis": {"title": {"text": "quality in the supernet"}, "tickformat": PERCENT},
        "yaxis": {"title": {"text": "retrained, test or else validation"}, "tickformat": PERCENT},
    }
    return Figure(name="compare-retrained", data=data, layout={**axes, **legend_above()}, height_px=440)


def _accuracy(pair: RetrainedPair) -> float | None:
    return pair.val_accuracy if pair.test_accuracy is None else pair.test_accuracy


def _pair_rows(found: Comparison) -> list[dict[str, Cell]]:
    return [
        {
            "search": pair.search,
            "origin": pair.origin,
            "architecture": pair.fingerprint[:12],
            "supernet": percent(pair.quality),
            "retraining": pair.retraining,
            "validation": percent(pair.val_accuracy),
            "test": percent(pair.test_accuracy),
        }
        for pair in found.pairs
    ]


def _row(row: RunRow) -> dict[str, Cell]:
    return {
        "run": row.name,
        "status": row.status,
        "done": row.done,
        "of": row.total,
        "space": row.space,
        "target": row.target,
        "strategy": row.strategy,
        "seed": row.seed,
        "cost/target": None if row.ratio is None else f"{row.ratio:.3f}",
        "MACs": row.macs,
        "state bytes": row.state_bytes,
        "quality": percent(row.quality),
        "random": percent(row.random_quality),
        "validation": percent(row.val_accuracy),
        "test": percent(row.test_accuracy),
        "architecture": (row.fingerprint or "")[:12],
    }


def _spread(mean: float, std: float | None) -> str:
    return percent(mean) if std is None else f"{percent(mean)} ± {100 * std:.1f}"
