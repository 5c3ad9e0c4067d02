"""Reports of sweeps: whatever a sweep has come to so far, escaped."""

import json
import re

import pytest

from results.run_dir import create_run
from results.sweep_report import front_figure, members_figure, scaling_figure, write_family_report, write_scaling_report

COEFFICIENTS = {"depth": 1.2, "width": 1.15, "resolution": 1.2, "frame_rate": 1.4}
CANDIDATE = {
    "rank": 1,
    **COEFFICIENTS,
    "growth": 3.9,
    "macs_per_frame": 1.5e6,
    "top1_mean": 0.5,
    "top1s": [0.4, 0.6],
}
POINT = {
    "member": "m",
    "origin": "policy",
    "fingerprint": "0" * 64,
    "found": True,
    "macs": 10,
    "state_bytes": 20,
    "quality": 0.5,
    "on_macs_front": True,
    "on_state_front": False,
}
MEMBER = {
    "name": "m",
    "space": "nano",
    "target": "macs=1M/clip",
    "seed": 0,
    "fingerprint": "0" * 64,
    "ratio": 1.0,
    "argmax_ratio": 1.01,
    "macs": 10,
    "state_bytes": 20,
    "quality": 0.5,
    "random_quality": 0.4,
}
FAMILY = {
    "state_variant": "released-stream",
    "members": [MEMBER, {**MEMBER, "name": "<b>", "quality": 0.3}],
    "points": [POINT, {**POINT, "origin": "random", "found": False, "on_macs_front": False}],
    "published": {"published A2": {"macs": 15, "state_bytes": 25}},
    "missing": [],
    "failed": {},
}


def figures(path):
    text = path.read_text()
    return json.loads(re.search(r'id="figures">(.*?)</script>', text, re.DOTALL).group(1)), text


def test_a_scaling_sweep_that_has_just_begun_has_a_report(tmp_path):
    run = create_run(tmp_path / "sweep", kind="scaling", files={})
    document = {"space": "a2", "candidates": [], "top": 0, "average": None, "missing": ["a", "b"], "failed": {}}
    found, text = figures(write_scaling_report(run, document))
    assert not found
    assert "stopped, 2 missing" in text


def test_failures_are_told_and_escaped(tmp_path):
    run = create_run(tmp_path / "sweep", kind="scaling", files={})
    document = {
        "space": "<b>",
        "candidates": [CANDIDATE],
        "top": 1,
        "average": {**COEFFICIENTS, "growth": 3.9},
        "missing": ["a"],
        "failed": {"a": "<script>alert(1)</script>"},
    }
    found, text = figures(write_scaling_report(run, document))
    assert [figure["name"] for figure in found] == ["scaling"]
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_scaling_figure_has_every_candidate_in_each_of_four_panels():
    figure = scaling_figure([CANDIDATE] * 7, top=5, average=COEFFICIENTS)
    assert len(figure.data) == 8
    assert [len(trace["x"]) for trace in figure.data] == [5, 2] * 4
    assert [line["x0"] for line in figure.layout["shapes"]] == list(COEFFICIENTS.values())


@pytest.mark.parametrize("begun", [True, False])
def test_a_family_has_a_report_at_any_time(tmp_path, begun):
    run = create_run(tmp_path / "family", kind="family", files={})
    nothing = {"members": [], "points": [], "published": {}, "missing": ["m"]}
    found, text = figures(write_family_report(run, FAMILY if begun else FAMILY | nothing))
    assert len(found) == (3 if begun else 0)
    assert "2 of 2" in text if begun else "0 of 1" in text
    assert ("<td>&lt;b&gt;</td>" in text) == begun


def test_each_search_stands_beside_its_random_architectures():
    _, random, selected = members_figure(FAMILY["members"]).data
    assert (random["x"], selected["x"]) == ([0.4, 0.4], [0.5, 0.3])
    assert random["y"] == selected["y"] == ["m", "&lt;b&gt;"]
    assert random["marker"]["symbol"] != selected["marker"]["symbol"]


def test_points_of_every_origin_are_drawn():
    origins = ("random", "unlimited", "policy", "stand-in", "front", "argmax")
    points = [{**POINT, "origin": origin, "found": False} for origin in origins]
    figure = front_figure(points, cost="macs", title="MACs", mark="on_macs_front")
    assert sum(len(trace["x"]) for trace in figure.data if trace["name"] not in ("joint front", "found")) == len(
        origins
    )


def test_the_front_is_of_the_marked_points_alone():
    beaten = {**POINT, "macs": 30, "quality": 0.1, "on_macs_front": False}
    better = {**POINT, "macs": 5, "quality": 0.3}
    figure = front_figure([POINT, beaten, better], cost="macs", title="MACs", mark="on_macs_front")
    (front,) = [trace for trace in figure.data if trace["name"] == "joint front"]
    assert (front["x"], front["y"]) == ([5, 10], [0.3, 0.5])
    costs = FAMILY["published"]
    shown = front_figure([POINT], cost="state_bytes", title="state", mark="on_state_front", published=costs)
    assert [line["x0"] for line in shown.layout["shapes"]] == [25]
