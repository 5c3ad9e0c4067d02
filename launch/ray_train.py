"""Data parallel training by workers of Ray Train: the same ranks as those of torchrun, on the nodes of a cluster.

Ray starts the workers, has them meet, and starts all of them again where one is lost; they then go on from the newest
checkpoint of the run folder. Nothing that Ray keeps is read again.
"""

import shutil
import threading
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, TypeVar

import ray
import ray.train
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util import placement_group_table

from launch.ranks import RankMain
from launch.ray_backend import (
    QUIET_S,
    Place,
    connected,
    expected_of_nodes,
    refusal,
    set_up_worker,
    tell_of_waiting,
)
from search_spaces.errors import ClusterError, MovinasError, RankLostError
from supernet.distributed import PATIENCE, Ranks, backend_of

T = TypeVar("T")


def train_on_ray(
    main: RankMain[T],
    argument: T,
    *,
    size: int,
    place: Place,
    threads: int,
    address: str | None,
    max_failures: int,
    folder: Path,
) -> None:
    """Run `main(argument, ranks)` on every worker of Ray Train until all have ended.

    Args:
        main: What every rank does; it goes on where it was when it is begun again.
        argument: Of it.
        size: Ranks.
        place: Of one of them.
        threads: Of torch in each.
        address: Of a running cluster; None starts one.
        max_failures: How often all ranks are begun again after the loss of one, or an error in one.
        folder: Ray's own files go here, and go again; every node must see it.

    Raises:
        MovinasError: What a rank raised in the last try.
        ClusterError: The cluster does not start or answer, a node does not fit, or Ray Train failed.
    """
    expected = expected_of_nodes()

    def worker(config: dict[str, Any]) -> None:
        del config
        set_up_worker(threads, place.num_gpus)
        if (reason := refusal(expected, None)) is not None:  # the first rank alone needs the folder
            raise ClusterError(reason)
        context = ray.train.get_context()
        main(argument, Ranks(rank=context.get_world_rank(), size=context.get_world_size()))

    scaling = ScalingConfig(
        num_workers=size,
        use_gpu=place.num_gpus > 0,
        resources_per_worker={"CPU": place.num_cpus, **({"GPU": place.num_gpus} if place.num_gpus else {})},
    )
    with connected(address, place, parallel=size):
        trainer = TorchTrainer(
            worker,
            train_loop_config={},
            torch_config=TorchConfig(backend=backend_of(cuda=place.num_gpus > 0), timeout_s=PATIENCE.seconds),
            scaling_config=scaling,
            run_config=RunConfig(
                name="ray", storage_path=str(folder), failure_config=FailureConfig(max_failures=max_failures)
            ),
        )
        try:
            _await(_fitted(trainer), size, place)
        except (ray.train.TrainingFailedError, RayError) as error:
            raise _error_of(error) from error
        finally:
            shutil.rmtree(folder / "ray", ignore_errors=True)


def _fitted(trainer: TorchTrainer) -> Future[None]:
    """The end of a training, awaited beside the main thread, in which Ray would take Ctrl-C for a good end."""
    end: Future[None] = Future()

    def fit() -> None:
        try:
            trainer.fit()
        except Exception as error:
            end.set_exception(error)
        else:
            end.set_result(None)

    threading.Thread(target=fit, daemon=True).start()
    return end


def _await(end: Future[None], size: int, place: Place) -> None:
    """Return at the end, or raise how it ended; log meanwhile for how long the ranks have had no room."""
    waited_s = 0.0
    while not wait([end], timeout=QUIET_S).done:
        waited_s = waited_s + QUIET_S if _have_no_room() else 0.0
        if waited_s:
            tell_of_waiting(f"{size} ranks", place, waited_s=waited_s)
    end.result()


def _have_no_room() -> bool:
    """Whether the workers of this job are still to be placed; the name of a placement group ends with its job's."""
    job = ray.get_runtime_context().get_job_id()
    groups = placement_group_table().values()
    states = [group["state"] for group in groups if group["placement_group_id"].endswith(job)]
    return "CREATED" not in states and bool({"PENDING", "RESCHEDULING"}.intersection(states))


def _error_of(error: Exception) -> MovinasError:
    """What a rank raised, rather than that others lost contact with it."""
    failures = getattr(error, "worker_failures", {}).values()
    causes = [getattr(failure, "_base_exc", failure) for failure in failures]  # Ray wraps them with their traceback
    found = [cause for cause in causes if isinstance(cause, MovinasError)]
    if found:
        return min(found, key=lambda cause: isinstance(cause, RankLostError))
    line = " ".join(str(causes[0] if causes else error).split())[:200]
    return ClusterError(f"Ray Train must bring every rank to its end, but got: {line}")
