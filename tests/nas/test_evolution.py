import dataclasses

import numpy as np
import pytest
import strategy_contract
from made_spaces import TINY
from test_loop import PROBLEM

from nas.evolution import Evolution, PopulationConfig, completed
from search_spaces.movinet import NANO
from search_spaces.target import parse_target

PROBLEM_OF_NANO = dataclasses.replace(PROBLEM, space=NANO, target=parse_target("macs=16M/clip"))
CONFIG = PopulationConfig(size=8, tournament=8)


def learned(config=CONFIG, *, first_step=4, steps=8):
    evolution = Evolution(PROBLEM_OF_NANO, config, first_step=first_step)
    rows, rewards = [], []
    for step in range(steps):
        indices_KD = evolution.propose(step, 2)
        records = strategy_contract.trials(PROBLEM_OF_NANO, indices_KD, step, "")
        evolution.learn(step, indices_KD, records)
        rows += list(indices_KD)
        rewards += [record.reward for record in records]
    return evolution, np.stack(rows), np.array(rewards)


def neighbours(row_D):
    return [NANO.indices(genotype).tolist() for genotype in NANO.neighbours(NANO.genotype(row_D))]


def test_children_are_mutations_of_the_winner_of_a_tournament():
    """Where all take part, of the best member; the oldest are dead, however good they were."""
    evolution, rows_ND, rewards_N = learned()
    best_D = rows_ND[-8:][rewards_N[-8:].argmax()]
    for child_D in evolution.propose(8, 6):
        assert child_D.tolist() in neighbours(best_D)
    evolution, rows_ND, _ = learned(PopulationConfig(size=8, tournament=1))
    parents = [child for member_D in rows_ND[-8:] for child in neighbours(member_D)]
    children_ND = evolution.propose(8, 40)
    assert all(child_D.tolist() in parents for child_D in children_ND)
    assert sum(child_D.tolist() in neighbours(best_D) for child_D in children_ND) < 30


def test_until_its_first_step_it_draws_at_random():
    _, rows_ND, _ = learned(first_step=8)
    assert sum(rows_ND[number].tolist() in neighbours(row_D) for number in range(8, 16) for row_D in rows_ND) == 0


def test_a_short_population_is_filled_first():
    evolution, _, _ = learned(first_step=0, steps=3)
    with_two = Evolution(PROBLEM_OF_NANO, CONFIG, first_step=99)
    np.testing.assert_array_equal(evolution.propose(3, 2), with_two.propose(3, 2))


def test_finalists_are_members_then_children_then_random():
    rng = np.random.default_rng(0)
    inside_ND = TINY.sample_indices(rng, 4000)
    inside_ND = np.unique(inside_ND[PROBLEM.inside(inside_ND, tolerance=0.03)], axis=0)[:3]
    found_ND = completed(PROBLEM, inside_ND[::-1], np.random.default_rng(0), num=5, tolerance=0.03)[0]
    np.testing.assert_array_equal(found_ND[:3], inside_ND[::-1])
    near = [TINY.indices(one).tolist() for row_D in inside_ND for one in TINY.neighbours(TINY.genotype(row_D))]
    assert all(row_D.tolist() in near for row_D in found_ND[3:])
    assert PROBLEM.inside(found_ND, tolerance=0.03).all()
    many_ND = completed(PROBLEM, inside_ND, np.random.default_rng(0), num=60, tolerance=0.03)[0]
    assert (len(many_ND), len(np.unique(many_ND, axis=0))) == (60, 60)
    assert not all(row_D.tolist() in near for row_D in many_ND[3:])


@pytest.mark.parametrize("num", [1, 2])
def test_more_members_than_wanted_are_cut(num):
    rows_ND = TINY.sample_indices(np.random.default_rng(0), 4000)
    rows_ND = np.unique(rows_ND[PROBLEM.inside(rows_ND, tolerance=0.03)], axis=0)
    found_ND = completed(PROBLEM, rows_ND, np.random.default_rng(0), num=num, tolerance=0.03)[0]
    np.testing.assert_array_equal(found_ND, rows_ND[:num])
