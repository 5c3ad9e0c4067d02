"""What all sweeps share: journaled once, failures told, another executor on resume."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from launch import sweeps
from launch.family import Options
from launch.resume import Options as ResumeOptions
from nas.executor import Unit
from nas.scaling_sweep import ScalingTrial, all_candidates
from results.journal import read_journal
from results.records import ScalingRecord
from results.run_dir import create_run
from search_spaces.errors import RunFolderError, SpaceError, SweepError, UsageError

TRIALS = [ScalingTrial(coefficients=each, number=0) for each in all_candidates(0.05)[:4]]
OPTIONS = Options(data=Path("data"), out=Path("out"), targets=("macs=1M/clip",), spaces=("nano",), max_failures=0)


@dataclass(frozen=True, kw_only=True)
class Task:
    trial: ScalingTrial
    bad: bool = False


def train(task):
    if task.bad:
        raise SpaceError("must be good, but got a bad one")
    return ScalingRecord(
        name=task.trial.name,
        coefficients=task.trial.coefficients,
        fingerprint="f",
        macs_per_frame=1.0,
        top1=0.5,
    )


@pytest.fixture
def folder(tmp_path):
    return create_run(tmp_path / "sweep", kind="scaling", files={})


def carry_out(folder, tasks):
    done = sweeps.done_records(folder, ScalingRecord)
    units = [Unit(name=task.trial.name, task=task) for task in tasks if task.trial.name not in done]
    sweeps.carry_out(folder, OPTIONS, train, units, done=done, label="trained", total=len(tasks))
    return done


def test_records_are_journaled_once_and_failures_told_until_they_pass(folder):
    tasks = [Task(trial=trial, bad=number == 1) for number, trial in enumerate(TRIALS)]
    done = carry_out(folder, tasks)
    assert set(done) == {TRIALS[0].name, TRIALS[2].name, TRIALS[3].name}
    failed = sweeps.failures(folder, done)
    assert failed == {TRIALS[1].name: "must be good, but got a bad one"}
    with pytest.raises(SweepError, match=f"but {TRIALS[1].name}: must be good, but got a bad one; movinas resume"):
        sweeps.require_complete(folder, missing=[TRIALS[1].name], failed=failed)
    done = carry_out(folder, [Task(trial=trial) for trial in TRIALS])
    assert not sweeps.failures(folder, done)
    names = [record.name for record in read_journal(folder.journal_path)]
    assert sorted(names) == sorted(trial.name for trial in TRIALS)
    sweeps.require_complete(folder, missing=[], failed={})


def test_a_member_that_is_not_there_is_never_silent(folder):
    with pytest.raises(SweepError, match="a was not computed and 1 more"):
        sweeps.require_complete(folder, missing=["b", "a"], failed={})


def test_a_resume_may_change_who_computes():
    on_ray = sweeps.with_executor(OPTIONS, ResumeOptions(run=Path("r"), executor="ray", parallel=3))
    assert (on_ray.executor, on_ray.parallel, on_ray.targets) == ("ray", 3, OPTIONS.targets)
    inline = sweeps.with_executor(on_ray, ResumeOptions(run=Path("r"), executor="inline"))
    assert (inline.executor, inline.parallel, inline.ray_address) == ("inline", 1, None)
    assert sweeps.with_executor(on_ray, ResumeOptions(run=Path("r"))) == on_ray


def test_what_does_not_go_together_is_refused_on_resume_too(folder):
    options = sweeps.with_executor(OPTIONS, ResumeOptions(run=Path("r"), parallel=2))
    with pytest.raises(UsageError, match="must go with --executor ray or tune, but got inline"):
        sweeps.carry_out(folder, options, train, [], done={}, label="trained", total=0)


def _fail(error, made):
    if made is not None:
        made.mkdir()
    raise error


def test_a_new_folder_goes_where_nothing_was_begun_and_stays_where_something_was(tmp_path):
    for begun in (False, True):
        folder = create_run(tmp_path / f"sweep-{begun}", kind="family", files={})
        error = UsageError("no cluster")
        with pytest.raises(UsageError), sweeps.held_new(folder):
            _fail(error, folder.members_path if begun else None)
        assert folder.path.exists() == begun


def test_a_folder_is_held_while_a_sweep_works(folder):
    with sweeps.held_new(folder), pytest.raises(RunFolderError, match="must not be in use"), sweeps.held_new(folder):
        pass
