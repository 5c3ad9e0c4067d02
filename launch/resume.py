"""`movinas resume`: go on with a run or a sweep, as if nothing had happened."""

from dataclasses import dataclass
from pathlib import Path

from launch import audit, console, ensemble_train, family, members, retrain, search, sweep_scaling
from launch.executors import ExecutorName
from launch.rank_job import follow
from launch.ranks import torchrun_ranks
from launch.runs import options_of
from launch.sweeps import with_executor
from results.history import read_history
from results.run_dir import RunDir, lock, open_run
from search_spaces.errors import UsageError
from supernet.distributed import Ranks

POSITIONALS = ("run",)
SHORT = {"ray_address": "--ray-address"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Go on with an interrupted run, sweep, ensemble or audit, to the same end as if it had not been.

    Attributes:
        run: Run or sweep folder.
        executor: Of a sweep: inline, ray or tune; None takes the one it was begun with.
        parallel: Of a sweep: members at once; None likewise.
        ray_address: host:port of another running cluster, or auto; of a sweep, or of a run on Ray.
        ranks: Of a search or a retraining: processes of this machine; None goes on where and on as many as before.
        json: Print one JSON document at the end.
    """

    run: Path
    executor: ExecutorName | None = None
    parallel: int | None = None
    ray_address: str | None = None
    ranks: int | None = None
    json: bool = False


def run(options: Options) -> int:
    """Take the lock, say what differs from the run's first environment, and go on."""
    with torchrun_ranks() as ranks:
        if ranks.is_first:
            return _resume(options, ranks)
        follow(ranks)
        return 0


def _resume(options: Options, ranks: Ranks) -> int:
    folder = open_run(options.run)
    _check(folder, options, ranks)
    with lock(folder):
        match folder.kind:
            case "search":
                if read_history(folder.journal_path).result is not None:
                    console.log(f"{folder.path} had finished; its specs and report are written anew")
                result = members.go_on_searching(
                    folder, ranks, num_ranks=options.ranks, ray_address=options.ray_address
                )
                search.show_result(folder, result, as_json=options.json)
            case "retrain":
                card = members.go_on_training(folder, ranks, num_ranks=options.ranks, ray_address=options.ray_address)
                retrain.show_result(folder, card, as_json=options.json)
            case "scaling":
                scaling = with_executor(options_of(folder, sweep_scaling.Options), options)
                sweep_scaling.execute(folder, scaling)
                return sweep_scaling.end(folder, as_json=options.json)
            case "family":
                family.execute(folder, with_executor(options_of(folder, family.Options), options))
                return family.end(folder, as_json=options.json)
            case "audit":
                audit.execute(folder, with_executor(options_of(folder, audit.Options), options))
                return audit.end(folder, as_json=options.json)
            case "ensemble":
                ensemble_train.execute(folder, with_executor(options_of(folder, ensemble_train.Options), options))
                return ensemble_train.end(folder, as_json=options.json)
    return 0


def _check(folder: RunDir, options: Options, ranks: Ranks) -> None:
    if folder.kind in ("search", "retrain"):
        if (options.executor, options.parallel) != (None, None):
            raise UsageError(f"executor and parallel must go with a sweep, but {options.run} is a {folder.kind}")
        if options.ray_address is not None and (options.ranks is not None or ranks.size > 1):
            raise UsageError("ray_address must not be given with ranks of this machine or of torchrun")
        if options.ranks is not None and (options.ranks < 1 or ranks.size > 1):
            raise UsageError(f"ranks must be at least 1, and not be given under torchrun, but got {options.ranks}")
    elif options.ranks is not None or ranks.size > 1:
        raise UsageError(
            f"ranks and torchrun must go with a search or a retraining, but {options.run} is of kind {folder.kind}"
        )
