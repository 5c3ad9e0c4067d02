"""What was compared at the end of a search, as figures: quality against each cost that there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from results.figures import PERCENT, Figure, columns_of, label, legend_above, reference_line, xy
from results.history import SearchHistory
from results.pareto import non_dominated
from results.records import CandidateRecord, Origin

ORIGINS: Mapping[Origin, tuple[str, str, str]] = {
    "random": ("random", "@c5", "circle"),
    "unlimited": ("random, limits lifted", "@c4", "x"),
    "policy": ("proposed by the search", "@c1", "square"),
    "stand-in": ("random, for want of proposals", "@c0", "square-open"),
    "front": ("front of the search", "@c3", "triangle-up"),
    "argmax": ("favourite of the search", "@c2", "diamond"),
}
"""Name in the legend, colour and symbol of what was compared, by its origin."""
_ALWAYS = ("random", "policy", "argmax")
_RANDOM = ("random", "unlimited")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAxis:
    """A cost of all compared architectures.

    Attributes:
        name: Of its figure.
        title: What it is, with its unit.
        values: One per candidate of the history, in its order.
        bound: What it was to be or not to exceed, None for a cost nobody asked for; `bound_text` says which.
        published: Published networks that look at the same clip, name to cost; their accuracy is on other videos.
    """

    name: str
    title: str
    values: Sequence[float]
    bound: float | None = None
    bound_text: str = "target"
    published: Mapping[str, float] = field(default_factory=dict)


def comparison(history: SearchHistory, axis: CostAxis) -> Figure:
    """Quality against a cost of the final comparison: front outlined, the found one ringed, the random ones' mean.

    What need not keep the limits is not on the front.
    """
    points = list(zip(history.candidates, axis.values, strict=True))
    data = [
        _points(name, [point for point in points if point[0].origin == origin], colour, symbol)
        for origin, (name, colour, symbol) in ORIGINS.items()
        if origin in _ALWAYS or any(each.origin == origin for each in history.candidates)
    ]
    front = on_front([(each.quality, cost, each.origin) for each, cost in points])
    best = sorted((cost, each.quality) for (each, cost), on in zip(points, front, strict=True) if on)
    outline = {"name": "Pareto front", "line": {"color": "@text", "width": 1, "dash": "dot", "shape": "hv"}}
    data.append({"type": "scatter", "mode": "lines", **xy(best), **outline, "hoverinfo": "skip"})
    found = [point for point in points if _is_found(point[0], history)]
    if found:
        ring = {"size": 20, "symbol": "circle-open", "color": "@text", "line": {"width": 2}}
        spot = xy([(cost, each.quality) for each, cost in found[:1]])
        data.append(
            {"type": "scatter", "mode": "markers", "name": "found", **spot, "marker": ring, "hoverinfo": "skip"}
        )
    yaxis = {"title": {"text": "quality"}, "tickformat": PERCENT}
    layout = {
        "xaxis": {"title": {"text": label(axis.title)}},
        "yaxis": yaxis,
        "shapes": _lines(history, axis),
        **legend_above(),
    }
    rows = (
        {
            "fingerprint": each.fingerprint,
            "origin": each.origin,
            "cost": cost,
            "quality": each.quality,
            "clips": each.num_clips,
            "on_front": bool(on),
            "found": _is_found(each, history),
        }
        for (each, cost), on in zip(points, front, strict=True)
    )
    columns = columns_of(rows, ("fingerprint", "origin", "cost", "quality", "clips", "on_front", "found"))
    return Figure(name=axis.name, data=data, layout=layout, columns=columns, height_px=460)


def on_front(points: Sequence[tuple[float, float, str]]) -> list[bool]:
    """Which points (quality, cost, origin) are on the Pareto front of those that keep the limits."""
    kept = [number for number, (_, _, origin) in enumerate(points) if origin != "unlimited"]
    values_NK = np.array([(points[number][0], -points[number][1]) for number in kept]).reshape(-1, 2)
    best = {number for number, on in zip(kept, non_dominated(values_NK), strict=True) if on}
    return [number in best for number in range(len(points))]


def _is_found(candidate: CandidateRecord, history: SearchHistory) -> bool:
    result = history.result
    return result is not None and candidate.fingerprint == result.found and candidate.origin not in _RANDOM


def _lines(history: SearchHistory, axis: CostAxis) -> list[dict[str, Any]]:
    lines = [] if axis.bound is None else [reference_line(x=axis.bound, text=label(axis.bound_text))]
    if history.result is not None:
        lines.append(reference_line(y=history.result.random_quality_mean, text="random, mean"))
    return lines + [reference_line(x=cost, text=label(name)) for name, cost in axis.published.items()]


def _points(name: str, points: Sequence[tuple[CandidateRecord, float]], colour: str, symbol: str) -> dict[str, Any]:
    text = [f"{label(each.fingerprint[:12])}, cost / target {each.ratio:.3f}" for each, _ in points]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        **xy([(cost, each.quality) for each, cost in points]),
        "text": text,
        "hovertemplate": "%{text}<br>cost %{x:.4s}, quality %{y:.1%}<extra></extra>",
        "marker": {"size": 10, "color": colour, "symbol": symbol, "line": {"width": 1, "color": "@page"}},
    }
