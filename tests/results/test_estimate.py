"""An estimate is printed whole or not at all."""

import math

import pytest

from results.estimate import Estimate, RankCorrelation, Undefined

TAU = Estimate(value=0.512, low=-0.31, high=0.698, num=24)


def test_no_tau_without_interval_and_number():
    """The type has no shorter form: it is no number, and no format of numbers takes it."""
    assert str(TAU) == f"{TAU}" == "0.51 [-0.31, 0.70], n = 24"
    assert str(Undefined(reason="all architectures have the same score", num=4)).startswith("none, n = 4: all")
    for number_of in (float, int, round, lambda each: f"{each:.2f}", lambda each: "%.2f" % each):  # noqa: UP031
        with pytest.raises(TypeError):
            number_of(TAU)


def test_what_cannot_be_an_estimate():
    for missing in ({"num": 5}, {"low": 0.0, "high": 1.0}):
        with pytest.raises(TypeError):
            Estimate(value=0.5, **missing)
    with pytest.raises(TypeError):
        RankCorrelation(kendall=TAU, spearman=TAU)
    for wrong in ({"num": 2}, {"low": 0.9, "high": 0.1}, {"value": math.nan}, {"high": 1.5}):
        with pytest.raises(ValueError, match="rank correlation"):
            Estimate(**{"value": 0.5, "low": 0.1, "high": 0.9, "num": 5, **wrong})
