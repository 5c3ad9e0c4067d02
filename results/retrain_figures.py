"""What happened in a retraining and its test, as Plotly figures in plain data; see `figures` for the colours."""

from collections.abc import Sequence
from typing import Any

from results.figures import PERCENT, Columns, Figure, columns_of, label, legend_above, numbers, thin
from results.records import EmbeddingReport, EpochRecord, HeadReport, TestReport

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_MAX_COUNTS = 100
"""Classes up to which the counts are there beside the shares."""
_KINDS = {"clip": "all frames", "alone": "the frame by itself", "so_far": "a stream, after the frame"}


def epoch_curves(epochs: Sequence[EpochRecord]) -> Figure:
    """Loss and accuracy against the epoch, one below the other."""
    kept = [epochs[index] for index in thin(len(epochs))]
    evaluated = [epoch for epoch in kept if epoch.val_top1 is not None]
    loss = _line("training loss", kept, [epoch.train_loss for epoch in kept], axis="y", colour="@c0", dash="solid")
    train = _line("training top-1", kept, [epoch.train_top1 for epoch in kept], axis="y2", colour="@c4", dash="dot")
    scores = [epoch.val_top1 for epoch in evaluated if epoch.val_top1 is not None]
    metric = epochs[-1].metric
    axis = "top-1" if metric == "top-1" else f"training top-1, {label(metric)}"
    validation = _line(f"validation {label(metric)}", evaluated, scores, axis="y2", colour="@c2", dash="solid")
    layout = {
        "xaxis": {"title": {"text": "epoch, from 0"}, "anchor": "y2"},
        "yaxis": {"title": {"text": "loss"}, "domain": [0.54, 1.0]},
        "yaxis2": {"title": {"text": axis}, "domain": [0.0, 0.46], "tickformat": PERCENT, "rangemode": "tozero"},
        **legend_above(),
    }
    columns: Columns = {
        "epoch": [epoch.epoch for epoch in epochs],
        "step": [epoch.step for epoch in epochs],
        "train_loss": [epoch.train_loss for epoch in epochs],
        "train_top1": [epoch.train_top1 for epoch in epochs],
        f"validation {metric}": [epoch.val_top1 for epoch in epochs],
    }
    data = [loss, train, validation]
    return Figure(name="epochs", data=data, layout=layout, columns=columns, height_px=520)


def accuracy_points(test: TestReport) -> Figure:
    """Accuracy against the number of the frame, how many frames a clip has, or the frame rate; one line per kind."""
    kinds = list(dict.fromkeys(point.kind for point in test.points))
    colours, data = ("@c0", "@c2", "@c4"), []
    for colour, kind in zip(colours, kinds, strict=False):
        points = [point for point in test.points if point.kind == kind]
        places = [
            point.frame if test.by == "frame" else point.num_frames if test.by == "frames" else point.rate_fps
            for point in points
        ]
        videos = [f"{point.num_videos} videos, {point.num_failed} failed" for point in points]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": _KINDS[kind],
                "x": places,
                "y": numbers(point.quality for point in points),
                "text": videos,
                "hovertemplate": "%{x}: %{y:.1%}<br>%{text}<extra></extra>",
                "line": {"width": 2.5, "color": colour},
            }
        )
    figure = "mAP" if test.mean_average_precision is not None else "top-1"
    titles = {"frame": "frame", "frames": "frames of a clip", "rate": "frames per second"}
    layout = {
        "xaxis": {"title": {"text": titles[test.by or "frame"]}},
        "yaxis": {"title": {"text": figure}, "tickformat": PERCENT, "rangemode": "tozero"},
        **legend_above(),
    }
    headings = ("kind", "frame", "num_frames", "rate_fps", "quality", "num_videos", "num_failed")
    columns = {heading: [getattr(point, heading) for point in test.points] for heading in headings}
    return Figure(name="accuracy", data=data, layout=layout, columns=columns, height_px=360)


def confusion(test: TestReport | HeadReport, *, name: str = "confusion") -> Figure:
    """Share of each true class (row) that was given each predicted class (column)."""
    names = [label(name) for name in test.class_names]
    totals = [max(1, sum(row)) for row in test.confusion]
    shares = [numbers(count / total for count in row) for row, total in zip(test.confusion, totals, strict=True)]
    hover = "true %{y}, predicted %{x}: %{z:.1%}"
    data: dict[str, Any] = {"type": "heatmap", "z": [[round(share or 0, 3) for share in row] for row in shares]}
    if len(names) <= _MAX_COUNTS:
        data["customdata"] = test.confusion
        hover += ", %{customdata} videos"
    scale = {"zmin": 0, "zmax": 1, "colorscale": [[0, "@cell"], [1, "@c0"]], "xgap": 1, "ygap": 1, "showscale": False}
    data |= {
        "x": list(range(len(names))),
        "y": list(range(len(names))),
        **scale,
        "hovertemplate": f"{hover}<extra></extra>",
    }
    angle = -45 if len(names) < 13 else -90
    ticks = {"tickmode": "array", "tickvals": data["x"], "ticktext": names, "showgrid": False, "automargin": True}
    layout = {
        "xaxis": {**ticks, "title": {"text": "predicted", "standoff": 10}, "tickangle": angle},
        "yaxis": {**ticks, "title": {"text": "true", "standoff": 10}, "autorange": "reversed"},
    }
    columns: dict[str, Sequence[object]] = {"true class": test.class_names}
    columns |= {f"as {name}": [row[place] for row in test.confusion] for place, name in enumerate(test.class_names)}
    side_px = min(3000, 18 * len(names))
    return Figure(
        name=name,
        data=[data],
        layout=layout,
        columns=columns,
        height_px=220 + side_px,
        min_width_px=160 + side_px,
    )


def trajectories(found: EmbeddingReport, class_names: Sequence[str]) -> Figure:
    """Embeddings of successive frames on their two principal axes, a line per clip, from a hollow first frame."""
    data: list[dict[str, Any]] = []
    for label_number in sorted({each.label for each in found.trajectories}):
        name = label(class_names[label_number])
        for number, each in enumerate(one for one in found.trajectories if one.label == label_number):
            places = range(len(each.points))
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": name,
                    "legendgroup": name,
                    "showlegend": number == 0,
                    "x": numbers(point[0] for point in each.points),
                    "y": numbers(point[1] for point in each.points),
                    "customdata": list(places),
                    "line": {"width": 1.2, "color": f"@c{label_number % 6}"},
                    "marker": {
                        "size": [8, *[4] * (len(each.points) - 1)],
                        "symbol": [
                            f"{_SYMBOLS[label_number % 6]}-open",
                            *[_SYMBOLS[label_number % 6]] * len(places[1:]),
                        ],
                    },
                    "hovertemplate": f"{name}, frame %{{customdata}}<extra></extra>",
                }
            )
    layout = {
        "xaxis": {"title": {"text": "first principal axis"}},
        "yaxis": {"title": {"text": "second principal axis"}, "scaleanchor": "x"},
        **legend_above(),
    }
    rows = (
        {"clip": clip, "class": class_names[each.label], "frame": frame, "first": point[0], "second": point[1]}
        for clip, each in enumerate(found.trajectories)
        for frame, point in enumerate(each.points)
    )
    columns = columns_of(rows, ("clip", "class", "frame", "first", "second"))
    layout["showlegend"] = True
    return Figure(name="trajectories", data=data, layout=layout, columns=columns, height_px=560)


def _line(
    name: str, epochs: Sequence[EpochRecord], values: Sequence[float], *, axis: str, colour: str, dash: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(epochs) < 100 else "lines",
        "name": name,
        "x": [epoch.epoch for epoch in epochs],
        "y": numbers(values),
        "yaxis": axis,
        "line": {"width": 2.5, "color": colour, "dash": dash},
        "marker": {"size": 5 if len(epochs) > 10 else 8},
    }
