import numpy as np
import pytest
from made_spaces import TINY, every_row

from nas.problem import Problem
from search_spaces.cost import cost
from search_spaces.errors import InfeasibleTargetError, SpecError, TargetError
from search_spaces.movinet import A2
from search_spaces.target import parse_target
from search_spaces.variant import VARIANTS, Variant


def problem(target="macs=4M/clip", **change):
    settings = {"space": TINY, "variant": Variant(), "num_classes": 10, "seed": 3, **change}
    return Problem(target=parse_target(target), **settings)


def test_candidates_costs_and_ratios_agree():
    indices_ND = TINY.sample_indices(np.random.default_rng(0), 20)
    for indices_D, found, ratio in zip(
        indices_ND, problem().costs(indices_ND), problem().ratios(indices_ND), strict=True
    ):
        candidate = problem().candidate(indices_D)
        assert candidate.genotype == TINY.genotype(indices_D)
        assert found == problem().full_cost(candidate).macs
        assert problem().full_cost(candidate) == cost(candidate.spec, Variant(), num_classes=10)
        assert ratio == found / 4e6


def test_costs_are_those_of_the_problems_variant():
    stream = problem("state=9kB@fp16", variant=VARIANTS["released-stream"])
    for indices_D in TINY.sample_indices(np.random.default_rng(0), 20):
        spec = stream.candidate(indices_D).spec
        expected = cost(spec, stream.variant, num_classes=10, dtype="fp16").stream_state_bytes
        assert stream.costs(indices_D[None]).tolist() == [expected]
    stream.check_feasible()


def test_a_target_outside_names_bytes_of_state():
    with pytest.raises(InfeasibleTargetError, match=r"whose bytes of state have min 676, .* got state=9B@fp16$"):
        problem("state=9B@fp16", variant=VARIANTS["released-stream"]).check_feasible()


def test_a_target_of_state_is_for_networks_that_stream():
    with pytest.raises(TargetError, match=r"must go with a variant that streams, .* but got state=2MiB@fp16$"):
        problem("state=2MiB@fp16")


def test_a_variant_that_does_not_fit_the_space_is_refused():
    with pytest.raises(SpecError, match=r"^kernels: must have no extent in time"):
        problem(variant=Variant(temporal_shift=True)).check_feasible()


def test_the_number_of_classes_counts():
    indices_ND = TINY.sample_indices(np.random.default_rng(0), 1)
    more = problem(num_classes=15).costs(indices_ND) - problem().costs(indices_ND)
    assert more == 5 * TINY.dense_width


def test_statistics_agree_with_the_whole_space():
    costs_N = problem().costs(every_row(TINY))
    low, median, high, percentile = problem().statistics()
    assert (low, high) == (costs_N.min(), costs_N.max())
    assert low < median < high
    assert problem().statistics() == (low, median, high, percentile)
    assert problem(seed=4).statistics() == (low, median, high, percentile)
    draws_N = problem().costs(TINY.sample_indices(np.random.default_rng(1), 20_000))
    assert median == pytest.approx(np.median(draws_N), rel=0.02)
    assert percentile == pytest.approx(100 * (draws_N < 4e6).mean(), abs=2)


def test_a_target_at_the_edges_is_feasible():
    low, _, high, _ = problem().statistics()
    for value in (low, high):
        problem(f"macs={value:.0f}/clip").check_feasible()


@pytest.mark.parametrize("target", ["macs=2.13M/clip", "macs=8.95M/clip"])
def test_a_target_outside_is_refused_with_the_costs_of_the_space(target):
    with pytest.raises(
        InfeasibleTargetError,
        match=rf"^target must lie within space tiny, whose macs have min 2\.13174e\+06, median 4\.4\d+e\+06, "
        rf"max 8\.94838e\+06 in the target's unit, but got {target}$",
    ):
        problem(target).check_feasible()


def test_units_of_the_message_are_the_targets():
    with pytest.raises(
        InfeasibleTargetError, match=r"whose paper_gflops have min 0\.0\d+, .* but got paper_gflops=9/frame$"
    ):
        problem("paper_gflops=9/frame", space=A2).check_feasible()


def limited(*limits, target="macs=4M/clip"):
    return problem(target, variant=VARIANTS["released-stream"], limits=tuple(map(parse_target, limits)))


def test_limit_ratios_and_the_budget_agree_with_the_costs():
    stream = limited("state=50kB@fp16", "params=42k")
    rows_ND = TINY.sample_indices(np.random.default_rng(0), 300)
    specs = [stream.candidate(indices_D).spec for indices_D in rows_ND]
    costs = [cost(spec, stream.variant, num_classes=10, dtype="fp16") for spec in specs]
    ratios_NL = stream.limit_ratios(rows_ND)
    np.testing.assert_allclose(ratios_NL, [(one.stream_state_bytes / 50e3, one.params / 42e3) for one in costs])
    inside = [
        abs(one.macs / 4e6 - 1) <= 0.1 and one.stream_state_bytes <= 50_000 and one.params <= 42_000 for one in costs
    ]
    assert stream.inside(rows_ND, tolerance=0.1).tolist() == inside
    assert 0 < sum(inside) < sum(abs(one.macs / 4e6 - 1) <= 0.1 for one in costs)
    excess_N = stream.excess(rows_ND, tolerance=0.1)
    assert (excess_N == 0).tolist() == inside
    by_hand = [
        max(0, abs(one.macs / 4e6 - 1) - 0.1)
        + max(0, one.stream_state_bytes / 50e3 - 1)
        + max(0, one.params / 42e3 - 1)
        for one in costs
    ]
    np.testing.assert_allclose(excess_N, by_hand, atol=1e-12)


def test_a_limit_below_the_space_is_refused():
    limited("state=676B@fp16").check_feasible()
    with pytest.raises(
        InfeasibleTargetError,
        match=r"^a limit must be at least the minimum of space tiny, whose bytes of state have min 676, .*, but got "
        r"state=675B@fp16$",
    ):
        limited("state=1MB@fp16", "state=675B@fp16").check_feasible()


@pytest.mark.parametrize("limit", ["state=2MiB@fp16", "activations=2MiB/frame@fp16"])
def test_a_limit_of_streams_is_for_networks_that_stream(limit):
    with pytest.raises(TargetError, match=rf"must go with a variant that streams, .* but got {limit}$"):
        problem(limits=(parse_target(limit),))
