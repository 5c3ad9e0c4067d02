import json
from dataclasses import replace

import made_runs
import pytest

from results.cost_figures import CostAxis, comparison
from results.history import read_history


@pytest.fixture
def history(tmp_path):
    return read_history(made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40)).journal_path)


def traces(figure):
    json.dumps(figure.to_json(), allow_nan=False)
    return {trace.get("name"): trace for trace in figure.data}


def axis(history, **changes):
    values = [each.cost for each in history.candidates]
    return CostAxis(**{"name": "comparison", "title": "cost", "values": values, "bound": made_runs.TARGET} | changes)


def test_origins_differ_in_colour_and_symbol(history):
    figure = comparison(history, axis(history))
    points = traces(figure)
    origins = [points[name] for name in ("random", "proposed by the search", "favourite of the search")]
    assert [len(trace["x"]) for trace in origins] == [6, 5, 1]
    assert len({trace["marker"]["symbol"] for trace in origins}) == 3
    assert len({trace["marker"]["color"] for trace in origins}) == 3
    assert points["found"]["y"] == [made_runs.result().found_quality]
    front = points["Pareto front"]
    assert front["x"] == sorted(front["x"])
    assert front["y"] == sorted(front["y"])
    assert max(candidate.quality for candidate in made_runs.candidates()) == front["y"][-1]
    target, random = figure.layout["shapes"]
    assert (target["x0"], random["y0"]) == (made_runs.TARGET, made_runs.result().random_quality_mean)
    assert sum(figure.columns["on_front"]) == len(front["x"])
    assert [cost for cost, found in zip(*(figure.columns[name] for name in ("cost", "found")), strict=True) if found]


def test_the_front_is_that_of_the_cost_that_is_shown(history):
    falling = [-each.cost for each in history.candidates]
    front = traces(comparison(history, axis(history, values=falling)))["Pareto front"]
    assert front["x"] == sorted(front["x"])
    assert set(front["x"]) <= set(falling)
    assert front != traces(comparison(history, axis(history)))["Pareto front"]


def test_published_networks_are_lines(history):
    figure = comparison(history, axis(history, bound=None, published={"published <A2>": 7.5}))
    _, published = figure.layout["shapes"]
    assert (published["x0"], published["label"]["text"]) == (7.5, "published &lt;A2&gt;")


def test_fronts_and_lifted_limits_are_shown_where_there_are_any(history):
    first, *rest = history.candidates
    changed = [replace(rest[0], origin="front"), replace(rest[1], origin="unlimited"), *rest[2:]]
    history_of = replace(history, candidates=[first, *changed])
    points = traces(comparison(history_of, axis(history_of)))
    assert [len(points[name]["x"]) for name in ("front of the search", "random, limits lifted")] == [1, 1]
    assert "front of the search" not in traces(comparison(history, axis(history)))
    best = max(each.quality for each in history.candidates)
    lifted = replace(rest[1], origin="unlimited", quality=best + 0.1)
    front = traces(
        comparison(
            replace(history, candidates=[first, lifted, *rest[2:]]), axis(history, values=axis(history).values[1:])
        )
    )
    assert max(front["Pareto front"]["y"]) <= best  # what need not keep the limits beats nobody
    symbols = {trace["marker"]["symbol"] for name, trace in points.items() if name not in ("found", "Pareto front")}
    assert len(symbols) == 5


def test_before_the_result_none_is_found(history):
    before = replace(history, result=None, start=None)
    assert "found" not in traces(comparison(before, axis(before)))
