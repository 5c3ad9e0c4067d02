"""`movinas bench stream`: streams beside their clips."""

from pathlib import Path

import pytest
from program import call, call_json


def test_streams_are_their_clips_in_every_form(capsys):
    document = call_json(
        capsys, "bench", "stream", "published:A0", "--height=33", "--width=40", "--frames=5", "--steps=0"
    )
    rows = {row["variant"]: row for row in document["differences"]}
    assert 0 <= rows["paper-stream"]["same"] <= 1e-5
    assert 0 <= rows["released-stream"]["same"] <= 1e-5
    assert 0 <= rows["released-stream"]["2plus1d"] <= 1e-5


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of the process as Linux shows it")
def test_memory_is_read_after_200_frames_and_after_the_last(capsys, tmp_path):
    assert call(capsys, "space", "sample", "nano", "-n", "1", "--out", tmp_path)[0] == 0
    (spec,) = tmp_path.iterdir()
    document = call_json(capsys, "bench", "stream", spec, "--frames=2", "--steps=220", "--variants=[paper-stream]")
    assert list(document["resident_mib"]["paper-stream"]) == ["200", "220"]


def test_numbers_that_are_none(capsys):
    code, _, err = call(capsys, "bench", "stream", "--steps=100")
    assert code == 2
    assert "steps 0 or beyond 200" in err
