"""`movinas evaluate`: accuracy on a manifest."""

import json
from dataclasses import replace

import numpy as np
import torch
from program import call, call_json

from retrain.model_file import load_model, read_card, save_model
from video.decode import decode_frames, probe
from video.manifest import Manifest, load_manifest, write_manifest


def test_evaluate(capsys, retrain_run, motion_manifest):
    document = call_json(capsys, "evaluate", retrain_run, "--data", motion_manifest, "--views", "2x1", "--threads", 1)
    assert {"top1", "top5", "num_videos", "num_failed"} <= set(document)
    assert document["num_videos"] == sum(map(sum, document["confusion"]))
    assert document["num_failed"] == 0
    assert json.loads((retrain_run / "test.json").read_text()) == document
    code, out, _ = call(capsys, "evaluate", retrain_run, "--data", motion_manifest, "--split", "val")
    assert code == 0
    assert "top-1" in out


def test_the_folder_of_a_network_is_enough_and_stays_as_it_is(capsys, retrain_run, motion_manifest):
    before = {path.name: path.read_bytes() for path in (retrain_run / "model").iterdir()}
    options = ("--data", motion_manifest, "--threads", 1)
    document = call_json(capsys, "evaluate", retrain_run / "model", *options)
    assert document == call_json(capsys, "evaluate", retrain_run, *options)
    assert {path.name: path.read_bytes() for path in (retrain_run / "model").iterdir()} == before


def test_a_folder_of_neither_is_refused(capsys, tmp_path, motion_manifest):
    code, _, err = call(capsys, "evaluate", tmp_path, "--data", motion_manifest)
    assert code == 2
    assert f"{tmp_path}: must be a run folder" in err


def by_hand(run, manifest, *, times_of, clip_frames=None):
    """Top-1 accuracy on the test videos from frames at the times of `times_of(duration)`; clips of them averaged."""
    net, card = load_model(run / "model")
    right = []
    for item in load_manifest(manifest).of("test"):
        times_s = times_of(probe(item.path).duration_s, card)
        frames_THWC = decode_frames(item.path, np.array(times_s), short_side=card.short_side)
        _, height, width, _ = frames_THWC.shape
        top, left = (height - card.resolution) // 2, (width - card.resolution) // 2
        cut_THWC = frames_THWC[:, top : top + card.resolution, left : left + card.resolution]
        x_CTHW = torch.from_numpy(cut_THWC.copy()).permute(3, 0, 1, 2).float() / 255
        with torch.no_grad():
            chances = [net(clip[None])[0].double().softmax(0) for clip in x_CTHW.split(clip_frames or 10**9, dim=1)]
        right.append(int(torch.stack(chances).mean(0).argmax()) == item.labels[0])
    return np.mean(right)


def test_one_clip_over_the_whole_video(capsys, retrain_run, motion_manifest):
    """All frames that the trained rate has in a video, counted by hand."""

    def times_of(duration_s, card):
        return [number / card.rate_fps for number in range(10**4) if (number + 1) / card.rate_fps <= duration_s + 1e-6]

    report = call_json(capsys, "evaluate", retrain_run, "--data", motion_manifest, "--views", "whole", "--threads", 1)
    assert report["top1"] == by_hand(retrain_run, motion_manifest, times_of=times_of)
    assert (report["views"], report["num_failed"]) == ("whole", 0)
    assert len(times_of(2.0, load_model(retrain_run / "model")[1])) > 6  # more than a clip of the test has


def test_clips_side_by_side(capsys, retrain_run, motion_manifest):
    """As many clips of 3 frames as fit, the first at the start, the last at the end, none over another."""
    short = ["--by", "frames", "--frames", "[3]", "--views", "tiles"]
    report = call_json(capsys, "evaluate", retrain_run, "--data", motion_manifest, *short, "--threads", 1)

    def times_of(duration_s, card):
        length_s = 3 / card.rate_fps
        count = int(duration_s / length_s + 1e-6)
        assert count > 2
        starts_s = np.linspace(0.0, duration_s - length_s, count)
        assert (np.diff(starts_s) >= length_s - 1e-9).all()
        return [start_s + number / card.rate_fps for start_s in starts_s for number in range(3)]

    (point,) = report["points"]
    assert point["num_frames"] == 3
    assert point["top1"] == by_hand(retrain_run, motion_manifest, times_of=times_of, clip_frames=3)


def test_by_number_of_frames_and_by_rate(capsys, retrain_run, motion_manifest, tmp_path):
    """Each point is what a network whose card says so is measured at."""
    options = ["--data", motion_manifest, "--threads", 1]
    card = read_card(retrain_run / "model")
    frames = call_json(capsys, "evaluate", retrain_run, *options, "--by", "frames")["points"]
    assert [point["num_frames"] for point in frames] == [2, 3, 6, 12, 24]
    rates = call_json(capsys, "evaluate", retrain_run, *options, "--by", "rate", "--rates", "[4.0,8.0,16]")
    points = rates["points"]
    assert [(point["rate_fps"], point["num_frames"]) for point in points] == [(4.0, 3), (8.0, 6), (16.0, 12)]
    assert rates["by"] == "rate"
    assert card.rate_fps == 8.0
    assert {(point["num_videos"], point["num_failed"]) for point in (*frames, *points)} == {(rates["num_videos"], 0)}
    assert points[1]["top1"] == frames[2]["top1"] == rates["top1"]
    for point in (frames[0], frames[3], points[0], points[2]):
        net, _ = load_model(retrain_run / "model")
        save_model(net, replace(card, num_frames=point["num_frames"], rate_fps=point["rate_fps"]), tmp_path / "net")
        alone = call_json(capsys, "evaluate", tmp_path / "net", *options)
        assert (point["top1"], point["top5"]) == (alone["top1"], alone["top5"])
    assert "Accuracy by rate" in (retrain_run / "report.html").read_text()


def test_by_frame_of_a_stream(capsys, stream_run, motion_manifest):
    """The last point of what a stream says is the accuracy of the clip; a clip network has no such points."""
    options = ["--data", motion_manifest, "--threads", 1, "--by", "frame"]
    report = call_json(capsys, "evaluate", stream_run, *options)
    alone, so_far = ([p for p in report["points"] if p["kind"] == kind] for kind in ("alone", "so_far"))
    assert [point["frame"] for point in alone] == [point["frame"] for point in so_far] == list(range(6))
    assert (so_far[-1]["top1"], so_far[-1]["top5"]) == (report["top1"], report["top5"])
    assert all(point["num_videos"] == report["num_videos"] for point in report["points"])
    code, out, _ = call(capsys, "evaluate", stream_run, *options)
    assert code == 0
    assert "5 so far" in out


def test_a_video_that_fails_is_counted_at_every_point(capsys, stream_run, motion_manifest, tmp_path):
    manifest = load_manifest(motion_manifest)
    broken = tmp_path / "broken.mp4"
    broken.write_text("broken")
    items = tuple(
        replace(item, path=broken) if item == manifest.of("test")[0] else item for item in manifest.of("test")
    )
    path = tmp_path / "manifest.jsonl"
    write_manifest(Manifest(class_names=manifest.class_names, items=items), path)
    for views in ("1x1", "whole", "tilesx3"):
        options = ["--data", path, "--threads", 1, "--views", views]
        axes = ["--by", "frame"] if views == "1x1" else ["--by", "rate", "--rates", "[4.0]"]
        report = call_json(capsys, "evaluate", stream_run / "model", *options, *axes)
        counts = {(point["num_videos"], point["num_failed"]) for point in (report, *report["points"])}
        assert counts == {(len(items) - 1, 1)}


def test_what_does_not_go_together_is_refused(capsys, retrain_run, motion_manifest):
    for options, message in (
        (["--views", "middle"], "views must be written as positions x crops, such as 10x3, where"),
        (["--views", "wholex"], "views must be written as"),
        (["--frames", "[4]"], "frames must go with by frames"),
        (["--by", "frames", "--frames", "[0]"], "frames must be at least 1"),
        (["--by", "frame", "--views", "10x1"], "by frame must go with views 1x1, but got 10x1"),
        (["--by", "frames", "--views", "whole"], "by frames must go with clips of some length"),
        (["--stream"], "must be a network that streams"),
    ):
        code, out, err = call(capsys, "evaluate", retrain_run, "--data", motion_manifest, *options)
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert message in err
