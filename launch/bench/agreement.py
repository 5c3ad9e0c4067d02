"""How well predicted times agree with measured ones: in value, and in order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.randomness import generator

RESAMPLES = 2000
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Agreement over some networks; intervals hold 95 % of resamples of the networks (percentile bootstrap).

    Attributes:
        n: Networks.
        mape: Mean of |predicted - measured| / measured.
        bias: Median of predicted / measured, less 1.
        tau: Kendall's tau-b, in [-1, 1].
    """

    n: int
    mape: float
    mape_interval: tuple[float, float]
    bias: float
    tau: float
    tau_interval: tuple[float, float]


def agreement(predicted_N: Floats, measured_N: Floats) -> Agreement:
    """Agreement of positive numbers, at least two, (N,) each."""
    errors_N = np.abs(predicted_N - measured_N) / measured_N
    rng, n = generator(0, "agreement"), len(measured_N)
    draws_RN = rng.integers(n, size=(RESAMPLES, n))
    taus = [kendall_tau(predicted_N[draw_N], measured_N[draw_N]) for draw_N in draws_RN]
    return Agreement(
        n=n,
        mape=float(errors_N.mean()),
        mape_interval=_interval(errors_N[draws_RN].mean(axis=1)),
        bias=float(np.median(predicted_N / measured_N)) - 1,
        tau=kendall_tau(predicted_N, measured_N),
        tau_interval=_interval(np.array(taus)),
    )


def kendall_tau(x_N: Floats, y_N: Floats) -> float:
    """Kendall's tau-b: of all pairs that neither ties, how many more are in the same order than not (Kendall 1945).

    0 where either is constant.
    """
    x_NN, y_NN = np.sign(x_N[:, None] - x_N), np.sign(y_N[:, None] - y_N)
    untied = float(np.sqrt((x_NN**2).sum() * (y_NN**2).sum()))
    return float((x_NN * y_NN).sum()) / untied if untied else 0.0


def _interval(values_R: Floats) -> tuple[float, float]:
    low, high = np.quantile(values_R, (0.025, 0.975))
    return float(low), float(high)
