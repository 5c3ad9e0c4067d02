import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import spaces_and_indices

from nas.warmup import WarmupConfig, warmup_probability, widen
from search_spaces.errors import UsageError
from search_spaces.movinet import NANO
from search_spaces.space import SearchSpace
from search_spaces.variant import Variant


def layers_of(space: SearchSpace, genotype):
    return {
        f"block{block}.layer{layer}"
        for block in range(2, len(space.blocks) + 2)
        for layer in range(1, genotype[f"block{block}.depth"] + 1)
    }


@pytest.mark.parametrize(
    ("step", "probability"), [(0, 1.0), (10, 0.9), (50, 0.5), (99, 0.01), (100, 0.0), (101, 0.0), (399, 0.0)]
)
def test_the_probability_falls_linearly(step, probability):
    assert warmup_probability(step, num_steps=400, fraction=0.25) == pytest.approx(probability)


def test_there_may_be_no_warmup():
    assert warmup_probability(0, num_steps=400, fraction=0.0) == 0.0


@pytest.mark.parametrize("name", ["op_fraction", "filter_fraction"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_bad_fraction_is_refused(name, value):
    with pytest.raises(UsageError, match=rf"^warmup\.{name} must be in \[0, 1\], but got {value}$"):
        WarmupConfig(**{name: value})


def test_edges_of_a_fraction():
    assert (WarmupConfig(op_fraction=0, filter_fraction=1)).filter_fraction == 1


@settings(max_examples=100)
@given(spaces_and_indices(), st.integers(0, 99))
def test_without_probability_nothing_changes(drawn, seed):
    space, indices_ND = drawn
    genotype = space.genotype(indices_ND[0])
    widened, mixed = widen(space, genotype, np.random.default_rng(seed), op_probability=0.0, filter_probability=0.0)
    assert widened == genotype
    assert mixed == frozenset()


@settings(max_examples=100)
@given(spaces_and_indices(), st.integers(0, 99))
def test_with_certainty_everything_is_at_its_largest_and_mixed(drawn, seed):
    space, indices_ND = drawn
    genotype = space.genotype(indices_ND[0])
    widened, mixed = widen(space, genotype, np.random.default_rng(seed), op_probability=1.0, filter_probability=1.0)
    for decision in space.decisions:
        if decision.group in ("depth", "width", "expansion"):
            assert widened[decision.name] == max(decision.choices)
    assert mixed == layers_of(space, widened)
    largest, spec = space.largest_widths(), space.decode(widened, Variant()).spec
    assert [len(block.layers) for block in spec.blocks] == [len(block.layers) for block in largest.blocks]


@settings(max_examples=200)
@given(spaces_and_indices(), st.integers(0, 1 << 32), st.floats(0, 1), st.floats(0, 1))
def test_the_result_is_always_an_architecture_no_smaller_than_the_sample(drawn, seed, op, filters):
    space, indices_ND = drawn
    genotype = space.genotype(indices_ND[0])
    before = dict(genotype)
    widened, mixed = widen(space, genotype, np.random.default_rng(seed), op_probability=op, filter_probability=filters)
    assert genotype == before
    space.indices(widened)
    assert mixed <= layers_of(space, widened)
    for name, choice in genotype.items():
        if name.endswith((".kernel", ".se")):
            assert widened[name] == choice
        else:
            assert widened[name] >= choice
    for name in widened.keys() - genotype.keys():
        if name.endswith((".kernel", ".se")):
            block, _, group = name.split(".")
            assert widened[name] == genotype[f"{block}.layer{genotype[f'{block}.depth']}.{group}"]


def test_decisions_are_widened_independently_with_the_stated_probability():
    rng = np.random.default_rng(0)
    genotype = NANO.genotype(np.zeros(len(NANO.decisions), dtype=np.int8))
    runs = [widen(NANO, genotype, rng, op_probability=0.2, filter_probability=0.6) for _ in range(2000)]
    wide = np.array([[widened["block2.width"] == 1.25, widened["head.width"] == 1.25] for widened, _ in runs])
    np.testing.assert_allclose(wide.mean(axis=0), 0.6, atol=0.05)
    assert abs(np.corrcoef(wide.T)[0, 1]) < 0.1
    deep = np.array([widened["block3.depth"] == 3 for widened, _ in runs])
    assert deep.mean() == pytest.approx(0.6, abs=0.05)
    mixed = np.array([["block3.layer1" in mixed, "block4.layer1" in mixed] for _, mixed in runs])
    np.testing.assert_allclose(mixed.mean(axis=0), 0.2, atol=0.04)
    assert abs(np.corrcoef(mixed.T)[0, 1]) < 0.1


def test_the_number_of_draws_does_not_depend_on_the_genotype():
    shallow = NANO.genotype(np.zeros(len(NANO.decisions), dtype=np.int8))
    deep = {**shallow, **widen(NANO, shallow, np.random.default_rng(0), op_probability=0, filter_probability=1)[0]}
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    widen(NANO, shallow, first, op_probability=0.5, filter_probability=0.5)
    widen(NANO, deep, second, op_probability=0.5, filter_probability=0.5)
    assert first.random() == second.random()
