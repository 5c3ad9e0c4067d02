"""Numbers that are shown together with how sure they are, or not at all."""

import math
from dataclasses import dataclass

FEWEST = 3
"""Architectures below which there is no rank correlation to speak of: two are always in order or in reverse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A rank correlation with its 95 % bootstrap interval and the number of architectures behind it.

    It is no float and takes no format of one, so that it is printed as a whole.

    Attributes:
        value: In [-1, 1].
        low: End of the interval; `high` the other one. A percentile interval need not hold the value.
        num: Architectures, at least 3.
    """

    value: float
    low: float
    high: float
    num: int

    def __post_init__(self) -> None:
        numbers = (self.value, self.low, self.high)
        if not all(math.isfinite(each) and -1.0 <= each <= 1.0 for each in numbers) or self.low > self.high:
            raise ValueError(f"a rank correlation and its interval must be in [-1, 1], low before high, but got {self}")
        if self.num < FEWEST:
            raise ValueError(f"a rank correlation must be of at least {FEWEST} architectures, but got {self.num}")

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}], n = {self.num}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undefined:
    """Why there is no estimate, in its place.

    Attributes:
        reason: Such as `at least 3 architectures are needed`.
        num: Architectures there are.
    """

    reason: str
    num: int

    def __str__(self) -> str:
        return f"none, n = {self.num}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCorrelation:
    """How far two ways of scoring put the same architectures in the same order: 1 all alike, 0 no relation.

    Attributes:
        kendall: Kendall's tau-b: of the pairs that neither way ties, those in one order minus those in reverse, over
            the geometric mean of the pairs that each way does not tie.
        spearman: Pearson correlation of the ranks, ties having their mean rank.
        num: Architectures.
    """

    kendall: Estimate | Undefined
    spearman: Estimate | Undefined
    num: int
