import json

import made_runs
import numpy as np
import pytest

from results import search_figures
from results.history import read_history


@pytest.fixture
def history(tmp_path):
    return read_history(made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40)).journal_path)


def traces(figure):
    json.dumps(figure.to_json(), allow_nan=False)
    return {trace.get("name"): trace for trace in figure.data}


def test_curves_share_one_step_axis(history):
    figure = search_figures.curves(history)
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
    for figure in (search_figures.curves(history), search_figures.entropies(history)):
        assert all(trace["mode"] == "lines+markers" for trace in figure.data)
        assert figure.layout["xaxis"]["dtick"] == 1


def test_entropies_differ_in_more_than_colour(history):
    lines = traces(search_figures.entropies(history))
    assert list(lines) == ["kernel", "se", "width"]
    assert len({trace["line"]["dash"] for trace in lines.values()}) == 3


def test_training_shows_loss_and_rate(history):
    figure = search_figures.training(history)
    traces(figure)
    np.testing.assert_allclose(figure.data[0]["y"], history.columns["train_loss"], rtol=1e-5)
    np.testing.assert_allclose(figure.data[2]["y"], history.columns["learning_rate"], rtol=1e-5)
    assert [trace["yaxis"] for trace in figure.data] == ["y", "y", "y2"]  # no average of what is planned


def test_sampled_costs_of_early_middle_and_late_steps_differ_in_more_than_colour(history):
    lines = traces(search_figures.sampled_costs(history))
    assert list(lines) == [f"{part}, 16 architectures" for part in ("early", "middle", "late")]
    assert len({trace["line"]["dash"] for trace in lines.values()}) == 3
    figure = search_figures.sampled_costs(history)
    edges = np.array([*figure.columns["from"], figure.columns["to"][-1]])
    ratios = [trial.ratio for record in made_runs.search_records(steps=40) for trial in getattr(record, "trials", ())]
    for name, part in (("early", ratios[:16]), ("middle", ratios[32:48]), ("late", ratios[64:])):
        assert figure.columns[name] == np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0].tolist()
        assert sum(figure.columns[name]) == 16
    (target,) = figure.layout["shapes"]
    assert target["x0"] == 1.0


@pytest.mark.parametrize("done", [1, 2])
def test_sampled_costs_of_a_search_that_has_just_begun(tmp_path, done):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(done=done))
    figure = search_figures.sampled_costs(read_history(run.journal_path))
    assert len(traces(figure)) == 3
    assert sum(sum(figure.columns[name]) for name in ("early", "middle", "late")) <= 2 * done


def test_the_numbers_behind_are_whole(history):
    columns = search_figures.curves(history).columns
    assert list(columns) == [
        "step",
        *(name for row in ("reward", "quality", "ratio") for name in (row, f"{row}_moving_average")),
    ]
    np.testing.assert_array_equal(columns["quality"], history.columns["quality"])
