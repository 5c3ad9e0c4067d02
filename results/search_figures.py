"""How a search went, step by step, as figures: rewards and costs, sampled costs, entropy, training of the weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from results.figures import (
    DASHES,
    PERCENT,
    Figure,
    ema,
    ema_window,
    label,
    legend_above,
    mode,
    numbers,
    reference_line,
    step_axis,
    thin,
)
from results.history import Column, SearchHistory

_UNSURE = 0.05
_CURVES = (("reward", "reward"), ("quality", "quality"), ("ratio", "cost / target"))
_TRAINING = (("train_loss", "training loss, nats"), ("learning_rate", "controller's rate"))
_SCHEDULED = "learning_rate"
_PARTS = (("early", "@c5", "dot"), ("middle", "@c1", "dash"), ("late", "@c0", "solid"))
_NUM_BINS = 48


def curves(history: SearchHistory) -> Figure:
    """Reward, quality and cost / target against the step, one below the other."""
    lines = [*_target_band(), *_random_baseline(history)]
    return _stacked(history, _CURVES, name="curves", height_px=620, colour=0, shapes=lines)


def training(history: SearchHistory) -> Figure:
    """Training loss of the shared weights and learning rate of the controller against the step."""
    return _stacked(history, _TRAINING, name="training", height_px=420, colour=3, shapes=[])


def entropies(history: SearchHistory) -> Figure:
    """Normalised entropy per group of decisions against the step."""
    keep = thin(history.num_steps)
    steps = numbers(history.columns["step"][keep])
    data = [
        {
            "type": "scatter",
            "mode": mode(values.size),
            "name": label(group),
            "x": steps,
            "y": numbers(values[keep]),
            "line": {"width": 2.5, "color": f"@c{index % 6}", "dash": DASHES[index % 6]},
        }
        for index, (group, values) in enumerate(history.entropy.items())
    ]
    axes = {
        "xaxis": step_axis(history.num_steps),
        "yaxis": {"title": {"text": "entropy / log n"}, "range": [0, 1.03]},
    }
    return Figure(
        name="entropy",
        data=data,
        layout={**axes, **legend_above(), "showlegend": True},
        columns={"step": history.columns["step"], **history.entropy},
        height_px=360,
    )


def sampled_costs(history: SearchHistory) -> Figure:
    """Shares of sampled architectures by cost / target, in the first, the third and the last fifth of the search."""
    ratios_N = history.trials["ratio"]
    fifths = np.array_split(ratios_N, 5)
    low, high = np.quantile(ratios_N, (0.002, 0.998))
    edges = np.linspace(min(low, 1 - _UNSURE), max(high, 1 + _UNSURE), _NUM_BINS + 1)
    columns: dict[str, Sequence[object] | Column] = {"from": edges[:-1], "to": edges[1:]}
    data = []
    for (name, colour, dash), ratios in zip(_PARTS, fifths[::2], strict=True):
        counts, _ = np.histogram(np.clip(ratios, edges[0], edges[-1]), edges)
        shares = counts / max(1, ratios.size)
        columns[name] = counts.tolist()
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{name}, {ratios.size:,} architectures",
                "x": numbers(np.repeat(edges, 2)),
                "y": [0.0, *numbers(np.repeat(shares, 2)), 0.0],
                "line": {"color": colour, "dash": dash, "width": 2.5 if dash == "solid" else 2},
                "fill": "tozeroy" if dash == "solid" else "none",
                "hovertemplate": f"{name}: %{{y:.1%}} around %{{x:.3f}}<extra></extra>",
            }
        )
    axes = {
        "xaxis": {"title": {"text": "cost / target"}},
        "yaxis": {"title": {"text": "share of a part"}, "tickformat": PERCENT, "rangemode": "tozero"},
    }
    layout = {**axes, "shapes": [reference_line(x=1.0, text="target")], **legend_above()}
    return Figure(name="sampled", data=data, layout=layout, columns=columns, height_px=360)


def _stacked(
    history: SearchHistory,
    rows: Sequence[tuple[str, str]],
    *,
    name: str,
    height_px: int,
    colour: int,
    shapes: Sequence[Mapping[str, Any]],
) -> Figure:
    """Columns of the history against the step, one below the other; what is noisy with its moving average."""
    keep = thin(history.num_steps)
    steps = numbers(history.columns["step"][keep])
    data: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    columns: dict[str, Sequence[object] | Column] = {"step": history.columns["step"]}
    for row, (column, title) in enumerate(rows):
        axis, values = "y" if row == 0 else f"y{row + 1}", history.columns[column]
        lines: list[tuple[str, dict[str, float], Column]] = [("each step", {"width": 1}, values)]
        columns[column] = values
        if column == _SCHEDULED:
            lines = [("as scheduled", {"width": 2.5}, values)]
        else:
            average = columns[f"{column}_moving_average"] = ema(values, ema_window(values.size))
            lines.append(("moving average", {"width": 2.5}, average))
        top = 1 - row * 1.06 / len(rows)
        axes[f"yaxis{axis[1:]}"] = {"title": {"text": title}, "domain": [max(0.0, top - 0.87 / len(rows)), top]}
        for kind, line, shown in lines:
            style = {"line": {**line, "color": f"@c{row + colour}"}, "opacity": 0.35 if line["width"] == 1 else 1.0}
            group = {"name": kind, "legendgroup": kind, "showlegend": row == 0 or kind == "as scheduled"}
            points = {"x": steps, "y": numbers(shown[keep]), "xaxis": "x", "yaxis": axis}
            data.append({"type": "scatter", "mode": mode(values.size), **group, **style, **points})
    bottom = {"xaxis": {**step_axis(history.num_steps), "anchor": f"y{len(rows)}"}}
    layout = {**bottom, **axes, "shapes": list(shapes), **legend_above()}
    return Figure(name=name, data=data, layout=layout, columns=columns, height_px=height_px)


def _target_band() -> list[dict[str, Any]]:
    across = {"xref": "paper", "x0": 0, "x1": 1, "yref": "y3", "layer": "below"}
    band = {"type": "rect", **across, "y0": 1 - _UNSURE, "y1": 1 + _UNSURE, "fillcolor": "@c2", "opacity": 0.18}
    return [{**band, "line": {"width": 0}}, reference_line(y=1.0, axis="y3", text="target ±5 %")]


def _random_baseline(history: SearchHistory) -> list[dict[str, Any]]:
    result = history.result
    return [reference_line(y=result.random_quality_mean, axis="y2", text="random architectures")] if result else []
