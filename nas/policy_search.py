"""The controller as a strategy: samples of its policy, REINFORCE, and likely draws of it at the end."""

from collections.abc import Mapping, Sequence

import numpy as np

from nas import controller
from nas.controller import Floats
from nas.problem import Problem
from nas.random_search import at_cost, draw_at_cost, joined
from nas.reinforce import ControllerConfig, Reinforce
from nas.start import STARTS, StartName
from nas.strategy import Belief, Finalists
from results.records import TrialRecord
from search_spaces.randomness import generator
from search_spaces.space import Indices

MAX_POLICY_DRAWS = 1 << 17


class PolicySearch:
    """Implements `nas.strategy.SearchStrategy`: TuNAS.

    Args:
        problem: Space, budget and seed.
        config: Constants of the controller.
        num_steps: Steps of the whole search.
        start: The policy it begins with.
    """

    def __init__(
        self, problem: Problem, config: ControllerConfig, *, num_steps: int, start: StartName = "uniform"
    ) -> None:
        self._problem = problem
        self._policy = Reinforce(problem.space, config, num_steps=num_steps, logits_DC=STARTS[start](problem))

    def propose(self, step: int, num: int) -> Indices:
        """See `Strategy`."""
        return self._policy.sample(generator(self._problem.seed, "policy", step), num)

    def learn(self, step: int, indices_KD: Indices, trials: Sequence[TrialRecord]) -> Belief:
        """See `Strategy`."""
        self._policy.update(step, indices_KD, [trial.reward for trial in trials])
        return Belief(
            logits_DC=self._policy.logits_DC.copy(),
            favourite_D=controller.most_likely(self._problem.space, self._policy.logits_DC),
            baseline=self._policy.baseline,
            learning_rate=self._policy.learning_rate(step),
        )

    def finalists(self, num: int, tolerance: float) -> Finalists:
        """See `Strategy`."""
        logits_DC = self._policy.logits_DC
        favourite_D = controller.most_likely(self._problem.space, logits_DC)
        inside_ND, num_own = likely_draws(self._problem, logits_DC, num=num, tolerance=tolerance)
        return Finalists(
            favourite_D=favourite_D,
            inside_ND=inside_ND,
            num_own=num_own,
            front_ND=favourite_D[None][:0],
        )

    def state(self) -> Mapping[str, bytes]:
        """See `Resumable`."""
        return self._policy.state()

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """See `Resumable`."""
        self._policy.restore(blobs)


def likely_draws(problem: Problem, logits_DC: Floats, *, num: int, tolerance: float) -> tuple[Indices, int]:
    """Draws of a policy inside the budget, the likeliest of four times as many, likeliest first, (n, D).

    Where the policy hardly ever draws inside the budget, the likeliest of random architectures stand in, after its own.

    Returns:
        The genotypes, and how many of them the policy drew.
    """
    rng = generator(problem.seed, "selection")
    wanted = 4 * num
    drawn_ND = draw_at_cost(
        problem,
        lambda source, count: controller.sample(problem.space, logits_DC, source, count),
        rng,
        num=wanted,
        tolerance=tolerance,
        max_draws=MAX_POLICY_DRAWS,
    )
    own_ND = _likeliest(problem, logits_DC, drawn_ND)[:num]
    if len(own_ND) == num:
        return own_ND, num
    others_ND = at_cost(problem, rng, num=16 * wanted, tolerance=tolerance)
    return joined(own_ND, _likeliest(problem, logits_DC, others_ND), num=num), len(own_ND)


def _likeliest(problem: Problem, logits_DC: Floats, rows_ND: Indices) -> Indices:
    """Genotypes, the likeliest first."""
    likelihood_N = controller.log_probability(problem.space, logits_DC, rows_ND)
    return np.asarray(rows_ND[np.argsort(-likelihood_N, kind="stable")])
