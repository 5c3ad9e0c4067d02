"""What a run folder keeps of its command, and how a new one is held."""

import pytest

from launch.runs import held_new, model_folder, options_of, variant_of
from launch.search import Options
from results.run_dir import create_run, is_locked, open_run
from search_spaces.errors import MovinasError, RunFolderError, UsageError
from search_spaces.variant import Variant


def make(path):
    return create_run(path, kind="search", files={"variant.json": '{"activation": "hard_swish"}'})


def test_the_variant_is_the_copy_that_the_run_keeps(tmp_path):
    assert variant_of(make(tmp_path / "run")) == Variant(activation="hard_swish")


def test_options_read_back(search_run, tmp_path):
    options = options_of(open_run(search_run), Options)
    assert (options.space, options.search.steps, options.threads) == ("nano", 8, 1)
    with pytest.raises(RunFolderError, match="must hold config.yaml, but got No such file"):
        options_of(make(tmp_path / "run"), Options)


def test_a_network_is_found_in_its_folder_and_in_its_run(retrain_run, search_run):
    assert model_folder(retrain_run) == retrain_run / "model"
    assert model_folder(retrain_run / "model") == retrain_run / "model"
    with pytest.raises(RunFolderError, match="must be a retrain run, but got a search run"):
        model_folder(search_run)


def test_bad_input_before_the_first_checkpoint_leaves_no_run(tmp_path):
    run = make(tmp_path / "run")
    with pytest.raises(UsageError, match="bad input"), held_new(run):
        raise UsageError("bad input")
    assert not run.path.exists()


@pytest.mark.parametrize("error", [UsageError("late"), KeyboardInterrupt()])
def test_a_run_worth_going_on_with_stays(tmp_path, error):
    run = make(tmp_path / "run")
    if isinstance(error, MovinasError):
        (run.checkpoints_path / "step_00000001").mkdir()
    with pytest.raises(type(error)), held_new(run):
        raise error
    assert run.path.is_dir()
    assert not is_locked(run)
