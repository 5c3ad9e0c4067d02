import json
from dataclasses import replace

import made_runs
import numpy as np
import pytest

from results import policy_figures
from results.history import read_history


@pytest.fixture
def history(tmp_path):
    return read_history(made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40)).journal_path)


def traces(figure):
    json.dumps(figure.to_json(), allow_nan=False)
    return {trace.get("name"): trace for trace in figure.data}


def test_policy_maps(history):
    shown = policy_figures.snapshots(history)
    maps = {figure.name: figure for figure in policy_figures.policy_maps(shown, history.start.decisions)}
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
    heat, marks = policy_figures.policy_maps([few], history.start.decisions)[0].data
    assert heat["z"] == [[None, None]] * 3
    assert marks["x"] == []
    assert policy_figures.policy_maps([], history.start.decisions) == []


def test_snapshots_are_few_enough(history, monkeypatch):
    many = replace(history, policies=[made_runs.policy(number) for number in range(200)])
    shown = policy_figures.snapshots(many)
    assert (len(shown), shown[0].step, shown[-1].step) == (60, 0, 199)
    monkeypatch.setattr(policy_figures, "MAX_PROBABILITIES", 1000)
    assert 2 < len(policy_figures.snapshots(many)) < 30
    monkeypatch.setattr(policy_figures, "MAX_PROBABILITIES", 1)
    assert [policy.step for policy in policy_figures.snapshots(many)] == [0, 199]
    assert policy_figures.snapshots(replace(history, policies=[])) == []


def test_the_entropy_of_every_decision_is_a_row(history):
    figure = policy_figures.entropy_map(history)
    heat, settled, unlearned = json.loads(json.dumps(figure.data))
    assert heat["y"][:4] == ["1 depth", "1 width", "1.1 kernel", "1.1 expansion"]
    assert heat["y"][-1] == "head width"
    assert len(heat["z"]) == len(heat["y"]) == len(made_runs.DECISIONS)
    assert heat["x"] == [policy.step for policy in history.policies]
    assert heat["z"][0][0] == 1.0
    kernel = np.array(history.policies[-1].probabilities["block1.layer1.kernel"])
    expected = -(kernel * np.log(kernel)).sum() / np.log(kernel.size)
    assert heat["z"][2][-1] == pytest.approx(expected, abs=1e-4)
    assert (settled["x"], unlearned["x"]) == ([], [])
    rows = {(step, name): value for step, name, value in zip(*figure.columns.values(), strict=True)}
    assert rows[40, "block1.layer1.kernel"] == heat["z"][2][-1]


def test_settled_and_unlearned_decisions_are_marked(history):
    last = replace(
        history.policies[-1],
        probabilities={**history.policies[-1].probabilities, "head.width": (1.0, 0.0, 0.0), "block1.depth": (0.5, 0.5)},
    )
    figure = policy_figures.entropy_map(replace(history, policies=[*history.policies, last]))
    _, settled, unlearned = figure.data
    assert (settled["y"], unlearned["y"]) == (["head width"], ["1 depth"])
    assert settled["marker"]["symbol"] != unlearned["marker"]["symbol"]
