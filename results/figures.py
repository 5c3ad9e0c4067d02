"""What a figure of a report is: a Plotly figure in plain data, with the numbers behind it; and what figures share.

Colours are tokens that the page resolves for its light or dark scheme: `@c0` .. `@c5` (Okabe-Ito, safe for colour-blind
readers), `@text`, `@grid`, `@page`, `@cell`. Nothing is told by colour alone: dashes, symbols or hatching say it too.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from results.history import Column

MAX_POINTS = 5000
"""Per trace; longer ones are thinned."""
PERCENT = ".2~%"
"""Format of an axis of shares: as many decimals as tell its ticks apart, two at most."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

Columns = Mapping[str, Sequence[object] | Column]
"""Heading to one value per row."""

_FEW_STEPS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A Plotly figure.

    Attributes:
        columns: The numbers behind it, none of them thinned or rounded; without them those of its traces count.
        frames: For a figure with a slider: per position, changes to its traces (trace number to attribute to value).
        min_width_px: It scrolls sideways on narrower screens.
    """

    name: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height_px: int
    columns: Columns = field(default_factory=dict)
    min_width_px: int = 0
    frames: Sequence[Sequence[Mapping[str, Any]]] = ()

    def numbers(self) -> Columns:
        """What `columns` are, or the points of its traces."""
        if self.columns:
            return self.columns
        rows = (
            {"trace": trace.get("name", ""), "x": x, "y": y}
            for trace in self.data
            for x, y in zip(trace.get("x", ()), trace.get("y", ()), strict=False)
        )
        return columns_of(rows, ("trace", "x", "y"))

    def to_json(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {"name": self.name, "data": self.data, "layout": self.layout, "frames": self.frames}


def ema_window(num_steps: int) -> int:
    """Steps that the moving average of a plot looks back on."""
    return min(100, max(5, num_steps // 20))


def ema(values: Column, window: int) -> Column:
    """Exponential moving average, unbiased from the first value on; of shape (S,) as `values`."""
    decay = 1.0 - 1.0 / window
    total = weight = 0.0
    averages = np.empty_like(values)
    for index, value in enumerate(values):
        total, weight = decay * total + value, decay * weight + 1.0
        averages[index] = total / weight
    return averages


def columns_of(rows: Iterable[Mapping[str, object]], headings: Sequence[str]) -> dict[str, list[object]]:
    """Rows of numbers as the columns of a figure."""
    columns: dict[str, list[object]] = {heading: [] for heading in headings}
    for row in rows:
        for heading, column in columns.items():
            column.append(row[heading])
    return columns


def reference_line(*, x: float | None = None, y: float | None = None, axis: str = "y", text: str) -> dict[str, Any]:
    """A dashed line across the plot at `x`, or at `y` of `axis`, with its text at the end."""
    across = {"xref": "x", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1}
    along = {"xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": y, "y1": y}
    anchors = {"xanchor": "right", "yanchor": "bottom"} if x is None else {"xanchor": "left", "yanchor": "top"}
    note = {"text": text, "textposition": "end", "font": {"size": 11}, "textangle": 0, "padding": 3, **anchors}
    style = {"line": {"color": "@text", "width": 1, "dash": "dash"}, "label": note}
    return {"type": "line", **(along if x is None else across), **style}


def mode(num_points: int) -> str:
    """Lines, with markers where there are few points."""
    return "lines" if num_points > _FEW_STEPS else "lines+markers"


def step_axis(num_steps: int) -> dict[str, Any]:
    """Layout of an axis of steps, of whole numbers."""
    whole = {"dtick": 1} if num_steps <= _FEW_STEPS else {}
    return {"title": {"text": "step"}, **whole}


def legend_above() -> dict[str, Any]:
    """Layout of a legend in one line above the plot."""
    return {"legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"}}


def xy(points: Sequence[tuple[float, float]] | Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Points as what a trace holds."""
    return {"x": [x for x, _ in points], "y": [y for _, y in points]}


def thin(count: int, limit: int = MAX_POINTS) -> list[int]:
    """At most `limit` of `count` positions, evenly spread, the first and the last among them."""
    if count <= limit:
        return list(range(count))
    return [round(index * (count - 1) / (limit - 1)) for index in range(limit)]


def numbers(values: Iterable[float]) -> list[float | None]:
    """Values at six digits, which is what a plot shows; None where they are not finite."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def label(value: object) -> str:
    """A value as Plotly shows it as it is: Plotly reads a small HTML in texts."""
    text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return html.escape(text, quote=False)
