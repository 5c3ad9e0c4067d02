"""`movinas predict`: classes of videos."""

import pytest
from program import call, call_json


def test_predict(capsys, retrain_run, motion_manifest):
    videos = sorted((motion_manifest.parent / "videos" / "zoom_in").iterdir())[:2]
    documents = call_json(capsys, "predict", retrain_run, *videos, "--top", 8)
    assert [document["video"] for document in documents] == [str(video) for video in videos]
    for document in documents:
        assert sum(entry["probability"] for entry in document["classes"]) == pytest.approx(1.0)
    assert call(capsys, "predict", retrain_run, videos[0])[0] == 0


def test_the_folder_of_a_network_is_enough(capsys, retrain_run, motion_manifest):
    video = sorted((motion_manifest.parent / "videos" / "zoom_in").iterdir())[0]
    documents = call_json(capsys, "predict", retrain_run / "model", video)
    assert documents == call_json(capsys, "predict", retrain_run, video)
