"""Which architecture a search ends with: candidates inside the budget, compared on more held-out clips."""

from dataclasses import dataclass, replace

import numpy as np

from nas.problem import Problem
from nas.random_search import at_cost
from nas.strategy import Strategy
from results.records import CandidateRecord, Origin, ResultRecord
from search_spaces.errors import InfeasibleTargetError, UsageError
from search_spaces.randomness import generator
from search_spaces.space import Indices


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """How the final architecture is chosen.

    Attributes:
        num_policy: Architectures of the strategy that are compared: of a policy, the likeliest of four times as many
            draws; of random search, the N of its best of N.
        num_random: Random architectures compared beside them, the baseline.
        tolerance: Largest |cost / target - 1| of what may be selected; limits are never exceeded.
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
        InfeasibleTargetError: Neither random draws nor walks from them find any inside the budget.
    """
    random_ND = at_cost(
        problem, generator(problem.seed, "random baseline"), num=config.num_random, tolerance=config.random_tolerance
    )
    if not len(random_ND):
        advice = "take higher limits, or a target" if problem.limits else "take a target"
        raise InfeasibleTargetError(
            f"random draws must find architectures within {config.random_tolerance:.0%} of the target in "
            f"{problem.description()}, but found none for {problem.budget()}; {advice} nearer to the median"
        )
    return random_ND


def candidates_to_compare(
    problem: Problem, strategy: Strategy, config: SelectionConfig
) -> tuple[tuple[Origin, Indices], ...]:
    """The strategy's favourite, its finalists inside the budget, its front, and random architectures inside the budget.

    The favourite is always compared; whether it may be selected is for `select` to say. Where there are limits, random
    architectures at the target's cost that need not keep them show what the limits cost.

    Raises:
        InfeasibleTargetError: As `random_baseline`.
    """
    random_ND = random_baseline(problem, config)
    finalists = strategy.finalists(config.num_policy, config.tolerance)
    own_ND, others_ND = np.split(finalists.inside_ND, [finalists.num_own])
    if not len(finalists.inside_ND):
        others_ND = random_ND[: config.num_policy]
    rows: list[tuple[Origin, Indices]] = [("argmax", finalists.favourite_D)]
    seen = {finalists.favourite_D.tobytes()}
    own: tuple[tuple[Origin, Indices], ...] = (
        ("policy", own_ND),
        ("stand-in", others_ND),
        ("front", finalists.front_ND),
    )
    for origin, rows_ND in own:
        rows += [(origin, row_D) for row_D in rows_ND if row_D.tobytes() not in seen]
        seen |= {row_D.tobytes() for row_D in rows_ND}
    rows += [("random", row_D) for row_D in random_ND]
    if problem.limits:
        unlimited = replace(problem, limits=())
        rng = generator(problem.seed, "random without limits")
        free_ND = at_cost(unlimited, rng, num=config.num_random, tolerance=config.random_tolerance)
        rows += [("unlimited", row_D) for row_D in free_ND]
    return tuple(rows)


def select(compared: tuple[CandidateRecord, ...], config: SelectionConfig) -> ResultRecord:
    """The best of the strategy's own inside the budget; of equals, the more promising."""
    eligible = [
        record
        for record in compared
        if record.origin not in ("random", "unlimited")
        and abs(record.ratio - 1.0) <= config.tolerance + 1e-12
        and max(record.limit_ratios, default=0.0) <= 1.0
    ]
    found = max(eligible, key=lambda record: record.quality)
    argmax = next(record for record in compared if record.origin == "argmax")
    random_qualities = [record.quality for record in compared if record.origin == "random"]
    unlimited_qualities = [record.quality for record in compared if record.origin == "unlimited"]
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
        found_limit_ratios=found.limit_ratios,
        argmax_limit_ratios=argmax.limit_ratios,
        unlimited_quality_mean=float(np.mean(unlimited_qualities)) if unlimited_qualities else None,
        unlimited_quality_best=max(unlimited_qualities, default=None),
    )
