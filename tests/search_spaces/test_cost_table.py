import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import TINY, TINY_CHOSEN, TINY_CLIPS, TINY_CONVS, clips, every_row, spaces_and_indices, variants

from search_spaces.cost import cost, part_costs
from search_spaces.cost_table import CHUNK, CostTable, cost_table
from search_spaces.errors import SpaceError, SpecError
from search_spaces.movinet import A2, NANO
from search_spaces.variant import VARIANTS, Variant

EXACT = ("macs", "params", "stream_buffer_bytes", "stream_state_bytes", "peak_activation_bytes")
METRICS = (*EXACT, "paper_half_macs")
BASE = Variant()


def slow_costs(space, variant, indices_ND, *, num_classes, clip=None, dtype="fp32"):
    """Cost of every genotype through its spec: metric to integers."""
    found = {metric: [] for metric in METRICS}
    for indices_D in indices_ND:
        candidate = space.decode(space.genotype(indices_D), variant)
        parts = part_costs(candidate.spec, candidate.variant, num_classes=num_classes, clip=clip).values()
        costs = cost(candidate.spec, candidate.variant, num_classes=num_classes, clip=clip, dtype=dtype)
        for metric in EXACT:
            found[metric].append(getattr(costs, metric))
        found["paper_half_macs"].append(sum(2 * part.macs + part.extra_half_macs for part in parts))
    return found


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("space", [A2, NANO], ids=["a2", "nano"])
def test_tables_equal_the_costs_of_200_random_specs(space, variant):
    indices_ND = space.sample_indices(np.random.default_rng(5), 200)
    expected = slow_costs(space, variant, indices_ND, num_classes=600)
    for metric in METRICS:
        table = CostTable(space, variant, metric=metric, num_classes=600)
        assert table.costs(indices_ND).tolist() == expected[metric]


@settings(max_examples=200)
@given(
    spaces_and_indices(),
    variants() | variants(streaming=True),
    st.integers(1, 700),
    st.none() | clips(),
    st.sampled_from(("fp32", "bf16")),
)
def test_tables_equal_the_costs_in_any_space_and_variant(drawn, variant, num_classes, clip, dtype):
    space, indices_ND = drawn
    expected = slow_costs(space, variant, indices_ND, num_classes=num_classes, clip=clip, dtype=dtype)
    for metric in METRICS:
        table = CostTable(space, variant, metric=metric, num_classes=num_classes, clip=clip, dtype=dtype)
        assert table.costs(indices_ND).tolist() == expected[metric]


@pytest.mark.parametrize(
    ("space", "variant"),
    [
        (TINY, BASE),
        (TINY_CHOSEN, BASE),
        (TINY, VARIANTS["released-stream"]),
        (TINY_CLIPS, VARIANTS["released-stream"]),
        (TINY_CONVS, VARIANTS["paper-stream"]),
    ],
    ids=["of_base", "of_chosen", "stream", "clips", "convs"],
)
def test_bounds_equal_brute_force(space, variant):
    expected = slow_costs(space, variant, every_row(space), num_classes=7)
    for metric in METRICS:
        found = CostTable(space, variant, metric=metric, num_classes=7).bounds()
        assert found == (min(expected[metric]), max(expected[metric]))


@settings(max_examples=100)
@given(spaces_and_indices(), variants())
def test_bounds_hold_everything(drawn, variant):
    space, indices_ND = drawn
    for metric in METRICS:
        table = CostTable(space, variant, metric=metric, num_classes=7)
        low, high = table.bounds()
        assert low <= table.costs(indices_ND).min()
        assert table.costs(indices_ND).max() <= high


@pytest.mark.parametrize("num", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_large_populations_are_costed_in_chunks(num):
    table = CostTable(NANO, BASE, metric="macs", num_classes=10)
    indices_ND = NANO.sample_indices(np.random.default_rng(1), 2 * CHUNK + 3)[:num]
    costs_N = table.costs(indices_ND)
    assert costs_N.shape == (num,)
    assert costs_N.dtype == np.int64
    rows = [row for row in (0, CHUNK - 1, CHUNK, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 2) if row < num]
    assert costs_N[rows].tolist() == slow_costs(NANO, BASE, indices_ND[rows], num_classes=10)["macs"]
    parts = [table.costs(part_ND) for part_ND in np.array_split(indices_ND, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), costs_N)


def test_a_table_is_built_once_for_equal_arguments():
    first = cost_table(TINY, BASE, metric="macs", num_classes=7)
    assert cost_table(dataclasses.replace(TINY), Variant(), metric="macs", num_classes=7) is first
    assert cost_table(TINY, BASE, metric="params", num_classes=7) is not first
    assert cost_table(TINY, Variant(conv="2plus1d"), metric="macs", num_classes=7) is not first
    clip = dataclasses.replace(TINY.clip, num_frames=5)
    assert cost_table(TINY, BASE, metric="macs", num_classes=7, clip=clip) is not first


def test_a_space_of_longer_kernels_has_no_temporal_shift():
    with pytest.raises(SpecError, match=r"^kernels: must have no extent in time .* temporal shift, but got 5x1x1$"):
        CostTable(TINY, Variant(temporal_shift=True), metric="macs", num_classes=7)
    still = dataclasses.replace(TINY, kernels=("1x3x3", "1x5x5"))
    shift = Variant(causal=True, se="none", temporal_shift=True)
    table = CostTable(still, shift, metric="stream_buffer_bytes", num_classes=7)
    rows_ND = still.sample_indices(np.random.default_rng(0), 50)
    expected = slow_costs(still, shift, rows_ND, num_classes=7)["stream_buffer_bytes"]
    assert table.costs(rows_ND).tolist() == expected
    assert min(expected) > 0


def test_costs_far_above_32_bits_are_exact():
    clip = dataclasses.replace(A2.clip, num_frames=1 << 14, resolution=4096)
    indices_ND = A2.sample_indices(np.random.default_rng(2), 5)
    expected = slow_costs(A2, BASE, indices_ND, num_classes=600, clip=clip)["macs"]
    assert min(expected) > 1 << 40
    assert CostTable(A2, BASE, metric="macs", num_classes=600, clip=clip).costs(indices_ND).tolist() == expected


def test_a_space_of_too_many_costs_is_refused_before_any_is_computed():
    numbers = tuple(1.0 + number / 64 for number in range(64))
    kernels = tuple(f"{time}x{height}x{height}" for time in (1, 3, 5, 7) for height in (1, 3, 5, 7, 9, 11, 13, 15))
    space = dataclasses.replace(NANO, expansions=numbers, width_multipliers=numbers, kernels=kernels)
    with pytest.raises(SpaceError, match=r"at most 1,048,576 costs .* but space nano has \d\d,\d{3},\d{3}"):
        CostTable(space, BASE, metric="macs", num_classes=7)
