"""Trials of Ray Tune keep the contract of executors too."""

import executor_contract as contract
import pytest

from launch.ray_backend import Place
from launch.tune_backend import TuneExecutor


@pytest.mark.slow
@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_the_contract(check, own_cluster, tmp_path):
    (work := tmp_path / "work").mkdir()
    executor = TuneExecutor(
        place=Place(num_cpus=1, num_gpus=0.0),
        threads=1,
        parallel=contract.PARALLEL,
        max_failures=contract.MAX_FAILURES,
        storage=tmp_path / "tune",
    )
    check(executor, work)
