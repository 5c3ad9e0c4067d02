import dataclasses
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_spaces import TINY, TINY_CHOSEN, TINY_SIZE, every_genotype, spaces, spaces_and_indices

from search_spaces.errors import SpaceError
from search_spaces.movinet import A2, NANO
from search_spaces.published import NAMES, published
from search_spaces.rounding import round_width
from search_spaces.space import BlockChoices, SearchSpace, population, size_log10
from search_spaces.spec import ClipGeometry, layer_name
from search_spaces.spec_json import fingerprint
from search_spaces.variant import Variant

BASE = Variant()


def decoded(space, rng):
    return space.decode(space.sample(rng), BASE)


def test_decisions_are_named_and_ordered():
    names = [decision.name for decision in TINY.decisions]
    assert names[:8] == [
        "block2.depth",
        "block2.width",
        *(f"block2.layer{layer}.{group}" for layer in (1, 2) for group in ("kernel", "expansion", "se")),
    ]
    assert names[8:10] == ["block3.depth", "block3.width"]
    assert names[-2:] == ["block3.layer3.se", "head.width"]
    assert len(names) == len(set(names)) == 2 * 2 + (2 + 3) * 3 + 1
    choices = {decision.name: decision.choices for decision in TINY.decisions}
    assert choices["block3.depth"] == (2, 3)
    assert choices["head.width"] == (0.75, 1.25)
    assert choices["block3.layer3.kernel"] == ("1x3x3", "5x1x1")


def test_size_equals_the_genotypes_counted_one_by_one():
    genotypes = {tuple(sorted(genotype.items())) for genotype in every_genotype(TINY)}
    assert TINY.size == TINY_SIZE == len(genotypes) == 12_800
    for genotype in every_genotype(TINY):
        TINY.indices(genotype)


@settings(max_examples=60)
@given(spaces())
def test_size_equals_the_different_canonical_rows(space):
    counts = [len(decision.choices) for decision in space.decisions]
    assume(math.prod(counts) <= 20_000)
    rows_ND = np.array(list(product(*map(range, counts))), dtype=np.int8)
    assert space.size == len(np.unique(space.canonical(rows_ND), axis=0))


def test_logarithm_of_the_size():
    assert size_log10(TINY) == pytest.approx(math.log10(TINY_SIZE), abs=1e-12)
    # five blocks of 1 to 10 layers with 7 x 6 x 2 choices each, 3 widths of each block and of the head
    per_block = math.log10(3) + math.log10(84**11 - 84) - math.log10(83)
    assert size_log10(A2) == pytest.approx(5 * per_block + math.log10(3), abs=1e-9)
    deep = dataclasses.replace(A2, blocks=(BlockChoices(base_width=24, depths=tuple(range(1, 65)), stride=1),) * 16)
    exact = 16 * (math.log10(3) + 64 * math.log10(84) + math.log10(84 / 83)) + math.log10(3)
    assert size_log10(deep) == pytest.approx(exact, rel=1e-9)


@settings(max_examples=100)
@given(spaces_and_indices())
def test_rows_genotypes_and_specs_round_trip(drawn):
    space, indices_ND = drawn
    genotypes = [space.genotype(indices_D) for indices_D in indices_ND]
    np.testing.assert_array_equal(population(space, genotypes), indices_ND)
    for genotype in genotypes:
        candidate = space.decode(genotype, BASE)
        assert candidate.genotype == genotype
        assert space.contains(candidate.spec)
        again = space.encode(candidate.spec)
        assert space.decode(again, BASE).spec == candidate.spec


@pytest.mark.parametrize("space", [A2, NANO], ids=["a2", "nano"])
def test_named_spaces_have_one_genotype_per_network(space):
    rng = np.random.default_rng(3)
    for _ in range(30):
        candidate = decoded(space, rng)
        assert space.encode(candidate.spec) == candidate.genotype


@settings(max_examples=100)
@given(spaces_and_indices())
def test_inactive_decisions_are_left_out(drawn):
    space, indices_ND = drawn
    for indices_D, active_D in zip(indices_ND, space.active(indices_ND), strict=True):
        genotype = space.genotype(indices_D)
        for decision, index, active in zip(space.decisions, indices_D, active_D, strict=True):
            depth = genotype.get(f"block{decision.block + 2}.depth")
            assert active == (decision.layer is None or decision.layer < depth) == (decision.name in genotype)
            assert active or index == 0


def test_what_is_inactive_does_not_matter():
    rng = np.random.default_rng(0)
    counts_D = np.array([len(decision.choices) for decision in A2.decisions])
    wild_ND = (rng.random((50, len(counts_D))) * counts_D).astype(np.int8)
    calm_ND = A2.canonical(wild_ND)
    np.testing.assert_array_equal(A2.active(wild_ND), A2.active(calm_ND))
    np.testing.assert_array_equal(A2.canonical(calm_ND), calm_ND)
    assert [A2.genotype(row_D) for row_D in wild_ND] == [A2.genotype(row_D) for row_D in calm_ND]


# 0.75 of 16 is 12, halves up 16; 1.25 is 20, up 24; 1.5 and 3 times 16 are 24 and 48, times 24 are 36, up 40, and 72
@pytest.mark.parametrize(
    ("space", "multiplier", "width", "expansions"),
    [
        (TINY, 0.75, 16, [24, 48]),
        (TINY, 1.25, 24, [24, 48]),
        (TINY_CHOSEN, 0.75, 16, [24, 48]),
        (TINY_CHOSEN, 1.25, 24, [40, 72]),
    ],
    ids=["base-0.75", "base-1.25", "chosen-0.75", "chosen-1.25"],
)
def test_decode_by_hand(space, multiplier, width, expansions):
    genotype = {
        "block2.depth": 2,
        "block2.width": multiplier,
        "block2.layer1.kernel": "5x1x1",
        "block2.layer1.expansion": 1.5,
        "block2.layer1.se": True,
        "block2.layer2.kernel": "1x3x3",
        "block2.layer2.expansion": 3.0,
        "block2.layer2.se": True,
        "block3.depth": 2,
        "block3.width": 1.25,
        "block3.layer1.kernel": "1x3x3",
        "block3.layer1.expansion": 1.5,
        "block3.layer1.se": True,
        "block3.layer2.kernel": "1x3x3",
        "block3.layer2.expansion": 1.5,
        "block3.layer2.se": True,
        "head.width": 0.75,
    }
    spec = space.decode(genotype, BASE).spec
    assert spec.clip == space.clip
    block = spec.blocks[0]
    assert [layer.width for layer in block.layers] == [width, width]
    assert [layer.expansion for layer in block.layers] == expansions
    assert [layer.kernel for layer in block.layers] == [(5, 1, 1), (1, 3, 3)]
    assert [layer.stride for layer in block.layers] == [2, 1]
    assert [layer.stride for layer in spec.blocks[1].layers] == [1, 1]
    assert (spec.stem_width, spec.head_width, spec.dense_width) == (8, 48, 32)


def test_a_candidate_has_the_fingerprint_of_its_network():
    candidate = decoded(NANO, np.random.default_rng(1))
    assert candidate.fingerprint == fingerprint(candidate.spec, candidate.variant)
    hard = dataclasses.replace(candidate, variant=Variant(gate="hard_sigmoid"))
    assert hard.fingerprint != candidate.fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_no_published_network_is_in_the_base_space(name):
    # movinet.md 2.2: A2's block 4 has an expansion of 160, which no multiplier gives; the others have other clips
    assert A2.encode(published(name)) is None


def test_a2_is_in_the_base_space_but_for_one_expansion():
    spec = published("A2")
    layers = list(spec.blocks[2].layers)
    assert layers[1].expansion == 160
    layers[1] = dataclasses.replace(layers[1], expansion=144)
    blocks = (*spec.blocks[:2], dataclasses.replace(spec.blocks[2], layers=tuple(layers)), *spec.blocks[3:])
    genotype = A2.encode(dataclasses.replace(spec, blocks=blocks))
    assert genotype is not None
    assert [genotype[f"block{block}.width"] for block in range(2, 7)] == [0.75] * 5
    assert genotype["head.width"] == 1.25
    assert [genotype[f"block{block}.depth"] for block in range(2, 7)] == [3, 5, 5, 6, 7]


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: dataclasses.replace(spec, stem_width=24),
        lambda spec: dataclasses.replace(spec, head_width=spec.head_width + 8),
        lambda spec: dataclasses.replace(spec, dense_width=1024),
        lambda spec: dataclasses.replace(spec, clip=dataclasses.replace(spec.clip, num_frames=51)),
        lambda spec: dataclasses.replace(spec, blocks=spec.blocks[:-1]),
        lambda spec: dataclasses.replace(spec, blocks=(*spec.blocks, spec.blocks[-1])),
        lambda spec: with_layer(spec, 1, 0, stride=1),
        lambda spec: with_layer(spec, 1, 0, kernel=(3, 1, 1)),
        lambda spec: with_layer(spec, 1, 0, expansion=8),
        lambda spec: with_layer(spec, 1, 0, width=8),
        lambda spec: with_layer(spec, 1, -1, width=8),
        lambda spec: with_depth(spec, 1, 11),
    ],
)
def test_a_spec_that_differs_anywhere_is_no_member(change):
    spec = decoded(A2, np.random.default_rng(4)).spec
    assert A2.contains(spec)
    assert not A2.contains(change(spec))


def with_layer(spec, block, layer, **change):
    layers = list(spec.blocks[block].layers)
    layers[layer] = dataclasses.replace(layers[layer], **change)
    return with_layers(spec, block, layers)


def with_depth(spec, block, depth):
    first = spec.blocks[block].layers[0]
    return with_layers(spec, block, [first, *[dataclasses.replace(first, stride=1)] * (depth - 1)])


def with_layers(spec, block, layers):
    blocks = list(spec.blocks)
    blocks[block] = dataclasses.replace(blocks[block], layers=tuple(layers))
    return dataclasses.replace(spec, blocks=tuple(blocks))


def test_a_network_that_two_genotypes_give_is_encoded_by_the_first():
    space = dataclasses.replace(TINY, width_multipliers=(1.0, 1.01, 1.5))
    genotype = {**space.genotype(space.sample_indices(np.random.default_rng(0), 1)[0]), "head.width": 1.01}
    assert space.encode(space.decode(genotype, BASE).spec)["head.width"] == 1.0


@settings(max_examples=50)
@given(spaces_and_indices())
def test_neighbours_are_valid_and_differ_in_one_decision(drawn):
    space, indices_ND = drawn
    genotype = space.genotype(indices_ND[0])
    neighbours = list(space.neighbours(genotype))
    choices = {decision.name: len(decision.choices) for decision in space.decisions}
    assert len(neighbours) == sum(choices[name] - 1 for name in genotype)
    for neighbour in neighbours:
        space.indices(neighbour)
        changed = [name for name in genotype.keys() & neighbour.keys() if genotype[name] != neighbour[name]]
        assert len(changed) == 1
        others = genotype.keys() ^ neighbour.keys()
        assert not others or changed[0].endswith(".depth")
        block = changed[0].split(".")[0]
        for name in neighbour.keys() - genotype.keys():
            assert neighbour[name] == genotype[f"{block}.layer{genotype[changed[0]]}.{name.rsplit('.', 1)[1]}"]
    assert len({tuple(sorted(neighbour.items())) for neighbour in neighbours}) == len(neighbours)


def test_neighbourhood_is_mutual_where_no_layer_is_lost():
    genotype = NANO.sample(np.random.default_rng(7))
    for neighbour in NANO.neighbours(genotype):
        if neighbour.keys() >= genotype.keys():
            assert genotype in list(NANO.neighbours(neighbour))


def test_samples_are_uniform_over_the_choices_of_every_decision():
    indices_ND = NANO.sample_indices(np.random.default_rng(11), 20_000)
    active_ND = NANO.active(indices_ND)
    for column, decision in enumerate(NANO.decisions):
        counts = np.bincount(indices_ND[active_ND[:, column], column], minlength=len(decision.choices))
        expected = counts.sum() / len(counts)
        assert len(counts) == len(decision.choices)
        # chi-square of at most 6 degrees of freedom; 40 is passed once in a million draws
        assert ((counts - expected) ** 2 / expected).sum() < 40, decision.name
        if decision.layer is not None:
            depths = NANO.blocks[decision.block].depths
            share = sum(depth > decision.layer for depth in depths) / len(depths)
            assert counts.sum() / 20_000 == pytest.approx(share, abs=0.02)


def test_samples_of_two_decisions_are_independent():
    indices_ND = A2.sample_indices(np.random.default_rng(12), 20_000)
    correlation = np.corrcoef(indices_ND[:, [0, 1, 2, 3, 32, 33, -1]].T) - np.eye(7)
    assert np.abs(correlation).max() < 0.04


def test_equal_generators_draw_equal_genotypes():
    first, second = np.random.default_rng(5), np.random.default_rng(5)
    assert A2.sample(first) == A2.sample(second)
    np.testing.assert_array_equal(A2.sample_indices(first, 9), A2.sample_indices(second, 9))
    assert A2.sample_indices(first, 0).shape == (0, len(A2.decisions))


@settings(max_examples=50)
@given(spaces_and_indices())
def test_the_largest_spec_is_at_least_as_large_as_any(drawn):
    space, indices_ND = drawn
    largest = space.largest_widths()
    for indices_D in indices_ND:
        spec = space.decode(space.genotype(indices_D), BASE).spec
        assert spec.head_width <= largest.head_width
        for block, most in zip(spec.blocks, largest.blocks, strict=True):
            assert len(block.layers) <= len(most.layers)
            for layer, top in zip(block.layers, most.layers, strict=False):
                assert layer.width <= top.width
                assert layer.expansion <= top.expansion
                assert layer.stride == top.stride


def test_the_largest_spec_is_reached():
    largest = A2.largest_widths()
    assert [len(block.layers) for block in largest.blocks] == [10] * 5
    assert [block.layers[0].width for block in largest.blocks] == [32, 64, 120, 120, 240]
    assert [block.layers[-1].expansion for block in largest.blocks] == [96, 192, 384, 384, 768]
    assert (largest.head_width, largest.stem_width) == (640, 16)


def test_the_hash_is_of_the_content_and_not_of_the_name():
    assert dataclasses.replace(NANO, name="other").hash == NANO.hash
    changes = [
        {"stem_width": 16},
        {"kernels": NANO.kernels[::-1]},
        {"expansion_of": "chosen"},
        {"clip": dataclasses.replace(NANO.clip, rate_fps=9.0)},
        {"blocks": NANO.blocks[:2]},
    ]
    hashes = {dataclasses.replace(NANO, **change).hash for change in changes}
    assert len(hashes | {NANO.hash}) == len(changes) + 1


def test_whole_multipliers_hash_as_floats():
    whole = dataclasses.replace(TINY, expansions=(1, 3), width_multipliers=(1,))
    assert whole.hash == dataclasses.replace(TINY, expansions=(1.0, 3.0), width_multipliers=(1.0,)).hash


GENOTYPE = {
    "block2.depth": 1,
    "block2.width": 1.0,
    "block2.layer1.kernel": "1x3x3",
    "block2.layer1.expansion": 2.0,
    "block2.layer1.se": True,
    "head.width": 1.0,
}
SMALL = SearchSpace(
    name="small",
    clip=ClipGeometry(num_frames=2, resolution=16, rate_fps=2.0),
    stem_width=8,
    blocks=(BlockChoices(base_width=16, depths=(1, 2), stride=2),),
    head_width=16,
    dense_width=16,
    kernels=("1x3x3", "3x3x3"),
    expansions=(2.0, 3.0),
    width_multipliers=(1.0,),
    se=(True, False),
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"block2.layer1.kernal": "1x3x3"},
            r"^a genotype must name decisions of space small, but got 'block2.layer1.kernal'; "
            r"did you mean block2.layer1.kernel, ",
        ),
        ({"???": 1}, r"^a genotype must name decisions of space small, but got '\?\?\?'$"),
        ({"block2.depth": 3}, r"^block2.depth: must be one of \[1, 2\], but got 3$"),
        ({"block2.depth": True}, r"^block2.depth: must be one of \[1, 2\], but got True$"),
        ({"block2.layer1.se": 1}, r"^block2.layer1.se: must be one of \[True, False\], but got 1$"),
        ({"block2.width": "1.0"}, r"^block2.width: must be one of \[1.0\], but got '1.0'$"),
        ({"block2.width": float("nan")}, r"^block2.width: must be one of \[1.0\], but got nan$"),
        ({"block2.depth": 2}, r"^a genotype must choose for every active decision, but 'block2.layer2.expansion' is"),
        (
            {"block2.layer2.kernel": "1x3x3"},
            r"^a genotype must leave out inactive decisions, but got 'block2.layer2.kernel'$",
        ),
        ({"head.width": None}, r"^a genotype must choose for every active decision, but 'head.width' is missing$"),
    ],
)
def test_a_bad_genotype_is_refused(change, message):
    genotype = {**GENOTYPE, **change}
    if change == {"head.width": None}:
        del genotype["head.width"]
    for use in (SMALL.indices, lambda bad: SMALL.decode(bad, BASE), lambda bad: list(SMALL.neighbours(bad))):
        with pytest.raises(SpaceError, match=message):
            use(genotype)


def test_the_good_one_is_not_refused():
    assert SMALL.decode(GENOTYPE, BASE).spec.num_layers == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": ()}, r"^blocks: must be 1 to 16 blocks, but got 0$"),
        ({"blocks": SMALL.blocks * 17}, r"^blocks: must be 1 to 16 blocks, but got 17$"),
        ({"kernels": ()}, r"^kernels: must be 1 to 64 different choices, but got \(\)$"),
        (
            {"kernels": ("1x3x3", "1x3x3")},
            r"^kernels: must be 1 to 64 different choices, but got \('1x3x3', '1x3x3'\)$",
        ),
        ({"kernels": ("2x3x3",)}, r"^kernels: must be three odd numbers from 1 to 15, but got \(2, 3, 3\)$"),
        ({"kernels": ("big",)}, r"^kernels: a kernel must be written as time x height x width, .* but got 'big'$"),
        ({"expansions": tuple(map(float, range(1, 66)))}, r"^expansions: must be 1 to 64 different choices, but got"),
        ({"expansions": (0.0, 2.0)}, r"^expansions: must be above 0 and at most 16384, but got \(0.0, 2.0\)$"),
        ({"expansions": (1e308,)}, r"^expansions: must be above 0 and at most 16384, but got \(1e\+308,\)$"),
        ({"expansions": (float("nan"),)}, r"^expansions: must be above 0 and at most 16384, but got \(nan,\)$"),
        ({"width_multipliers": (-1.0,)}, r"^width_multipliers: must be above 0 and at most 16384, but got \(-1.0,\)$"),
        ({"width_multipliers": (5000.0,)}, r"^width: must be in \[1, 16384\], but got 80000$"),
        ({"se": ()}, r"^se: must be 1 to 64 different choices, but got \(\)$"),
        ({"stem_width": 0}, r"^stem_width: must be in \[1, 16384\], but got 0$"),
        ({"head_width": 0}, r"^head_width: must be in \[1, 16384\], but got 0$"),
        ({"dense_width": -1}, r"^dense_width: must be in \[1, 16384\], but got -1$"),
    ],
)
def test_a_bad_space_is_refused(change, message):
    with pytest.raises(SpaceError, match=message):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depths": ()}, r"^depths: must be consecutive numbers from 1 to 64, but got \(\)$"),
        ({"depths": (0, 1)}, r"^depths: must be consecutive numbers from 1 to 64, but got \(0, 1\)$"),
        ({"depths": (1, 3)}, r"^depths: must be consecutive numbers from 1 to 64, but got \(1, 3\)$"),
        ({"depths": (2, 1)}, r"^depths: must be consecutive numbers from 1 to 64, but got \(2, 1\)$"),
        ({"depths": (64, 65)}, r"^depths: must be consecutive numbers from 1 to 64, but got \(64, 65\)$"),
        ({"depths": (1, 1 << 62)}, r"^depths: must be consecutive numbers from 1 to 64, but got \(1, 46116860"),
        ({"base_width": 0}, r"^base_width: must be in \[1, 16384\], but got 0$"),
        ({"base_width": 16385}, r"^base_width: must be in \[1, 16384\], but got 16385$"),
        ({"stride": 3}, r"^stride: must be 1 or 2, but got 3$"),
    ],
)
def test_a_bad_block_is_refused(change, message):
    with pytest.raises(SpaceError, match=message):
        dataclasses.replace(SMALL.blocks[0], **change)


@settings(max_examples=30)
@given(spaces(), st.sampled_from((0, 1)))
def test_widths_of_decoded_specs_are_rounded_from_the_base(space, seed):
    genotype = space.sample(np.random.default_rng(seed))
    spec = space.decode(genotype, BASE).spec
    assert spec.head_width == round_width(space.head_width * genotype["head.width"])
    for number, (block, choices) in enumerate(zip(spec.blocks, space.blocks, strict=True)):
        width = round_width(choices.base_width * genotype[f"block{number + 2}.width"])
        assert {layer.width for layer in block.layers} == {width}
        base = choices.base_width if space.expansion_of == "base" else width
        for position, layer in enumerate(block.layers):
            assert layer.expansion == round_width(base * genotype[f"{layer_name(number, position)}.expansion"])
