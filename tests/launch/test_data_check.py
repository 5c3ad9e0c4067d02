"""`movinas data check`: every video decoded."""

import shutil

from program import call, call_json


def test_data_check(capsys, motion_manifest, tmp_path):
    document = call_json(capsys, "data", "check", motion_manifest)
    assert document == {"num_videos": 80, "num_bad": 0, "bad": []}
    shutil.copytree(motion_manifest.parent, tmp_path / "copy")
    victim = sorted((tmp_path / "copy" / "videos" / "zoom_in").iterdir())[0]
    victim.write_bytes(b"no video")
    code, out, _ = call(capsys, "data", "check", tmp_path / "copy" / "manifest.jsonl")
    assert code == 2
    assert "zoom_in" in out
    assert "1 of them cannot be decoded" in out
