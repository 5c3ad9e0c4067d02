"""What is searched: a space, how its networks are built, the cost to land on, and costs to stay within."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from search_spaces.cost import Cost, cost
from search_spaces.errors import InfeasibleTargetError, TargetError
from search_spaces.randomness import generator
from search_spaces.space import Candidate, Indices, SearchSpace
from search_spaces.target import Target
from search_spaces.variant import Variant

NUM_SAMPLES_OF_STATISTICS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A space, a variant and a budget.

    Raises:
        TargetError: A cost that streams alone have where the variant does not stream.

    Attributes:
        target: To land on, from both sides.
        limits: Each never to be exceeded.
        num_classes: Outputs of the classifier, which the cost includes.
        seed: Of the whole search.
    """

    space: SearchSpace
    variant: Variant
    target: Target
    num_classes: int
    seed: int
    limits: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        for target in (self.target, *self.limits):
            if target.of_streams and not self.variant.streams:
                raise TargetError(
                    f"a target of {target.metric} must go with a variant that streams, such as paper-stream or "
                    f"released-stream, but got {target.text}"
                )

    def candidate(self, indices_D: Indices) -> Candidate:
        """The architecture of one row of indices."""
        return self.space.decode(self.space.genotype(indices_D), self.variant)

    def costs(self, indices_ND: Indices) -> NDArray[np.float64]:
        """Costs in the target's unit, (N,)."""
        return self.target.costs(self.space, self.variant, indices_ND, num_classes=self.num_classes)

    def ratios(self, indices_ND: Indices) -> NDArray[np.float64]:
        """Costs / target, (N,)."""
        return self.costs(indices_ND) / self.target.value

    def mean_cost(self, chance_DC: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Mean cost of a policy's architectures in the target's unit, exactly, and its gradient; see `mean_cost.py`."""
        return self.target.mean(self.space, self.variant, chance_DC, num_classes=self.num_classes)

    def limit_ratios(self, indices_ND: Indices) -> NDArray[np.float64]:
        """Costs / limit, of every limit, (N, number of limits)."""
        ratios = [
            limit.costs(self.space, self.variant, indices_ND, num_classes=self.num_classes) / limit.value
            for limit in self.limits
        ]
        return np.stack(ratios, axis=1) if ratios else np.zeros((len(indices_ND), 0))

    def excess(self, indices_ND: Indices, *, tolerance: float) -> NDArray[np.float64]:
        """How far outside the budget: beyond `tolerance` of the target, plus beyond every limit, (N,); inside, 0."""
        beyond_N = np.maximum(0.0, np.abs(self.ratios(indices_ND) - 1.0) - tolerance)
        over_N = np.maximum(0.0, self.limit_ratios(indices_ND) - 1.0).sum(axis=1)
        return np.asarray(beyond_N + over_N)

    def inside(self, indices_ND: Indices, *, tolerance: float) -> NDArray[np.bool_]:
        """Whether |cost / target - 1| is at most `tolerance` and no limit is exceeded, (N,)."""
        near_N = np.abs(self.ratios(indices_ND) - 1.0) <= tolerance
        return np.asarray(near_N & (self.limit_ratios(indices_ND) <= 1.0).all(axis=1))

    def full_cost(self, candidate: Candidate) -> Cost:
        """Every cost of one architecture."""
        return cost(candidate.spec, candidate.variant, num_classes=self.num_classes)

    def statistics(self) -> tuple[float, float, float, float]:
        """Least, median and greatest cost, and the target's percentile; the median and percentile of random samples."""
        low, high = self.target.bounds(self.space, self.variant, num_classes=self.num_classes)
        rng = generator(0, "cost statistics")
        costs_N = self.costs(self.space.sample_indices(rng, NUM_SAMPLES_OF_STATISTICS))
        return low, float(np.median(costs_N)), high, float(100 * (costs_N < self.target.value).mean())

    def check_feasible(self) -> None:
        """Refuse a target outside the space, and a limit that no architecture of the space keeps.

        Raises:
            InfeasibleTargetError: With least, median and greatest cost of the space.
        """
        low, high = self.target.bounds(self.space, self.variant, num_classes=self.num_classes)
        if not low <= self.target.value <= high:
            raise InfeasibleTargetError(f"target must lie within {self.description()}, but got {self.target.text}")
        for limit in self.limits:
            of_limit = replace(self, target=limit, limits=())
            if limit.value < limit.bounds(self.space, self.variant, num_classes=self.num_classes)[0]:
                raise InfeasibleTargetError(
                    f"a limit must be at least the minimum of {of_limit.description()}, but got {limit.text}"
                )

    def budget(self) -> str:
        """Target and limits as they were written, for messages."""
        return ", at most ".join(target.text for target in (self.target, *self.limits))

    def description(self) -> str:
        """The space's costs in the target's unit, for messages."""
        low, median, high, _ = self.statistics()
        names = {"state": "bytes of state", "activations": "bytes of activations", "latency": "seconds"}
        metric = names.get(self.target.metric, self.target.metric)
        return (
            f"space {self.space.name}, whose {metric} have min {low:.6g}, median {median:.6g}, "
            f"max {high:.6g} in the target's unit"
        )
