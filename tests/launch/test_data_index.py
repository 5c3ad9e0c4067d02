"""`movinas data index`: from annotations, or a folder per class, to a manifest."""

import json
import shutil

import pytest
from program import call, call_json

from video.manifest import load_manifest


def test_counts_and_shares(capsys, motion_manifest, tmp_path):
    out = tmp_path / "m.jsonl"
    document = call_json(
        capsys, "data", "index", motion_manifest.parent / "videos", out, "--split=0.5,0.3,0.2", "--seed=3"
    )
    assert document["num_videos"] == 80
    assert document["format"] == "folders"
    assert set(map(tuple, (count.items() for count in document["classes"].values()))) == {
        (("train", 5), ("val", 3), ("test", 2))
    }
    assert len(load_manifest(out).items) == 80
    assert document["imbalance"]["ratio"] == 1.0
    assert document["warnings"] == []


def test_the_text(capsys, motion_manifest, tmp_path):
    code, out, _ = call(capsys, "data", "index", motion_manifest.parent / "videos", tmp_path / "m.jsonl")
    assert code == 0
    assert "zoom_out" in out
    assert "splits: drawn" in out


@pytest.fixture
def lists(motion_manifest, tmp_path):
    """A list of four videos of each of three motions, one of them named after takes, and one video twice."""
    root = tmp_path / "data"
    lines = []
    for label, motion in enumerate(("move_left", "move_right", "zoom_in")):
        for index, path in enumerate(sorted((motion_manifest.parent / "videos" / motion).iterdir())[:4]):
            name = f"{motion}/anna_{index}.mp4" if index < 2 else f"{motion}/ben_{index}.mp4"
            (root / motion).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / name)
            lines.append(f"{name} {label}")
    shutil.copyfile(root / "zoom_in" / "anna_0.mp4", root / "move_left" / "copy.mp4")
    lines += ["move_left/copy.mp4 0", "zoom_in/gone.mp4 2", "zoom_in/anna_0.mp4 2"]
    (root / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    (root / "names").write_text("to the left\nto the right\ncloser\nfarther\n")
    return root


def test_everything_that_is_noticed(capsys, lists, tmp_path):
    out = tmp_path / "m.jsonl"
    arguments = ["data", "index", lists / "list.txt", out, f"--classes={lists / 'names'}", "--duplicates"]
    code, text, err = call(capsys, *arguments)
    assert code == 0, err
    assert "13 videos in" in text
    assert "mmaction2" in text
    assert "1 missing and left out: zoom_in/gone.mp4" in text
    assert "1 lines say again what others say" in text
    assert "1 contents that several files have" in text
    assert "zoom_in/anna_0.mp4, move_left/copy.mp4" in text
    assert "note: no video to train on shows farther" in err
    assert "note: 1 videos have different labels under other names, such as zoom_in/anna_0.mp4" in err
    assert "recordings seem to lie in several splits" in err
    assert load_manifest(out).class_names == ("to the left", "to the right", "closer", "farther")
    document = call_json(capsys, *arguments[:3], tmp_path / "n.jsonl", *arguments[4:])
    assert document["missing"] == ["zoom_in/gone.mp4"]
    assert document["duplicates"] == [
        {
            "ids": ["zoom_in/anna_0.mp4", "move_left/copy.mp4"],
            "splits": document["duplicates"][0]["splits"],
            "same_labels": False,
        }
    ]


def test_the_pattern_that_is_offered_keeps_recordings_together(capsys, lists, tmp_path):
    _, _, err = call(capsys, "data", "index", lists / "list.txt", tmp_path / "m.jsonl")
    pattern = err.split("--group-by '")[1].split("'")[0]
    (lists / "list.txt").write_text((lists / "list.txt").read_text().replace("move_left/copy.mp4 0\n", ""))
    document = call_json(capsys, "data", "index", lists / "list.txt", tmp_path / "n.jsonl", "--group-by", pattern)
    assert document["num_groups"] == 6
    assert not any("recordings" in warning for warning in document["warnings"])
    rows = [json.loads(line) for line in (tmp_path / "n.jsonl").read_text().splitlines()[1:]]
    assert len({(row["group"], row["split"]) for row in rows}) == 6


def test_what_is_refused_leaves_no_manifest(capsys, lists, tmp_path):
    for options, message in (
        (["--max-missing=0.05"], "at most 5% of 14 listed videos may be missing, but 1 are"),
        (["--format=kinetics"], "columns must have different names and include youtube_id"),
        (["--format=kinetic"], "format"),
        (["--group-by=x"], "group-by must match the id of every video"),
    ):
        code, _, err = call(capsys, "data", "index", lists / "list.txt", tmp_path / "m.jsonl", *options)
        assert code == 2
        assert message in err
        assert not (tmp_path / "m.jsonl").exists()
