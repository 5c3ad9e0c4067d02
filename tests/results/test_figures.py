import json
from dataclasses import replace

import made_runs
import numpy as np
import pytest

from results import figures
from results.history import read_history


@pytest.fixture
def history(tmp_path):
    return read_history(made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40)).journal_path)


def traces(figure):
    json.dumps(figure.to_json(), allow_nan=False)
    return {trace.get("name"): trace for trace in figure.data}


def test_curves_share_one_step_axis(history):
    figure = figures.curves(history)
    json.dumps(figure.to_json(), allow_nan=False)
    assert [(trace["name"], trace["yaxis"]) for trace in figure.data] == [
        (name, axis) for axis in ("y", "y2", "y3") for name in ("each step", "moving average")
    ]
    assert all(trace["mode"] == "lines" for trace in figure.data)
    assert all(trace["x"] == list(range(40)) and trace["xaxis"] == "x" for trace in figure.data)
    np.testing.assert_allclose(figure.data[2]["y"], history.columns["quality"], rtol=1e-5)
    band, target, baseline = figure.layout["shapes"]
    assert (band["yref"], band["y0"], band["y1"]) == ("y3", 0.95, 1.05)
    assert (target["yref"], target["y0"], target["y1"]) == ("y3", 1.0, 1.0)
    assert (baseline["yref"], baseline["y0"]) == ("y2", 0.5)


def test_a_single_step_is_seen(tmp_path):
    history = read_history(made_runs.make_run(tmp_path / "one", made_runs.search_records(done=1)).journal_path)
    for figure in (figures.curves(history), figures.entropies(history)):
        assert all(trace["mode"] == "lines+markers" for trace in figure.data)
        assert figure.layout["xaxis"]["dtick"] == 1


def test_the_moving_average_is_unbiased_and_smooth():
    np.testing.assert_allclose(figures.ema(np.full(30, 3.0), 10), 3.0)
    values = np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(figures.ema(values, 2), [1.0, 0.5 / 1.5, 0.25 / 1.75])
    assert (figures.ema_window(1), figures.ema_window(400), figures.ema_window(10**6)) == (5, 20, 100)


def test_long_traces_are_thinned_between_their_ends():
    assert figures.thin(3, 5) == [0, 1, 2]
    assert figures.thin(0) == []
    kept = figures.thin(100_001)
    assert len(kept) == figures.MAX_POINTS
    assert (kept[0], kept[-1]) == (0, 100_000)
    assert kept == sorted(set(kept))


def test_numbers_are_short_and_finite():
    assert figures.numbers([1 / 3, float("nan"), float("inf"), 2.0]) == [0.333333, None, None, 2.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [("<b>&", "&lt;b&gt;&amp;"), (True, "yes"), (False, "no"), (1, "1"), (1.0, "1.0"), ("1x3x3", "1x3x3")],
)
def test_labels(value, text):
    assert figures.label(value) == text


def test_entropies_differ_in_more_than_colour(history):
    lines = traces(figures.entropies(history))
    assert list(lines) == ["kernel", "se", "width"]
    assert len({trace["line"]["dash"] for trace in lines.values()}) == 3


def test_policy_maps(history):
    shown = figures.snapshots(history)
    maps = {figure.name: figure for figure in figures.policy_maps(shown, history.start.decisions)}
    assert list(maps) == ["policy-depth", "policy-width", "policy-kernel", "policy-expansion", "policy-se"]
    kernel = maps["policy-kernel"]
    traces(kernel)
    heat, marks = kernel.data
    assert heat["y"] == list(made_runs.KERNELS)
    assert heat["x"] == ["1.1", "1.2", "2.1", "2.2", "2.3"]
    assert len(kernel.frames) == len(shown) == 5
    for policy, (changes, _) in zip(shown, kernel.frames, strict=True):
        expected = np.transpose([policy.probabilities[f"block{x[0]}.layer{x[2]}.kernel"] for x in heat["x"]])
        np.testing.assert_allclose(changes["z"], expected, atol=5e-5)
    assert heat["z"] == kernel.frames[-1][0]["z"]
    assert (marks["x"], marks["y"]) == (["1.1", "1.2", "2.1", "2.2"], ["1x3x3"] * 4)
    depth = maps["policy-depth"].data[0]
    assert depth["z"][2][0] is None
    assert (depth["x"], depth["y"]) == (["1", "2"], ["1", "2", "3"])
    assert maps["policy-width"].data[0]["x"] == ["1", "2", "head"]


def test_a_policy_without_a_decision_leaves_a_gap(history):
    few = replace(history.policies[0], probabilities={}, argmax={"block1.depth": 99})
    heat, marks = figures.policy_maps([few], history.start.decisions)[0].data
    assert heat["z"] == [[None, None]] * 3
    assert marks["x"] == []
    assert figures.policy_maps([], history.start.decisions) == []


def test_snapshots_are_few_enough(history, monkeypatch):
    many = replace(history, policies=[made_runs.policy(number) for number in range(200)])
    shown = figures.snapshots(many)
    assert (len(shown), shown[0].step, shown[-1].step) == (60, 0, 199)
    monkeypatch.setattr(figures, "MAX_PROBABILITIES", 1000)
    assert 2 < len(figures.snapshots(many)) < 30
    monkeypatch.setattr(figures, "MAX_PROBABILITIES", 1)
    assert [policy.step for policy in figures.snapshots(many)] == [0, 199]
    assert figures.snapshots(replace(history, policies=[])) == []


def test_comparison_tells_origins_by_colour_and_symbol(history):
    points = traces(figures.comparison(history))
    origins = [points[name] for name in ("random", "proposed by the search", "favourite of the search")]
    assert [len(trace["x"]) for trace in origins] == [6, 5, 1]
    assert len({trace["marker"]["symbol"] for trace in origins}) == 3
    assert len({trace["marker"]["color"] for trace in origins}) == 3
    assert points["found"]["y"] == [made_runs.result().found_quality]
    front = points["Pareto front"]
    assert front["x"] == sorted(front["x"])
    assert front["y"] == sorted(front["y"])
    assert max(candidate.quality for candidate in made_runs.candidates()) == front["y"][-1]
    assert figures.comparison(history).layout["shapes"][0]["x0"] == made_runs.TARGET


def test_comparison_shows_fronts_and_lifted_limits_where_there_are_any(history):
    first, *rest = history.candidates
    changed = [replace(rest[0], origin="front"), replace(rest[1], origin="unlimited"), *rest[2:]]
    points = traces(figures.comparison(replace(history, candidates=[first, *changed])))
    assert [len(points[name]["x"]) for name in ("front of the search", "random, limits lifted")] == [1, 1]
    assert "front of the search" not in traces(figures.comparison(history))
    symbols = {trace["marker"]["symbol"] for name, trace in points.items() if name not in ("found", "Pareto front")}
    assert len(symbols) == 5


def test_comparison_before_the_result(history):
    assert "found" not in traces(figures.comparison(replace(history, result=None, start=None)))


def test_time_shares_hatch_the_overhead():
    bars = traces(figures.time_shares({"train": 0.6, "measure": 0.3, "data": 0.1}))
    assert (bars["network"]["y"], bars["network"]["x"]) == (["train", "measure"], [0.6, 0.3])
    assert (bars["everything else"]["y"], bars["everything else"]["x"]) == (["data"], [0.1])
    assert bars["network"]["marker"]["pattern"] != bars["everything else"]["marker"]["pattern"]
