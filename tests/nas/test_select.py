import dataclasses

import numpy as np
import pytest
from made_spaces import TINY

from nas import controller
from nas.problem import Problem
from nas.select import SelectionConfig, candidates_to_compare, select
from results.records import CandidateRecord
from search_spaces.errors import InfeasibleTargetError, UsageError
from search_spaces.movinet import A2
from search_spaces.target import parse_target
from search_spaces.variant import Variant

PROBLEM = Problem(space=A2, variant=Variant(), target=parse_target("macs=18G/clip"), num_classes=600, seed=7)
SMALL = dataclasses.replace(PROBLEM, space=TINY, target=parse_target("macs=4M/clip"))
CONFIG = SelectionConfig(num_policy=6, num_random=5)


def record(origin, quality, ratio=1.0, fingerprint="a" * 64):
    return CandidateRecord(
        origin=origin,
        genotype={"head.width": 1.0},
        fingerprint=fingerprint,
        cost=4e6 * ratio,
        ratio=ratio,
        quality=quality,
        num_clips=100,
    )


def test_the_best_of_argmax_and_policy_within_the_tolerance_is_selected():
    found = select(
        (
            record("argmax", 0.5, 1.01, "argmax"),
            record("policy", 0.6, 0.98, "found"),
            record("policy", 0.9, 1.04, "too expensive"),
            record("policy", 0.8, 0.96, "too cheap"),
            record("random", 0.95, 1.0, "random"),
            record("random", 0.35, 1.0, "random too"),
        ),
        SelectionConfig(tolerance=0.03),
    )
    assert (found.found, found.found_cost, found.found_ratio, found.found_quality) == ("found", 4e6 * 0.98, 0.98, 0.6)
    assert (found.argmax_fingerprint, found.argmax_ratio) == ("argmax", 1.01)
    assert (found.random_quality_mean, found.random_quality_best, found.num_random) == (pytest.approx(0.65), 0.95, 2)


def test_an_argmax_outside_the_tolerance_is_not_selected():
    compared = (
        record("argmax", 0.9, 1.031, "argmax"),
        record("policy", 0.1, 1.03, "policy"),
        record("random", 0.2),
    )
    found = select(compared, SelectionConfig(tolerance=0.03))
    assert found.found == "policy"
    assert found.argmax_ratio == 1.031
    assert select(compared, SelectionConfig(tolerance=0.04)).found == "argmax"


@pytest.mark.parametrize("ratio", [0.97, 1.03])
def test_the_edge_of_the_tolerance_is_inside(ratio):
    found = select((record("argmax", 0.9, ratio), record("random", 0.1)), SelectionConfig(tolerance=0.03))
    assert found.found_ratio == ratio


def test_of_equals_the_first_and_so_the_likelier_is_selected():
    compared = tuple(record("policy", 0.5, 1.0, name) for name in "abc")
    found = select((record("argmax", 0.5, 1.0, "argmax"), *compared, record("random", 0.5)), SelectionConfig())
    assert found.found == "argmax"
    found = select((record("argmax", 0.4, 1.0, "argmax"), *compared, record("random", 0.5)), SelectionConfig())
    assert found.found == "a"


def uniform(problem):
    return controller.initial_logits(problem.space)


def test_what_is_compared_is_at_the_targets_cost():
    logits_DC = uniform(PROBLEM)
    rows = candidates_to_compare(PROBLEM, logits_DC, CONFIG)
    assert [origin for origin, _ in rows] == ["argmax"] + ["policy"] * 6 + ["random"] * 5
    np.testing.assert_array_equal(rows[0][1], controller.most_likely(A2, logits_DC))
    policy_ND = np.stack([row_D for origin, row_D in rows if origin == "policy"])
    random_ND = np.stack([row_D for origin, row_D in rows if origin == "random"])
    assert np.abs(PROBLEM.ratios(policy_ND) - 1).max() <= CONFIG.tolerance
    assert np.abs(PROBLEM.ratios(random_ND) - 1).max() <= CONFIG.random_tolerance
    for rows_ND in (policy_ND, random_ND):
        assert len(np.unique(rows_ND, axis=0)) == len(rows_ND)


def test_equal_seeds_compare_equal_architectures():
    logits_DC = uniform(PROBLEM)
    first, again, other = (
        [row_D.tolist() for _, row_D in candidates_to_compare(problem, logits_DC, CONFIG)]
        for problem in (PROBLEM, PROBLEM, dataclasses.replace(PROBLEM, seed=8))
    )
    assert first == again
    assert first[1:] != other[1:]


def test_draws_of_the_policy_are_the_likeliest_first():
    logits_DC = uniform(PROBLEM) + np.random.default_rng(0).normal(0, 0.3, (len(A2.decisions), 10))
    rows = candidates_to_compare(PROBLEM, logits_DC, CONFIG)
    policy_ND = np.stack([row_D for origin, row_D in rows if origin == "policy"])
    likelihood_N = controller.log_probability(A2, logits_DC, policy_ND)
    assert (np.diff(likelihood_N) <= 0).all()
    random_ND = np.stack([row_D for origin, row_D in rows if origin == "random"])
    assert likelihood_N.min() > np.median(controller.log_probability(A2, logits_DC, random_ND))


def certain(problem, indices_D):
    """A policy that draws one genotype only."""
    logits_DC = uniform(problem)
    logits_DC[np.arange(len(logits_DC)), indices_D] = 60.0
    return logits_DC


def genotype_at(problem, *, nearest):
    indices_ND = problem.space.sample_indices(np.random.default_rng(0), 20_000)
    return indices_ND[np.argmin(np.abs(problem.ratios(indices_ND) - nearest))]


def test_a_policy_sure_of_the_target_is_compared_once():
    indices_D = genotype_at(SMALL, nearest=1.0)
    rows = candidates_to_compare(SMALL, certain(SMALL, indices_D), dataclasses.replace(CONFIG, num_policy=1))
    assert [origin for origin, _ in rows] == ["argmax"] + ["random"] * 5
    np.testing.assert_array_equal(rows[0][1], indices_D)


def test_a_policy_that_never_draws_the_target_is_helped_out_by_random_architectures():
    indices_D = genotype_at(SMALL, nearest=1.8)
    logits_DC = certain(SMALL, indices_D)
    rows = candidates_to_compare(SMALL, logits_DC, CONFIG)
    assert [origin for origin, _ in rows] == ["argmax"] + ["policy"] * 6 + ["random"] * 5
    np.testing.assert_array_equal(rows[0][1], indices_D)
    assert abs(SMALL.ratios(rows[0][1][None])[0] - 1) > CONFIG.tolerance
    policy_ND = np.stack([row_D for origin, row_D in rows if origin == "policy"])
    assert np.abs(SMALL.ratios(policy_ND) - 1).max() <= CONFIG.tolerance
    likelihood_N = controller.log_probability(TINY, logits_DC, policy_ND)
    assert (np.diff(likelihood_N) <= 0).all()


def test_where_the_cost_is_rare_the_random_architectures_are_enough():
    # the least cost of the space, which few genotypes have
    low = int(SMALL.target.bounds(TINY, SMALL.variant, num_classes=600)[0])
    rare = dataclasses.replace(SMALL, target=parse_target(f"macs={low}/clip"))
    logits_DC = certain(rare, genotype_at(rare, nearest=1.8))
    config = dataclasses.replace(CONFIG, tolerance=1e-6, random_tolerance=1e-6)
    rows = candidates_to_compare(rare, logits_DC, config)
    assert {origin for origin, _ in rows} == {"argmax", "policy", "random"}
    assert all(rare.costs(row_D[None])[0] == low for origin, row_D in rows if origin != "argmax")


def test_a_cost_that_no_architecture_has_is_refused():
    absent = dataclasses.replace(SMALL, target=parse_target("macs=20M/clip"))
    with pytest.raises(
        InfeasibleTargetError,
        match=r"^random draws must find architectures within 2% of the target in space tiny, whose macs have min .*, "
        r"median .*, max .* but found none for macs=20M/clip; take a target nearer to the median$",
    ):
        candidates_to_compare(absent, uniform(absent), CONFIG)


TOLERANCES = r"^selection\.tolerance must be below 1 and random_tolerance above 0 and at most tolerance, but got "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_policy": 0}, r"^selection\.num_policy and num_random must be at least 1, but got "),
        ({"num_random": 0}, r"^selection\.num_policy and num_random must be at least 1, but got "),
        ({"tolerance": 0.0}, TOLERANCES + r"0\.0 and 0\.02$"),
        ({"tolerance": 1.0}, TOLERANCES + r"1\.0 and 0\.02$"),
        ({"tolerance": float("nan")}, TOLERANCES + r"nan and 0\.02$"),
        ({"random_tolerance": 0.0}, TOLERANCES + r"0\.03 and 0\.0$"),
        ({"random_tolerance": 0.04}, TOLERANCES + r"0\.03 and 0\.04$"),
    ],
)
def test_a_bad_selection_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        SelectionConfig(**change)
