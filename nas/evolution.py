"""Regularised evolution (Real et al., 2019): tournaments in a population whose oldest die, one mutation per child."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.mutation import mutated
from nas.population import Population
from nas.problem import Problem
from nas.random_search import at_cost, draw_at_cost, joined
from nas.strategy import Belief, Finalists
from results.records import TrialRecord
from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from search_spaces.space import Indices

MAX_CHILDREN = 1 << 15
"""Children of the last population, at most, among which finalists are looked for."""


@dataclass(frozen=True, kw_only=True)
class PopulationConfig:
    """Of the strategies that have a population instead of a policy.

    Attributes:
        size: Architectures in it; in NSGA-II at least this many per generation, a multiple of those of a step.
        tournament: Of how many, drawn at random, the best becomes a parent, in regularised evolution.
    """

    size: int = 32
    tournament: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.tournament <= self.size or self.size < 2:
            raise UsageError(
                f"population.size must be at least 2 and tournament in [1, size], but got {self.size} and "
                f"{self.tournament}"
            )


class Evolution:
    """Implements `nas.strategy.SearchStrategy`.

    The reward of a member is that of the weights it was measured with; weights grow better, and so the old must die for
    the young to be compared with their like. Until `first_step`, proposals are random, as a policy's are.

    Args:
        problem: Space, budget and seed.
        config: Of the population.
        first_step: From when on proposals are children.
    """

    def __init__(self, problem: Problem, config: PopulationConfig, *, first_step: int) -> None:
        self._problem, self._config, self._first_step = problem, config, first_step
        self._population = Population(problem.space, size=config.size)

    def propose(self, step: int, num: int) -> Indices:
        """See `Strategy`."""
        rng = generator(self._problem.seed, "evolution", step)
        if step < self._first_step or len(self._population) < self._config.size:
            return self._problem.space.sample_indices(rng, num)
        draws_KT = np.argsort(rng.random((num, self._config.size)), axis=1)[:, : self._config.tournament]
        winners_K = draws_KT[np.arange(num), self._population.rewards_N[draws_KT].argmax(axis=1)]
        return mutated(self._problem.space, self._population.rows_ND[winners_K], rng)

    def learn(self, step: int, indices_KD: Indices, trials: Sequence[TrialRecord]) -> Belief:
        """See `Strategy`."""
        del step
        self._population.add(indices_KD, trials)
        return self._population.belief()

    def finalists(self, num: int, tolerance: float) -> Finalists:
        """See `Strategy`; members inside the budget, then their children, then random architectures."""
        rng = generator(self._problem.seed, "selection")
        members_ND = self._population.best_first()
        inside_ND, num_own = completed(self._problem, members_ND, rng, num=num, tolerance=tolerance)
        return Finalists(
            favourite_D=self._population.favourite(),
            inside_ND=inside_ND,
            num_own=num_own,
            front_ND=members_ND[:0],
        )

    def state(self) -> Mapping[str, bytes]:
        """See `Resumable`."""
        return self._population.state()

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """See `Resumable`."""
        self._population.restore(blobs)


def completed(
    problem: Problem, members_ND: Indices, rng: np.random.Generator, *, num: int, tolerance: float
) -> tuple[Indices, int]:
    """Different genotypes inside the budget, (n, D) with n <= num: members, then their children, then random ones.

    Returns:
        The genotypes, and how many of them are members or children.
    """
    found_ND = members_ND[problem.inside(members_ND, tolerance=tolerance)][:num]
    if len(found_ND) < num:
        children_ND = draw_at_cost(
            problem,
            lambda source, count: mutated(problem.space, members_ND[np.arange(count) % len(members_ND)], source),
            rng,
            num=num,
            tolerance=tolerance,
            max_draws=MAX_CHILDREN,
        )
        found_ND = joined(found_ND, children_ND, num=num)
    if len(found_ND) < num:
        others_ND = at_cost(problem, rng, num=num, tolerance=tolerance)
        return joined(found_ND, others_ND, num=num), len(found_ND)
    return found_ND, num
