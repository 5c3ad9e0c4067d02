"""What happened, as Plotly figures in plain data.

Colours are tokens that the page resolves for its light or dark scheme: `@c0` .. `@c5` (Okabe-Ito, safe for colour-blind
readers), `@text`, `@grid`, `@page`, `@cell`. Nothing is told by colour alone: dashes, symbols or hatching say it too.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from results.decisions import Choice, Panel, index_of, panels
from results.history import COMPUTE_PHASES, Column, SearchHistory
from results.pareto import non_dominated
from results.records import CandidateRecord, Origin, PolicyRecord

MAX_POINTS = 5000
"""Per trace; longer ones are thinned."""
MAX_SNAPSHOTS = 60
MAX_PROBABILITIES = 100_000
"""Over all snapshots of a report, about a megabyte."""

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_ORIGINS: Mapping[Origin, tuple[str, str, str]] = {
    "random": ("random", "@c5", "circle"),
    "unlimited": ("random, limits lifted", "@c4", "x"),
    "policy": ("proposed by the search", "@c1", "square"),
    "stand-in": ("random, for want of proposals", "@c0", "square-open"),
    "front": ("front of the search", "@c3", "triangle-up"),
    "argmax": ("favourite of the search", "@c2", "diamond"),
}
_UNSURE = 0.05
_FEW_STEPS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A Plotly figure.

    Attributes:
        frames: For a figure with a slider: per position, changes to its traces (trace number to attribute to value).
        min_width_px: It scrolls sideways on narrower screens.
    """

    name: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height_px: int
    min_width_px: int = 0
    frames: Sequence[Sequence[Mapping[str, Any]]] = ()

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


def curves(history: SearchHistory) -> Figure:
    """Reward, quality and cost / target against the step, one below the other."""
    rows = (("reward", "reward", "y"), ("quality", "quality", "y2"), ("ratio", "cost / target", "y3"))
    keep = thin(history.num_steps)
    steps = numbers(history.columns["step"][keep])
    data = []
    for row, (column, _, axis) in enumerate(rows):
        values = history.columns[column]
        average = ema(values, ema_window(values.size))
        for name, line, shown in (("each step", {"width": 1}, values), ("moving average", {"width": 2.5}, average)):
            style = {"line": {**line, "color": f"@c{row}"}, "opacity": 0.35 if shown is values else 1.0}
            group = {"name": name, "legendgroup": name, "showlegend": row == 0}
            points = {"x": steps, "y": numbers(shown[keep]), "xaxis": "x", "yaxis": axis}
            data.append({"type": "scatter", "mode": _mode(values.size), **group, **style, **points})
    domains = ((0.71, 1.0), (0.355, 0.645), (0.0, 0.29))
    axes = {
        f"yaxis{axis[1:]}": {"title": {"text": title}, "domain": domain}
        for (_, title, axis), domain in zip(rows, domains, strict=True)
    }
    lines = [*_target_band(), *_random_baseline(history)]
    layout = {"xaxis": {**_step_axis(history.num_steps), "anchor": "y3"}, **axes, "shapes": lines, **legend_above()}
    return Figure(name="curves", data=data, layout=layout, height_px=620)


def entropies(history: SearchHistory) -> Figure:
    """Normalised entropy per group of decisions against the step."""
    keep = thin(history.num_steps)
    steps = numbers(history.columns["step"][keep])
    data = [
        {
            "type": "scatter",
            "mode": _mode(values.size),
            "name": label(group),
            "x": steps,
            "y": numbers(values[keep]),
            "line": {"width": 2.5, "color": f"@c{index % 6}", "dash": _DASHES[index % 6]},
        }
        for index, (group, values) in enumerate(history.entropy.items())
    ]
    axes = {
        "xaxis": _step_axis(history.num_steps),
        "yaxis": {"title": {"text": "entropy / log n"}, "range": [0, 1.03]},
    }
    return Figure(name="entropy", data=data, layout={**axes, **legend_above(), "showlegend": True}, height_px=360)


def snapshots(history: SearchHistory) -> list[PolicyRecord]:
    """The recorded policies that a report shows, at most 60, the first and the latest among them."""
    if not history.policies:
        return []
    num_each = sum(len(row) for row in history.policies[-1].probabilities.values())
    limit = max(2, min(MAX_SNAPSHOTS, MAX_PROBABILITIES // max(1, num_each)))
    return [history.policies[index] for index in thin(len(history.policies), limit)]


def policy_maps(policies: Sequence[PolicyRecord], decisions: Mapping[str, tuple[Choice, ...]]) -> list[Figure]:
    """Per attribute a map of probabilities, rows choices, columns layers or blocks; one frame per policy."""
    return [_policy_map(panel, policies, decisions) for panel in panels(decisions)] if policies else []


def comparison(history: SearchHistory) -> Figure:
    """Quality against cost of the final comparison, the front outlined, the found one ringed."""
    candidates = history.candidates
    data = [
        _points(name, [each for each in candidates if each.origin == origin], colour, symbol)
        for origin, (name, colour, symbol) in _ORIGINS.items()
        if origin in ("random", "policy", "argmax") or any(each.origin == origin for each in candidates)
    ]
    front = non_dominated(np.array([(each.quality, -each.cost) for each in candidates]))
    best = sorted((each.cost, each.quality) for each, on in zip(candidates, front, strict=True) if on)
    outline = {"name": "Pareto front", "line": {"color": "@text", "width": 1, "dash": "dot", "shape": "hv"}}
    data.append({"type": "scatter", "mode": "lines", **_xy(best), **outline, "hoverinfo": "skip"})
    if result := history.result:
        ring = {"size": 20, "symbol": "circle-open", "color": "@text", "line": {"width": 2}}
        spot = _xy([(result.found_cost, result.found_quality)])
        data.append(
            {"type": "scatter", "mode": "markers", "name": "found", **spot, "marker": ring, "hoverinfo": "skip"}
        )
    target = [_line(x=history.start.target_cost, text="target")] if history.start else []
    axes = {"xaxis": {"title": {"text": "cost"}}, "yaxis": {"title": {"text": "quality"}, "tickformat": ".0%"}}
    layout = {**axes, "shapes": target, **legend_above()}
    return Figure(name="comparison", data=data, layout=layout, height_px=460)


def time_shares(shares: Mapping[str, float]) -> Figure:
    """Share of wall-clock time per phase; overhead is hatched."""
    data = []
    for name, colour, pattern in (("network", "@c0", ""), ("everything else", "@c4", "/")):
        part = {phase: share for phase, share in shares.items() if (phase in COMPUTE_PHASES) == (name == "network")}
        bars = {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": [label(phase) for phase in part],
            "x": numbers(part.values()),
            "texttemplate": "%{x:.1%}",
            "textposition": "outside",
            "cliponaxis": False,
            "marker": {"color": colour, "pattern": {"shape": pattern}},
        }
        data.append(bars)
    order = [label(phase) for phase in reversed(list(shares))]
    yaxis = {"type": "category", "categoryorder": "array", "categoryarray": order, "ticklabelstandoff": 6}
    xaxis = {"tickformat": ".0%", "range": [0, min(1.15, 1.25 * max(shares.values(), default=1.0))]}
    layout = {"xaxis": xaxis, "yaxis": yaxis, **legend_above()}
    return Figure(name="time", data=data, layout=layout, height_px=110 + 34 * len(shares))


def _policy_map(panel: Panel, policies: Sequence[PolicyRecord], decisions: Mapping[str, tuple[Choice, ...]]) -> Figure:
    columns = [_short(place) for place in panel.places]
    rows = [label(choice) for choice in panel.choices]
    frames = [_policy_frame(panel, policy, decisions, columns, rows) for policy in policies]
    scale = {"zmin": 0, "zmax": 1, "colorscale": [[0, "@cell"], [1, "@c0"]], "xgap": 1, "ygap": 1, "showscale": False}
    hover = f"{label(panel.attribute)} %{{y}} at %{{x}}: %{{z:.1%}}<extra></extra>"
    heat = {"type": "heatmap", "x": columns, "y": rows, **scale, "hovertemplate": hover, **frames[-1][0]}
    dot = {"size": 7, "color": "@page", "line": {"color": "@text", "width": 1.5}}
    marks = {"type": "scatter", "mode": "markers", "marker": dot, "hoverinfo": "skip", **frames[-1][1]}
    layers = any("layer" in place for place in panel.places)
    xaxis = {"type": "category", "title": {"text": "block.layer" if layers else "block"}, "showgrid": False}
    yaxis = {"type": "category", "categoryorder": "array", "categoryarray": rows, "automargin": True, "showgrid": False}
    title = {"text": label(panel.attribute), "x": 0, "xanchor": "left", "font": {"size": 15}}
    extent = {
        "xaxis": {**xaxis, "range": [-0.5, len(columns) - 0.5]},
        "yaxis": {**yaxis, "range": [-0.5, len(rows) - 0.5]},
    }
    return Figure(
        name=f"policy-{panel.attribute}",
        data=[heat, marks],
        layout={**extent, "title": title, "showlegend": False, "margin": {"t": 34, "b": 48}},
        height_px=100 + 24 * len(rows),
        min_width_px=90 + 17 * len(columns),
        frames=frames,
    )


def _policy_frame(
    panel: Panel,
    policy: PolicyRecord,
    decisions: Mapping[str, tuple[Choice, ...]],
    columns: Sequence[str],
    rows: Sequence[str],
) -> list[dict[str, Any]]:
    z: list[list[float | None]] = [[None] * len(columns) for _ in rows]
    spots = []
    for column, place in enumerate(panel.places):
        name = f"{place}.{panel.attribute}" if place else panel.attribute
        for choice, probability in zip(decisions.get(name, ()), policy.probabilities.get(name, ()), strict=False):
            row = index_of(choice, panel.choices)
            assert row is not None  # a panel has every choice of its decisions
            z[row][column] = round(probability, 4)
        if name in policy.argmax and (row := index_of(policy.argmax[name], panel.choices)) is not None:
            spots.append((columns[column], rows[row]))
    return [{"z": z}, _xy(spots)]


def _points(name: str, candidates: Sequence[CandidateRecord], colour: str, symbol: str) -> dict[str, Any]:
    text = [f"{label(each.fingerprint[:12])}, cost / target {each.ratio:.3f}" for each in candidates]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        **_xy([(each.cost, each.quality) for each in candidates]),
        "text": text,
        "hovertemplate": "%{text}<br>cost %{x:.4s}, quality %{y:.1%}<extra></extra>",
        "marker": {"size": 10, "color": colour, "symbol": symbol, "line": {"width": 1, "color": "@page"}},
    }


def _target_band() -> list[dict[str, Any]]:
    across = {"xref": "paper", "x0": 0, "x1": 1, "yref": "y3", "layer": "below"}
    band = {"type": "rect", **across, "y0": 1 - _UNSURE, "y1": 1 + _UNSURE, "fillcolor": "@c2", "opacity": 0.18}
    return [{**band, "line": {"width": 0}}, _line(y=1.0, axis="y3", text="target ±5 %")]


def _random_baseline(history: SearchHistory) -> list[dict[str, Any]]:
    result = history.result
    return [_line(y=result.random_quality_mean, axis="y2", text="random architectures")] if result else []


def _line(*, x: float | None = None, y: float | None = None, axis: str = "y", text: str) -> dict[str, Any]:
    across = {"xref": "x", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1}
    along = {"xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": y, "y1": y}
    anchors = {"xanchor": "right", "yanchor": "bottom"} if x is None else {"xanchor": "left", "yanchor": "top"}
    note = {"text": text, "textposition": "end", "font": {"size": 11}, "textangle": 0, "padding": 3, **anchors}
    style = {"line": {"color": "@text", "width": 1, "dash": "dash"}, "label": note}
    return {"type": "line", **(along if x is None else across), **style}


def _mode(num_steps: int) -> str:
    return "lines" if num_steps > _FEW_STEPS else "lines+markers"


def _step_axis(num_steps: int) -> dict[str, Any]:
    whole = {"dtick": 1} if num_steps <= _FEW_STEPS else {}
    return {"title": {"text": "step"}, **whole}


def legend_above() -> dict[str, Any]:
    """Layout of a legend in one line above the plot."""
    return {"legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"}}


def _xy(points: Sequence[tuple[float, float]] | Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {"x": [x for x, _ in points], "y": [y for _, y in points]}


def thin(count: int, limit: int = MAX_POINTS) -> list[int]:
    """At most `limit` of `count` positions, evenly spread, the first and the last among them."""
    if count <= limit:
        return list(range(count))
    return [round(index * (count - 1) / (limit - 1)) for index in range(limit)]


def numbers(values: Iterable[float]) -> list[float | None]:
    """Values at six digits, which is what a plot shows; None where they are not finite."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def _short(place: str) -> str:
    parts = (part.removeprefix("block").removeprefix("layer") or part for part in place.split("."))
    return label(".".join(parts))


def label(value: object) -> str:
    """A value as Plotly shows it as it is: Plotly reads a small HTML in texts."""
    text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return html.escape(text, quote=False)
