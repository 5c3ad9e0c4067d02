"""How far shared weights rank architectures as training them one by one does: what is sampled, and the statistics.

N architectures, P pairs of score lists, B bootstrap resamples of the architectures.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from results.estimate import FEWEST, Estimate, RankCorrelation, Undefined

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95

Floats = NDArray[np.float64]


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
        nothing = Undefined(reason=f"at least {FEWEST} architectures are needed", num=num)
        return RankCorrelation(kendall=nothing, spearman=nothing, num=num)
    if (scores_P2N.max(axis=2) == scores_P2N.min(axis=2)).any():
        nothing = Undefined(reason="all architectures have the same score", num=num)
        return RankCorrelation(kendall=nothing, spearman=nothing, num=num)
    counts_BN = np.concatenate([np.ones((1, num)), rng.multinomial(num, np.full(num, 1 / num), size=NUM_RESAMPLES)])
    kendall_B = np.mean([_kendall(x_N, y_N, counts_BN) for x_N, y_N in scores_P2N], axis=0)
    spearman_B = np.mean([_spearman(x_N, y_N, counts_BN) for x_N, y_N in scores_P2N], axis=0)
    return RankCorrelation(kendall=_estimate(kendall_B, num), spearman=_estimate(spearman_B, num), num=num)


def ceiling(scores_SN: Sequence[ArrayLike], *, rng: np.random.Generator) -> RankCorrelation:
    """How far two trainings of the same architectures agree that differ in the seed alone: the mean over pairs of S.

    No ranking can be expected to agree better with a single training.

    Raises:
        ValueError: Fewer than two seeds.
    """
    pairs = [(x_N, y_N) for number, x_N in enumerate(scores_SN) for y_N in scores_SN[number + 1 :]]
    if not pairs:
        raise ValueError(f"a ceiling must be between at least two seeds, but got {len(scores_SN)}")
    return mean_rank_correlations(pairs, rng=rng)


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
