import numpy as np
import pytest
from made_spaces import TINY, every_row
from strategy_contract import trials
from test_loop import PROBLEM

from nas.controller import initial_logits, probabilities
from nas.population import STATE, Population, rows_of, shares
from search_spaces.errors import CheckpointError
from search_spaces.movinet import NANO
from search_spaces.strict_json import canonical, loads


def filled(size, rows_ND):
    population = Population(TINY, size=size)
    records = trials(PROBLEM, rows_ND, 0, "")
    population.add(rows_ND[:3], records[:3])
    population.add(rows_ND[3:], records[3:])
    return population, np.array([record.reward for record in records]), np.array([one.quality for one in records])


ROWS_ND = TINY.sample_indices(np.random.default_rng(0), 9)


def test_the_oldest_leave():
    population, rewards_N, qualities_N = filled(5, ROWS_ND)
    assert len(population) == 5
    np.testing.assert_array_equal(population.rows_ND, ROWS_ND[4:])
    np.testing.assert_array_equal(population.rewards_N, rewards_N[4:])
    np.testing.assert_array_equal(population.qualities_N, qualities_N[4:])


def test_the_best_come_first_each_once_and_the_younger_of_equals():
    doubled_ND = np.concatenate([ROWS_ND, ROWS_ND[:2]])
    population, rewards_N, _ = filled(99, doubled_ND)
    best_ND = population.best_first()
    assert len(best_ND) == len(np.unique(ROWS_ND, axis=0))
    np.testing.assert_array_equal(best_ND[0], doubled_ND[rewards_N.argmax()])
    np.testing.assert_array_equal(population.favourite(), best_ND[0])
    population.rewards_N[:] = 0.5
    np.testing.assert_array_equal(population.best_first()[0], doubled_ND[-1])


def test_only_who_is_kept_stays():
    population, rewards_N, qualities_N = filled(99, ROWS_ND)
    population.keep([1, 4])
    np.testing.assert_array_equal(population.rows_ND, ROWS_ND[[1, 4]])
    np.testing.assert_array_equal(population.rewards_N, rewards_N[[1, 4]])
    np.testing.assert_array_equal(population.qualities_N, qualities_N[[1, 4]])


def test_shares_are_frequencies_among_those_a_decision_counts_for():
    chance_DC = probabilities(shares(TINY, ROWS_ND))
    for column, decision in enumerate(TINY.decisions):
        genotypes = [TINY.genotype(row_D) for row_D in ROWS_ND]
        taken = [genotype[decision.name] for genotype in genotypes if decision.name in genotype]
        for number, choice in enumerate(decision.choices):
            wanted = taken.count(choice) / len(taken) if taken else 1 / len(decision.choices)
            assert chance_DC[column, number] == pytest.approx(wanted)
    np.testing.assert_allclose(probabilities(shares(TINY, every_row(TINY)))[0], [0.2, 0.8])


def test_where_a_decision_never_counts_its_choices_are_equally_likely():
    shallow_ND = TINY.canonical(np.zeros((1, len(TINY.decisions)), dtype=np.int8))
    columns = ~TINY.active(shallow_ND)[0]
    assert columns.any()
    np.testing.assert_array_equal(shares(TINY, shallow_ND)[columns], initial_logits(TINY)[columns])


def test_states_of_other_spaces_are_refused():
    population, _, _ = filled(99, ROWS_ND)
    with pytest.raises(CheckpointError, match=r"must have the \d+ decisions of space nano, but its state has others"):
        Population(NANO, size=9).restore(population.state())
    document = loads(population.state()[STATE])
    document["rows"][0][0] = 7
    with pytest.raises(CheckpointError, match="decisions of space tiny"):
        population.restore({STATE: canonical(document).encode()})
    assert rows_of(TINY, []).shape == (0, len(TINY.decisions))
