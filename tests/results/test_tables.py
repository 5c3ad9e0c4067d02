import re
from dataclasses import replace
from pathlib import Path

import made_runs
import numpy as np
import pytest

import results
from launch.bench.made_search import make_search
from results.genotypes import unpack
from results.history import read_history
from results.journal import Journal, iter_journal
from results.records import MemberRecord, StepRecord
from results.run_dir import create_run
from results.tables import RetrainTables, SearchTables, SweepTables
from search_spaces.errors import JournalError, RunFolderError
from search_spaces.movinet import NANO

DOCS = Path(__file__).parents[2] / "docs" / "results.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_search(tmp_path_factory.mktemp("made") / "run", NANO, num_steps=120)


@pytest.fixture(scope="module")
def tables(run):
    return results.load(run.path)


def test_trials_are_those_of_the_journal(run, tables):
    assert isinstance(tables, SearchTables)
    steps = [record for record in iter_journal(run.journal_path) if isinstance(record, StepRecord)]
    trials = [(step.step, trial) for step in steps for trial in step.trials]
    found = tables.trials
    assert found["trial"].tolist() == list(range(240))
    assert found["step"].tolist() == [step for step, _ in trials]
    for name in ("fingerprint", "cost", "ratio", "quality", "reward"):
        assert found[name].tolist() == [getattr(trial, name) for _, trial in trials]
    np.testing.assert_array_equal(found["macs"], found["cost"])
    assert (found["state_bytes"] > 0).all()


def test_decisions_are_those_of_the_trials(run, tables):
    history = read_history(run.journal_path, architectures=True)
    for trial in (0, 7, 239):
        own = tables.decisions[tables.decisions["trial"] == trial]
        genotype = unpack(history.architectures[trial].genotype, history.start.decisions)
        assert dict(zip(own["decision"], own["choice"], strict=True)) == {k: str(v) for k, v in genotype.items()}
        assert set(own["step"]) == {trial // 2}


def test_probabilities_are_those_of_the_policies(run, tables):
    history = read_history(run.journal_path)
    found = tables.probabilities
    assert sorted(set(found["step"])) == [policy.step for policy in history.policies]
    sums = found.groupby(["step", "decision"])["probability"].sum()
    np.testing.assert_allclose(sums, 1.0)
    last = found[(found["step"] == 119) & found["likeliest"]]
    assert dict(zip(last["decision"], last["choice"], strict=True)) == {
        name: str(choice) for name, choice in history.policies[-1].argmax.items()
    }
    row = found[found["decision"] == "block2.layer1.kernel"].iloc[0]
    assert (row["place"], row["attribute"]) == ("block2.layer1", "kernel")


def test_steps_candidates_and_timings(run, tables):
    history = read_history(run.journal_path)
    np.testing.assert_array_equal(tables.steps["reward"], history.columns["reward"])
    np.testing.assert_array_equal(tables.steps["entropy_kernel"], history.entropy["kernel"])
    assert tables.candidates["selected"].sum() == 1
    assert tables.candidates["quality"].tolist() == [each.quality for each in history.candidates]
    assert tables.timings.groupby("phase")["seconds"].sum()["train"] == pytest.approx(0.6 * 120)


def test_a_search_that_has_just_begun_has_the_same_columns(run, tables, tmp_path):
    empty = results.load(make_search(tmp_path / "run", NANO, num_steps=9, done=0).path)
    for name in SearchTables.__slots__:
        assert len(getattr(empty, name)) == 0
    assert set(empty.trials.columns) <= set(tables.trials.columns)
    assert list(empty.decisions.columns) == list(tables.decisions.columns)


def test_journals_of_earlier_times_give_the_same_tables(tmp_path):
    new = make_search(tmp_path / "new", NANO, num_steps=6)
    old = make_search(tmp_path / "old", NANO, num_steps=6, done=0)
    decisions = read_history(new.journal_path).start.decisions
    records = list(iter_journal(new.journal_path))
    old.journal_path.write_bytes(b"")
    with Journal.open(old.journal_path) as journal:
        for record in records:
            if not isinstance(record, StepRecord):
                journal.append(record)
                continue
            named = (replace(trial, genotype=unpack(trial.genotype, decisions)) for trial in record.trials)
            journal.append(replace(record, trials=tuple(named)))
    found, expected = results.load(old.path), results.load(new.path)
    assert found.trials.equals(expected.trials)
    assert found.decisions.equals(expected.decisions)


def test_a_retraining_and_a_family(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.epochs(5), kind="retrain", timed=3)
    found = results.load(str(run.path))
    assert isinstance(found, RetrainTables)
    assert found.epochs["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert found.epochs["val_top1"].notna().tolist() == [False, True, False, True, False]
    assert len(found.timings) == 15
    family = create_run(tmp_path / "family", kind="family", files={})
    make_search(family.members_path / "one", NANO, num_steps=4)
    with Journal.open(family.journal_path) as journal:
        journal.append(
            MemberRecord(
                name="one",
                space="nano",
                target="macs=6M/clip",
                seed=0,
                found="5" * 64,
                found_ratio=1.0,
                found_quality=0.5,
                found_macs=6,
                found_state_bytes=7,
                argmax_ratio=1.0,
                random_quality=0.4,
            )
        )
    found = results.load(family.path)
    assert isinstance(found, SweepTables)
    assert found.members["name"].tolist() == ["family/one"]
    assert found.records["found_macs"].tolist() == [6]


def test_what_is_no_run_is_refused(run, tmp_path):
    with pytest.raises(RunFolderError, match="must be a run folder, but got nothing there"):
        results.load(tmp_path / "absent")
    damaged = make_search(tmp_path / "run", NANO, num_steps=4)
    damaged.journal_path.write_bytes(b"x\n" + damaged.journal_path.read_bytes())
    with pytest.raises(JournalError, match=r"journal.jsonl:1: "):
        results.load(damaged.path)


def test_every_column_is_documented(tables, run, tmp_path):
    text = DOCS.read_text()
    documented = set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))
    family = create_run(tmp_path / "family", kind="family", files={})
    make_search(family.members_path / "one", NANO, num_steps=4)
    frames = [getattr(tables, name) for name in SearchTables.__slots__]
    frames.append(results.load(family.path).members)
    frames.append(results.load(made_runs.make_run(tmp_path / "r", made_runs.epochs(2), kind="retrain").path).epochs)
    columns = {re.sub(r"^entropy_.*", "entropy_GROUP", column) for frame in frames for column in frame.columns}
    assert columns - documented == set()


def test_the_worked_example_runs(run, tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL).group(1)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "search").symlink_to(run.path)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/results.md", "exec"), {})
    assert "quality" in capsys.readouterr().out
