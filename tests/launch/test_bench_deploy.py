"""`movinas bench deploy`: files beside PyTorch, in one run."""

import importlib.util

import pytest
from program import call, call_json


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="the extra deploy (onnx, onnxscript, onnxruntime) is not installed",
)
def test_every_way_is_measured(capsys, tmp_path):
    assert call(capsys, "space", "sample", "nano", "-n", "1", "--out", tmp_path)[0] == 0
    (spec,) = tmp_path.iterdir()
    arguments = ("--frames=3", "--repeats=2", "--variants=[released-stream]")
    document = call_json(capsys, "bench", "deploy", spec, *arguments)
    (row,) = document["networks"]
    assert 0 < row["difference"] < 1e-4 < row["int8_difference"] < 1
    assert 0 < row["int8_mib"] < row["onnx_mib"] < 1.2 * row["safetensors_mib"]
    assert row["pt2_mib"] > 0
    assert min(row[f"{way}_ms"] for way in ("net", "frozen", "pt2", "onnx", "int8")) > 0


def test_numbers_that_are_none(capsys):
    code, _, err = call(capsys, "bench", "deploy", "--frames=0")
    assert code == 2
    assert "frames, repeats and threads must be at least 1" in err
