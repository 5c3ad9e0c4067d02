"""`movinas data index`: from a folder per class to a manifest."""

from program import call, call_json

from video.manifest import load_manifest


def test_counts_and_shares(capsys, motion_manifest, tmp_path):
    out = tmp_path / "m.jsonl"
    document = call_json(
        capsys, "data", "index", motion_manifest.parent / "videos", out, "--split=0.5,0.3,0.2", "--seed=3"
    )
    assert document["num_videos"] == 80
    assert set(map(tuple, (count.items() for count in document["classes"].values()))) == {
        (("train", 5), ("val", 3), ("test", 2))
    }
    assert len(load_manifest(out).items) == 80


def test_the_text(capsys, motion_manifest, tmp_path):
    code, out, _ = call(capsys, "data", "index", motion_manifest.parent / "videos", tmp_path / "m.jsonl")
    assert code == 0
    assert "zoom_out" in out
