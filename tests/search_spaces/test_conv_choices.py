"""The form of convolutions as a decision of the space (paper C.6)."""

import dataclasses

import numpy as np
import pytest
from made_spaces import TINY, TINY_CONVS, every_genotype

from search_spaces.cost import cost
from search_spaces.cost_table import CostTable
from search_spaces.errors import SpaceError
from search_spaces.movinet import NANO
from search_spaces.space import population
from search_spaces.space_json import read_space, space_document
from search_spaces.strict_json import pretty
from search_spaces.variant import VARIANTS, Variant

STREAM = VARIANTS["released-stream"]
BOTH = ("3d", "3d_2plus1d")


@pytest.mark.parametrize("choices", [(), ("3d", "3d"), ("2plus1d",), ("3d", "2d")])
def test_only_forms_that_a_supernet_holds_are_choices(choices):
    with pytest.raises(SpaceError, match=r"^conv_choices: must be 3d and 3d_2plus1d, or one of them, each once"):
        dataclasses.replace(TINY, conv_choices=choices)


def test_a_genotype_decides_the_variant_of_its_network():
    genotypes = list(every_genotype(TINY_CONVS))
    assert TINY_CONVS.size == len(genotypes) == 2 * dataclasses.replace(TINY_CONVS, conv_choices=None).size
    numbers_N = TINY_CONVS.form_numbers(population(TINY_CONVS, genotypes))
    forms = TINY_CONVS.forms(STREAM)
    for genotype, number in zip(genotypes, numbers_N, strict=True):
        candidate = TINY_CONVS.decode(genotype, STREAM)
        assert candidate.variant == dataclasses.replace(STREAM, conv=genotype["conv"])
        assert (candidate.spec.clip, candidate.variant) == forms[number]
    assert len({(form.clip, form.variant) for form in forms}) == 16


def test_the_form_is_decided_between_head_and_clip():
    assert [decision.name for decision in TINY_CONVS.decisions[-5:]] == [
        "head.width",
        "conv",
        "clip.num_frames",
        "clip.resolution",
        "clip.rate_fps",
    ]
    assert dataclasses.replace(TINY_CONVS, conv_choices=None).hash != TINY_CONVS.hash
    assert dataclasses.replace(TINY, conv_choices=None).hash == TINY.hash


def test_one_choice_overrides_the_variant():
    space = dataclasses.replace(TINY, conv_choices=("3d",))
    candidate = space.decode(space.sample(np.random.default_rng(0)), STREAM)
    assert candidate.variant.conv == "3d"
    assert candidate.genotype["conv"] == "3d"


def test_a_space_file_holds_the_choices(tmp_path):
    path = tmp_path / "space.json"
    path.write_text(pretty(space_document(TINY_CONVS)))
    assert read_space(path) == TINY_CONVS
    path.write_text(path.read_text().replace('"3d_2plus1d"', '"2plus1d"'))
    with pytest.raises(SpaceError, match="conv_choices"):
        read_space(path)


def test_members_do_not_depend_on_the_form_and_neighbours_change_it():
    genotype = TINY_CONVS.sample(np.random.default_rng(3))
    candidate = TINY_CONVS.decode(genotype, Variant())
    assert TINY_CONVS.contains(candidate.spec)
    assert sum(other["conv"] != genotype["conv"] for other in TINY_CONVS.neighbours(genotype)) == 1


def test_the_forms_of_a_network_differ_in_state_and_multiply_adds():
    space = dataclasses.replace(NANO, conv_choices=BOTH)
    genotype = {**NANO.sample(np.random.default_rng(1)), "block2.layer1.kernel": "5x3x3"}
    rows_ND = population(space, [{**genotype, "conv": conv} for conv in BOTH])
    for metric in ("macs", "stream_state_bytes"):
        whole, separate = CostTable(space, STREAM, metric=metric, num_classes=8).costs(rows_ND)
        assert whole > separate
        for conv, found in zip(BOTH, (whole, separate), strict=True):
            candidate = space.decode({**genotype, "conv": conv}, STREAM)
            assert found == getattr(cost(candidate.spec, candidate.variant, num_classes=8), metric)
