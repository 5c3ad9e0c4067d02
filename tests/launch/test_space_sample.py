"""`movinas space sample`: random architectures as files."""

import pytest
from program import call, call_json

from search_spaces.movinet import NANO
from search_spaces.spec_json import read_spec


def test_equal_seeds_write_equal_files(capsys, tmp_path):
    documents = call_json(capsys, "space", "sample", "nano", "-n", 3, "--seed", 5, "--out", tmp_path)
    assert call_json(capsys, "space", "sample", "nano", "-n", 3, "--seed", 5, "--out", tmp_path) == documents
    found = [read_spec(tmp_path / f"{entry['fingerprint']}.json") for entry in documents]
    assert len({spec_file.fingerprint for spec_file in found}) == 3
    assert all(NANO.contains(spec_file.arch) for spec_file in found)


def test_a_variant_that_does_not_fit_writes_nothing(capsys, tmp_path):
    variant = tmp_path / "shift.json"
    variant.write_text('{"temporal_shift": true}')
    code, _, err = call(capsys, "space", "sample", "nano", "--variant", variant, "--out", tmp_path / "x")
    assert code == 2
    assert "kernels: must have no extent in time" in err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("num", [0, -1])
def test_none_is_too_few(capsys, tmp_path, num):
    code, _, err = call(capsys, "space", "sample", "nano", f"--num={num}", "--out", tmp_path / "x")
    assert code == 2
    assert f"num must be at least 1, but got {num}" in err
