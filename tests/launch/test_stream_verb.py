"""`movinas stream`: a line per frame, from files and from what comes once."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from live_sources import as_container, pipe, server
from program import call, call_json

from launch.stream import Pace
from retrain.frame_by_frame import StreamAnswer
from retrain.model_file import load_model
from supernet.frozen import FrozenNet
from video.decode import decode_all
from video.sampling import View, crop_at, crop_clip


@pytest.fixture(scope="session")
def video(motion_manifest) -> Path:
    """24 frames at 16 per second, of which the network takes every second."""
    return sorted((motion_manifest.parent / "videos" / "zoom_in").iterdir())[0]


def stream(capsys, *arguments):
    """What each line says."""
    code, out, err = call(capsys, "stream", *arguments, "--json", "--threads=1")
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def chances(documents, class_names):
    """Probabilities of all classes, frame by frame."""
    rows = [{entry["class"]: entry["probability"] for entry in document["classes"]} for document in documents]
    return np.array([[row[name] for name in class_names] for row in rows])


def stepped_by_hand(run, video):
    """Probabilities after every frame, from one call over frames read in another way."""
    net, card = load_model(run / "model")
    frames_THWC = decode_all(video, short_side=card.short_side).frames[::2]
    box = crop_at(*frames_THWC.shape[1:3], card.resolution, place=View().place)
    clip_BCTHW = torch.from_numpy(crop_clip(frames_THWC, box)).permute(3, 0, 1, 2)[None] / 255
    with torch.no_grad():
        logits_BTK, _ = net.step(clip_BCTHW, net.init_state(1, *clip_BCTHW.shape[3:]), per_frame=True)
    return logits_BTK[0].double().softmax(dim=1).numpy(), card.class_names


def test_every_frame_has_a_line(capsys, stream_run, video):
    documents = stream(capsys, stream_run, video, "--top=8")
    wanted_TK, class_names = stepped_by_hand(stream_run, video)
    np.testing.assert_allclose(chances(documents, class_names), wanted_TK, rtol=1e-5)
    for number, document in enumerate(documents):
        assert set(document) == {"frame", "time_s", "classes", "step_ms"}
        assert document["frame"] == number
        assert document["time_s"] == pytest.approx(number / 8, abs=1e-3)
        assert document["step_ms"] > 0
        probabilities = [entry["probability"] for entry in document["classes"]]
        assert probabilities == sorted(probabilities, reverse=True)
    assert len(documents) == 12


def test_lines_for_people(capsys, stream_run, video):
    code, out, err = call(capsys, "stream", stream_run, video, "--top=2", "--threads=1")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 12
    assert "0.125 s  frame 1 " in lines[1]
    assert lines[1].count(",") == 1
    assert err.startswith("12 frames, ")
    assert "ms on average" in err


def test_fewer_lines_and_fewer_frames(capsys, stream_run, video):
    every = stream(capsys, stream_run, video, "--every=5", "--top=1")
    assert [document["frame"] for document in every] == [0, 5, 10]
    whole = stream(capsys, stream_run, video, "--top=1")
    assert [document["classes"] for document in every] == [whole[number]["classes"] for number in (0, 5, 10)]
    assert len(stream(capsys, stream_run, video, "--max_frames=3")) == 3


def test_a_reset_forgets(capsys, stream_run, video):
    documents = stream(capsys, stream_run, video, "--reset_every=4", "--top=8")
    whole_TK, class_names = stepped_by_hand(stream_run, video)
    found_TK = chances(documents, class_names)
    np.testing.assert_allclose(found_TK[:4], whole_TK[:4], rtol=1e-5)
    assert not np.allclose(found_TK[4:], whole_TK[4:], rtol=1e-3)


def test_pipes_and_servers_say_what_the_file_says(capsys, stream_run, video, tmp_path):
    data = as_container(video)
    (tmp_path / "file.ts").write_bytes(data)
    wanted = [{**document, "step_ms": None} for document in stream(capsys, stream_run, tmp_path / "file.ts", "--top=3")]
    assert len(wanted) == 12
    with pipe(tmp_path / "pipe", [data]) as address:
        piped = stream(capsys, stream_run, address, "--top=3")
    with server([data], kind="video/mp2t") as address:
        served = stream(capsys, stream_run, address, "--top=3")
    for documents in (piped, served):
        assert [{**document, "step_ms": None} for document in documents] == wanted


def test_a_video_that_breaks_off_is_told_as_far_as_it_goes(capsys, stream_run, video, tmp_path):
    data = as_container(video, "matroska")
    (tmp_path / "broken.mkv").write_bytes(data[: len(data) * 2 // 3])
    code, out, err = call(capsys, "stream", stream_run, tmp_path / "broken.mkv", "--json", "--threads=1")
    assert code == 2
    assert 6 <= len(out.splitlines()) <= 9
    summary, error = err.splitlines()
    assert summary.startswith(f"{len(out.splitlines())} frames, ")
    assert "broken.mkv: must " in error


@pytest.mark.parametrize(("step_s", "slow"), [(0.12, False), (0.13, True)])
def test_a_network_that_is_too_slow_for_a_camera_is_told_of(capsys, step_s, slow):
    pace = Pace(8.0)
    pace.show()
    assert capsys.readouterr().err == ""
    for number in range(3):
        pace.add(StreamAnswer(frame=number, time_s=0.0, probabilities_K=np.zeros(1), step_s=step_s))
    pace.show()
    err = capsys.readouterr().err
    assert f"a step took {1000 * step_s:.1f} ms on average, {1000 * step_s:.1f} ms in the median" in err
    assert ("too slow for a camera: the network wants a frame every 125.0 ms" in err) == slow


@pytest.mark.slow
def test_an_interrupt_ends_a_silent_camera_at_once(stream_run, video, tmp_path):
    """The pipe stays open and says nothing more, so that the reading thread waits in the system."""
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-m", "launch", "stream", str(stream_run), str(tmp_path / "pipe"), "--json"]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    killer = threading.Timer(60, process.kill)
    killer.start()
    try:
        with (tmp_path / "pipe").open("wb", buffering=0) as file:
            file.write(as_container(video))
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    finally:
        killer.cancel()
        process.kill()
    assert json.loads(first)["frame"] == 0
    assert process.returncode == 130
    assert "ms on average" in err
    assert "Traceback" not in err
    assert "resume" not in err


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_may_stop_after_a_line(stream_run, video, as_json):
    """As `head` does."""
    command = [sys.executable, "-m", "launch", "stream", str(stream_run), str(video), *(["--json"] if as_json else [])]
    reading, writing = os.pipe()
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    first = os.read(reading, 1)
    os.close(reading)
    _, err = process.communicate(timeout=60)
    assert first
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_a_network_that_does_not_stream_is_refused(capsys, retrain_run, video, motion_manifest):
    for arguments in (("stream", retrain_run, video), ("evaluate", retrain_run, "--data", motion_manifest, "--stream")):
        code, out, err = call(capsys, *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"movinas: {retrain_run}: must be a network that streams, but" in err
        assert "retrain its spec with --variant released-stream" in err


def test_evaluate_stepping(capsys, stream_run, motion_manifest, monkeypatch):
    shapes, step_ = [], FrozenNet.step_

    def spied(net, clips_BCTHW, state):
        shapes.append(clips_BCTHW.ndim)
        return step_(net, clips_BCTHW, state)

    monkeypatch.setattr(FrozenNet, "step_", spied)
    arguments = ("evaluate", stream_run, "--data", motion_manifest, "--views=2x1", "--threads=1")
    stepped, seen = call_json(capsys, *arguments, "--stream"), list(shapes)
    whole = call_json(capsys, *arguments)
    num_batches = -(-2 * stepped["num_videos"] // 32)
    assert shapes == seen == [4] * 6 * num_batches
    assert json.loads((stream_run / "test.json").read_text()) == whole
    assert (stepped.pop("stream"), whole.pop("stream")) == (True, False)
    assert stepped == whole
    code, out, _ = call(capsys, *arguments, "--stream")
    assert code == 0
    assert "2x1 views, frame by frame" in out
    assert "2x1 views, frame by frame" in (stream_run / "report.html").read_text()
