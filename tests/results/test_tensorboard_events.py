import made_runs
import pytest

from launch.bench.made_search import make_search
from results.history import read_history
from results.run_dir import create_run
from search_spaces.errors import RunFolderError
from search_spaces.movinet import NANO

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from results.tensorboard_events import FILE_NAME, write_events


def scalars(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {tag: accumulator.Scalars(tag) for tag in accumulator.Tags()["scalars"]}


def test_a_search_is_mirrored_step_by_step(tmp_path):
    run = make_search(tmp_path / "run", NANO, num_steps=30)
    path = write_events(run, tmp_path / "tb")
    assert path == tmp_path / "tb" / "run" / FILE_NAME
    assert write_events(run, tmp_path / "tb") == path
    assert [each.name for each in path.parent.iterdir()] == [FILE_NAME]
    found, history = scalars(path.parent), read_history(run.journal_path)
    assert [event.step for event in found["reward/mean"]] == list(range(30))
    for tag, column in {
        "reward/mean": history.columns["reward"],
        "cost_over_target/likeliest": history.columns["argmax_ratio"],
        "entropy/kernel": history.entropy["kernel"],
    }.items():
        assert [event.value for event in found[tag]] == pytest.approx(column.tolist(), rel=1e-6)
    assert [event.value for event in found["time/train_s"]] == pytest.approx([0.6] * 30)
    (final,) = found["final/found_quality"]
    assert final.value == pytest.approx(history.result.found_quality)
    assert found["reward/mean"][0].wall_time > 1.7e9


def test_a_retraining_is_mirrored_epoch_by_epoch(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.epochs(4), kind="retrain", timed=2)
    found = scalars(write_events(run, tmp_path / "tb").parent)
    assert [(event.step, event.value) for event in found["epoch"]] == [(10, 1), (20, 2), (30, 3), (40, 4)]
    assert [event.step for event in found["val/top-1"]] == [20, 40]


def test_sweeps_and_files_in_the_way_are_refused(tmp_path):
    family = create_run(tmp_path / "family", kind="family", files={})
    with pytest.raises(RunFolderError, match="must be a search or a retraining, but got a family run"):
        write_events(family, tmp_path / "tb")
    run = made_runs.make_run(tmp_path / "run", made_runs.epochs(1), kind="retrain")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="must be a folder that can be written, but got"):
        write_events(run, tmp_path / "file")
