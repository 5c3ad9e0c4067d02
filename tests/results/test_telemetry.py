import errno
import logging
import time

import faults
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.telemetry import Telemetry, read_telemetry


@pytest.fixture
def path(tmp_path):
    return tmp_path / "telemetry.jsonl"


def test_events_come_back_in_order_with_their_time(path):
    before_s = time.time()
    telemetry = Telemetry(path)
    telemetry.append("phase_times", step=3, seconds={"train": 0.5})
    telemetry.append("bad_videos", ids=["a.mp4"])
    first, second = read_telemetry(path)
    assert first | {"t": 0} == {"kind": "phase_times", "step": 3, "seconds": {"train": 0.5}, "t": 0}
    assert second["ids"] == ["a.mp4"]
    assert before_s - 0.001 <= first["t"] <= second["t"] <= time.time() + 0.001


def test_what_is_not_json_is_kept_as_text(path):
    Telemetry(path).append("progress", loss=float("nan"), bound=float("inf"), where=path, seconds={1: (2, 3)})
    (event,) = read_telemetry(path)
    assert (event["loss"], event["bound"], event["where"]) == ("NaN", "Infinity", str(path))
    assert event["seconds"] == {"1": [2, 3]}


def test_a_torn_line_costs_only_itself(path):
    Telemetry(path).append("start")
    path.write_bytes(path.read_bytes() + b'{"kind":"progr')
    telemetry = Telemetry(path)
    telemetry.append("resume")
    telemetry.append("end")
    assert [event["kind"] for event in read_telemetry(path)] == ["start", "resume", "end"]


@given(noise=st.lists(st.binary(max_size=40)))
def test_unreadable_lines_are_skipped(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("telemetry") / "telemetry.jsonl"
    event = b'{"kind":"end","t":1.5}'
    path.write_bytes(b"\n".join([event, *noise, b"[" * 100_000, b'{"kind":1,"t":2}', b'{"kind":"end"}', event]))
    events = read_telemetry(path)
    assert events[0] == events[-1] == {"kind": "end", "t": 1.5}
    assert all(isinstance(event["kind"], str) for event in events)


def test_a_missing_file_has_no_events(path):
    assert read_telemetry(path) == []


def test_a_failing_disk_never_stops_the_run_and_is_said_once(path, caplog):
    telemetry = Telemetry(path)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with faults.at_call(1, faults.fails(errno.ENOSPC)):
                telemetry.append("progress")
    assert [record.getMessage() for record in caplog.records] == [f"{path}: telemetry is lost: No space left on device"]
    telemetry.append("end")
    assert [event["kind"] for event in read_telemetry(path)] == ["end"]
