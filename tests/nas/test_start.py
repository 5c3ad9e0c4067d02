"""Starts of the policy."""

from dataclasses import replace

import numpy as np
import pytest
from made_spaces import TINY, TINY_CLIPS, every_row

from nas import controller
from nas.problem import Problem
from nas.start import STARTS, at_target, uniform
from search_spaces.errors import InfeasibleTargetError
from search_spaces.movinet import A2, NANO
from search_spaces.published import published
from search_spaces.target import parse_target
from search_spaces.variant import VARIANTS, Variant

STREAM = VARIANTS["released-stream"]


def problem_of(space, target, *, variant=STREAM, num_classes=7):
    return Problem(space=space, variant=variant, target=parse_target(target), num_classes=num_classes, seed=0)


def at_share(space, text, share):
    """The problem whose target lies so far from the least to the greatest cost."""
    problem = problem_of(space, text)
    low, high = problem.target.bounds(space, STREAM, num_classes=7)
    return replace(problem, target=replace(problem.target, value=low + share * (high - low)))


def likelihoods(problem, logits_DC, rows_ND):
    return np.exp(controller.log_probability(problem.space, logits_DC, rows_ND))


@pytest.mark.parametrize("text", ["macs=1/clip", "paper_gflops=1/s", "params=1", "state=1@fp16"])
@pytest.mark.parametrize("space", [TINY, TINY_CLIPS], ids=["fixed", "decided"])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_the_mean_cost_over_every_genotype_is_the_target(space, text, share):
    problem, rows_ND = at_share(space, text, share), every_row(space)
    chance_N = likelihoods(problem, at_target(problem), rows_ND)
    assert chance_N.sum() == pytest.approx(1)
    assert chance_N @ problem.ratios(rows_ND) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("share", [0.15, 0.7])
@pytest.mark.parametrize("space", [replace(TINY, blocks=TINY.blocks[:1]), TINY_CLIPS], ids=["fixed", "decided"])
def test_no_other_policy_of_that_mean_is_nearer_to_the_uniform_one(space, share):
    """At the least divergence, its slopes by the logits are those of the mean cost but for a factor."""
    problem, rows_ND = at_share(space, "macs=1/clip", share), every_row(space)
    costs_N = problem.ratios(rows_ND)
    even_N = controller.log_probability(space, uniform(problem), rows_ND)
    logits_DC = at_target(problem)

    def divergence_and_cost(logits_DC):
        log_N = controller.log_probability(space, logits_DC, rows_ND)
        return np.array([np.exp(log_N) @ (log_N - even_N), np.exp(log_N) @ costs_N])

    slopes = []
    for column, choice in np.argwhere(np.isfinite(logits_DC)):
        step_DC = np.zeros_like(logits_DC)
        step_DC[column, choice] = 1e-4
        slopes.append((divergence_and_cost(logits_DC + step_DC) - divergence_and_cost(logits_DC - step_DC)) / 2e-4)
    of_divergence, of_cost = np.array(slopes).T
    cosine = of_divergence @ of_cost / np.linalg.norm(of_divergence) / np.linalg.norm(of_cost)
    assert abs(cosine) == pytest.approx(1, abs=1e-6)
    assert divergence_and_cost(logits_DC)[0] > 0.01


def test_a_target_at_the_mean_of_uniform_draws_leaves_the_policy_uniform():
    problem = problem_of(NANO, "macs=1/clip")
    mean, _ = problem.mean_cost(controller.probabilities(uniform(problem)))
    found_DC = at_target(replace(problem, target=replace(problem.target, value=mean)))
    np.testing.assert_allclose(
        controller.probabilities(found_DC), controller.probabilities(uniform(problem)), atol=1e-6
    )


def test_the_published_cost_of_a2_is_reached_with_little_loss_of_entropy():
    problem = problem_of(A2, "macs=11558071168/clip", variant=Variant(), num_classes=600)
    assert problem.target.value == problem.target.cost(published("A2"), Variant(), num_classes=600)
    logits_DC = at_target(problem)
    np.testing.assert_array_equal(logits_DC, at_target(problem))
    drawn_ND = controller.sample(A2, logits_DC, np.random.default_rng(0), 4000)
    ratios_N = problem.ratios(drawn_ND)
    assert abs(ratios_N.mean() - 1) < 4 * ratios_N.std() / len(ratios_N) ** 0.5
    assert min(controller.entropies(A2, logits_DC).values()) > 0.85
    even_N = problem.ratios(A2.sample_indices(np.random.default_rng(0), 4000))
    assert even_N.mean() > 1.5


def test_a_target_outside_the_space_has_no_start():
    with pytest.raises(
        InfeasibleTargetError, match=r"^a start at the target must have it for its mean cost, .* macs=1M/clip$"
    ):
        at_target(problem_of(A2, "macs=1M/clip"))


def test_the_names_of_starts():
    problem = problem_of(TINY, "macs=1M/clip")
    assert list(STARTS) == ["uniform", "at-target"]
    np.testing.assert_array_equal(STARTS["uniform"](problem), controller.initial_logits(TINY))
