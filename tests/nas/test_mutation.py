import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import TINY, spaces_and_indices

from nas.mutation import mutated
from search_spaces.movinet import A2


@settings(max_examples=50)
@given(spaces_and_indices(), st.integers(0, 1 << 16))
def test_a_mutation_is_a_neighbour(drawn, seed):
    space, indices_ND = drawn
    for before_D, after_D in zip(indices_ND, mutated(space, indices_ND, np.random.default_rng(seed)), strict=True):
        neighbours = list(space.neighbours(space.genotype(before_D)))
        assert space.genotype(after_D) in neighbours or not neighbours


def test_every_neighbour_is_reached_and_decisions_are_drawn_evenly():
    row_D = TINY.sample_indices(np.random.default_rng(1), 1)[0]
    genotype = TINY.genotype(row_D)
    children_ND = mutated(TINY, np.repeat(row_D[None], 4000, axis=0), np.random.default_rng(0))
    found = [TINY.genotype(child_D) for child_D in children_ND]
    neighbours = list(TINY.neighbours(genotype))
    counts = [found.count(neighbour) for neighbour in neighbours]
    assert sum(counts) == 4000
    # every decision of this space that has a choice has two, so neighbours are equally likely
    assert min(counts) > 0.8 * 4000 / len(neighbours)


def test_parents_stay_as_they_were():
    rows_ND = A2.sample_indices(np.random.default_rng(0), 20)
    before_ND = rows_ND.copy()
    mutated(A2, rows_ND, np.random.default_rng(0))
    np.testing.assert_array_equal(rows_ND, before_ND)
