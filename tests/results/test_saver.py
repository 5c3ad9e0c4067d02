import itertools
import time

import made_runs
import pytest
import signals

from results import interruption, saver
from results.checkpoint import load_newest
from results.journal import Journal
from results.run_dir import create_run
from results.saver import Saver
from results.stopwatch import Stopwatch
from search_spaces.errors import RankLostError, UsageError

LAST, EVERY = 10, 4


@pytest.fixture(autouse=True)
def _listened(monkeypatch):
    monkeypatch.setattr(interruption, "GRACE_S", 0.3)
    with signals.listened():
        yield


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", kind="search", files={})


def work(run, *, at=None, act=signals.tell, before_long=(), state=None, spared=()):
    """Steps from the newest checkpoint on, each of one record; does `act` in step `at`, before it ends."""
    found = load_newest(run.checkpoints_path)
    first, keep = (found.number, found.num_records) if found else (0, 0)
    with (
        Journal.open(run.journal_path, keep=keep) as journal,
        Saver(
            run.checkpoints_path,
            journal,
            first=first,
            last=LAST,
            every=EVERY,
            spared=spared,
            stopwatch=Stopwatch(),
        ) as saving,
    ):
        for step in range(first, LAST):
            journal.append(made_runs.step(step), sync=False)
            if step == at:
                act()
            saving.step_done(
                step + 1, state or (lambda number=step + 1: blobs(number)), before_long=step + 1 in before_long
            )


def blobs(number):
    return {"weights": b"%d" % number}


def tree(run):
    return {
        str(path.relative_to(run.path)): path.read_bytes()
        for path in sorted(run.path.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def newest(run):
    found = load_newest(run.checkpoints_path)
    assert dict(found.blobs) == blobs(found.number)
    assert found.num_records == found.number
    return found.number


def names(run):
    return sorted(path.name.removeprefix("step_000000") for path in run.checkpoints_path.iterdir())


@pytest.fixture
def whole(tmp_path):
    run = create_run(tmp_path / "whole", kind="search", files={})
    work(run)
    assert names(run) == ["08", "10"]
    return tree(run)


@pytest.mark.parametrize("stops", [*((step,) for step in range(LAST)), tuple(range(LAST)), (4, 5, 6), (8, 9)])
def test_told_to_end_in_any_step_it_saves_it_and_ends_in_the_same_folder(run, whole, stops):
    for step in stops:
        with pytest.raises(KeyboardInterrupt):
            work(run, at=step)
        assert newest(run) == step + 1
        assert len(names(run)) <= 2
    work(run)
    assert tree(run) == whole


def test_the_one_before_is_of_the_schedule_where_the_newest_is_bad(run, whole):
    for step in (4, 5):
        with pytest.raises(KeyboardInterrupt):
            work(run, at=step)
    assert names(run) == ["04", "06"]
    (run.checkpoints_path / "step_00000006" / "weights").write_bytes(b"7")
    assert newest(run) == 4
    work(run)
    assert {name: data for name, data in tree(run).items() if "bad-" not in name} == whole


def test_those_that_are_kept_for_good_stay(run):
    for step in (2, 6):
        with pytest.raises(KeyboardInterrupt):
            work(run, at=step, spared=range(3, 11, 3))
    work(run, spared=range(3, 11, 3))
    assert names(run) == ["03", "06", "09", "10"]


def endless_step():
    signals.tell()
    time.sleep(60)


@pytest.mark.parametrize("known", [True, False])
def test_in_a_step_that_takes_too_long_the_state_before_it_is_saved(run, whole, known, monkeypatch):
    monkeypatch.setattr(saver, "SLOW_S", 60.0 if known else 0.0)
    with pytest.raises(KeyboardInterrupt):
        work(run, at=6, act=endless_step, before_long={6} if known else ())
    assert newest(run) == 6
    work(run)
    assert tree(run) == whole


def test_without_a_state_that_was_kept_the_checkpoint_before_it_is_what_is_left(run):
    with pytest.raises(KeyboardInterrupt):
        work(run, at=6, act=endless_step)
    assert newest(run) == 4


def test_whoever_loses_another_rank_by_the_same_signal_saves_too(run):
    def lost():
        signals.tell()
        raise RankLostError("another was lost")

    with pytest.raises(RankLostError):
        work(run, at=6, act=lost, before_long={6})
    assert newest(run) == 6


def test_an_error_of_its_own_saves_nothing(run):
    def wild():
        raise UsageError("the loss must stay finite")

    with pytest.raises(UsageError):
        work(run, at=6, act=wild, before_long={6})
    assert newest(run) == 4


def test_told_again_it_ends_at_once(run, monkeypatch):
    monkeypatch.setattr(interruption, "SAME_S", 0.0)
    monkeypatch.setattr(interruption, "GRACE_S", 60.0)

    def twice():
        signals.tell()
        time.sleep(0.05)
        signals.tell()
        pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        work(run, at=6, act=twice, before_long={6})
    assert newest(run) == 4


def test_keeping_states_takes_a_small_share_of_the_time(run, monkeypatch):
    monkeypatch.setattr(saver, "SLOW_S", 0.0)
    asked = itertools.count()

    def slow():
        next(asked)
        time.sleep(0.02)
        return blobs(0)

    work(run, state=slow)
    assert next(asked) == 3 + 1  # on schedule; and one kept, after which no time was left for another


def test_what_a_kill_left_is_removed_when_the_run_goes_on(run, whole):
    with pytest.raises(KeyboardInterrupt):
        work(run, at=9)
    for name in ("step_00000004", "step_00000009", "trash-99999999-step_00000004", "step_00000010.tmp-99999999"):
        (run.checkpoints_path / name).mkdir()
    work(run)
    assert tree(run) == whole
    assert names(run) == ["08", "10"]
