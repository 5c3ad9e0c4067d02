import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import TINY, TINY_CHOSEN, TINY_CLIPS, every_row, spaces, variants

from search_spaces.cost_table import CostTable
from search_spaces.mean_cost import mean_cost
from search_spaces.movinet import A2
from search_spaces.target import parse_target
from search_spaces.variant import VARIANTS, Variant

STREAM = VARIANTS["released-stream"]


def drawn_policy(space, seed):
    """Any probabilities, some of them zero, (D, C)."""
    rng = np.random.default_rng(seed)
    counts = [len(decision.choices) for decision in space.decisions]
    chance_DC = np.zeros((len(counts), max(counts)))
    for row_C, count in zip(chance_DC, counts, strict=True):
        row_C[:count] = rng.dirichlet(np.full(count, 0.7))
    return chance_DC


def likelihoods(space, chance_DC, rows_ND):
    """Of every genotype, decision by decision."""
    active_ND = space.active(rows_ND)
    chance_ND = chance_DC[np.arange(len(chance_DC)), rows_ND]
    return np.where(active_ND, chance_ND, 1.0).prod(axis=1)


@pytest.mark.parametrize(
    "space", [TINY, TINY_CHOSEN, TINY_CLIPS], ids=lambda space: f"{space.name}-{space.expansion_of}"
)
@pytest.mark.parametrize("metric", ["macs", "params", "stream_state_bytes"])
def test_the_mean_is_that_over_every_genotype(space, metric):
    table = CostTable(space, STREAM, metric=metric, num_classes=7)
    rows_ND = every_row(space)
    for seed in range(3):
        chance_DC = drawn_policy(space, seed)
        weights_N = likelihoods(space, chance_DC, rows_ND)
        assert weights_N.sum() == pytest.approx(1)
        mean, _ = mean_cost(space, table, chance_DC)
        assert mean == pytest.approx(weights_N @ table.costs(rows_ND), rel=1e-12)


@settings(max_examples=60)
@given(spaces(), variants() | variants(streaming=True), st.integers(0, 1 << 32))
def test_the_gradient_is_the_difference_of_two_means(space, variant, seed):
    """The mean is linear in the probabilities of one decision: any two points on the line give its slope."""
    table = CostTable(space, variant, metric="paper_half_macs", num_classes=7)
    chance_DC = drawn_policy(space, seed)
    units = np.random.default_rng(seed).uniform(0.5, 2, len(table.clips))
    mean, gradient_DC = mean_cost(space, table, chance_DC, units)
    for column, decision in enumerate(space.decisions):
        count = len(decision.choices)
        for choice in range(count):
            moved_DC = chance_DC.copy()
            moved_DC[column] = np.eye(chance_DC.shape[1])[choice]
            slope = gradient_DC[column, choice] - gradient_DC[column, :count] @ chance_DC[column, :count]
            assert mean_cost(space, table, moved_DC, units)[0] - mean == pytest.approx(slope, abs=1e-9 * mean)


def test_the_mean_of_uniform_draws_is_the_mean_of_samples():
    counts = [len(decision.choices) for decision in A2.decisions]
    chance_DC = np.array([[1 / count if choice < count else 0 for choice in range(max(counts))] for count in counts])
    table = CostTable(A2, Variant(), metric="macs", num_classes=600)
    costs_N = table.costs(A2.sample_indices(np.random.default_rng(0), 20_000))
    error = costs_N.std() / len(costs_N) ** 0.5
    assert abs(mean_cost(A2, table, chance_DC)[0] - costs_N.mean()) < 4 * error


@pytest.mark.parametrize(
    "text", ["macs=1/clip", "macs=1/frame", "macs=1/s", "paper_gflops=1/s", "params=1", "state=1@fp16"]
)
@pytest.mark.parametrize("space", [TINY, TINY_CLIPS], ids=["fixed", "decided"])
def test_a_target_takes_the_mean_in_its_own_unit(space, text):
    target, rows_ND = parse_target(text), every_row(space)
    chance_DC = drawn_policy(space, 5)
    expected = likelihoods(space, chance_DC, rows_ND) @ target.costs(space, STREAM, rows_ND, num_classes=9)
    assert target.mean(space, STREAM, chance_DC, num_classes=9)[0] == pytest.approx(expected, rel=1e-12)
