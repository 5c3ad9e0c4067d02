"""Where and with how many hands."""

import os
from dataclasses import dataclass

import pytest
import torch

from launch.compute import resolve_device, resolve_threads, resolve_workers, resolved, set_up
from search_spaces.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Settings:
    device: str = "auto"
    threads: int = 0
    workers: int = -1
    amp: str = "off"


def test_a_run_keeps_what_was_chosen():
    kept = resolved(Settings(amp="bf16"))
    device = resolve_device("auto")
    assert kept == Settings(device=device, threads=resolve_threads(0), workers=resolve_workers(-1, device), amp="bf16")
    assert resolved(kept) == kept


def test_what_is_left_open_is_chosen():
    cores = len(os.sched_getaffinity(0))
    assert resolve_threads(0) == cores
    assert resolve_workers(-1, "cpu") == max(0, min(8, cores - 2))
    assert resolve_workers(-1, "cuda") == max(1, min(8, cores - 2))
    assert resolve_workers(0, "cuda") == 0
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_settings_are_put_in_force():
    before = torch.get_num_threads()
    try:
        compute = set_up(Settings(device="cpu", threads=1, workers=3, amp="bf16"))
        assert torch.get_num_threads() == 1
        assert (compute.num_workers, compute.amp_dtype) == (3, torch.bfloat16)
    finally:
        torch.set_num_threads(before)


def test_settings_outside_their_range():
    with pytest.raises(UsageError, match="device must be one that torch finds here, but got 'nonsense'"):
        resolve_device("nonsense")
    with pytest.raises(UsageError, match="threads must be at least 0, but got -1"):
        resolve_threads(-1)
    with pytest.raises(UsageError, match="workers must be at least -1, but got -2"):
        resolve_workers(-2, "cpu")
