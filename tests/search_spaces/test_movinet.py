import math

import pytest

from search_spaces.errors import SpaceError
from search_spaces.movinet import A2, NANO, SPACES, find_space
from search_spaces.published import published
from search_spaces.rounding import round_width
from search_spaces.space_json import space_document
from search_spaces.strict_json import canonical


def test_the_base_space_has_the_numbers_of_the_paper():
    # paper 3.1 and Table 1, design decision 3
    assert [block.base_width for block in A2.blocks] == [24, 48, 96, 96, 192]
    assert [block.depths for block in A2.blocks] == [tuple(range(1, 11))] * 5
    assert [block.stride for block in A2.blocks] == [2, 2, 2, 1, 2]
    assert (A2.stem_width, A2.head_width, A2.dense_width) == (16, 512, 2048)
    assert set(A2.kernels) == {"1x3x3", "1x5x5", "1x7x7", "5x1x1", "7x1x1", "3x3x3", "5x3x3"}
    assert A2.expansions == (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
    assert A2.width_multipliers == (0.75, 1.0, 1.25)
    assert set(A2.se) == {True, False}
    assert A2.expansion_of == "base"
    assert A2.clip == published("A2").clip
    # depth, width and ten layers of three decisions in each of five blocks, and the head
    assert len(A2.decisions) == 5 * (2 + 30) + 1


def test_the_base_space_reaches_the_published_widths_of_a2():
    spec = published("A2")
    assert [round_width(0.75 * block.base_width) for block in A2.blocks] == [16, 40, 72, 72, 144]
    assert [block.layers[0].width for block in spec.blocks] == [16, 40, 72, 72, 144]
    assert round_width(1.25 * A2.head_width) == spec.head_width == 640
    assert A2.stem_width == spec.stem_width


def test_nano_is_small_and_its_widths_stay_distinct():
    assert NANO.clip.num_frames == 8
    assert 48 <= NANO.clip.resolution <= 64
    assert len(NANO.decisions) == 3 * 2 + (2 + 3 + 3) * 3 + 1
    for base in (*(block.base_width for block in NANO.blocks), NANO.head_width):
        assert len({round_width(base * multiplier) for multiplier in NANO.width_multipliers}) == 3
    for block in NANO.blocks:
        assert len({round_width(block.base_width * expansion) for expansion in NANO.expansions}) == 6


@pytest.mark.parametrize(
    ("space", "golden", "digits"),
    [
        (A2, "5dd116a9c20f1fc780ab6e6c4be722f83515b8c0ccb68640094fb90ff8515834", 99.1027),
        (NANO, "0a3f1f1553113474d3389018659fd3f370fac7cf68abf87546a806692736e2b9", 17.3183),
    ],
    ids=["a2", "nano"],
)
def test_golden_hashes(space, golden, digits):
    # a change of either makes every run and spec of today one of another space
    assert space.hash == golden
    assert math.log10(space.size) == pytest.approx(digits, abs=1e-4)


def test_spaces_are_found_by_name():
    assert {name: space.name for name, space in SPACES.items()} == {"a2": "a2", "nano": "nano"}
    assert find_space("a2") is A2
    assert find_space("nano") is NANO


def test_spaces_are_found_as_files(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(canonical(space_document(NANO)))
    assert find_space(str(path)) == NANO


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nanu", r"^a space must be one of a2, nano or a JSON file, but got 'nanu'; did you mean nano\?$"),
        ("mobilenet", r"^a space must be one of a2, nano or a JSON file, but got 'mobilenet'$"),
        ("", r"^a space must be one of a2, nano or a JSON file, but got ''$"),
        ("absent.json", r"^absent\.json: must be a readable file, but got No such file or directory$"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(SpaceError, match=message):
        find_space(name)
