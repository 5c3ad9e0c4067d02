"""The pool of Ray actors: the contract of executors, and workers that die."""

import executor_contract as contract
import pytest

from launch.ray_backend import Place, RayPool
from nas.executor import Failure


@pytest.fixture
def pool(own_cluster, tmp_path):
    return RayPool(
        place=Place(num_cpus=1, num_gpus=0.0),
        threads=1,
        parallel=contract.PARALLEL,
        max_failures=contract.MAX_FAILURES,
        folder=tmp_path,
    )


# workers take seconds to start: by default one check that covers most, the others where minutes are allowed
BY_DEFAULT = (contract.every_unit_has_the_result_of_its_function,)


@pytest.mark.parametrize(
    "check",
    [check if check in BY_DEFAULT else pytest.param(check, marks=pytest.mark.slow) for check in contract.CHECKS],
    ids=lambda check: check.__name__,
)
def test_the_contract(check, pool, tmp_path):
    check(pool, tmp_path)


def test_a_unit_whose_worker_dies_is_computed_by_another(pool, tmp_path):
    units = [contract.unit(tmp_path, "fatal", "die", 1), *(contract.unit(tmp_path, f"good-{n}") for n in range(3))]
    found = contract.outcomes(pool, units)
    assert all(isinstance(result, float) for result in found.values())
    first, second = (line.split()[0] for line in (tmp_path / "fatal").read_text().splitlines())
    assert first != second


@pytest.mark.slow
def test_a_unit_that_kills_every_worker_fails_alone(pool, tmp_path):
    found = contract.outcomes(pool, [contract.unit(tmp_path, "fatal", "die", 99), contract.unit(tmp_path, "good")])
    failure = found["fatal"]
    assert isinstance(failure, Failure)
    assert failure.error.startswith("its worker was lost")
    assert contract.num_tries(tmp_path, "fatal") == contract.MAX_FAILURES + 1
    assert isinstance(found["good"], float)
