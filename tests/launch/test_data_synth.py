"""`movinas data synth`: generated videos."""

from program import call, call_json


def test_both_cues(capsys, tmp_path):
    for cue, name in (("motion", "zoom_in"), ("appearance", "hue_red")):
        out = tmp_path / cue
        document = call_json(capsys, "data", "synth", out, "--videos_per_class=1", "--size=32", f"--cue={cue}")
        assert document["num_videos"] == 8
        assert name in document["class_names"]
        assert len(list(out.rglob("*.mp4"))) == 8


def test_airplanes(capsys, tmp_path):
    document = call_json(capsys, "data", "synth", tmp_path / "v", "--videos_per_class=2", "--cue=airplanes")
    assert document["class_names"] == ["pitch", "roll", "yaw"]
    assert len(list((tmp_path / "v").rglob("*.mp4"))) == document["num_videos"] == 6


def test_the_text_names_the_next_step_and_a_full_folder_is_refused(capsys, tmp_path):
    code, out, err = call(capsys, "data", "synth", tmp_path / "v", "--videos_per_class=1", "--size=32")
    assert code == 0
    assert out.startswith("8 videos of 8 classes in ")
    assert "next: movinas data index" in err
    code, _, err = call(capsys, "data", "synth", tmp_path / "v", "--videos_per_class=1")
    assert code == 2
    assert str(tmp_path / "v") in err
