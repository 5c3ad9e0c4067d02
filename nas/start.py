"""Where the policy starts: uniform, as TuNAS has it, or with the mean cost of its architectures at the target.

Where the target lies far from the middle of a space, the first architectures all miss it by far, and their rewards are
mostly cost: the policy first has to learn what arithmetic knows. A start at the target takes that from it and prefers
nothing else. Of all policies p of independent decisions whose mean cost E_p is the target T, it is the one whose
architectures are distributed most like those of the uniform policy u, by Kullback-Leibler divergence:

    KL(p || u) = sum over decisions d of a_d KL(p_d || u_d),    a_d the probability under p that d is active

With one multiplier (an inverse temperature) t for the constraint, its stationary point is

    log p_d(c) = -t / a_d dE_p / dp_d(c) - [d a depth] sum over layers l up to c of KL(p_l || u_l) + constant

that is, every choice is tilted exponentially by what it adds to the mean cost, given that it counts. The equation is
solved by repeating it; in each round t is found by bisection, so that the mean is the target in every one. Nothing is
drawn. Legend as in `controller.py`.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nas import controller
from nas.controller import Floats
from nas.problem import Problem
from search_spaces.errors import InfeasibleTargetError

StartName = Literal["uniform", "at-target"]

MAX_ROUNDS = 40
LOGIT_TOLERANCE = 1e-4
MAX_TILT = 1e4
"""Largest multiplier of costs in units of the target: beyond it a policy has long been a single architecture."""
BISECTIONS = 40
MIN_ACTIVITY = 1e-9


def uniform(problem: Problem) -> Floats:
    """Logits of the uniform policy, (D, C)."""
    return controller.initial_logits(problem.space)


def at_target(problem: Problem) -> Floats:
    """Logits of the most uniform policy whose mean cost is the target, (D, C).

    Raises:
        InfeasibleTargetError: No tilt of the choices by their cost has this mean.
    """
    logits_DC = uniform(problem)
    present_DC = np.isfinite(logits_DC)
    pull_DC: Floats | None = None
    for _ in range(MAX_ROUNDS):
        _, gradient_DC = problem.mean_cost(controller.probabilities(logits_DC))
        activity_D = np.maximum(controller.activity(problem.space, logits_DC), MIN_ACTIVITY)
        new_DC = _centred(gradient_DC / activity_D[:, None] / problem.target.value, present_DC)
        pull_DC = new_DC if pull_DC is None else (pull_DC + new_DC) / 2
        before_DC, logits_DC = logits_DC, _at_mean(problem, _depth_penalty(problem, logits_DC), pull_DC, present_DC)
        if np.abs(logits_DC[present_DC] - before_DC[present_DC]).max() < LOGIT_TOLERANCE:
            break
    return logits_DC


STARTS: Mapping[StartName, Callable[[Problem], Floats]] = {"uniform": uniform, "at-target": at_target}


def _at_mean(problem: Problem, penalty_DC: Floats, pull_DC: Floats, present_DC: NDArray[np.bool_]) -> Floats:
    """Logits -penalty - t pull with t such that the mean cost is the target."""

    def logits(tilt: float) -> Floats:
        return np.where(present_DC, -penalty_DC - tilt * pull_DC, -np.inf)

    def excess(tilt: float) -> float:
        return problem.mean_cost(controller.probabilities(logits(tilt)))[0] - problem.target.value

    sign = 1.0 if excess(0.0) > 0 else -1.0  # tilting further lowers, or raises, the mean
    low, high = 0.0, sign
    while sign * excess(high) > 0:
        low, high = high, 2 * high
        if abs(high) > MAX_TILT:
            raise InfeasibleTargetError(
                f"a start at the target must have it for its mean cost, but no policy that tilts the choices of "
                f"{problem.description()} by their cost reaches {problem.target.text}"
            )
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if sign * excess(middle) > 0 else (low, middle)
    return logits((low + high) / 2)


def _depth_penalty(problem: Problem, logits_DC: Floats) -> Floats:
    """How much less uniform the layers that a depth adds are, (D, C): nats, 0 for all other decisions."""
    space = problem.space
    chance_DC = controller.probabilities(logits_DC)
    penalty_DC = np.zeros_like(logits_DC)
    columns = {(decision.block, decision.group): column for column, decision in enumerate(space.decisions)}
    for decision, chance_C in zip(space.decisions, chance_DC, strict=True):
        if decision.layer is not None:
            chances = chance_C[: len(decision.choices)]
            divergence = float((chances * np.log(np.maximum(chances * len(chances), 1e-300))).sum())
            deep_enough = [i for i, depth in enumerate(space.blocks[decision.block].depths) if depth > decision.layer]
            penalty_DC[columns[decision.block, "depth"], deep_enough] += divergence
    return penalty_DC


def _centred(values_DC: Floats, present_DC: NDArray[np.bool_]) -> Floats:
    """Minus the mean over the choices of each decision; 0 where there is no choice."""
    means_D = values_DC.sum(axis=1, where=present_DC) / present_DC.sum(axis=1)
    return np.where(present_DC, values_DC - means_D[:, None], 0.0)
