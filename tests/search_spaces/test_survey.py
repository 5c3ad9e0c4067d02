import numpy as np
import pytest
from made_spaces import TINY, every_row

from search_spaces.cost_table import CostTable
from search_spaces.mean_cost import uniform_chances
from search_spaces.movinet import NANO, space_at
from search_spaces.survey import CHUNK, growth_per_phi, percentile, sampled_costs, spread
from search_spaces.variant import Variant

TABLE = CostTable(TINY, Variant(), metric="macs", num_classes=7)


def test_samples_are_the_same_at_every_call_and_for_every_cost():
    table = CostTable(NANO, Variant(), metric="macs", num_classes=7)
    costs = {"once": table.costs, "twice": lambda indices_ND: 2 * table.costs(indices_ND)}
    found = sampled_costs(NANO, costs, num=CHUNK + 10)
    assert len(found["once"]) == CHUNK + 10
    np.testing.assert_array_equal(found["twice"], 2 * found["once"])
    np.testing.assert_array_equal(sampled_costs(NANO, {"once": table.costs}, num=CHUNK + 10)["once"], found["once"])
    assert len(set(found["once"].tolist())) > CHUNK / 2


def test_a_spread_is_that_of_all_genotypes():
    sampled_N = sampled_costs(TINY, {"macs": TABLE.costs}, num=20_000)["macs"]
    found = spread(TINY, TABLE, sampled_N)
    rows_ND = every_row(TINY)
    costs_N = TABLE.costs(rows_ND)
    active_ND = TINY.active(rows_ND)
    counts_D = np.array([len(decision.choices) for decision in TINY.decisions])
    weights_N = np.where(active_ND, 1 / counts_D, 1.0).prod(axis=1)
    assert (found.low, found.high) == (costs_N.min(), costs_N.max())
    assert found.mean == pytest.approx(weights_N @ costs_N)
    order = np.argsort(costs_N)
    middle = costs_N[order][np.searchsorted(weights_N[order].cumsum(), 0.5)]
    assert found.median == pytest.approx(middle, rel=0.02)


def test_a_percentile_is_the_share_below():
    assert percentile(np.array([1, 2, 3, 4]), 3) == 50
    assert percentile(np.array([1, 2, 3, 4]), 0) == 0
    assert percentile(np.array([1, 2, 3, 4]), 5) == 100


def test_the_uniform_chances_are_those_of_the_choices():
    chance_DC = uniform_chances(TINY)
    for row_C, decision in zip(chance_DC, TINY.decisions, strict=True):
        count = len(decision.choices)
        assert row_C.tolist() == [1 / count] * count + [0.0] * (len(row_C) - count)


def test_growth_per_phi_chains():
    low, middle, high = space_at(-1), space_at(0.5), space_at(2)
    whole = growth_per_phi(low, high, phis=3, num_classes=600)
    parts = [growth_per_phi(*ends, phis=1.5, num_classes=600) for ends in ((low, middle), (middle, high))]
    assert whole == pytest.approx((parts[0] * parts[1]) ** 0.5)
    assert 2.5 < whole < 3.3
