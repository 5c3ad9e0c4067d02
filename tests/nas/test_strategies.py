"""Every strategy: its contract, equal journals of equal seeds, and stops at any record that leave no trace."""

import dataclasses

import numpy as np
import pytest
import strategy_contract
from fake_evaluator import FakeEvaluator
from made_spaces import TINY
from test_loop import CONFIG, PROBLEM, new_run, of, search

from nas.evolution import PopulationConfig
from nas.loop import SearchConfig
from nas.select import SelectionConfig
from nas.strategies import STRATEGIES, make_strategy
from results.checkpoint import load_newest
from results.records import CandidateRecord, StepRecord
from search_spaces.errors import CheckpointError, UsageError
from search_spaces.movinet import NANO
from search_spaces.target import parse_target
from search_spaces.variant import VARIANTS

STREAM = dataclasses.replace(
    PROBLEM, variant=VARIANTS["released-stream"], limits=(parse_target("state=60kB@fp16"), parse_target("params=45k"))
)
POPULATION = PopulationConfig(size=5, tournament=3)


def configured(name, **change):
    return dataclasses.replace(CONFIG, strategy=name, population=POPULATION, **change)


@pytest.mark.parametrize(
    "problem", [pytest.param(PROBLEM, marks=pytest.mark.slow, id="clip"), pytest.param(STREAM, id="stream with limits")]
)
@pytest.mark.parametrize("check", strategy_contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_keep_the_contract(name, check, problem):
    if name in ("uniform", "random") and check is strategy_contract.rewards_change_what_follows:
        return  # they learn nothing; what they believe does follow the rewards
    check(lambda: make_strategy(problem, configured(name, steps=strategy_contract.STEPS)), problem)


@pytest.fixture(scope="module", params=STRATEGIES)
def whole(request, tmp_path_factory):
    """A strategy's name, and a run with it that was never stopped."""
    run = new_run(tmp_path_factory.mktemp(request.param) / "run")
    return request.param, run, search(run, problem=STREAM, config=configured(request.param, steps=14))


def test_same_seed_same_journal_and_another_does_not(whole, tmp_path):
    name, run, _ = whole
    config = configured(name, steps=14)
    again, other = new_run(tmp_path / "again"), new_run(tmp_path / "other")
    search(again, problem=STREAM, config=config)
    search(other, problem=dataclasses.replace(STREAM, seed=4), config=config)
    assert again.journal_path.read_bytes() == run.journal_path.read_bytes()
    assert other.journal_path.read_bytes() != run.journal_path.read_bytes()
    assert load_newest(again.checkpoints_path) == load_newest(run.checkpoints_path)


@pytest.mark.parametrize("num", [9, 28, *(pytest.param(num, marks=pytest.mark.slow) for num in (1, 16, 23, 31))])
def test_stopped_anywhere_it_ends_the_same(whole, tmp_path, num):
    name, reference, _ = whole
    run = new_run(tmp_path / "run")
    for count in (num, 5):
        search(run, problem=STREAM, config=configured(name, steps=14), num=count)
    search(run, problem=STREAM, config=configured(name, steps=14))
    assert run.journal_path.read_bytes() == reference.journal_path.read_bytes()
    assert load_newest(run.checkpoints_path) == load_newest(reference.checkpoints_path)


def test_what_is_found_keeps_every_limit(whole):
    _, _, records = whole
    result = records[-1]
    assert abs(result.found_ratio - 1) <= CONFIG.selection.tolerance
    assert max(result.found_limit_ratios) <= 1
    found = next(record for record in of(CandidateRecord, records) if record.fingerprint == result.found)
    candidate = TINY.decode(found.genotype, STREAM.variant)
    for limit, ratio in zip(STREAM.limits, result.found_limit_ratios, strict=True):
        assert limit.cost(candidate.spec, candidate.variant, num_classes=10) / limit.value == ratio
    assert result.unlimited_quality_mean is not None


def test_random_stays_inside_the_budget_and_uniform_does_not(tmp_path):
    outside = {}
    for name in ("random", "uniform"):
        steps = of(StepRecord, search(new_run(tmp_path / name), problem=STREAM, config=configured(name, steps=14)))
        trials = [trial for step in steps for trial in step.trials]
        outside[name] = sum(abs(trial.ratio - 1) > 0.02 or max(trial.limit_ratios) > 1 for trial in trials)
    assert outside["random"] == 0
    assert outside["uniform"] > 14


@pytest.mark.parametrize("name", ["reinforce", "evolution"])
def test_those_that_learn_from_rewards_grow_better_than_random_ones(name, tmp_path):
    """Mean reward of the last quarter against uniform draws of the same steps, trained and measured alike."""
    means = {}
    problem = dataclasses.replace(PROBLEM, space=NANO, target=parse_target("macs=16M/clip"))
    for one in (name, "uniform"):
        config = SearchConfig(
            strategy=one,
            steps=200,
            architectures_per_step=4,
            checkpoint_every=1000,
            population=PopulationConfig(size=24, tournament=8),
            selection=SelectionConfig(num_policy=2, num_random=2),
        )
        evaluator = FakeEvaluator(seed=1, num_clips=256)
        steps = of(StepRecord, search(new_run(tmp_path / one), problem=problem, config=config, evaluator=evaluator))
        means[one] = np.mean([trial.reward for step in steps[150:] for trial in step.trials])
    assert means[name] > means["uniform"] + 0.05


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_state_of_another_space_is_refused(name):
    strategy = make_strategy(PROBLEM, configured(name))
    strategy_contract.run(strategy, PROBLEM, range(3))
    other = make_strategy(dataclasses.replace(PROBLEM, space=NANO), configured(name))
    with pytest.raises(CheckpointError, match=r"must have the \d+ decisions of space nano"):
        other.restore(strategy.state())


def test_unknown_strategies_and_bad_populations_are_refused():
    with pytest.raises(UsageError, match=r"^strategy must be one of reinforce, uniform, .*, but got 'darts'$"):
        dataclasses.replace(CONFIG, strategy="darts")
    for size, tournament in ((1, 1), (4, 5), (4, 0)):
        with pytest.raises(UsageError, match=rf"tournament in \[1, size\], but got {size} and {tournament}$"):
            PopulationConfig(size=size, tournament=tournament)
