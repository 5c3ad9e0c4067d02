"""Where the time of a run went, as figures: its share per phase, and the course of steps, restarts and bad videos."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from results.figures import (
    PERCENT,
    Columns,
    Figure,
    ema,
    ema_window,
    label,
    legend_above,
    numbers,
    reference_line,
    thin,
)
from results.history import COMPUTE_PHASES

_MAX_RESTARTS = 50
"""More of them are a wall of lines."""
_STAIRS = {"width": 2, "color": "@c3", "dash": "dot", "shape": "hv"}


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
    xaxis = {"tickformat": PERCENT, "range": [0, min(1.15, 1.25 * max(shares.values(), default=1.0))]}
    layout = {"xaxis": xaxis, "yaxis": yaxis, **legend_above()}
    columns: Columns = {"phase": list(shares), "share": list(shares.values())}
    return Figure(name="time", data=data, layout=layout, columns=columns, height_px=110 + 34 * len(shares))


def strip(events: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Seconds per step, share of waiting for data, and unreadable videos so far; restarts are lines across all three.

    A step that was computed again after a restart counts again. None where nothing was timed.
    """
    columns = _course(events)
    steps = np.array(columns["step"], dtype=np.float64)
    if not steps.size:
        return None
    seconds = np.array(columns["seconds"], dtype=np.float64)
    waiting = np.array(columns["data_seconds"], dtype=np.float64)
    window = ema_window(steps.size)
    average = ema(seconds, window)
    share = ema(waiting, window) / np.maximum(average, 1e-9)
    rows = (
        ("seconds of a step", "y", seconds, {"width": 1, "color": "@c0"}, 0.35),
        ("moving average", "y", average, {"width": 2.5, "color": "@c0"}, 1.0),
        ("waiting for data", "y2", share, {"width": 2, "color": "@c1", "dash": "dash"}, 1.0),
        ("unreadable videos", "y3", np.array(columns["bad_videos"], dtype=np.float64), _STAIRS, 1.0),
    )
    keep = thin(steps.size)
    order = np.arange(steps.size)
    data = [
        {
            "type": "scatter",
            "mode": "lines" if steps.size > 1 else "markers",
            "name": name,
            "x": order[keep].tolist(),
            "y": numbers(values[keep]),
            "xaxis": "x",
            "yaxis": axis,
            "line": line,
            "opacity": opacity,
            "customdata": steps[keep].astype(int).tolist(),
            "hovertemplate": f"{name} at step %{{customdata}}: %{{y:.4g}}<extra></extra>",
        }
        for name, axis, values, line, opacity in rows
    ]
    restarts = np.flatnonzero(np.diff(columns["starts"])) + 1
    layout = {
        "xaxis": {"title": {"text": "steps computed"}, "anchor": "y3"},
        "yaxis": {"title": {"text": "seconds"}, "domain": [0.56, 1.0], "rangemode": "tozero"},
        "yaxis2": {"title": {"text": "data"}, "domain": [0.28, 0.48], "tickformat": PERCENT, "rangemode": "tozero"},
        "yaxis3": {"title": {"text": "videos"}, "domain": [0.0, 0.2], "rangemode": "tozero"},
        "shapes": [reference_line(x=float(place), text="restart") for place in restarts[:_MAX_RESTARTS]],
        "showlegend": True,
        **legend_above(),
    }
    return Figure(name="strip", data=data, layout=layout, columns=columns, height_px=430)


def _course(events: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """One row per timed step, as it was computed: starts and unreadable videos are those before it."""
    columns: dict[str, list[float]] = {
        name: [] for name in ("time", "step", "seconds", "data_seconds", "starts", "bad_videos")
    }
    starts, bad = 0, set[str]()
    for event in events:
        if event["kind"] in ("start", "resume"):
            starts += 1
        elif event["kind"] == "bad_videos" and isinstance(event.get("ids"), list):
            bad |= set(map(str, event["ids"]))
        elif event["kind"] == "phase_times" and isinstance(event.get("step"), int):
            times = dict(_seconds(event.get("seconds")))
            row = (event["t"], event["step"], sum(times.values()), times.get("data", 0.0), starts, len(bad))
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    return columns


def _seconds(found: object) -> Iterator[tuple[str, float]]:
    if isinstance(found, Mapping):
        yield from ((str(name), float(value)) for name, value in found.items() if isinstance(value, int | float))
