"""Which architecture a search ends with: candidates at the target's cost, compared on more held-out clips."""

from dataclasses import dataclass

import numpy as np

from nas import controller
from nas.controller import Floats
from nas.problem import Problem
from nas.random_search import draw_at_cost, random_at_cost
from results.records import CandidateRecord, Origin, ResultRecord
from search_spaces.errors import InfeasibleTargetError, UsageError
from search_spaces.randomness import generator
from search_spaces.space import Indices

MAX_POLICY_DRAWS = 1 << 17


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """How the final architecture is chosen.

    Attributes:
        num_policy: Architectures drawn from the policy, the likeliest of four times as many, that are compared.
        num_random: Random architectures compared beside them, the baseline.
        tolerance: Largest |cost / target - 1| of what may be selected.
        random_tolerance: Likewise for the random ones; at most `tolerance`, for they stand in for the policy's draws.
    """

    num_policy: int = 16
    num_random: int = 16
    tolerance: float = 0.03
    random_tolerance: float = 0.02

    def __post_init__(self) -> None:
        if self.num_policy < 1 or self.num_random < 1:
            raise UsageError(f"selection.num_policy and num_random must be at least 1, but got {self}")
        if not 0 < self.random_tolerance <= self.tolerance < 1:
            raise UsageError(
                "selection.tolerance must be below 1 and random_tolerance above 0 and at most tolerance, but got "
                f"{self.tolerance} and {self.random_tolerance}"
            )


def random_baseline(problem: Problem, config: SelectionConfig) -> Indices:
    """The random architectures that a search is compared with, (n, D); the same before and after the search.

    Raises:
        InfeasibleTargetError: Random draws find none at the target's cost.
    """
    random_ND = random_at_cost(
        problem, generator(problem.seed, "random baseline"), num=config.num_random, tolerance=config.random_tolerance
    )
    if not len(random_ND):
        raise InfeasibleTargetError(
            f"random draws must find architectures within {config.random_tolerance:.0%} of the target in "
            f"{problem.description()}, but found none for {problem.target.text}; take a target nearer to the median"
        )
    return random_ND


def candidates_to_compare(
    problem: Problem, logits_DC: Floats, config: SelectionConfig
) -> tuple[tuple[Origin, Indices], ...]:
    """The argmax, likely draws of the policy at the target's cost, and random architectures at that cost.

    The argmax is always compared; whether it may be selected is for `select` to say. Where the policy hardly ever
    draws the target's cost, the likeliest of the random architectures stand in for its draws.

    Raises:
        InfeasibleTargetError: As `random_baseline`.
    """
    random_ND = random_baseline(problem, config)
    policy_ND = _policy_draws(problem, logits_DC, config, random_ND)
    argmax_D = controller.most_likely(problem.space, logits_DC)
    rows: list[tuple[Origin, Indices]] = [("argmax", argmax_D)]
    rows += [("policy", row_D) for row_D in policy_ND if row_D.tobytes() != argmax_D.tobytes()]
    rows += [("random", row_D) for row_D in random_ND]
    return tuple(rows)


def select(compared: tuple[CandidateRecord, ...], config: SelectionConfig) -> ResultRecord:
    """The best of the argmax and the policy's draws within the tolerance; of equals, the likelier."""
    eligible = [
        record
        for record in compared
        if record.origin != "random" and abs(record.ratio - 1.0) <= config.tolerance + 1e-12
    ]
    found = max(eligible, key=lambda record: record.quality)
    argmax = next(record for record in compared if record.origin == "argmax")
    random_qualities = [record.quality for record in compared if record.origin == "random"]
    return ResultRecord(
        found=found.fingerprint,
        found_cost=found.cost,
        found_ratio=found.ratio,
        found_quality=found.quality,
        argmax_fingerprint=argmax.fingerprint,
        argmax_ratio=argmax.ratio,
        random_quality_mean=float(np.mean(random_qualities)),
        random_quality_best=max(random_qualities),
        num_random=len(random_qualities),
    )


def _policy_draws(problem: Problem, logits_DC: Floats, config: SelectionConfig, random_ND: Indices) -> Indices:
    rng = generator(problem.seed, "selection")
    wanted = 4 * config.num_policy
    drawn_ND = draw_at_cost(
        problem,
        lambda source, num: controller.sample(problem.space, logits_DC, source, num),
        rng,
        num=wanted,
        tolerance=config.tolerance,
        max_draws=MAX_POLICY_DRAWS,
    )
    if len(drawn_ND) < config.num_policy:
        others_ND = random_at_cost(problem, rng, num=16 * wanted, tolerance=config.tolerance)
        drawn_ND = np.unique(np.concatenate([drawn_ND, others_ND, random_ND]), axis=0)
    likelihood_N = controller.log_probability(problem.space, logits_DC, drawn_ND)
    return drawn_ND[np.argsort(-likelihood_N, kind="stable")[: config.num_policy]]
