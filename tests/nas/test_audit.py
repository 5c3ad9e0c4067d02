"""Rank correlations: against scipy, by hand, and how often their intervals hold the truth."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nas import audit
from nas.audit import ceiling, mean_rank_correlations, rank_correlations
from results.estimate import Estimate, RankCorrelation, Undefined
from search_spaces.randomness import generator

X = [1, 2, 3, 4, 5]
Y = [1, 3, 2, 5, 4]
"""Two of the ten pairs are in reverse: tau = (8 - 2) / 10; sum of squared rank differences 4: rho = 1 - 6 * 4 / 120."""


def rng(*purpose):
    return generator(0, "test", *purpose)


def test_by_hand():
    found = rank_correlations(X, Y, rng=rng())
    assert (found.kendall.value, found.spearman.value) == (pytest.approx(0.6), pytest.approx(0.8))
    assert found.num == found.kendall.num == found.spearman.num == 5
    # with a tie in one score, 9 pairs are not tied in it: tau-b = (9 - 0) / sqrt(10 * 9)
    assert rank_correlations(X, [1, 2, 3, 4, 4], rng=rng()).kendall.value == pytest.approx(9 / math.sqrt(90))
    for reverse in (rank_correlations(X, X[::-1], rng=rng()), rank_correlations(X, X[::-1], rng=rng("else"))):
        assert [(each.value, each.low, each.high) for each in (reverse.kendall, reverse.spearman)] == [(-1, -1, -1)] * 2


scores = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=12).filter(
    lambda pairs: len({x for x, _ in pairs}) > 1 and len({y for _, y in pairs}) > 1
)


@given(scores, st.randoms(use_true_random=False))
def test_every_resample_is_as_of_scipy(pairs, random):
    """Ties in the scores, and copies in the resamples."""
    x_N, y_N = np.array(pairs, dtype=float).T
    chosen = [random.randrange(len(pairs)) for _ in pairs]
    counts_BN = np.stack([np.ones(len(pairs)), np.bincount(chosen, minlength=len(pairs))])
    for ours, theirs in ((audit._kendall, stats.kendalltau), (audit._spearman, stats.spearmanr)):
        found_B = ours(x_N, y_N, counts_BN)
        assert found_B[0] == pytest.approx(theirs(x_N, y_N).statistic, abs=1e-12)
        flat = len(set(x_N[chosen])) == 1 or len(set(y_N[chosen])) == 1
        expected = math.nan if flat else theirs(x_N[chosen], y_N[chosen]).statistic
        assert found_B[1] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_the_interval_is_that_of_scipys_bootstrap():
    draws = rng("scipy")
    x_N = draws.normal(size=25)
    y_N = np.round(x_N + draws.normal(size=25), 1)
    found = rank_correlations(x_N, y_N, rng=rng())
    for ours, theirs in ((found.kendall, stats.kendalltau), (found.spearman, stats.spearmanr)):
        expected = stats.bootstrap(
            (x_N, y_N),
            lambda x, y, theirs=theirs: theirs(x, y).statistic,
            paired=True,
            vectorized=False,
            n_resamples=1000,
            method="percentile",
            rng=rng("bootstrap"),
        ).confidence_interval
        assert (ours.low, ours.high) == (pytest.approx(expected.low, abs=0.04), pytest.approx(expected.high, abs=0.04))
        assert ours.low < ours.value < ours.high


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_intervals_hold_the_truth_about_as_often_as_they_say(rho):
    """Of normal pairs, tau is 2 / pi arcsin(rho); the percentile interval is a little short of 95 % with 30 of them."""
    truth, held, draws = 2 / math.pi * math.asin(rho), 0, rng("coverage")
    for _ in range(120):
        x_N = draws.normal(size=30)
        y_N = rho * x_N + math.sqrt(1 - rho**2) * draws.normal(size=30)
        kendall = rank_correlations(x_N, y_N, rng=draws).kendall
        held += kendall.low <= truth <= kendall.high
    assert 0.88 <= held / 120 <= 0.99


def test_the_same_generator_gives_the_same_interval():
    assert rank_correlations(X, Y, rng=rng()) == rank_correlations(X, Y, rng=rng())
    assert rank_correlations(X, Y, rng=rng()).kendall.low < 0.6 < rank_correlations(X, Y, rng=rng()).kendall.high


def test_the_ceiling_is_the_mean_over_pairs_of_seeds():
    draws = rng("ceiling")
    true_N = draws.normal(size=20)
    scores_SN = [true_N + draws.normal(size=20) for _ in range(3)]
    found = ceiling(scores_SN, rng=rng())
    taus = [stats.kendalltau(x_N, y_N).statistic for x_N, y_N in itertools.combinations(scores_SN, 2)]
    assert found.kendall.value == pytest.approx(np.mean(taus))
    assert (found.num, found.kendall.num) == (20, 20)
    alone = rank_correlations(scores_SN[0], scores_SN[1], rng=rng()).kendall
    assert found.kendall.high - found.kendall.low < alone.high - alone.low  # three pairs say more than one
    assert ceiling(scores_SN[:2], rng=rng()) == rank_correlations(*scores_SN[:2], rng=rng())
    with pytest.raises(ValueError, match="at least two seeds, but got 1"):
        ceiling(scores_SN[:1], rng=rng())


@pytest.mark.parametrize(
    ("x_N", "y_N", "reason"),
    [
        ([], [], "none, n = 0: at least 3 architectures are needed"),
        ([1, 2], [2, 1], "none, n = 2: at least 3 architectures are needed"),
        ([1, 1, 1, 1], [1, 2, 3, 4], "none, n = 4: all architectures have the same score"),
        ([1, 2, 3, 4], [1, 1, 1, 1], "none, n = 4: all architectures have the same score"),
    ],
)
def test_where_there_is_no_number_it_says_why(x_N, y_N, reason):
    found = rank_correlations(x_N, y_N, rng=rng())
    assert isinstance(found.kendall, Undefined)
    assert (str(found.kendall), str(found.spearman), found.num) == (reason, reason, len(x_N))


def test_scores_must_be_numbers_of_the_same_architectures():
    for pairs in ([([1, 2, math.nan], [1, 2, 3])], [([1, 2, 3], [1, 2])], []):
        with pytest.raises(ValueError, match="must be finite|inhomogeneous"):
            mean_rank_correlations(pairs, rng=rng())


def test_no_tau_without_interval_and_number():
    """The type has no shorter form: it is no number, and no format of numbers takes it."""
    tau = rank_correlations(X, Y, rng=rng()).kendall
    assert str(tau) == f"{tau}" == f"0.60 [{tau.low:.2f}, {tau.high:.2f}], n = 5"
    for number_of in (float, int, round, lambda each: f"{each:.2f}", lambda each: "%.2f" % each):  # noqa: UP031
        with pytest.raises(TypeError):
            number_of(tau)
    for missing in ({"num": 5}, {"low": 0.0, "high": 1.0}):
        with pytest.raises(TypeError):
            Estimate(value=0.5, **missing)
    for wrong in ({"num": 2}, {"low": 0.9, "high": 0.1}, {"value": math.nan}, {"high": 1.5}):
        with pytest.raises(ValueError, match="rank correlation"):
            Estimate(**{"value": 0.5, "low": 0.1, "high": 0.9, "num": 5, **wrong})
    with pytest.raises(TypeError):
        RankCorrelation(kendall=tau, spearman=tau)
