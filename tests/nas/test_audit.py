"""Rank correlations: against scipy, by hand, and how often their intervals hold the truth."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import TINY, TINY_CLIPS
from scipy import stats

from nas import audit
from nas.audit import (
    agreements,
    bands_between,
    ceiling,
    equal_bands,
    mean_rank_correlations,
    rank_correlations,
    stratified,
)
from nas.problem import Problem
from results.audit import Audited, Sampled
from results.estimate import Undefined
from search_spaces.errors import UsageError
from search_spaces.movinet import A2, NANO
from search_spaces.randomness import generator
from search_spaces.target import parse_target
from search_spaces.variant import VARIANTS, Variant

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
    assert (
        str(ceiling(scores_SN[:1], rng=rng()).kendall) == "none, n = 20: fewer than two trainings of each architecture"
    )


@pytest.mark.parametrize(
    ("x_N", "y_N", "reason"),
    [
        ([], [], "none, n = 0: fewer than 3 architectures"),
        ([1, 2], [2, 1], "none, n = 2: fewer than 3 architectures"),
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


NANO_16M = Problem(space=NANO, variant=Variant(), target=parse_target("macs=16M/clip"), num_classes=8, seed=3)
LIMITED = replace(
    NANO_16M,
    variant=VARIANTS["released-stream"],
    limits=(parse_target("params=200k"), parse_target("state=48KiB@fp16")),
)
SMALL = replace(TINY, kernels=TINY.kernels[:1], expansions=(1.0,), se=(True,))


@pytest.mark.parametrize("problem", [NANO_16M, LIMITED], ids=["free", "limited"])
def test_random_architectures_fall_into_all_bands_equally_often(problem):
    bands = equal_bands(problem, num=4)
    ends = [bands[0].low, *(band.high for band in bands)]
    assert [band.low for band in bands] == ends[:-1] == sorted(ends)[:-1]
    rows_ND = problem.space.sample_indices(generator(1, "test"), 8000)
    rows_ND = rows_ND[(problem.limit_ratios(rows_ND) <= 1).all(axis=1)]
    shares_4 = np.histogram(problem.ratios(rows_ND), bins=ends)[0] / len(rows_ND)
    assert shares_4.sum() == 1.0
    np.testing.assert_allclose(shares_4, 0.25, atol=0.04)


@settings(max_examples=20)
@given(
    num=st.integers(1, 13),
    bands=st.integers(1, 5),
    seed=st.integers(0, 3),
    problem=st.sampled_from([NANO_16M, LIMITED, replace(NANO_16M, space=TINY_CLIPS)]),
)
def test_a_sample_is_different_architectures_spread_over_the_bands_within_the_limits(num, bands, seed, problem):
    found_bands = equal_bands(problem, num=bands)
    if num < bands:
        with pytest.raises(UsageError, match=f"at least one of each of {bands} bands, but got {num}"):
            stratified(problem, found_bands, num=num, seed=seed)
        return
    sample = stratified(problem, found_bands, num=num, seed=seed)
    assert sample == stratified(problem, found_bands, num=num, seed=seed)
    assert len({each.fingerprint for each in sample.architectures}) == len(sample.architectures) == num
    sizes = [sum(each.band == band for each in sample.architectures) for band in range(1, bands + 1)]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)
    for each in sample.architectures:
        assert found_bands[each.band - 1].low <= each.ratio <= found_bands[each.band - 1].high
        candidate = problem.space.decode(each.genotype, problem.variant)
        assert candidate.fingerprint == each.fingerprint
        cost = problem.target.cost(candidate.spec, candidate.variant, num_classes=problem.num_classes)
        assert (each.cost, each.ratio) == (pytest.approx(cost), pytest.approx(cost / problem.target.value))
        for limit in problem.limits:
            assert limit.cost(candidate.spec, candidate.variant, num_classes=problem.num_classes) <= limit.value


def test_other_seeds_draw_others_and_lifted_limits_let_others_in():
    bands = equal_bands(LIMITED, num=2)
    first, second = (stratified(LIMITED, bands, num=8, seed=seed) for seed in (0, 1))
    assert not {each.fingerprint for each in first.architectures} & {each.fingerprint for each in second.architectures}
    free = replace(LIMITED, limits=())
    rows_ND = np.stack(
        [NANO.indices(e.genotype) for e in stratified(free, equal_bands(free, num=2), num=30, seed=0).architectures]
    )
    assert not (LIMITED.limit_ratios(rows_ND) <= 1).all()


def test_a_narrow_band_that_draws_hardly_meet_is_walked_to():
    problem = replace(NANO_16M, space=A2, target=parse_target("macs=10G/clip"), num_classes=600)
    sample = stratified(problem, bands_between([0.6, 0.62]), num=6, seed=0)
    assert all(0.6 <= each.ratio <= 0.62 for each in sample.architectures)


def test_all_of_a_small_space_and_not_one_more():
    """Of 32 genotypes; and of 4 that differ in depth alone, each of another cost."""
    problem = replace(NANO_16M, space=SMALL)
    (band,) = equal_bands(problem, num=1)
    assert len(stratified(problem, [band], num=32, seed=0).architectures) == 32
    with pytest.raises(UsageError, match="must have 33 different architectures, but 32 were found"):
        stratified(problem, [band], num=33, seed=0)
    depths = replace(problem, space=replace(SMALL, width_multipliers=(1.0,)))
    assert len(equal_bands(depths, num=4)) == 4
    with pytest.raises(UsageError, match="at most as many as random architectures have different costs, but got 5"):
        equal_bands(depths, num=5)


def test_bands_that_cannot_be():
    with pytest.raises(UsageError, match="bands must be 1 to 8, but got 0"):
        equal_bands(NANO_16M, num=0)
    for ends in ([1.0], [0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [1.0, math.inf], [1.0, math.nan], list(range(1, 11))):
        with pytest.raises(UsageError, match="2 to 9 rising values of cost/target above 0"):
            bands_between(ends)
    assert [str(band) for band in bands_between([0.5, 1.0, 2.0])] == ["0.500 to 1.000", "1.000 to 2.000"]


def audited(band, batch, recalibrated, *top1s):
    sampled = Sampled(name="", band=band, genotype={}, fingerprint="", cost=1.0, ratio=1.0)
    return Audited(sampled=sampled, batch=batch, recalibrated=recalibrated, top1s=top1s)


def test_agreement_is_with_the_mean_and_with_single_trainings_over_what_is_complete():
    rows = [(0.1, 0.5, 0.2, 0.3), (0.2, 0.4, 0.4, 0.2), (0.3, 0.3, 0.5, 0.4), (0.5, 0.1, 0.6, 0.7)]
    whole = [audited(1, *row) for row in rows[:3]] + [audited(2, *rows[3])]
    missing = [audited(1, 0.9, 0.9, 0.1, None), audited(1, None, None, 0.1, 0.1)]
    total, first, second = agreements([*whole, *missing], num_bands=2, seed=0)
    assert (total.band, first.band, second.band) == (None, 1, 2)
    assert (total.batch.num, first.batch.num, second.batch.num) == (4, 3, 1)
    assert total == agreements(whole, num_bands=2, seed=0)[0]
    batch, recalibrated, one, two = zip(*rows, strict=True)
    mean = np.add(one, two) / 2

    def tau(x, y):
        return pytest.approx(stats.kendalltau(x, y).statistic)

    assert total.batch.kendall.value == tau(batch, mean)
    assert total.recalibrated.kendall.value == tau(recalibrated, mean) == -1.0
    assert total.ceiling.kendall.value == tau(one, two)
    expected = (stats.kendalltau(batch, one).statistic + stats.kendalltau(batch, two).statistic) / 2
    assert total.batch_one.kendall.value == pytest.approx(expected) != total.batch.kendall.value
    assert str(second.recalibrated_one.spearman) == "none, n = 1: fewer than 3 architectures"
    (nothing,) = agreements([], num_bands=0, seed=0)
    assert str(nothing.ceiling.kendall) == "none, n = 0: fewer than two trainings of each architecture"


def test_means_that_are_equal_but_for_rounding_are_tied():
    """0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1."""
    rows = [
        audited(1, 0.1, 0.1, 0.1, 0.2, 0.3),
        audited(1, 0.2, 0.2, 0.3, 0.2, 0.1),
        audited(1, 0.3, 0.3, 0.9, 0.9, 0.9),
    ]
    found = agreements(rows, num_bands=1, seed=0)[0].batch.kendall
    assert found.value == pytest.approx(stats.kendalltau([1, 2, 3], [1, 1, 2]).statistic)
