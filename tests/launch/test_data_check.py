"""`movinas data check`: every video decoded, and remembered."""

import shutil

import pytest
from program import call, call_json


@pytest.fixture
def manifest(motion_manifest, tmp_path):
    shutil.copytree(motion_manifest.parent, tmp_path / "copy", ignore=shutil.ignore_patterns("*.checked"))
    return tmp_path / "copy" / "manifest.jsonl"


def test_data_check(capsys, manifest):
    document = call_json(capsys, "data", "check", manifest)
    assert document == {"num_videos": 80, "num_bad": 0, "num_remembered": 0, "bad": []}
    victim = sorted((manifest.parent / "videos" / "zoom_in").iterdir())[0]
    victim.write_bytes(b"no video")
    code, out, _ = call(capsys, "data", "check", manifest)
    assert code == 2
    assert "zoom_in" in out
    assert "80 videos checked, 79 of them at an earlier time; 1 of them cannot be decoded" in out
    code, out, _ = call(capsys, "data", "check", manifest)
    assert code == 2
    assert "80 of them at an earlier time; 1 of them cannot be decoded" in out
    victim.unlink()
    code, out, _ = call(capsys, "data", "check", manifest, "--again", "--memory", manifest.parent / "elsewhere")
    assert code == 2
    assert "80 videos checked; 1 of them cannot be decoded" in out
    assert (manifest.parent / "elsewhere").exists()


def test_a_time_limit_is_a_time(capsys, manifest):
    code, _, err = call(capsys, "data", "check", manifest, "--limit_s=0")
    assert code == 2
    assert "limit_s must be above 0, but got 0.0" in err
