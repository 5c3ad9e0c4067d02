from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from made_spaces import TINY_CLIPS, spaces_and_indices

from search_spaces.membership import differences, nearest_genotype
from search_spaces.movinet import A2, find_space
from search_spaces.published import NAMES, published
from search_spaces.variant import Variant


@settings(max_examples=100)
@given(spaces_and_indices())
def test_a_member_differs_nowhere(drawn):
    space, indices_ND = drawn
    for indices_D in indices_ND:
        spec = space.decode(space.genotype(indices_D), Variant()).spec
        found = differences(space, spec)
        assert all(each.exact and each.relative in (None, 0) for each in found)
        assert space.decode(nearest_genotype(space, spec), Variant()).spec == spec


def test_a2_differs_from_its_space_in_one_expansion():
    (other,) = (each for each in differences(A2, published("A2")) if not each.exact)
    # 160 channels, where the grid of 96 has 144 and 192 (movinet.md 2.2)
    assert (other.name, other.found, other.choice, other.nearest) == ("block4.layer2.expansion", 160, 1.5, 144)
    assert other.relative == pytest.approx(-0.1)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_published_network_is_compared_once(name):
    space, spec = find_space(name.lower()), published(name)
    found = differences(space, spec)
    assert len({each.name for each in found}) == len(found)
    # stem, dense and three of the clip; depth and width per block; kernel, expansion and SE per layer; head
    assert len(found) == 5 + 10 + 3 * spec.num_layers + 1
    assert all(each.exact for each in found if each.name.startswith(("stem", "dense", "clip")))
    assert all(each.exact for each in found if each.name.endswith((".depth", ".kernel", ".se")))
    space.indices(nearest_genotype(space, spec))


def test_the_nearest_choice_is_that_of_the_nearest_channels():
    spec = published("A2")
    layers = spec.blocks[2].layers
    odd = replace(layers[0], kernel=(3, 5, 5), expansion=173, se=False)
    spec = replace(
        spec, stem_width=24, blocks=(*spec.blocks[:2], replace(spec.blocks[2], layers=(odd,)), *spec.blocks[3:])
    )
    found = {each.name: each for each in differences(A2, spec)}
    assert (found["block4.layer1.expansion"].choice, found["block4.layer1.expansion"].nearest) == (2.0, 192)
    assert (found["block4.layer1.kernel"].choice, found["block4.layer1.kernel"].relative) == ("1x3x3", None)
    assert found["block4.layer1.se"].exact
    assert found["stem.width"].relative == pytest.approx(16 / 24 - 1)
    assert found["block4.depth"].exact
    assert not {"block4.layer2.kernel"} & set(found)


def test_a_decided_clip_is_compared_choice_by_choice():
    spec = TINY_CLIPS.decode(TINY_CLIPS.sample(np.random.default_rng(0)), Variant()).spec
    found = {each.name: each for each in differences(TINY_CLIPS, replace(spec, clip=replace(spec.clip, num_frames=9)))}
    assert (found["clip.num_frames"].choice, found["clip.num_frames"].found) == (4, 9)
    assert found["clip.rate_fps"].exact


def test_layers_that_the_least_depth_adds_copy_the_last_one():
    a5, spec = find_space("a5"), published("A5")
    short = replace(spec, blocks=(replace(spec.blocks[0], layers=spec.blocks[0].layers[:1]), *spec.blocks[1:]))
    assert a5.blocks[0].depths[0] == 3
    genotype = nearest_genotype(a5, short)
    assert genotype["block2.depth"] == 3
    assert genotype["block2.layer3.kernel"] == genotype["block2.layer1.kernel"] == "1x5x5"
    a5.indices(genotype)
