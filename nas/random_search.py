"""Random architectures inside the budget: the baseline every search stands beside, and a strategy of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from nas.mutation import mutated
from nas.population import Population
from nas.problem import Problem
from nas.strategy import Belief, Finalists
from results.records import TrialRecord
from search_spaces.randomness import generator
from search_spaces.space import Indices

CHUNK = 8192
MAX_DRAWS = 1 << 21
MAX_STEP_DRAWS = 1 << 17
"""In one step of a search."""
NUM_WALKS = 256
NUM_WALK_STEPS = 500
MAX_WALKED = 64
"""Where draws find as many, nobody walks for more, which takes seconds."""

Draw = Callable[[np.random.Generator, int], Indices]


def draw_at_cost(
    problem: Problem, draw: Draw, rng: np.random.Generator, *, num: int, tolerance: float, max_draws: int = MAX_DRAWS
) -> Indices:
    """Different genotypes from `draw` inside the budget, by rejection.

    Args:
        problem: Space and budget.
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
        for row_D in indices_ND[problem.inside(indices_ND, tolerance=tolerance)]:
            found.setdefault(row_D.tobytes(), row_D)
            if len(found) == num:
                return np.stack(list(found.values()))
    return np.stack(list(found.values())) if found else np.zeros((0, len(problem.space.decisions)), dtype=np.int8)


def random_at_cost(
    problem: Problem, rng: np.random.Generator, *, num: int, tolerance: float, max_draws: int = MAX_DRAWS
) -> Indices:
    """Uniformly drawn genotypes inside the budget, (n, D) with n <= num; as `draw_at_cost`."""
    return draw_at_cost(problem, problem.space.sample_indices, rng, num=num, tolerance=tolerance, max_draws=max_draws)


def walk_to_cost(problem: Problem, rng: np.random.Generator, *, num: int, tolerance: float) -> Indices:
    """Different genotypes inside a budget that uniform draws hardly ever meet, (n, D) with n <= num.

    Each starts at a random genotype and takes single mutations that do not lead farther outside.
    """
    rows_ND = problem.space.sample_indices(rng, max(NUM_WALKS, 2 * num))
    excess_N = problem.excess(rows_ND, tolerance=tolerance)
    for _ in range(NUM_WALK_STEPS):
        if (excess_N == 0.0).sum() >= 2 * num or not excess_N.any():
            break
        changed_ND = mutated(problem.space, rows_ND, rng)
        after_N = problem.excess(changed_ND, tolerance=tolerance)
        better_N = (after_N <= excess_N) & (excess_N > 0.0)
        rows_ND[better_N], excess_N[better_N] = changed_ND[better_N], after_N[better_N]
    inside_ND = rows_ND[problem.inside(rows_ND, tolerance=tolerance)]
    return joined(inside_ND, inside_ND[:0], num=num)


def at_cost(
    problem: Problem, rng: np.random.Generator, *, num: int, tolerance: float, max_draws: int = MAX_DRAWS
) -> Indices:
    """Random genotypes inside the budget, drawn uniformly, and where that finds few, walked to; (n, D), n <= num."""
    drawn_ND = random_at_cost(problem, rng, num=num, tolerance=tolerance, max_draws=max_draws)
    wanted = min(num, MAX_WALKED)
    if len(drawn_ND) >= wanted:
        return drawn_ND
    return joined(drawn_ND, walk_to_cost(problem, rng, num=wanted, tolerance=tolerance), num=wanted)


def joined(first_ND: Indices, second_ND: Indices, *, num: int) -> Indices:
    """Different genotypes of both in their order, (n, D) with n <= num."""
    rows_ND = np.concatenate([first_ND, second_ND])
    _, first_N = np.unique(rows_ND, axis=0, return_index=True)
    return np.asarray(rows_ND[np.sort(first_N)][:num])


class RandomSearch:
    """Implements `nas.strategy.SearchStrategy`: learns nothing, trains and measures what it draws, compares at the end.

    Args:
        problem: Space, budget and seed.
        draws: `uniform` draws from the whole space while the supernet trains, `inside` inside the budget alone.
        tolerance: Of the target, of what is drawn inside.
        window: Latest architectures that its belief is about.
    """

    def __init__(self, problem: Problem, *, draws: Literal["uniform", "inside"], tolerance: float, window: int) -> None:
        self._problem, self._draws, self._tolerance = problem, draws, tolerance
        self._population = Population(problem.space, size=window)

    def propose(self, step: int, num: int) -> Indices:
        """See `Strategy`."""
        rng = generator(self._problem.seed, self._draws, step)
        if self._draws == "uniform":
            return self._problem.space.sample_indices(rng, num)
        found_ND = at_cost(self._problem, rng, num=num, tolerance=self._tolerance, max_draws=MAX_STEP_DRAWS)
        return found_ND[np.arange(num) % len(found_ND)]

    def learn(self, step: int, indices_KD: Indices, trials: Sequence[TrialRecord]) -> Belief:
        """See `Strategy`."""
        del step
        self._population.add(indices_KD, trials)
        return self._population.belief()

    def finalists(self, num: int, tolerance: float) -> Finalists:
        """See `Strategy`."""
        rng = generator(self._problem.seed, "selection")
        inside_ND = at_cost(self._problem, rng, num=num, tolerance=tolerance)
        return Finalists(
            favourite_D=self._population.favourite(),
            inside_ND=inside_ND,
            num_own=len(inside_ND),
            front_ND=self._population.rows_ND[:0],
        )

    def state(self) -> Mapping[str, bytes]:
        """See `Resumable`."""
        return self._population.state()

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """See `Resumable`."""
        self._population.restore(blobs)
