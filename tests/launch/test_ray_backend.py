"""The pool of Ray actors: the contract of executors, and workers that die."""

import os
import re
import socket
import threading
from dataclasses import replace

import executor_contract as contract
import pytest
import ray

from launch.ray_backend import Place, RayPool, _answering, connected, expected_of_nodes, refusal
from nas.executor import Failure, Unit
from search_spaces.errors import ClusterError, UsageError


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


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_folder_ends_the_sweep(pool, tmp_path):
    elsewhere = replace(pool, folder=tmp_path / "elsewhere")
    with pytest.raises(ClusterError, match="must be storage that every node sees, but this one does not"):
        list(elsewhere.run(contract.work, [contract.unit(tmp_path, "unit")]))
    assert not list(tmp_path.iterdir())


def test_a_node_with_other_versions_refuses():
    assert refusal(expected_of_nodes(), None) is None
    assert "torch must be 0.4.1 on every node, but got" in refusal({"torch": "0.4.1"}, None)


def test_workers_of_a_cluster_of_ones_own_have_ordinary_priority(pool):
    (outcome,) = pool.run(contract.priority, [Unit(name="unit", task=0)])
    assert outcome.outcome == os.nice(0)


def test_addresses_that_are_none():
    for address in ("head", "ray://head:10001", ":6379", "head:port"):
        with pytest.raises(UsageError, match=re.escape("must be auto or host:port of the cluster's head")):
            _answering(address)


def test_an_address_that_does_not_answer_is_told_within_seconds():
    with socket.socket() as bound:  # bound, and nobody listens
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with (
            pytest.raises(ClusterError, match=f"127.0.0.1:{port}: a Ray cluster must answer at ray_address, but got"),
            connected(f"127.0.0.1:{port}", Place(num_cpus=1, num_gpus=0.0), parallel=1),
        ):
            pass


@pytest.mark.parametrize("error", [Exception("The current node timed out\nduring startup."), TimeoutError("late")])
def test_whatever_ray_says_where_it_does_not_start_is_told(error, monkeypatch):
    def init(**settings):
        raise error

    monkeypatch.setattr(ray, "init", init)
    place = Place(num_cpus=1, num_gpus=0.0)
    with (
        pytest.raises(
            ClusterError, match=r"a Ray cluster must start or answer, but got: (The current .* startup|late)"
        ),
        connected(None, place, parallel=1),
    ):
        pass


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_an_address_where_something_else_answers_is_told(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        (thread := threading.Thread(target=serve)).start()
        with pytest.raises(ClusterError, match="must answer at ray_address, but something else does"):
            _answering(f"127.0.0.1:{port}")
        thread.join()


def test_more_gpus_than_there_are_is_told_before_ray_starts():
    with (
        pytest.raises(ClusterError, match="must have the GPUs of all workers, 0.5 for each of 64"),
        connected(None, Place(num_cpus=1, num_gpus=0.5), parallel=64),
    ):
        pass
