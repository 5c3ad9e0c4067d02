"""`movinas bench memory`: peak memory grows with a clip, not with a stream."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from program import call, call_json

from launch.bench import memory


@pytest.mark.slow
def test_a_stream_needs_the_same_for_any_number_of_frames(capsys):
    modes = "--modes=[clip,stream]"
    document = call_json(capsys, "bench", "memory", "published:A0", "--frames=[4,24]", modes)
    peaks = {(row["mode"], row["frames"]): row["peak_mib"] for row in document["peaks"]}
    assert peaks["clip", 24] > 1.5 * peaks["clip", 4]
    assert peaks["stream", 24] < 1.6 * peaks["stream", 4]


def test_training_needs_little_beyond_what_its_backward_pass_needs(capsys):
    (row,) = call_json(capsys, "bench", "memory", "published:A0", "--frames=[4]", "--modes=[train]")["peaks"]
    assert row["ratio"] == row["peak_mib"] / row["needed_mib"]
    assert 80 < row["needed_mib"] < 100
    assert 0.9 < row["ratio"] < 2


def test_numbers_that_are_none(capsys):
    code, _, err = call(capsys, "bench", "memory", "--frames=[0]")
    assert code == 2
    assert "frames, clip_frames, repeats and threads must be at least 1" in err
    code, _, err = call(capsys, "bench", "memory", "--modes", "[]")
    assert code == 2
    assert "specs and modes must not be empty" in err


def test_a_measurement_that_breaks_off_is_an_error(capsys):
    code, _, err = call(capsys, "bench", "memory", "missing.json", "--frames=[1]", "--modes=[stream]")
    assert code == 2
    assert "missing.json: " in err


def dies(*_):
    os._exit(9)


def test_a_measurement_that_is_killed_is_an_error(capsys, monkeypatch):
    monkeypatch.setattr(memory, "_probe", dies)
    code, _, err = call(capsys, "bench", "memory", "published:A0", "--frames=[3]", "--modes=[stream]")
    assert code == 2
    assert "that of published:A0 as stream with 3 frames did not; enough memory?" in err


SCRIPT = """
from launch.bench import memory

class Answers:
    def send(self, answer):
        print(answer)

earlier = b"x" * (1 << 30)
del earlier
memory._probe(Answers(), "published:A0", "stream", 1, memory.Options(threads=1))
"""


def test_what_was_needed_before_does_not_count():
    """In a process of its own, for this one has memory to spare from the tests before."""
    root = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, check=True, timeout=120
    )
    assert 1 << 16 < int(process.stdout) < 1 << 29
