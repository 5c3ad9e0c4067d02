"""`movinas bench decode`: our decoder beside FFmpeg's program, where there is one."""

import shutil

import pytest
from program import call, call_json

from launch.bench import decode

OPTIONS = ("--clips=2", "--repeats=1", "--frames_per_key=10")


@pytest.fixture(autouse=True)
def short_video(monkeypatch):
    monkeypatch.setattr(decode, "SECONDS", 3)


def test_without_ffmpeg_our_time_stands_alone(capsys):
    document = call_json(capsys, "bench", "decode", *OPTIONS, "--ffmpeg=no-such-program")
    assert document["ms_per_clip"] > 0
    assert document["ffmpeg_ms_per_clip"] is document["ratio"] is None
    code, out, _ = call(capsys, "bench", "decode", *OPTIONS, "--ffmpeg=no-such-program")
    assert code == 0
    assert "nothing to compare with: no program no-such-program here (Debian package ffmpeg)" in out


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs FFmpeg's program, Debian package ffmpeg")
def test_beside_ffmpeg(capsys):
    document = call_json(capsys, "bench", "decode", *OPTIONS)
    assert document["ratio"] == pytest.approx(document["ms_per_clip"] / document["ffmpeg_ms_per_clip"])
    assert document["ffmpeg_ms_per_clip"] > 0


def test_a_program_that_fails_is_told(capsys):
    code, _, err = call(capsys, "bench", "decode", *OPTIONS, "--ffmpeg=false")
    assert code == 2
    assert "FFmpeg must decode the video, but ended with 1" in err


def test_numbers_that_are_none(capsys):
    code, _, err = call(capsys, "bench", "decode", "--clips=0")
    assert code == 2
    assert "frames_per_key, frames, stride, clips and repeats must be at least 1" in err
