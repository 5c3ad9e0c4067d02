import dataclasses
import hashlib
import itertools
import time
from itertools import islice

import numpy as np
import pytest
import signals
from fake_evaluator import FakeEvaluator
from made_spaces import TINY

from nas.loop import NUM_SNAPSHOTS, SearchConfig, run_search
from nas.problem import Problem
from nas.reinforce import ControllerConfig
from nas.select import SelectionConfig
from nas.warmup import WarmupConfig
from results.checkpoint import load_newest
from results.genotypes import unpack
from results.journal import read_journal
from results.records import CandidateRecord, PolicyRecord, ResultRecord, StartRecord, StepRecord
from results.run_dir import create_run
from results.stopwatch import Stopwatch
from results.telemetry import read_telemetry
from search_spaces.errors import InfeasibleTargetError, UsageError
from search_spaces.strict_json import canonical
from search_spaces.target import parse_target
from search_spaces.variant import Variant

CONFIG = SearchConfig(
    steps=8,
    architectures_per_step=2,
    beta_ramp=1.0,
    checkpoint_every=3,
    selection=SelectionConfig(num_policy=2, num_random=2),
)
PROBLEM = Problem(space=TINY, variant=Variant(), target=parse_target("macs=4M/clip"), num_classes=10, seed=3)
START = StartRecord(
    space="tiny",
    space_hash=TINY.hash,
    target="macs=4M/clip",
    target_cost=4e6,
    steps=8,
    seed=3,
    decisions={decision.name: decision.choices for decision in TINY.decisions},
    class_names=("a", "b"),
    num_train_videos=8,
    num_heldout_videos=4,
)
NUM_RECORDS = 1 + 8 * 2 + 5 + 1
"""The start, a step and a snapshot of the policy eight times, argmax, two draws and two random ones, the result."""


def new_run(path):
    return create_run(path, kind="search", files={})


def search(run, *, problem=PROBLEM, config=CONFIG, evaluator=None, num=None):
    """Goes on with a run from its newest checkpoint, for `num` records or to the end."""
    evaluator = evaluator or FakeEvaluator(seed=problem.seed)
    records = run_search(
        problem,
        config,
        evaluator,
        start=dataclasses.replace(START, steps=config.steps, seed=problem.seed),
        run=run,
        checkpoint=load_newest(run.checkpoints_path),
        stopwatch=Stopwatch(),
    )
    found = list(islice(records, num))
    records.close()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was never stopped, its evaluator, and what the generator gave."""
    run, evaluator = new_run(tmp_path_factory.mktemp("whole") / "run"), FakeEvaluator(seed=3)
    return run, evaluator, search(run, evaluator=evaluator)


def of(kind, records):
    return [record for record in records if isinstance(record, kind)]


def test_what_is_yielded_is_what_the_journal_holds(whole):
    run, _, records = whole
    assert read_journal(run.journal_path) == records
    assert [type(record) for record in records] == [
        StartRecord,
        *(StepRecord, PolicyRecord) * 8,
        *[CandidateRecord] * 5,
        ResultRecord,
    ]
    assert len(records) == NUM_RECORDS
    assert records[0] == START


def test_every_record_is_in_the_journal_when_it_is_yielded(tmp_path):
    run = new_run(tmp_path / "run")
    records = run_search(
        PROBLEM, CONFIG, FakeEvaluator(seed=3), start=START, run=run, checkpoint=None, stopwatch=Stopwatch()
    )
    for record in records:
        assert record in read_journal(run.journal_path)


def test_steps_are_sane(whole):
    _, evaluator, records = whole
    steps = of(StepRecord, records)
    assert [step.step for step in steps] == list(range(8))
    for step in steps:
        assert len(step.trials) == 2
        for trial, candidate in zip(step.trials, evaluator.measured[step.step], strict=True):
            assert unpack(trial.genotype, START.decisions) == candidate.genotype
            assert trial.fingerprint == candidate.fingerprint
            assert trial.cost == PROBLEM.full_cost(candidate).macs
            assert trial.ratio == trial.cost / 4e6
            assert trial.reward == pytest.approx(trial.quality - 0.3 * abs(trial.ratio - 1), abs=1e-12)
        assert set(step.entropy) == {"depth", "width", "kernel", "expansion"}
        assert all(0 <= value <= 1 + 1e-12 for value in step.entropy.values())
        assert step.argmax_ratio == step.argmax_cost / 4e6
    assert [step.learning_rate > 0 for step in steps] == [False] * 2 + [True] * 6
    assert [step.op_warmup for step in steps] == [1.0, 0.5] + [0.0] * 6
    assert [step.filter_warmup for step in steps] == [step.op_warmup for step in steps]


def test_the_baseline_follows_the_mean_rewards(whole):
    numerator = denominator = 0.0
    for step in of(StepRecord, whole[2]):
        numerator = 0.95 * numerator + 0.05 * sum(trial.reward for trial in step.trials) / 2
        denominator = 0.95 * denominator + 0.05
        assert step.baseline == pytest.approx(numerator / denominator, rel=1e-12)


def test_snapshots_of_the_policy_are_sane(whole):
    records = whole[2]
    for step, policy in zip(of(StepRecord, records), of(PolicyRecord, records), strict=True):
        assert policy.step == step.step
        assert set(policy.probabilities) == set(START.decisions)
        for name, chances in policy.probabilities.items():
            assert len(chances) == len(START.decisions[name])
            assert sum(chances) == pytest.approx(1.0)
        assert TINY.decode(policy.argmax, Variant()).fingerprint == step.argmax_fingerprint
    first, last = of(PolicyRecord, records)[0], of(PolicyRecord, records)[-1]
    assert set(first.probabilities["block2.depth"]) == {0.5}
    assert len(set(last.probabilities["block2.depth"])) == 2


def test_what_is_trained_is_widened_and_what_is_measured_is_not(whole):
    _, evaluator, records = whole
    largest = max(TINY.width_multipliers)
    for step in of(StepRecord, records):
        trained, mixed = evaluator.trained[step.step]
        sampled = [unpack(trial.genotype, START.decisions) for trial in step.trials]
        assert [candidate.genotype for candidate in evaluator.measured[step.step]] == sampled
        if step.step == 0:
            assert all(candidate.genotype["head.width"] == largest for candidate in trained)
            assert all(candidate.genotype["block3.depth"] == 3 for candidate in trained)
            assert all(
                len(layers) == candidate.spec.num_layers for candidate, layers in zip(trained, mixed, strict=True)
            )
        if step.step >= 2:
            assert [candidate.genotype for candidate in trained] == sampled
            assert not any(mixed)
        for candidate, genotype in zip(trained, sampled, strict=True):
            assert all(candidate.genotype[name] == genotype[name] for name in genotype if name.endswith("kernel"))


def test_the_result_is_the_best_of_the_comparison(whole):
    records = whole[2]
    compared, result = of(CandidateRecord, records), records[-1]
    assert [record.origin for record in compared] == ["argmax", "policy", "policy", "random", "random"]
    for record in compared:
        candidate = TINY.decode(record.genotype, Variant())
        assert record.fingerprint == candidate.fingerprint
        assert record.cost == PROBLEM.full_cost(candidate).macs
        assert record.ratio == record.cost / 4e6
        assert record.num_clips == 64
    eligible = [record for record in compared if record.origin != "random" and abs(record.ratio - 1) <= 0.03]
    assert result.found_quality == max(record.quality for record in eligible)
    assert result.found in {record.fingerprint for record in eligible}
    assert compared[0].fingerprint == of(StepRecord, records)[-1].argmax_fingerprint == result.argmax_fingerprint


def test_golden_search(whole):
    # the architectures that a seeded search draws and finds: a change of any draw, reward or update moves them
    records = whole[2]
    drawn = [unpack(trial.genotype, START.decisions) for step in of(StepRecord, records) for trial in step.trials]
    compared = [record.fingerprint for record in of(CandidateRecord, records)]
    text = canonical([drawn, compared, records[-1].found])
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "24877ac5dfe6b4d795b130e85194a02e3df7f7ddc5c43976ac489559aa66db97"
    )


def test_equal_seeds_give_equal_bytes_and_another_seed_does_not(whole, tmp_path):
    again, other = new_run(tmp_path / "again"), new_run(tmp_path / "other")
    search(again)
    search(other, problem=dataclasses.replace(PROBLEM, seed=4))
    text = whole[0].journal_path.read_bytes()
    assert again.journal_path.read_bytes() == text
    assert other.journal_path.read_bytes() != text
    first, second = load_newest(whole[0].checkpoints_path), load_newest(again.checkpoints_path)
    assert first == second
    assert (first.number, first.num_records) == (8, 17)
    assert set(first.blobs) == {"controller.json", "fake_evaluator.json"}


@pytest.mark.parametrize("num", range(NUM_RECORDS + 1))
def test_stopped_after_any_record_it_ends_the_same(whole, tmp_path, num):
    run = new_run(tmp_path / "run")
    assert len(search(run, num=num)) == num
    search(run)
    assert run.journal_path.read_bytes() == whole[0].journal_path.read_bytes()
    assert load_newest(run.checkpoints_path) == load_newest(whole[0].checkpoints_path)


def test_stopped_again_and_again_it_ends_the_same(whole, tmp_path):
    run = new_run(tmp_path / "run")
    for num in (7, 3, 8, 1, 9, 4):
        search(run, num=num)
    search(run)
    assert run.journal_path.read_bytes() == whole[0].journal_path.read_bytes()


def folder(run):
    files = (path for path in run.checkpoints_path.rglob("*") if path.is_file())
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files}


@pytest.mark.parametrize("stops", [*((step,) for step in range(8)), (1, 2, 3), (6, 7)])
def test_told_to_end_it_saves_the_step_and_ends_in_the_same_folder(whole, tmp_path, stops):
    run = new_run(tmp_path / "run")

    class Told(FakeEvaluator):
        def measure(self, step, candidates):
            if step == stop:
                signals.tell()
            return super().measure(step, candidates)

    with signals.listened():
        for stop in stops:
            with pytest.raises(KeyboardInterrupt):
                search(run, evaluator=Told(seed=3))
            assert load_newest(run.checkpoints_path).number == stop + 1
        search(run)
    assert run.journal_path.read_bytes() == whole[0].journal_path.read_bytes()
    assert folder(run) == folder(whole[0])


def test_told_to_end_in_the_comparison_it_ends_at_once(whole, tmp_path):
    run = new_run(tmp_path / "run")

    class Told(FakeEvaluator):
        def compare(self, candidates):
            signals.tell()
            pytest.fail("it went on")

    with signals.listened(), pytest.raises(KeyboardInterrupt):
        search(run, evaluator=Told(seed=3))
    search(run)
    assert run.journal_path.read_bytes() == whole[0].journal_path.read_bytes()
    assert folder(run) == folder(whole[0])


def test_a_clock_that_is_set_back_changes_nothing(whole, tmp_path, monkeypatch):
    times_s = itertools.count(2e9, -1000.0)
    monkeypatch.setattr(time, "time", lambda: next(times_s))
    run = new_run(tmp_path / "run")
    search(run, num=10)
    search(run)
    assert run.journal_path.read_bytes() == whole[0].journal_path.read_bytes()
    assert folder(run) == folder(whole[0])
    times = [event["t"] for event in read_telemetry(run.telemetry_path)]
    assert len(times) >= 8
    assert times == sorted(times, reverse=True)


def test_what_a_kill_left_half_written_is_cut(whole, tmp_path):
    run = new_run(tmp_path / "run")
    search(run, num=10)
    with run.journal_path.open("ab") as file:
        file.write(b'{"crc32":"00000000","kind":"st')
    records = search(run)
    assert run.journal_path.read_bytes() == whole[0].journal_path.read_bytes()
    assert records == whole[2][7:]  # after the checkpoint of step 3: the start and three times two records


def test_a_stop_inside_the_comparison_repeats_the_comparison_alone(whole, tmp_path):
    run = new_run(tmp_path / "run")
    search(run, num=19)
    assert isinstance(read_journal(run.journal_path)[-1], CandidateRecord)
    evaluator = FakeEvaluator(seed=3)
    records = search(run, evaluator=evaluator)
    assert records == whole[2][17:]
    assert (evaluator.trained, evaluator.measured, evaluator.num_compared) == ({}, {}, 5)
    assert run.journal_path.read_bytes() == whole[0].journal_path.read_bytes()


def test_a_search_without_a_checkpoint_begins_anew_whatever_the_journal_holds(whole, tmp_path):
    run = new_run(tmp_path / "run")
    search(run, num=5)
    assert load_newest(run.checkpoints_path) is None
    assert search(run) == whole[2]
    assert run.journal_path.read_bytes() == whole[0].journal_path.read_bytes()


def test_a_target_without_a_random_baseline_is_refused_before_any_training(tmp_path):
    run, evaluator = new_run(tmp_path / "run"), FakeEvaluator(seed=3)
    with pytest.raises(InfeasibleTargetError, match=r"but found none for macs=20M/clip; take a target nearer"):
        search(run, problem=dataclasses.replace(PROBLEM, target=parse_target("macs=20M/clip")), evaluator=evaluator)
    assert evaluator.trained == {}
    assert run.journal_path.read_bytes() == b""


def test_an_error_of_the_evaluator_leaves_a_run_that_goes_on(whole, tmp_path):
    class Failing(FakeEvaluator):
        def measure(self, step, candidates):
            if step == 4:
                raise OSError("the disk of the videos is gone")
            return super().measure(step, candidates)

    run = new_run(tmp_path / "run")
    with pytest.raises(OSError, match="the disk of the videos is gone"):
        search(run, evaluator=Failing(seed=3))
    assert len(read_journal(run.journal_path)) == 1 + 2 * 4
    search(run)
    assert run.journal_path.read_bytes() == whole[0].journal_path.read_bytes()


def test_times_go_to_the_telemetry(whole):
    run = whole[0]
    events = read_telemetry(run.telemetry_path)
    assert [event["step"] for event in events] == list(range(9))
    assert set(events[-1]["seconds"]) == {"measure"}  # of the final comparison
    for event in events[:-1]:
        phases = {"sample", "train", "measure", "policy", "journal"}
        assert set(event["seconds"]) == (phases | {"checkpoint"} if event["step"] in (2, 5, 7) else phases)
    assert b"seconds" not in run.journal_path.read_bytes()


def test_a_search_learns_what_trains_well(tmp_path):
    config = dataclasses.replace(CONFIG, steps=150, architectures_per_step=4, checkpoint_every=150)
    records = search(new_run(tmp_path / "run"), config=config)
    steps = of(StepRecord, records)
    assert np.mean([step.entropy["kernel"] for step in steps[-5:]]) < 0.5
    assert np.mean([trial.reward for step in steps[-20:] for trial in step.trials]) > 0.1 + np.mean(
        [trial.reward for step in steps[30:50] for trial in step.trials]
    )
    assert records[-1].found_ratio == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("steps", [1, 101, 150])
def test_there_are_at_most_a_hundred_snapshots_and_the_last(tmp_path, steps):
    config = dataclasses.replace(CONFIG, steps=steps, checkpoint_every=1000, architectures_per_step=1)
    policies = of(PolicyRecord, search(new_run(tmp_path / "run"), config=config))
    assert len(policies) <= NUM_SNAPSHOTS + 1
    assert len(policies) >= min(steps, NUM_SNAPSHOTS // 2)
    assert (policies[0].step, policies[-1].step) == (0, steps - 1)


@pytest.mark.parametrize("reward", ["mnas", "mnas_hard"])
def test_the_other_rewards_are_taken_too(tmp_path, reward):
    config = dataclasses.replace(CONFIG, steps=2, reward=reward, beta=-0.07)
    for step in of(StepRecord, search(new_run(tmp_path / "run"), config=config)):
        for trial in step.trials:
            factor = trial.ratio**-0.07
            expected = trial.quality * (min(factor, 1.0) if reward == "mnas_hard" else factor)
            assert trial.reward == pytest.approx(expected)


@pytest.mark.parametrize("strategy", ["reinforce", "random"])
def test_the_weight_of_cost_grows_tenfold_while_a_policy_learns(tmp_path, strategy):
    config = dataclasses.replace(CONFIG, strategy=strategy, beta_ramp=10.0)
    for step in of(StepRecord, search(new_run(tmp_path / "run"), config=config)):
        beta = -0.3 * 10 ** (max(0, step.step - 2) / 6 if strategy == "reinforce" else 0)
        for trial in step.trials:
            assert trial.reward == pytest.approx(trial.quality + beta * abs(trial.ratio - 1), abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"steps": 0},
            r"^steps, architectures_per_step and checkpoint_every must be at least 1, but got 0, 2, 3$",
        ),
        ({"architectures_per_step": 0}, r"must be at least 1, but got 8, 0, 3$"),
        ({"checkpoint_every": -1}, r"must be at least 1, but got 8, 2, -1$"),
        ({"beta": 0.0}, r"^beta must be negative, but got 0\.0$"),
        ({"beta_ramp": 0.0}, r"^beta_ramp must be positive, but got 0\.0$"),
        ({"beta_ramp": float("inf")}, r"^beta_ramp must be positive, but got inf$"),
        ({"beta": float("nan")}, r"^beta must be negative, but got nan$"),
        (
            {"warmup": WarmupConfig(op_fraction=0.3)},
            r"^warm-up must end before the policy learns, but got warmup fractions 0\.3, 0\.25 above "
            r"controller\.delay_fraction 0\.25$",
        ),
        (
            {"controller": ControllerConfig(delay_fraction=0.1)},
            r"^warm-up must end before the policy learns, but got warmup fractions 0\.25, 0\.25 above "
            r"controller\.delay_fraction 0\.1$",
        ),
    ],
)
def test_a_bad_configuration_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(CONFIG, **change)
