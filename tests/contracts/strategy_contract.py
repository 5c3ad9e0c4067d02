"""What every `nas.strategy.SearchStrategy` must do; put an implementation through all of `CHECKS`.

A check takes a function that makes strategies, each at the same beginning, and the problem they are for.
"""

from collections.abc import Callable

import numpy as np
from fake_evaluator import STATE as EVALUATOR_STATE

from nas.controller import probabilities
from nas.problem import Problem
from nas.strategy import Belief, SearchStrategy
from results.records import TrialRecord
from search_spaces.randomness import generator

Make = Callable[[], SearchStrategy]
Check = Callable[[Make, Problem], None]
NUM, STEPS = 2, 40


def proposes_canonical_genotypes(make: Make, problem: Problem) -> None:
    for indices_KD, _ in run(make(), problem, range(STEPS)):
        assert indices_KD.shape == (NUM, len(problem.space.decisions))
        np.testing.assert_array_equal(problem.space.canonical(indices_KD), indices_KD)
        for indices_D in indices_KD:
            np.testing.assert_array_equal(problem.space.indices(problem.space.genotype(indices_D)), indices_D)


def believes_in_probabilities(make: Make, problem: Problem) -> None:
    for _, belief in run(make(), problem, range(STEPS)):
        chance_DC = probabilities(belief.logits_DC)
        np.testing.assert_allclose(chance_DC.sum(axis=1), 1.0)
        for chance_C, decision in zip(chance_DC, problem.space.decisions, strict=True):
            assert not chance_C[len(decision.choices) :].any()
        np.testing.assert_array_equal(problem.space.canonical(belief.favourite_D[None])[0], belief.favourite_D)
        assert np.isfinite([belief.baseline, belief.learning_rate]).all()


def equal_beginnings_propose_the_same(make: Make, problem: Problem) -> None:
    assert told(run(make(), problem, range(STEPS))) == told(run(make(), problem, range(STEPS)))


def rewards_change_what_follows(make: Make, problem: Problem) -> None:
    first, second = (told(run(make(), problem, range(STEPS), salt=salt)) for salt in ("a", "b"))
    assert first != second


def restored_goes_on_as_if_never_stopped(make: Make, problem: Problem) -> None:
    whole = make()
    expected = told(run(whole, problem, range(STEPS)))
    for stop in (1, 9, 10, 11, 20, 27, STEPS - 1):
        first, second = make(), make()
        run(first, problem, range(stop))
        blobs = dict(first.state())
        assert all(isinstance(blob, bytes) for blob in blobs.values())
        second.restore({**blobs, EVALUATOR_STATE: b"of another part"})
        assert dict(second.state()) == blobs
        assert told(run(second, problem, range(stop, STEPS))) == expected[stop:]
        assert dict(second.state()) == dict(whole.state())


def restored_forgets_what_it_was(make: Make, problem: Problem) -> None:
    fresh, used = make(), make()
    run(used, problem, range(STEPS))
    used.restore(fresh.state())
    assert dict(used.state()) == dict(fresh.state())
    assert told(run(used, problem, range(STEPS))) == told(run(fresh, problem, range(STEPS)))


def finalists_are_different_and_inside_the_budget(make: Make, problem: Problem) -> None:
    strategy = make()
    belief = run(strategy, problem, range(STEPS))[-1][1]
    finalists = strategy.finalists(6, 0.03)
    np.testing.assert_array_equal(finalists.favourite_D, belief.favourite_D)
    inside_ND = finalists.inside_ND
    assert inside_ND.shape == (6, len(problem.space.decisions))
    assert len(np.unique(inside_ND, axis=0)) == 6
    assert np.abs(problem.ratios(inside_ND) - 1).max() <= 0.03
    assert (problem.limit_ratios(inside_ND) <= 1).all()
    for rows_ND in (inside_ND, finalists.front_ND):
        np.testing.assert_array_equal(problem.space.canonical(rows_ND), rows_ND)


def asking_for_finalists_changes_nothing(make: Make, problem: Problem) -> None:
    strategy = make()
    run(strategy, problem, range(STEPS))
    before = dict(strategy.state())
    first, second = strategy.finalists(4, 0.03), strategy.finalists(4, 0.03)
    np.testing.assert_array_equal(first.inside_ND, second.inside_ND)
    np.testing.assert_array_equal(first.front_ND, second.front_ND)
    assert dict(strategy.state()) == before


CHECKS: tuple[Check, ...] = (
    proposes_canonical_genotypes,
    believes_in_probabilities,
    equal_beginnings_propose_the_same,
    rewards_change_what_follows,
    restored_goes_on_as_if_never_stopped,
    restored_forgets_what_it_was,
    finalists_are_different_and_inside_the_budget,
    asking_for_finalists_changes_nothing,
)


def run(strategy: SearchStrategy, problem: Problem, steps: range, *, salt: str = "") -> list[tuple[np.ndarray, Belief]]:
    """Proposals and beliefs of some steps; qualities follow from genotype, step and salt."""
    found = []
    for step in steps:
        indices_KD = strategy.propose(step, NUM)
        found.append((indices_KD, strategy.learn(step, indices_KD, trials(problem, indices_KD, step, salt))))
    return found


def trials(problem: Problem, indices_KD: np.ndarray, step: int, salt: str) -> list[TrialRecord]:
    """A choice of a decision has a height of its own, the same in every step, and there is noise."""
    records = []
    for number, indices_D in enumerate(indices_KD):
        candidate = problem.candidate(indices_D)
        heights = [generator(0, salt, f"{name}={choice}").random() for name, choice in candidate.genotype.items()]
        noise = generator(0, salt, "noise", step, number).normal(0.0, 0.02)
        quality = float(np.clip(np.mean(heights) + noise, 0.0, 1.0))
        ratio = float(problem.ratios(indices_D[None])[0])
        records.append(
            TrialRecord(
                genotype=candidate.genotype,
                fingerprint=candidate.fingerprint,
                cost=ratio * problem.target.value,
                ratio=ratio,
                quality=quality,
                reward=quality - 0.3 * abs(ratio - 1.0),
                limit_ratios=tuple(problem.limit_ratios(indices_D[None])[0].tolist()),
            )
        )
    return records


def told(found: list[tuple[np.ndarray, Belief]]) -> list[tuple[object, ...]]:
    """Proposals and beliefs as values that compare."""
    return [
        (indices_KD.tolist(), belief.logits_DC.tolist(), belief.favourite_D.tolist(), belief.baseline)
        for indices_KD, belief in found
    ]
