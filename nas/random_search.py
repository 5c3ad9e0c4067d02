"""Random architectures at the cost of the target: the baseline every search stands beside."""

from collections.abc import Callable

import numpy as np

from nas.problem import Problem
from search_spaces.space import Indices

CHUNK = 8192
MAX_DRAWS = 1 << 21

Draw = Callable[[np.random.Generator, int], Indices]


def draw_at_cost(
    problem: Problem, draw: Draw, rng: np.random.Generator, *, num: int, tolerance: float, max_draws: int = MAX_DRAWS
) -> Indices:
    """Different genotypes from `draw` whose cost is within `tolerance` of the target, by rejection.

    Args:
        problem: Space and target.
        draw: Gives canonical genotypes, (n, D).
        rng: For the draws.
        num: How many are wanted.
        tolerance: Largest |cost / target - 1|.
        max_draws: After so many draws, fewer than `num` are returned.

    Returns:
        At most `num` rows, (n, D), in the order drawn.
    """
    found: dict[bytes, Indices] = {}
    for _ in range(0, max_draws, CHUNK):
        indices_ND = draw(rng, CHUNK)
        near_N = np.abs(problem.ratios(indices_ND) - 1.0) <= tolerance
        for row_D in indices_ND[near_N]:
            found.setdefault(row_D.tobytes(), row_D)
            if len(found) == num:
                return np.stack(list(found.values()))
    return np.stack(list(found.values())) if found else np.zeros((0, len(problem.space.decisions)), dtype=np.int8)


def random_at_cost(problem: Problem, rng: np.random.Generator, *, num: int, tolerance: float) -> Indices:
    """Uniformly drawn genotypes at the cost of the target, (n, D) with n <= num."""
    return draw_at_cost(problem, problem.space.sample_indices, rng, num=num, tolerance=tolerance)
