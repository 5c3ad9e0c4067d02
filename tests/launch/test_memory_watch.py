import subprocess
import sys

import pytest
import torch

from launch import memory_watch
from launch.memory_watch import MemoryWatch, resident_bytes
from results.diagnosis import memory_share
from results.telemetry import Telemetry, read_telemetry


def test_what_this_process_and_its_children_hold():
    alone = resident_bytes()
    assert 10 * 2**20 < alone < 64 * 2**30
    code = "held = bytearray(200 * 2**20); print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        assert resident_bytes() - alone > 190 * 2**20
        child.communicate(b"\n")


def test_it_is_told_at_once_and_then_now_and_then(tmp_path, monkeypatch):
    watch = MemoryWatch(Telemetry(tmp_path / "telemetry.jsonl"), torch.device("cpu"))
    for _ in range(3):
        watch.look()
    (event,) = read_telemetry(tmp_path / "telemetry.jsonl")
    assert (event["kind"], event["device"]) == ("memory", "cpu")
    assert memory_share([event]) == pytest.approx(event["used_bytes"] / event["limit_bytes"])
    monkeypatch.setattr(memory_watch, "EVERY_S", 0.0)
    watch = MemoryWatch(Telemetry(tmp_path / "telemetry.jsonl"), torch.device("cpu"))
    watch.look()
    watch.look()
    assert len(read_telemetry(tmp_path / "telemetry.jsonl")) == 3
