"""What a policy holds likely, as figures: a map of probabilities per attribute, and the entropy of every decision."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from results.decisions import Choice, Panel, decision_order, index_of, normalised_entropy, panels, split
from results.figures import Figure, columns_of, label, legend_above, thin, xy
from results.history import SearchHistory
from results.records import PolicyRecord

MAX_SNAPSHOTS = 60
MAX_PROBABILITIES = 100_000
"""Over all snapshots of a report, about a megabyte."""
SETTLED, UNLEARNED = 0.05, 0.95
"""Normalised entropies below which a decision is settled, and above which it has not been learned."""

_MAX_MAP_PX = 1100


def snapshots(history: SearchHistory) -> list[PolicyRecord]:
    """The recorded policies that a report shows, at most 60, the first and the latest among them."""
    if not history.policies:
        return []
    num_each = sum(len(row) for row in history.policies[-1].probabilities.values())
    limit = max(2, min(MAX_SNAPSHOTS, MAX_PROBABILITIES // max(1, num_each)))
    return [history.policies[index] for index in thin(len(history.policies), limit)]


def policy_maps(policies: Sequence[PolicyRecord], decisions: Mapping[str, tuple[Choice, ...]]) -> list[Figure]:
    """Per attribute a map of probabilities, rows choices, columns layers or blocks; one frame per policy.

    Attributes of which no decision has a choice have none.
    """
    shown = [panel for panel in panels(decisions) if len(panel.choices) > 1] if policies else []
    return [_policy_map(panel, policies, decisions) for panel in shown]


def entropy_map(history: SearchHistory) -> Figure:
    """Normalised entropy of every decision (rows) against the step; settled and unlearned ones marked at its end."""
    policies = history.policies
    names = [name for name in decision_order(policies[-1].probabilities) if len(policies[-1].probabilities[name]) > 1]
    rows = [_row_name(name) for name in names]
    entropy_PD = [
        [round(normalised_entropy(policy.probabilities.get(name, ())), 4) for name in names] for policy in policies
    ]
    steps = [policy.step for policy in policies]
    scale = {"zmin": 0, "zmax": 1, "colorscale": [[0, "@cell"], [1, "@c0"]], "showscale": False}
    heat = {
        "type": "heatmap",
        "x": steps,
        "y": rows,
        "z": [list(row) for row in zip(*entropy_PD, strict=True)],
        **scale,
        "hovertemplate": "%{y} at step %{x}: %{z:.2f}<extra></extra>",
    }
    last = dict(zip(rows, entropy_PD[-1], strict=True))
    marks = [
        _marks("settled, below 0.05", [row for row in rows if last[row] < SETTLED], steps[-1], symbol="circle"),
        _marks("not learned, above 0.95", [row for row in rows if last[row] > UNLEARNED], steps[-1], symbol="x"),
    ]
    yaxis = {"type": "category", "categoryorder": "array", "categoryarray": rows[::-1], "automargin": True}
    layout = {
        "xaxis": {"title": {"text": "step"}, "showgrid": False},
        "yaxis": {**yaxis, "showgrid": False, "tickfont": {"size": 10}, "range": [-0.5, len(rows) - 0.5]},
        "showlegend": True,
        **legend_above(),
    }
    table = (
        {"step": policy.step, "decision": name, "entropy": value}
        for policy, row in zip(policies, entropy_PD, strict=True)
        for name, value in zip(names, row, strict=True)
    )
    return Figure(
        name="decisions",
        data=[heat, *marks],
        layout=layout,
        columns=columns_of(table, ("step", "decision", "entropy")),
        height_px=110 + min(_MAX_MAP_PX, 15 * len(rows)),
    )


def _marks(name: str, rows: Sequence[str], step: int, *, symbol: str) -> dict[str, Any]:
    marker = {"symbol": symbol, "size": 6, "color": "@text", "line": {"width": 1, "color": "@page"}}
    points = {"x": [step] * len(rows), "y": list(rows)}
    text = f"{name}: {len(rows)}"
    return {"type": "scatter", "mode": "markers", "name": text, **points, "marker": marker, "hoverinfo": "skip"}


def _row_name(name: str) -> str:
    place, attribute = split(name)
    return f"{_short(place)} {label(attribute)}" if place else label(attribute)


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
        columns=columns_of(_policy_rows(panel, policies, decisions), ("step", "decision", "choice", "probability")),
        height_px=100 + 24 * len(rows),
        min_width_px=90 + 17 * len(columns),
        frames=frames,
    )


def _policy_rows(
    panel: Panel, policies: Sequence[PolicyRecord], decisions: Mapping[str, tuple[Choice, ...]]
) -> Iterator[dict[str, object]]:
    names = [f"{place}.{panel.attribute}" if place else panel.attribute for place in panel.places]
    for policy in policies:
        for name in names:
            for choice, probability in zip(decisions.get(name, ()), policy.probabilities.get(name, ()), strict=False):
                yield {"step": policy.step, "decision": name, "choice": choice, "probability": probability}


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
    return [{"z": z}, xy(spots)]


def _short(place: str) -> str:
    parts = (part.removeprefix("block").removeprefix("layer") or part for part in place.split("."))
    return label(".".join(parts))
