"""How far shared weights rank architectures as training them one by one does: what is sampled, and the statistics.

N architectures, S seeds, P pairs of score lists, B bootstrap resamples of the architectures.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.problem import Problem
from nas.random_search import at_cost
from results.audit import Agreement, Audited, Band, Sample, Sampled
from results.estimate import FEWEST, Estimate, RankCorrelation, Undefined
from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from search_spaces.space import Candidate

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95
NUM_FOR_BANDS = 2000
"""Random architectures whose costs the bands divide."""
MAX_DRAWS = 1 << 17
MAX_BANDS = 8
ROUNDING = 1e-9
"""Of costs, relative."""

Floats = NDArray[np.float64]


def equal_bands(problem: Problem, *, num: int) -> tuple[Band, ...]:
    """Ranges of cost / target that random architectures within the limits fall into equally often, by rising cost.

    Raises:
        UsageError: Not 1 to 8 of them, or more than there are different costs.
    """
    if not 1 <= num <= MAX_BANDS:
        raise UsageError(f"bands must be 1 to {MAX_BANDS}, but got {num}")
    rows_ND = at_cost(problem, generator(0, "audit bands"), num=NUM_FOR_BANDS, tolerance=math.inf, max_draws=MAX_DRAWS)
    ratios_N = np.sort(problem.ratios(rows_ND))
    # each cut lies between two costs, so that no architecture lies on it
    places = [int(np.searchsorted(ratios_N, ratios_N[number * len(ratios_N) // num])) for number in range(1, num)]
    if len({0, *places}) < num:
        raise UsageError(f"bands must be at most as many as random architectures have different costs, but got {num}")
    cuts = [float(ratios_N[place - 1] + ratios_N[place]) / 2 for place in places]
    least, greatest = problem.target.bounds(problem.space, problem.variant, num_classes=problem.num_classes)
    return bands_between(
        [least / problem.target.value * (1 - ROUNDING), *cuts, greatest / problem.target.value * (1 + ROUNDING)]
    )


def bands_between(ends: Sequence[float]) -> tuple[Band, ...]:
    """The bands between neighbouring values of cost / target.

    Raises:
        UsageError: Not two to nine rising numbers above 0.
    """
    rising = all(low < high for low, high in itertools.pairwise(ends))
    if not (2 <= len(ends) <= MAX_BANDS + 1 and ends[0] > 0 and rising and math.isfinite(ends[-1])):
        raise UsageError(
            f"the ends of bands must be 2 to {MAX_BANDS + 1} rising values of cost/target above 0, but got {list(ends)}"
        )
    return tuple(Band(low=low, high=high) for low, high in itertools.pairwise(ends))


def stratified(problem: Problem, bands: Sequence[Band], *, num: int, seed: int) -> Sample:
    """Different random architectures within the limits, in each band as many; the first bands have what is left over.

    Args:
        problem: Space and limits.
        bands: By rising cost.
        num: Of all bands together, at least one of each.
        seed: Of the draws, uniform within a band; where these find too few, walks lead into it.

    Raises:
        UsageError: Too few are asked for, or a band has fewer than are asked of it.
    """
    if num < len(bands):
        raise UsageError(f"architectures must be at least one of each of {len(bands)} bands, but got {num}")
    found: list[Sampled] = []
    for number, band in enumerate(bands, start=1):
        wanted = num // len(bands) + (number <= num % len(bands))
        known = {each.fingerprint for each in found}
        own = list(_in_band(problem, band, num=wanted, rng=generator(seed, "audit", number), known=known))
        if len(own) < wanted:
            limits = " within the limits" if problem.limits else ""
            raise UsageError(
                f"the band of cost/target from {band} must have {wanted} different architectures{limits}, but "
                f"{len(own)} were found; ask for fewer, or for other bands"
            )
        for place, (candidate, ratio) in enumerate(own, start=1):
            found.append(
                Sampled(
                    name=f"band{number}-{place:02}",
                    band=number,
                    genotype=candidate.genotype,
                    fingerprint=candidate.fingerprint,
                    cost=ratio * problem.target.value,
                    ratio=ratio,
                )
            )
    return Sample(
        space=problem.space.name,
        target=problem.target.text,
        limits=tuple(limit.text for limit in problem.limits),
        bands=tuple(bands),
        architectures=tuple(found),
    )


def _in_band(
    problem: Problem, band: Band, *, num: int, rng: np.random.Generator, known: set[str]
) -> Iterator[tuple[Candidate, float]]:
    """At most `num` architectures that are not known, each with its cost / target."""
    middle, half = (band.low + band.high) / 2, (band.high - band.low) / 2
    around = replace(problem, target=replace(problem.target, value=middle * problem.target.value))
    # two genotypes may be one network, where rounding makes two choices equal
    rows_ND = at_cost(around, rng, num=2 * num + 16, tolerance=half / middle + ROUNDING, max_draws=MAX_DRAWS)
    ratios_N = problem.ratios(rows_ND)
    left, seen = num, set(known)
    for row_D, ratio in zip(rows_ND, ratios_N, strict=True):
        candidate = problem.candidate(row_D)
        if left and band.low <= ratio <= band.high and candidate.fingerprint not in seen:
            seen.add(candidate.fingerprint)
            left -= 1
            yield candidate, float(ratio)


def agreements(architectures: Sequence[Audited], *, num_bands: int, seed: int) -> tuple[Agreement, ...]:
    """How far shared weights agree with stand-alone training, over all bands and then band by band.

    Args:
        architectures: Those without all their scores are left out.
        num_bands: Of the audit.
        seed: Of the bootstrap.
    """
    whole = [each for each in architectures if None not in (each.batch, each.recalibrated, *each.top1s)]
    return tuple(
        _agreement([each for each in whole if band in (None, each.sampled.band)], band=band, seed=seed)
        for band in (None, *range(1, num_bands + 1))
    )


def _agreement(architectures: Sequence[Audited], *, band: int | None, seed: int) -> Agreement:
    top1s_SN = np.array([each.top1s for each in architectures], dtype=np.float64).T
    # sums in another order must not part what is tied
    mean_1N = np.round(top1s_SN.mean(axis=0, keepdims=True), 12) if architectures else top1s_SN
    shared_2N = np.array([(each.batch, each.recalibrated) for each in architectures], dtype=np.float64).T

    def against(way: int, own_SN: Floats) -> RankCorrelation:
        if len(architectures) < FEWEST:
            return _undefined(f"fewer than {FEWEST} architectures", len(architectures))
        return mean_rank_correlations([(shared_2N[way], own_N) for own_N in own_SN], rng=rng())

    def rng() -> np.random.Generator:
        return generator(seed, "bootstrap", band or 0)

    return Agreement(
        band=band,
        batch=against(0, mean_1N),
        recalibrated=against(1, mean_1N),
        batch_one=against(0, top1s_SN),
        recalibrated_one=against(1, top1s_SN),
        ceiling=ceiling(list(top1s_SN), rng=rng()),
    )


def rank_correlations(x_N: ArrayLike, y_N: ArrayLike, *, rng: np.random.Generator) -> RankCorrelation:
    """Kendall's tau-b and Spearman's rho of two scores of the same architectures, with 95 % bootstrap intervals.

    The architectures are resampled, both scores of one together; the interval is from percentile to percentile.
    Resamples in which all architectures have the same score, which happens with few of them, are left out.

    Args:
        x_N: One score of each architecture, finite.
        y_N: The other one.
        rng: Of the bootstrap.
    """
    return mean_rank_correlations([(x_N, y_N)], rng=rng)


def mean_rank_correlations(
    pairs: Sequence[tuple[ArrayLike, ArrayLike]], *, rng: np.random.Generator
) -> RankCorrelation:
    """The means of tau-b and rho over pairs of scores of the same architectures, resampled alike; at least one pair."""
    scores_P2N = np.array([(x_N, y_N) for x_N, y_N in pairs], dtype=np.float64)
    if scores_P2N.ndim != 3 or not np.isfinite(scores_P2N).all():
        raise ValueError(f"scores must be finite numbers of the same architectures, but got {pairs}")
    num = scores_P2N.shape[2]
    if num < FEWEST:
        return _undefined(f"fewer than {FEWEST} architectures", num)
    if (scores_P2N.max(axis=2) == scores_P2N.min(axis=2)).any():
        return _undefined("all architectures have the same score", num)
    counts_BN = np.concatenate([np.ones((1, num)), rng.multinomial(num, np.full(num, 1 / num), size=NUM_RESAMPLES)])
    kendall_B = np.mean([_kendall(x_N, y_N, counts_BN) for x_N, y_N in scores_P2N], axis=0)
    spearman_B = np.mean([_spearman(x_N, y_N, counts_BN) for x_N, y_N in scores_P2N], axis=0)
    return RankCorrelation(kendall=_estimate(kendall_B, num), spearman=_estimate(spearman_B, num), num=num)


def ceiling(scores_SN: Sequence[ArrayLike], *, rng: np.random.Generator) -> RankCorrelation:
    """How far two trainings of the same architectures agree that differ in the seed alone: the mean over pairs of S.

    No ranking can be expected to agree better with a single training.
    """
    pairs = [(x_N, y_N) for number, x_N in enumerate(scores_SN) for y_N in scores_SN[number + 1 :]]
    if pairs:
        return mean_rank_correlations(pairs, rng=rng)
    num = np.size(scores_SN[0]) if len(scores_SN) else 0
    return _undefined("fewer than two trainings of each architecture", num)


def _kendall(x_N: Floats, y_N: Floats, counts_BN: Floats) -> Floats:
    """Tau-b of resamples that hold each architecture so many times; NaN where one score ties all of them.

    An architecture is tied with its own copies in both scores, so that pairs of different ones are all that count.
    """
    x_NN, y_NN = np.sign(x_N[:, None] - x_N), np.sign(y_N[:, None] - y_N)

    def pairs(weight_NN: Floats) -> Floats:
        return np.asarray(((counts_BN @ weight_NN) * counts_BN).sum(axis=1))

    return _ratio(pairs(x_NN * y_NN), pairs(np.abs(x_NN)) * pairs(np.abs(y_NN)))


def _spearman(x_N: Floats, y_N: Floats, counts_BN: Floats) -> Floats:
    """Rho of such resamples; the ranks are those within the resample."""
    x_BN, y_BN = (_centred_ranks(scores_N, counts_BN) for scores_N in (x_N, y_N))
    return _ratio(
        (counts_BN * x_BN * y_BN).sum(axis=1),
        (counts_BN * x_BN**2).sum(axis=1) * (counts_BN * y_BN**2).sum(axis=1),
    )


def _centred_ranks(scores_N: Floats, counts_BN: Floats) -> Floats:
    """Mean ranks minus their mean, which is (N + 1) / 2 whatever the ties."""
    below_NN = (scores_N[:, None] < scores_N) + 0.5 * (scores_N[:, None] == scores_N)
    return np.asarray(counts_BN @ below_NN - len(scores_N) / 2)


def _ratio(product_B: Floats, squares_B: Floats) -> Floats:
    ratio_B = np.full(len(product_B), np.nan)
    np.divide(product_B, np.sqrt(squares_B), out=ratio_B, where=squares_B > 0)
    return np.asarray(np.clip(ratio_B, -1.0, 1.0))


def _estimate(values_B: Floats, num: int) -> Estimate | Undefined:
    """The first value is that of the architectures as they are, the others are of resamples."""
    low, high = np.nanquantile(values_B[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=float(values_B[0]), low=float(low), high=float(high), num=num)


def _undefined(reason: str, num: int) -> RankCorrelation:
    nothing = Undefined(reason=reason, num=num)
    return RankCorrelation(kendall=nothing, spearman=nothing, num=num)
