import dataclasses

import numpy as np
import pytest
from made_spaces import TINY

from nas import controller
from nas.policy_search import PolicySearch
from nas.problem import Problem
from nas.reinforce import STATE, ControllerConfig
from nas.select import SelectionConfig, candidates_to_compare, random_baseline, select
from results.records import CandidateRecord
from search_spaces.errors import InfeasibleTargetError, UsageError
from search_spaces.movinet import A2
from search_spaces.strict_json import canonical, loads
from search_spaces.target import parse_target
from search_spaces.variant import VARIANTS, Variant

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


def rows_of(problem, logits_DC, config):
    """What is compared at the end of a search whose policy has these logits."""
    policy = PolicySearch(problem, ControllerConfig(), num_steps=1, start="uniform")
    document = loads(policy.state()[STATE])
    counts = [len(decision.choices) for decision in problem.space.decisions]
    document["logits"] = [row_C[:count].tolist() for row_C, count in zip(logits_DC, counts, strict=True)]
    policy.restore({STATE: canonical(document).encode()})
    return candidates_to_compare(problem, policy, config)


def test_what_exceeds_a_limit_is_not_selected():
    compared = (
        dataclasses.replace(record("argmax", 0.9, fingerprint="argmax"), limit_ratios=(0.5, 1.001)),
        dataclasses.replace(record("policy", 0.4, fingerprint="at the limits"), limit_ratios=(1.0, 1.0)),
        dataclasses.replace(record("front", 0.8, 0.5, fingerprint="cheap"), limit_ratios=(0.5, 0.5)),
        dataclasses.replace(record("random", 0.5), limit_ratios=(0.5, 0.5)),
        dataclasses.replace(record("unlimited", 0.6), limit_ratios=(0.5, 3.0)),
        dataclasses.replace(record("unlimited", 0.8), limit_ratios=(0.5, 3.0)),
    )
    found = select(compared, SelectionConfig())
    assert (found.found, found.found_limit_ratios, found.argmax_limit_ratios) == (
        "at the limits",
        (1.0, 1.0),
        (0.5, 1.001),
    )
    assert (found.random_quality_mean, found.num_random) == (0.5, 1)
    assert (found.unlimited_quality_mean, found.unlimited_quality_best) == (pytest.approx(0.7), 0.8)
    assert select(compared[1:2] + compared[:1] + compared[3:4], SelectionConfig()).unlimited_quality_mean is None


STREAM = dataclasses.replace(
    PROBLEM, variant=VARIANTS["released-stream"], limits=(parse_target("state=10MB@fp16"), parse_target("params=6M"))
)


def test_limits_are_kept_by_all_but_argmax_and_unlimited():
    rows = rows_of(STREAM, uniform(STREAM), CONFIG)
    assert [origin for origin, _ in rows] == ["argmax"] + ["policy"] * 6 + ["random"] * 5 + ["unlimited"] * 5
    kept_ND = np.stack([row_D for origin, row_D in rows if origin in ("policy", "random")])
    assert STREAM.limit_ratios(kept_ND).max() <= 1.0
    free_ND = np.stack([row_D for origin, row_D in rows if origin == "unlimited"])
    assert STREAM.limit_ratios(free_ND).max() > 1.0
    assert np.abs(STREAM.ratios(free_ND) - 1).max() <= CONFIG.random_tolerance


def test_limits_that_no_architecture_keeps_together_are_refused():
    # 20,000 parameters are within reach, but not beside as many multiply-adds
    greedy = dataclasses.replace(SMALL, limits=(parse_target("params=20k"),), num_classes=10)
    greedy.check_feasible()
    with pytest.raises(
        InfeasibleTargetError,
        match=r"but found none for macs=4M/clip, at most params=20k; take higher limits, or a target nearer to the "
        r"median$",
    ):
        random_baseline(greedy, CONFIG)


def uniform(problem):
    return controller.initial_logits(problem.space)


def test_what_is_compared_is_at_the_targets_cost():
    logits_DC = uniform(PROBLEM)
    rows = rows_of(PROBLEM, logits_DC, CONFIG)
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
        [row_D.tolist() for _, row_D in rows_of(problem, logits_DC, CONFIG)]
        for problem in (PROBLEM, PROBLEM, dataclasses.replace(PROBLEM, seed=8))
    )
    assert first == again
    assert first[1:] != other[1:]


def test_draws_of_the_policy_are_the_likeliest_first():
    logits_DC = uniform(PROBLEM) + np.random.default_rng(0).normal(0, 0.3, (len(A2.decisions), 10))
    rows = rows_of(PROBLEM, logits_DC, CONFIG)
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
    rows = rows_of(SMALL, certain(SMALL, indices_D), dataclasses.replace(CONFIG, num_policy=1))
    assert [origin for origin, _ in rows] == ["argmax"] + ["random"] * 5
    np.testing.assert_array_equal(rows[0][1], indices_D)


def test_a_policy_that_never_draws_the_target_is_helped_out_by_random_architectures():
    indices_D = genotype_at(SMALL, nearest=1.8)
    logits_DC = certain(SMALL, indices_D)
    rows = rows_of(SMALL, logits_DC, CONFIG)
    assert [origin for origin, _ in rows] == ["argmax"] + ["stand-in"] * 6 + ["random"] * 5
    np.testing.assert_array_equal(rows[0][1], indices_D)
    assert abs(SMALL.ratios(rows[0][1][None])[0] - 1) > CONFIG.tolerance
    policy_ND = np.stack([row_D for origin, row_D in rows if origin == "stand-in"])
    assert np.abs(SMALL.ratios(policy_ND) - 1).max() <= CONFIG.tolerance
    likelihood_N = controller.log_probability(TINY, logits_DC, policy_ND)
    assert (np.diff(likelihood_N) <= 0).all()


def test_where_the_cost_is_rare_the_random_architectures_are_enough():
    # the least cost of the space, which few genotypes have
    low = int(SMALL.target.bounds(TINY, SMALL.variant, num_classes=600)[0])
    rare = dataclasses.replace(SMALL, target=parse_target(f"macs={low}/clip"))
    logits_DC = certain(rare, genotype_at(rare, nearest=1.8))
    config = dataclasses.replace(CONFIG, tolerance=1e-6, random_tolerance=1e-6)
    rows = rows_of(rare, logits_DC, config)
    assert {origin for origin, _ in rows} == {"argmax", "stand-in", "random"}
    assert all(rare.costs(row_D[None])[0] == low for origin, row_D in rows if origin != "argmax")


def test_a_cost_that_no_architecture_has_is_refused():
    absent = dataclasses.replace(SMALL, target=parse_target("macs=20M/clip"))
    with pytest.raises(
        InfeasibleTargetError,
        match=r"^random draws must find architectures within 2% of the target in space tiny, whose macs have min .*, "
        r"median .*, max .* but found none for macs=20M/clip; take a target nearer to the median$",
    ):
        rows_of(absent, uniform(absent), CONFIG)


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
