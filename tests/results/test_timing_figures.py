import json

from results.timing_figures import strip, time_shares


def event(step, *, data=0.1, train=0.4, t=0.0):
    return {"kind": "phase_times", "t": t, "step": step, "seconds": {"data": data, "train": train}}


def test_time_shares_hatch_the_overhead():
    figure = time_shares({"train": 0.6, "measure": 0.3, "data": 0.1})
    bars = {trace["name"]: trace for trace in figure.data}
    assert (bars["network"]["y"], bars["network"]["x"]) == (["train", "measure"], [0.6, 0.3])
    assert (bars["everything else"]["y"], bars["everything else"]["x"]) == (["data"], [0.1])
    assert bars["network"]["marker"]["pattern"] != bars["everything else"]["marker"]["pattern"]


def test_the_strip_has_steps_restarts_waiting_and_unreadable_videos():
    events = [
        {"kind": "start", "t": 0.0},
        event(0),
        event(1),
        {"kind": "bad_videos", "t": 0.0, "ids": ["a", "b"]},
        event(2, data=0.5, train=0.5),
        {"kind": "resume", "t": 0.0},
        event(1),
        {"kind": "bad_videos", "t": 0.0, "ids": ["b", "c"]},
        {"kind": "bad_videos", "t": 0.0},
        event(2),
        {"kind": "end", "t": 0.0},
    ]
    figure = strip(events)
    json.dumps(figure.to_json(), allow_nan=False)
    assert figure.columns["step"] == [0, 1, 2, 1, 2]
    assert figure.columns["seconds"] == [0.5, 0.5, 1.0, 0.5, 0.5]
    assert figure.columns["bad_videos"] == [0, 0, 2, 2, 3]
    (restart,) = figure.layout["shapes"]
    assert restart["x0"] == 3.0
    seconds, _, waiting, bad = figure.data
    assert seconds["customdata"] == [0, 1, 2, 1, 2]
    assert waiting["y"][:2] == [0.2, 0.2]
    assert 0.2 < waiting["y"][2] < 0.5
    assert bad["y"] == [0.0, 0.0, 2.0, 2.0, 3.0]
    assert len({trace["line"].get("dash") for trace in (seconds, waiting, bad)}) == 3


def test_nothing_timed_is_nothing_shown():
    assert strip([]) is None
    broken = [{"kind": "phase_times", "t": 0.0, "step": "x"}, {"kind": "phase_times", "t": 0.0, "step": 1}]
    assert strip(broken).columns["seconds"] == [0]
