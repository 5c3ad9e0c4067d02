"""The reports of sweeps: one table, one plot, from what the sweep's own document holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results.cost_figures import ORIGINS
from results.figures import PERCENT, Figure, columns_of, label, legend_above, numbers, reference_line
from results.page import Page, Section, Table, cell_text, percent, quantity, write_page
from results.run_dir import RunDir, is_locked

COEFFICIENTS = ("depth", "width", "resolution", "frame_rate")


def write_scaling_report(run: RunDir, document: Mapping[str, Any]) -> Path:
    """Write `report.html` of a sweep over scaling coefficients.

    Args:
        run: The sweep's folder.
        document: `space`, `candidates` by rank (coefficients, growth, macs_per_frame, top1_mean, top1s), `top`,
            `average`, `missing`, `failed`.

    Raises:
        RunFolderError: The report cannot be written.
    """
    candidates, best = document["candidates"], document["average"]
    facts = [("Base space", str(document["space"])), ("Candidates", str(len(candidates)))]
    if best is not None:
        facts += [(name.replace("_", " "), f"{best[name]:.3f}") for name in COEFFICIENTS]
        facts.append(("Growth per unit of phi", f"{best['growth']:.2f}"))
    sections = [
        Section(
            heading="Accuracy against each coefficient",
            note=f"Mean over the architectures of a candidate. The line is the average of the best {document['top']}.",
            figures=[scaling_figure(candidates, top=document["top"], average=best)] if candidates else [],
        ),
        Section(heading="Candidates", table=_scaling_table(candidates)),
        *_failures(document["failed"]),
    ]
    page = Page(
        title=f"Scaling sweep {run.path.resolve().name}",
        status=_status(run, num_missing=len(document["missing"])),
        facts=facts,
        sections=sections,
    )
    return write_page(run.report_path, page)


def write_family_report(run: RunDir, document: Mapping[str, Any]) -> Path:
    """Write `report.html` of a family of searches.

    Args:
        run: The family's folder.
        document: `members` (name, space, target, seed, macs, state_bytes, quality, ratio, argmax_ratio), `points` (all
            compared architectures: member, origin, macs, state_bytes, quality, and whether on which front),
            `published` (name to macs and state_bytes of networks of the same clip), `missing`, `failed`.

    Raises:
        RunFolderError: The report cannot be written.
    """
    members, points = document["members"], document["points"]
    note = "Every architecture that a search compared at its end, with its own supernet; the line is the joint front."
    state = f"Bytes of a stream's state as {document['state_variant']}, fp32."
    facts = [
        ("Searches", f"{len(members)} of {len(members) + len(document['missing'])}"),
        ("On the front of MACs", str(sum(point["on_macs_front"] for point in points))),
        ("On the front of state", str(sum(point["on_state_front"] for point in points))),
    ]
    known = document["published"]
    figures = [
        front_figure(points, cost="macs", title="MACs per clip", mark="on_macs_front", published=known),
        front_figure(points, cost="state_bytes", title="bytes of state", mark="on_state_front", published=known),
    ]
    if known:
        note += " Published networks are lines at their cost: their accuracy is that of other videos."
    beside = "What each search selected, beside the mean of random architectures of equal cost."
    sections = [
        Section(heading="Quality against MACs", note=note, figures=figures[:1] if points else []),
        Section(heading="Quality against the state of a stream", note=state, figures=figures[1:] if points else []),
        Section(
            heading="Searches",
            note=beside if members else "",
            figures=[members_figure(members)] if members else [],
            table=_members_table(members),
        ),
        *_failures(document["failed"]),
    ]
    page = Page(
        title=f"Family {run.path.resolve().name}",
        status=_status(run, num_missing=len(document["missing"])),
        facts=facts,
        sections=sections,
    )
    return write_page(run.report_path, page)


def scaling_figure(candidates: Sequence[Mapping[str, Any]], *, top: int, average: Mapping[str, float] | None) -> Figure:
    """Mean accuracy of candidates against each of the four coefficients, the best ones marked."""
    data: list[dict[str, Any]] = []
    axes: dict[str, dict[str, Any]] = {}
    lines: list[dict[str, Any]] = []
    groups = ((f"best {top}", "@c1", "diamond", 11, candidates[:top]), ("others", "@c0", "circle", 8, candidates[top:]))
    for column, name in enumerate(COEFFICIENTS):
        suffix = "" if column == 0 else str(column + 1)
        left = column * 0.255
        axes[f"xaxis{suffix}"] = {
            "title": {"text": name.replace("_", " ")},
            "domain": [left, left + 0.235],
            "range": [1.02, 1.43],
            "anchor": f"y{suffix}",
        }
        axes[f"yaxis{suffix}"] = {
            "anchor": f"x{suffix}",
            "tickformat": PERCENT,
            "showticklabels": column == 0,
            **({"title": {"text": "mean top-1"}} if column == 0 else {"matches": "y"}),
        }
        for group_name, colour, symbol, size, group in groups:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": group_name,
                    "legendgroup": group_name,
                    "showlegend": column == 0,
                    "x": numbers(each[name] for each in group),
                    "y": numbers(each["top1_mean"] for each in group),
                    "xaxis": f"x{suffix}",
                    "yaxis": f"y{suffix}",
                    "marker": {"size": size, "color": colour, "symbol": symbol},
                }
            )
        if average is not None:
            place = {"xref": f"x{suffix}", "x0": average[name], "x1": average[name], "yref": "paper", "y0": 0, "y1": 1}
            lines.append({"type": "line", **place, "line": {"color": "@text", "width": 1, "dash": "dash"}})
    layout = {**axes, "shapes": lines, **legend_above()}
    headings = ("rank", *COEFFICIENTS, "growth", "macs_per_frame", "top1_mean")
    columns = columns_of(candidates, headings)
    return Figure(name="scaling", data=data, layout=layout, columns=columns, height_px=360, min_width_px=720)


def members_figure(members: Sequence[Mapping[str, Any]]) -> Figure:
    """Per search the quality of what it selected, and of random architectures of equal cost."""
    names = [label(each["name"]) for each in members]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [value for each in members for value in (each["random_quality"], each["quality"], None)],
            "y": [value for name in names for value in (name, name, None)],
            "line": {"color": "@grid", "width": 3},
            "showlegend": False,
            "hoverinfo": "skip",
        }
    ]
    for name, key, colour, symbol in (
        ("random, mean", "random_quality", "@c5", "circle"),
        ("selected", "quality", "@c2", "diamond"),
    ):
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": numbers(each[key] for each in members),
                "y": names,
                "marker": {"size": 11, "color": colour, "symbol": symbol},
                "hovertemplate": f"{name} of %{{y}}: %{{x:.1%}}<extra></extra>",
            }
        )
    order = {"type": "category", "categoryorder": "array", "categoryarray": names[::-1], "automargin": True}
    layout = {"xaxis": {"title": {"text": "quality"}, "tickformat": PERCENT}, "yaxis": order, **legend_above()}
    headings = ("name", "target", "seed", "macs", "state_bytes", "ratio", "quality", "random_quality", "fingerprint")
    columns = columns_of(members, headings)
    return Figure(name="members", data=data, layout=layout, columns=columns, height_px=120 + 30 * len(members))


def front_figure(
    points: Sequence[Mapping[str, Any]],
    *,
    cost: str,
    title: str,
    mark: str,
    published: Mapping[str, Mapping[str, int]] | None = None,
) -> Figure:
    """Quality against a cost of all compared architectures, the joint front outlined, the found ones ringed."""
    data: list[dict[str, Any]] = []
    for origin, (name, colour, symbol) in ORIGINS.items():
        own = [point for point in points if point["origin"] == origin]
        if not own:
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [point[cost] for point in own],
                "y": numbers(point["quality"] for point in own),
                "text": [label(f"{point['member']} {point['fingerprint'][:12]}") for point in own],
                "hovertemplate": "%{text}<br>%{x:.4s}, %{y:.1%}<extra></extra>",
                "marker": {"size": 9, "color": colour, "symbol": symbol, "line": {"width": 1, "color": "@page"}},
            }
        )
    front = sorted((point[cost], point["quality"]) for point in points if point[mark])
    step = {"color": "@text", "width": 1, "dash": "dot", "shape": "hv"}
    xy = {"x": [x for x, _ in front], "y": [y for _, y in front]}
    data.append({"type": "scatter", "mode": "lines", "name": "joint front", **xy, "line": step, "hoverinfo": "skip"})
    found = [point for point in points if point["found"]]
    ring = {"size": 18, "symbol": "circle-open", "color": "@text", "line": {"width": 2}}
    spots = {"x": [point[cost] for point in found], "y": numbers(point["quality"] for point in found)}
    data.append({"type": "scatter", "mode": "markers", "name": "found", **spots, "marker": ring, "hoverinfo": "skip"})
    axes = {
        "xaxis": {"title": {"text": title}},
        "yaxis": {"title": {"text": "quality"}, "tickformat": PERCENT},
        "shapes": [reference_line(x=costs[cost], text=name) for name, costs in (published or {}).items()],
    }
    columns = columns_of(points, ("member", "origin", "fingerprint", cost, "quality", mark, "found"))
    return Figure(name=f"front-{cost}", data=data, layout={**axes, **legend_above()}, columns=columns, height_px=460)


def _scaling_table(candidates: Sequence[Mapping[str, Any]]) -> Table:
    headings = (
        "rank",
        *(name.replace("_", " ") for name in COEFFICIENTS),
        "growth",
        "MACs/frame",
        "mean top-1",
        "each",
    )
    rows = [
        (
            str(each["rank"]),
            *(f"{each[name]:.2f}" for name in COEFFICIENTS),
            f"{each['growth']:.2f}",
            quantity(each["macs_per_frame"]),
            percent(each["top1_mean"]),
            " ".join(percent(value) for value in each["top1s"]),
        )
        for each in candidates
    ]
    return Table(headings=headings, rows=rows, numeric=frozenset(range(8)))


def _members_table(members: Sequence[Mapping[str, Any]]) -> Table:
    headings = ("search", "target", "seed", "cost/target", "argmax", "MACs", "state", "quality", "random", "found")
    rows = [
        (
            each["name"],
            each["target"],
            str(each["seed"]),
            f"{each['ratio']:.3f}",
            f"{each['argmax_ratio']:.3f}",
            quantity(each["macs"]),
            cell_text(each["state_bytes"]),
            percent(each["quality"]),
            percent(each["random_quality"]),
            each["fingerprint"][:12],
        )
        for each in members
    ]
    return Table(headings=headings, rows=rows, numeric=frozenset({2, 3, 4, 5, 6, 7, 8}))


def _failures(failed: Mapping[str, str]) -> list[Section]:
    if not failed:
        return []
    rows = [(name, error) for name, error in failed.items()]
    note = "These have no result; `movinas resume` tries them again."
    return [Section(heading="Failed", note=note, table=Table(headings=("member", "error"), rows=rows))]


def _status(run: RunDir, *, num_missing: int) -> str:
    if not num_missing:
        return "finished"
    return f"{'running' if is_locked(run) else 'stopped'}, {num_missing:,} missing"
