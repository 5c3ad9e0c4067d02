"""`movinas retrain --resume auto`, and the options of ranks."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from program import call, call_json

from launch.rank_start import resolved_on_ranks
from launch.retrain import Options
from launch.retrain_options import check_division, on_other_ranks
from retrain.recipe import Recipe
from search_spaces.errors import UsageError
from supernet.distributed import Ranks

OPTIONS = ["--recipe.epochs=2", "--recipe.batch_size=8", "--recipe.test_frames=6", "--threads=1", "--workers=0"]


@pytest.fixture
def given(search_run, retrain_run, motion_manifest, tmp_path):
    """The command of a finished retraining, for a copy of its folder."""
    shutil.copytree(retrain_run, tmp_path / "run")
    spec = next((search_run / "specs").iterdir())
    return ["retrain", str(spec), f"--data={motion_manifest}", f"--out={tmp_path / 'run'}", *OPTIONS]


def files_of(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and "telemetry" not in path.name}


def test_a_folder_that_exists_is_refused_unless_asked(capsys, given, tmp_path):
    code, _, err = call(capsys, *given)
    assert code == 2
    assert "must not exist yet, a run is never overwritten, but it does" in err
    document = call_json(capsys, *given, "--resume=auto")
    assert document["steps"] == 14


def test_a_stopped_run_goes_on_to_the_same_end(capsys, given, retrain_run, tmp_path):
    """With other workers and another cache, which change no result."""
    run = tmp_path / "run"
    shutil.rmtree(run / "model")
    (run / "journal.jsonl").write_bytes(b"")
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    moved = [f"--clips.cache_dir={tmp_path / 'cache'}", "--max_failures=1"]
    assert call(capsys, *given, *moved, "--resume=auto")[0] == 0
    for name in ("journal.jsonl", "model/model.safetensors", "config.yaml"):
        assert (run / name).read_bytes() == (retrain_run / name).read_bytes()


def test_where_there_is_no_folder_it_begins(capsys, given, tmp_path):
    elsewhere = [argument for argument in given if not argument.startswith("--out")]
    assert call(capsys, *elsewhere, f"--out={tmp_path / 'new'}", "--recipe.epochs=1", "--resume=auto")[0] == 0
    assert (tmp_path / "new" / "model").is_dir()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--recipe.epochs=3"], "recipe.epochs was 2 and is now 3"),
        (["--seed=1"], "seed was 0 and is now 1"),
        (["--recipe.accumulation=2"], "ranks x recipe.accumulation was 1 x 1 and is now 1 x 2"),
        (["--variant=released-stream"], "spec it was begun with, but got another"),
    ],
)
def test_other_options_are_refused_by_name_and_nothing_changes(capsys, given, tmp_path, more, message):
    before = files_of(tmp_path / "run")
    code, _, err = call(capsys, *given, *more, "--resume=auto")
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert files_of(tmp_path / "run") == before


def options(**changes):
    return replace(Options(spec="s", data=Path("d"), out=Path("o")), **changes)


def test_another_number_of_ranks_must_run_the_same_micro_batches():
    before = options(ranks=2, executor="ray", recipe=Recipe(batch_size=8, accumulation=2))
    for size, accumulation in ((1, 4), (2, 2), (4, 1)):
        found = on_other_ranks(before, size)
        assert (found.ranks, found.recipe.accumulation, found.executor) == (size, accumulation, "inline")
    for size in (3, 8):
        with pytest.raises(UsageError, match=f"ranks x recipe.accumulation was 2 x 2 and is now {size} x 1"):
            on_other_ranks(before, size)
    joint = replace(before, recipe=replace(before.recipe, sync_batch_norm=True))
    with pytest.raises(UsageError, match="goes on with as many ranks, but there were 2 and are now 4"):
        on_other_ranks(joint, 4)


def test_ranks_of_torchrun_are_kept_and_not_given_twice():
    here = Ranks(rank=0, size=2)
    assert resolved_on_ranks(options(threads=3), here, check=check_division).ranks == 2
    with pytest.raises(UsageError, match="ranks and executor must not be given under torchrun"):
        resolved_on_ranks(options(ranks=2), here, check=check_division)
    with pytest.raises(UsageError, match="but got 3 for 2 x 1"):
        resolved_on_ranks(options(recipe=Recipe(batch_size=3)), here, check=check_division)


def test_other_videos_are_refused(capsys, given, motion_manifest, tmp_path):
    header, *lines = motion_manifest.read_text().splitlines()
    fewer = motion_manifest.with_name("fewer.jsonl")
    fewer.write_text("\n".join([header, *lines[:-1], ""]))
    code, _, err = call(capsys, *given, f"--data={fewer}", "--resume=auto")
    fewer.unlink()
    assert code == 2
    assert "the manifest it was begun with, but got another" in err


def test_a_folder_of_something_else_is_refused(capsys, given, search_run):
    code, _, err = call(capsys, *given, f"--out={search_run}", "--resume=auto")
    assert code == 2
    assert "must be a retrain run, but got a search run" in err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--ranks=3"], "recipe.batch_size must be a multiple of ranks x recipe.accumulation, both at least 1, but"),
        (["--ranks=4", "--recipe.accumulation=4"], "but got 8 for 4 x 4"),
        (["--ranks=0"], "but got 8 for 0 x 1"),
        (["--recipe.accumulation=3"], "accumulation must be at least 1 and divide batch_size"),
        (["--gpus=1"], "gpus and ray_address must go with --executor ray, but got inline"),
        (["--ray-address=auto"], "gpus and ray_address must go with --executor ray, but got inline"),
        (["--executor=ray", "--gpus=2"], "gpus must be 0 or 1 and max_failures at least 0, but got 2 and 3"),
    ],
)
def test_options_that_do_not_go_together_leave_no_folder(capsys, given, tmp_path, more, message):
    code, _, err = call(capsys, *given, f"--out={tmp_path / 'none'}", *more)
    assert code == 2
    assert message in err
    assert not (tmp_path / "none").exists()


def test_a_plan_is_of_micro_batches(capsys, given):
    plans = [call_json(capsys, *given, "--plan", *more) for more in ([], ["--recipe.keep_every=1"])]
    assert plans[0]["steps"] == plans[1]["steps"] == 14
    assert plans[1]["disk_bytes"] == 2 * plans[0]["disk_bytes"] - 200 * 2


def test_the_run_tells_of_its_ranks(retrain_run):
    assert json.loads((retrain_run / "env.json").read_text())["ranks"] == 1
