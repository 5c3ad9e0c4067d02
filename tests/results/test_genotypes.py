import made_runs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.genotypes import DIGITS, choice_numbers, pack, unpack
from search_spaces.errors import JournalError
from search_spaces.movinet import find_space
from search_spaces.randomness import generator


@pytest.mark.parametrize("name", ["nano", "a2", "a5"])
def test_genotypes_of_a_space_come_back(name):
    space = find_space(name)
    decisions = {decision.name: decision.choices for decision in space.decisions}
    rows_ND = space.sample_indices(generator(0, "genotypes"), 20)
    genotypes = [space.genotype(row_D) for row_D in rows_ND]
    packed = [pack(genotype, decisions) for genotype in genotypes]
    assert {len(text) for text in packed} == {len(decisions)}
    for text, genotype in zip(packed, genotypes, strict=True):
        back = unpack(text, decisions)
        assert back == genotype
        assert [type(back[key]) for key in genotype] == [type(value) for value in genotype.values()]
    columns = [sorted(decisions).index(decision.name) for decision in space.decisions]
    numbers_ND = choice_numbers(packed, decisions)[:, columns]
    np.testing.assert_array_equal(np.maximum(numbers_ND, 0), rows_ND)
    np.testing.assert_array_equal(numbers_ND >= 0, space.active(rows_ND))


@given(number=st.integers(0, 63), active=st.booleans())
def test_one_character_per_decision(number, active):
    decisions = {"z": tuple(range(64)), "a": (True, 1, 1.0)}
    genotype = {"z": number, "a": 1.0} if active else {"a": 1.0}
    assert pack(genotype, decisions) == "2" + (DIGITS[number] if active else ".")
    back = unpack(pack(genotype, decisions), decisions)
    assert (back, type(back["a"])) == (genotype, float)


def test_a_mapping_stays_what_it_is():
    assert unpack(made_runs.genotype(3), made_runs.DECISIONS) == made_runs.genotype(3)


def test_refuses_what_the_decisions_do_not_have():
    decisions = {"a": (1, 2), "b": ("x", "y", "z")}
    with pytest.raises(JournalError, match="must choose among the space's decisions, but got 'c'"):
        pack({"a": 1, "c": 2}, decisions)
    with pytest.raises(JournalError, match=r"the choice of a must be one of \(1, 2\), but got 2.0"):
        pack({"a": 2.0}, decisions)
    for text in ("0", "000", "é0"):
        with pytest.raises(JournalError, match="must be 2 characters, one per decision, but got"):
            unpack(text, decisions)
    for text in ("20", "0 ", ".3"):
        with pytest.raises(JournalError, match="must number choices that its decisions have"):
            unpack(text, decisions)
