import dataclasses

import numpy as np
import pytest
from made_spaces import TINY, every_row

from nas.problem import Problem
from nas.random_search import CHUNK, at_cost, draw_at_cost, random_at_cost, walk_to_cost
from search_spaces.movinet import A2
from search_spaces.target import parse_target
from search_spaces.variant import VARIANTS, Variant

PROBLEM = Problem(space=A2, variant=Variant(), target=parse_target("macs=18G/clip"), num_classes=600, seed=0)
SMALL = dataclasses.replace(PROBLEM, space=TINY, target=parse_target("macs=4M/clip"))


def test_all_are_at_the_cost_and_different_and_canonical():
    indices_ND = random_at_cost(PROBLEM, np.random.default_rng(0), num=200, tolerance=0.02)
    assert indices_ND.shape == (200, len(A2.decisions))
    assert indices_ND.dtype == np.int8
    assert np.abs(PROBLEM.ratios(indices_ND) - 1).max() <= 0.02
    assert len(np.unique(indices_ND, axis=0)) == 200
    np.testing.assert_array_equal(A2.canonical(indices_ND), indices_ND)
    ratios_N = PROBLEM.ratios(indices_ND)
    assert ratios_N.min() < 0.99
    assert ratios_N.max() > 1.01  # the whole band is used


def test_equal_generators_give_equal_architectures():
    first, second, other = (
        random_at_cost(PROBLEM, np.random.default_rng(seed), num=20, tolerance=0.02) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    few = random_at_cost(PROBLEM, np.random.default_rng(1), num=5, tolerance=0.02)
    np.testing.assert_array_equal(few, first[:5])


def test_where_fewer_exist_all_of_them_are_found():
    costs_N = SMALL.costs(every_row(TINY))
    num_near = int((np.abs(costs_N / 4e6 - 1) <= 0.001).sum())
    assert 0 < num_near < 100
    indices_ND = random_at_cost(SMALL, np.random.default_rng(0), num=1000, tolerance=0.001)
    assert len(indices_ND) == num_near


def test_where_none_exists_none_is_given():
    absent = dataclasses.replace(SMALL, target=parse_target("macs=20M/clip"))
    indices_ND = random_at_cost(absent, np.random.default_rng(0), num=5, tolerance=0.02)
    assert indices_ND.shape == (0, len(TINY.decisions))
    assert indices_ND.dtype == np.int8
    assert absent.costs(indices_ND).shape == (0,)


@pytest.mark.parametrize("max_draws", [1, CHUNK, 3 * CHUNK])
def test_drawing_ends(max_draws):
    absent = dataclasses.replace(SMALL, target=parse_target("macs=20M/clip"))
    drawn = []

    def draw(rng, num):
        drawn.append(num)
        return TINY.sample_indices(rng, num)

    found = draw_at_cost(absent, draw, np.random.default_rng(0), num=1, tolerance=0.1, max_draws=max_draws)
    assert len(found) == 0
    assert max_draws <= sum(drawn) < max_draws + CHUNK


def test_drawing_stops_when_there_are_enough():
    drawn = []

    def draw(rng, num):
        drawn.append(num)
        return TINY.sample_indices(rng, num)

    found = draw_at_cost(SMALL, draw, np.random.default_rng(0), num=7, tolerance=0.1)
    assert len(found) == 7
    assert drawn == [CHUNK]


TIGHT = dataclasses.replace(
    PROBLEM, variant=VARIANTS["released-stream"], limits=(parse_target("state=1MB@fp16"), parse_target("params=4M"))
)


def test_walks_meet_budgets_that_draws_do_not():
    rngs = [np.random.default_rng(0) for _ in range(2)]
    assert not len(draw_at_cost(TIGHT, A2.sample_indices, rngs[0], num=1, tolerance=0.02, max_draws=99_999))
    found_ND = walk_to_cost(TIGHT, rngs[1], num=12, tolerance=0.02)
    assert len(np.unique(found_ND, axis=0)) == 12
    assert TIGHT.inside(found_ND, tolerance=0.02).all()
    np.testing.assert_array_equal(A2.canonical(found_ND), found_ND)
    np.testing.assert_array_equal(found_ND, walk_to_cost(TIGHT, np.random.default_rng(0), num=12, tolerance=0.02))


def test_where_draws_meet_a_budget_too_seldom_walks_make_up_the_number():
    rare = {"num": 12, "tolerance": 3e-4, "max_draws": CHUNK}
    drawn_ND = random_at_cost(PROBLEM, np.random.default_rng(0), **rare)
    found_ND = at_cost(PROBLEM, np.random.default_rng(0), **rare)
    assert 0 < len(drawn_ND) < 12
    assert found_ND.shape == np.unique(found_ND, axis=0).shape == (12, len(PROBLEM.space.decisions))
    np.testing.assert_array_equal(found_ND[: len(drawn_ND)], drawn_ND)
    assert PROBLEM.inside(found_ND, tolerance=3e-4).all()


def test_where_draws_meet_the_budget_nobody_walks():
    rngs = [np.random.default_rng(3) for _ in range(2)]
    found_ND = at_cost(PROBLEM, rngs[0], num=9, tolerance=0.02)
    np.testing.assert_array_equal(found_ND, random_at_cost(PROBLEM, rngs[1], num=9, tolerance=0.02))
