"""`movinas deploy`: files for other programs, and the sample that runs them where there is no torch."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_models import card_of, made_net
from program import call, call_json

from retrain.deploy import folded
from retrain.model_file import load_model, save_model
from search_spaces.ensemble import EnsembleMember, EnsembleSpec
from search_spaces.ensemble_json import make_ensemble_file, write_ensemble
from video.decode import decode_all
from video.encode import write_video
from video.sampling import View, crop_at, crop_clip
from video.synthetic import render

needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="the extra deploy (onnx, onnxscript, onnxruntime) is not installed",
)
WITHOUT_US = """
import runpy, sys
for name in ("torch", "search_spaces", "results", "video", "supernet", "nas", "retrain", "launch"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="session")
def video(motion_manifest) -> Path:
    """24 frames at 16 per second, of which the networks take every second."""
    return sorted((motion_manifest.parent / "videos" / "turn_left").iterdir())[0]


@pytest.fixture(scope="session")
def deployed(tmp_path_factory, stream_run) -> Path:
    """An ONNX file of a retrained stream, beside its JSON and sample."""
    from launch.cli import main

    out = tmp_path_factory.mktemp("deployed") / "net.onnx"
    assert main(["deploy", str(stream_run), f"--out={out}", "--stream", "--check_frames=6", "--threads=1"]) == 0
    return out


def sampled(out, source, *arguments):
    """Seconds and probabilities by class of every line that the sample prints, where torch cannot be imported."""
    command = [sys.executable, "-c", WITHOUT_US, f"{out.with_suffix('')}_sample.py", str(source), *arguments]
    done = subprocess.run(command, cwd=out.parent, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [re.fullmatch(r" *([\d.]+) s  (.*)", line) for line in done.stdout.splitlines()]
    return [(float(line[1]), {n: float(p) for n, p in (e.split(" ") for e in line[2].split(", "))}) for line in lines]


def frames_of(video, card):
    """uint8 frames [T, R, R, 3] at 8 per second, read by way of a whole segment."""
    frames_THWC = decode_all(video, short_side=card.short_side).frames[::2]
    box = crop_at(*frames_THWC.shape[1:3], card.resolution, place=View().place)
    return torch.from_numpy(crop_clip(frames_THWC, box))


def softmax(logits_TK):
    return torch.as_tensor(logits_TK).double().softmax(dim=-1).numpy()


@needs_onnx
def test_the_sample_says_what_movinas_stream_says_without_torch(capsys, deployed, stream_run, video):
    code, out, err = call(capsys, "stream", stream_run, video, "--json", "--top=8", "--threads=1")
    assert code == 0, err
    wanted = [json.loads(line) for line in out.splitlines()]
    found = sampled(deployed, video, "--top=8")
    assert [time_s for time_s, _ in found] == [pytest.approx(entry["time_s"], abs=1e-3) for entry in wanted]
    assert len(found) == 12
    for (_, chances), document in zip(found, wanted, strict=True):
        expected = {entry["class"]: entry["probability"] for entry in document["classes"]}
        assert chances == pytest.approx(expected, abs=1e-4)
    assert [next(iter(chances)) for _, chances in sampled(deployed, video)] == [next(iter(c)) for _, c in found]


@needs_onnx
def test_the_sample_tells_of_a_video_that_is_none(deployed, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    command = [sys.executable, f"{deployed.with_suffix('')}_sample.py", str(tmp_path / "text.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "text.mp4: must be a video that can be read, but got" in done.stderr


@needs_onnx
def test_clips_in_the_sample(capsys, tmp_path, retrain_run, video):
    document = call_json(capsys, "deploy", retrain_run, f"--out={tmp_path / 'net.onnx'}", "--threads=1")
    assert document == json.loads((tmp_path / "net.json").read_text("utf-8"))
    assert (document["mode"], document["members"][0]["state"]) == ("clip", [])
    net, card = load_model(retrain_run / "model")
    clips_BTHWC = frames_of(video, card).split(card.num_frames)
    clips_BCTHW = torch.stack(clips_BTHWC).permute(0, 4, 1, 2, 3) / 255
    with torch.no_grad():
        wanted_BK = softmax(net(clips_BCTHW))
    found = sampled(tmp_path / "net.onnx", video, "--top=8")
    assert [time_s for time_s, _ in found] == [pytest.approx(0.625, abs=1e-3), pytest.approx(1.375, abs=1e-3)]
    found_BK = np.array([[chances[name] for name in card.class_names] for _, chances in found])
    np.testing.assert_allclose(found_BK, wanted_BK, atol=1e-4)


@needs_onnx
@pytest.mark.slow
def test_an_ensemble_and_its_sample(capsys, tmp_path, stream_run, video):
    """Two streams of which one looks half a frame later: at every answer, the mean of what both said last."""
    net, card = load_model(stream_run / "model")
    members = tuple(EnsembleMember(arch=card.arch, variant=card.variant, offset_frames=o) for o in (0.0, 0.5))
    models = [str(stream_run / "model")] * 2
    path = write_ensemble(make_ensemble_file(EnsembleSpec(members=members), models=models), tmp_path / "ensemble")
    arguments = ("--stream", "--check_frames=3", "--threads=1")
    document = call_json(capsys, "deploy", path, f"--out={tmp_path / 'both.onnx'}", *arguments)
    assert [member["file"] for member in document["members"]] == ["both.0.onnx", "both.1.onnx"]
    frames_THWC = decode_all(video, short_side=card.short_side).frames
    box = crop_at(*frames_THWC.shape[1:3], card.resolution, place=View().place)
    clip_BCTHW = torch.from_numpy(crop_clip(frames_THWC, box)).permute(3, 0, 1, 2)[None] / 255
    with torch.no_grad():  # 24 frames at 16 per second: the members see the even and the odd ones
        logits_MTK = [
            net.step(clip_BCTHW[:, :, start::2], net.init_state(1, *clip_BCTHW.shape[3:]), per_frame=True)[0][0]
            for start in (0, 1)
        ]
    means_TK = [(logits_MTK[0][(t + 1) // 2] + logits_MTK[1][t // 2]) / 2 for t in range(23)]
    found = sampled(tmp_path / "both.onnx", video, "--top=8")
    found_TK = np.array([[chances[name] for name in card.class_names] for _, chances in found])
    np.testing.assert_allclose(found_TK, softmax(torch.stack(means_TK)), atol=1e-4)


@needs_onnx
def test_int8_is_judged_on_a_manifest(capsys, tmp_path, stream_run, motion_manifest):
    arguments = ("deploy", stream_run, "--stream", "--int8", "--data", motion_manifest, "--threads=1", "--workers=0")
    small = ("--check_frames=3", "--clips.cache_bytes=0")
    document = call_json(capsys, *arguments, *small, f"--out={tmp_path / 'net.onnx'}", "--int8_max_drop=1")
    int8 = document["members"][0]["int8"]
    assert int8["num_videos"] == 16
    assert call_json(
        capsys, "evaluate", stream_run, "--data", motion_manifest, "--split=val", "--threads=1", "--workers=0"
    )["top1"] == pytest.approx(int8["fp32_top1"])
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "net.json", "net_sample.py"}


@needs_onnx
def test_int8_is_told_in_the_figure_that_networks_are_chosen_by(capsys, tmp_path):
    network, out = tmp_path / "net", tmp_path / "net.onnx"
    net = made_net()
    save_model(net, card_of(net, multi_label=True), network)
    rows = [
        {"schema": 1, "kind": "movinas.manifest", "class_names": list(card_of(net).class_names), "multi_label": True},
        {"id": "a", "path": "a.mp4", "labels": [0, 2], "split": "val"},
    ]
    (tmp_path / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    write_video(tmp_path / "a.mp4", render("turn_left", 0, seed=0, size=16, num_frames=8, rate_fps=8), rate_fps=8)
    small = ["--check_frames=2", "--threads=1", "--workers=0", "--clips.cache_bytes=0", "--int8_max_drop=1"]
    code, text, err = call(
        capsys, "deploy", network, "--stream", "--int8", f"--data={tmp_path / 'data.jsonl'}", f"--out={out}", *small
    )
    assert code == 0, err
    assert ", mAP 1.0000 after 1.0000" in text
    assert json.loads((tmp_path / "net.json").read_text("utf-8"))["scores"] == "sigmoid"


@pytest.mark.parametrize("kind", ["pt2", "safetensors"])
def test_other_formats(capsys, tmp_path, stream_run, kind):
    code, out, err = call(
        capsys, "deploy", stream_run, f"--format={kind}", f"--out={tmp_path}/net.{kind}", "--stream", "--check_frames=2"
    )
    assert code == 0, err
    assert out.startswith(f"{tmp_path}/net.{kind}: ")
    assert f"{tmp_path}/net.json: what it expects\n" in out
    assert {path.name for path in tmp_path.iterdir()} == {f"net.{kind}", "net.json"}


def test_a_file_that_differs_ends_with_2_and_is_gone(capsys, tmp_path, stream_run, monkeypatch):
    monkeypatch.setattr(folded, "activate", lambda x, activation: x)
    code, out, err = call(capsys, "deploy", stream_run, "--format=pt2", f"--out={tmp_path / 'net.pt2'}", "--stream")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"movinas: {tmp_path / 'net.pt2'}: must say what the network says" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out=net.pt"], "out must end in .onnx, as format says, but got 'net.pt'"),
        (["--out=net.onnx", "--stream"], "must be a network that streams, but"),
        (["--out=net.onnx", "--device=cuda"], "device must be cpu and amp off"),
        (["--out=net.onnx", "--data=some.jsonl"], "data must be left out without int8"),
        (["--out=net.onnx", "--int8", "--int8_max_drop=2"], r"int8_max_drop in \[0, 1\]"),
        (["--out=net.pt2", "--format=pt2", "--int8"], "int8 must be left out where the format is not onnx"),
        (["--out=net.onnx", "--check_frames=0"], "check_frames must be at least 1"),
    ],
)
def test_what_is_refused(capsys, retrain_run, arguments, message):
    code, out, err = call(capsys, "deploy", retrain_run, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(message, err)


def test_without_the_extra_it_is_told_what_to_install(capsys, tmp_path, stream_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, err = call(capsys, "deploy", stream_run, f"--out={tmp_path / 'net.onnx'}", "--stream")
    assert code == 2
    assert "pip install 'movinas[deploy]'" in err
    assert list(tmp_path.iterdir()) == []
