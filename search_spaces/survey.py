"""What random architectures of a space cost, and how that grows with phi."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.cost_table import CostTable, cost_table
from search_spaces.mean_cost import mean_cost, uniform_chances
from search_spaces.randomness import generator
from search_spaces.space import Indices, SearchSpace
from search_spaces.variant import Variant

CHUNK = 1 << 14

Costs = Callable[[Indices], NDArray[np.number]]
"""Costs (N,) of canonical rows (N, D)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Costs of a space: the median of random architectures; least, greatest and the uniform policy's mean exactly."""

    low: int
    median: float
    high: int
    mean: float


def sampled_costs(space: SearchSpace, costs: Mapping[str, Costs], *, num: int) -> dict[str, NDArray[np.number]]:
    """Costs of `num` architectures, every decision uniform, the same ones at every call: (num,) each."""
    rng = generator(0, "cost statistics")
    parts: dict[str, list[NDArray[np.number]]] = {name: [] for name in costs}
    for start in range(0, num, CHUNK):
        indices_ND = space.sample_indices(rng, min(CHUNK, num - start))
        for name, cost in costs.items():
            parts[name].append(cost(indices_ND))
    return {name: np.concatenate(part) for name, part in parts.items()}


def spread(space: SearchSpace, table: CostTable, sampled_N: NDArray[np.number]) -> Spread:
    """Of one table's costs."""
    low, high = table.bounds()
    mean, _ = mean_cost(space, table, uniform_chances(space))
    return Spread(low=low, median=float(np.median(sampled_N)), high=high, mean=mean)


def percentile(sampled_N: NDArray[np.number], value: float) -> float:
    """Share of costs below a value, in percent."""
    return float(100 * (sampled_N < value).mean())


def growth_per_phi(low: SearchSpace, high: SearchSpace, *, phis: float, num_classes: int) -> float:
    """By how much a unit of phi multiplies the mean MACs of a clip, between two spaces that are `phis` apart."""
    tables = (cost_table(space, Variant(), metric="macs", num_classes=num_classes) for space in (low, high))
    first, last = (
        mean_cost(space, table, uniform_chances(space))[0] for space, table in zip((low, high), tables, strict=True)
    )
    return float((last / first) ** (1 / phis))
