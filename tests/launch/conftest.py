"""Puts the small networks of `tests/supernet` and the contracts of `tests/contracts` on the path; a cluster of Ray."""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "supernet"), str(TESTS / "contracts")]
pytest.register_assert_rewrite("executor_contract")


@pytest.fixture(scope="session")
def own_cluster():
    """A cluster of two CPUs of this machine, which the session starts once; its workers find the contracts."""
    from launch.ray_backend import Place, connected

    paths = [str(TESTS.parent), str(TESTS / "contracts"), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        with connected(None, Place(num_cpus=1, num_gpus=0.0), parallel=2):
            yield
