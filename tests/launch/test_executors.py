"""Executors: this process, actors of Ray and trials of Tune keep one contract."""

import subprocess
import sys
from pathlib import Path

import executor_contract as contract
import pytest
import torch

from launch.executors import InlineExecutor


@pytest.fixture
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_inline_keeps_the_contract(check, tmp_path):
    check(InlineExecutor(max_failures=contract.MAX_FAILURES), tmp_path)


def test_every_failure_is_logged_and_the_last_one_as_such(tmp_path, caplog):
    contract.outcomes(InlineExecutor(max_failures=1), [contract.unit(tmp_path, "broken", "break", 99)])
    assert [record.getMessage().partition("; ")[2] for record in caplog.records] == [
        "try 2 of 2 follows",
        "it is not tried again",
    ]


def test_a_search_of_one_process_imports_neither_ray_nor_optuna():
    text = (
        "import sys, launch.search, launch.resume, launch.inspect, launch.sweep_targets, launch.sweep_scaling;"
        "assert not {'ray', 'optuna', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", text], cwd=Path(__file__).parents[2], check=True)
