"""Run folders that a sweep makes or goes on with: what its units do, wherever and however often they are computed."""

import contextlib

from launch import retrain, search
from launch.compute import environment_of
from launch.rank_job import dismiss
from launch.rank_start import moved, on_cluster
from launch.retrain_options import on_other_ranks
from launch.runs import options_of, tell_differences
from launch.search_options import check_division
from results.history import read_history
from results.records import ResultRecord
from results.run_dir import RunDir, lock, open_run
from results.summary import summarise_retrain
from retrain.model_file import ModelCard, is_model_folder, read_card
from search_spaces.errors import RunExistsError
from supernet.distributed import ALONE, Ranks

PATIENCE_S = 60.0
"""How long a worker that was given up may still hold a run."""


def searched(options: search.Options) -> tuple[RunDir, ResultRecord]:
    """The finished search in the folder `out`: as it is, gone on with, or made."""
    if not options.out.exists():
        with contextlib.suppress(RunExistsError):  # a worker that was given up has made it meanwhile
            return search.search(options)
    folder = open_run(options.out, kind="search")
    with lock(folder, patience_s=PATIENCE_S):
        return folder, go_on_searching(folder)


def trained(options: retrain.Options) -> tuple[RunDir, ModelCard]:
    """The finished retraining in the folder `out`: as it is, gone on with, or made."""
    if not options.out.exists():
        with contextlib.suppress(RunExistsError):
            return retrain.retrain(options)
    folder = open_run(options.out, kind="retrain")
    with lock(folder, patience_s=PATIENCE_S):
        if is_model_folder(folder.model_path) and summarise_retrain(folder).status == "finished":
            return folder, read_card(folder.model_path)
        return folder, go_on_training(folder)


def go_on_searching(
    folder: RunDir, ranks: Ranks = ALONE, *, num_ranks: int | None = None, ray_address: str | None = None
) -> ResultRecord:
    """The end of a search whose lock the caller holds; of a finished one, specs and report are written anew.

    Args:
        folder: Its run.
        ranks: Of torchrun, of which this is the first.
        num_ranks: On how many ranks of this machine, where no torchrun has started them; None for as it was begun.
        ray_address: Of another cluster than it was begun on; None leaves it.

    Raises:
        UsageError: There is an address, but it is not on Ray.
    """
    finished = read_history(folder.journal_path).result
    if finished is not None:
        dismiss(ranks)
        search.finish(folder)
        return finished
    options = on_cluster(options_of(folder, search.Options), ray_address)
    size = ranks.size if ranks.size > 1 else num_ranks
    if size is not None:
        options = moved(options, size)
        check_division(options)
    tell_differences(folder, environment_of(options.threads, ranks=options.ranks))
    return search.execute(folder, options, ranks)


def go_on_training(
    folder: RunDir, ranks: Ranks = ALONE, *, num_ranks: int | None = None, ray_address: str | None = None
) -> ModelCard:
    """The end of a retraining whose lock the caller holds; arguments and errors as of `go_on_searching`."""
    options = on_cluster(options_of(folder, retrain.Options), ray_address)
    size = ranks.size if ranks.size > 1 else num_ranks
    if size is not None:
        options = on_other_ranks(options, size)
    tell_differences(folder, environment_of(options.threads, ranks=options.ranks))
    return retrain.execute(folder, options, ranks)
