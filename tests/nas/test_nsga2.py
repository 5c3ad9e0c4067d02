import dataclasses

import numpy as np
import pytest
import strategy_contract

from nas.evolution import PopulationConfig
from nas.nsga2 import STATE, Nsga2
from nas.problem import Problem
from nas.random_search import RandomSearch
from results.pareto import non_dominated
from search_spaces.cost import cost
from search_spaces.movinet import NANO
from search_spaces.strict_json import loads
from search_spaces.target import parse_target
from search_spaces.variant import VARIANTS

PROBLEM = Problem(
    space=NANO, variant=VARIANTS["released-stream"], target=parse_target("macs=16M/clip"), num_classes=8, seed=3
)
CONFIG = PopulationConfig(size=23, tournament=1)


def made(problem=PROBLEM, *, first_step=12):
    return Nsga2(problem, CONFIG, first_step=first_step, per_step=2, tolerance=0.03)


def measured(strategy, num_steps, problem=PROBLEM):
    """Genotypes, and their quality, MACs and bytes of state, of all steps."""
    rows, values = [], []
    for step in range(num_steps):
        indices_KD = strategy.propose(step, 2)
        trials = strategy_contract.trials(problem, indices_KD, step, "")
        strategy.learn(step, indices_KD, trials)
        for indices_D, trial in zip(indices_KD, trials, strict=True):
            candidate = problem.candidate(indices_D)
            costs = cost(candidate.spec, candidate.variant, num_classes=8)
            rows.append(indices_D)
            values.append((trial.quality, costs.macs, costs.stream_state_bytes))
    return np.stack(rows), np.array(values)


def volume(values_N3):
    """Share of a box that a front dominates, by Monte Carlo; of what keeps the target alone."""
    kept_N3 = values_N3[values_N3[:, 1] <= 1.03 * 16e6]
    points_M3 = np.random.default_rng(0).random((4000, 3)) * (0.4, 16e6, 300e3) + (0.35, 6e6, 0)
    better_MN3 = kept_N3[None] * (1, -1, -1) >= points_M3[:, None] * (1, -1, -1)
    return better_MN3.all(axis=2).any(axis=1).mean()


@pytest.fixture(scope="module")
def searched():
    strategy = made()
    return strategy, *measured(strategy, 144)


def test_the_front_grows_beyond_that_of_as_many_random_ones(searched):
    random = RandomSearch(PROBLEM, draws="uniform", tolerance=0.02, window=2)
    _, random_values_N3 = measured(random, 144)
    assert volume(searched[2]) > 1.1 * volume(random_values_N3) > 0


def test_what_exceeds_the_target_dies_out(searched):
    over_N = searched[2][:, 1] > 1.03 * 16e6
    assert over_N[:24].mean() > 0.3
    assert over_N[-48:].mean() < 0.15


def test_limits_are_constraints():
    problem = dataclasses.replace(PROBLEM, limits=(parse_target("state=100kB@fp32"),))
    _, values_N3 = measured(made(problem), 96, problem)
    over_N = values_N3[:, 2] > 100e3
    assert over_N[:24].mean() > 0.5
    assert over_N[-48:].mean() < 0.5 * over_N[:24].mean()


def test_a_generation_is_whole_steps_and_its_parents_are_the_elite(searched):
    strategy, rows_ND, values_N3 = searched
    # 12 steps of random ones, the first parents, then 11 generations of 24, the last of which is measured
    document = loads(strategy.state()[STATE])
    assert (document["generation"], document["queue"]) == (11, [])
    front_ND = strategy.finalists(99, 0.03).front_ND
    best = {}
    for row_D, value in zip(rows_ND, values_N3, strict=True):  # noise makes more than one value of a genotype
        best[row_D.tobytes()] = max(best.get(row_D.tobytes(), (0, 0, 0)), tuple(value))
    values_M3 = np.stack([best[row_D.tobytes()] for row_D in front_ND])
    assert len(front_ND) > 5
    assert non_dominated(values_M3 * (1, -1, -1)).all()
