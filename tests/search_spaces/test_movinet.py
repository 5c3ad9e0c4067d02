import math
from dataclasses import replace

import pytest

from search_spaces.errors import SpaceError
from search_spaces.movinet import A2, NANO, PHIS, SPACES, find_space, space_at
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
    assert list(SPACES) == ["a0", "a1", "a2", "a3", "a4", "a5", "nano"]
    for name, space in SPACES.items():
        assert find_space(name) == space
        assert space.name == name
    assert find_space("a2") == A2
    assert find_space("nano") == NANO


def test_the_named_spaces_have_the_published_clips():
    # the frames of a test (movinet.md 4), and the rates that follow none of the coefficients (movinet.md 2.1)
    clips = [find_space(name).clip for name in PHIS]
    assert [clip.num_frames for clip in clips] == [50, 50, 50, 120, 80, 120]
    assert [clip.resolution for clip in clips] == [172, 172, 224, 256, 290, 320]
    assert [clip.rate_fps for clip in clips] == [5, 5, 5, 12, 8, 12]


def test_the_space_of_a_phi_differs_from_the_named_one_by_its_clip_alone():
    for name, phi in PHIS.items():
        space = find_space(f"phi:{phi}")
        assert space.name == f"phi:{phi}"
        assert replace(space, name=name, clip=find_space(name).clip) == find_space(name)
        assert space == space_at(phi)
    assert find_space("phi:0").hash == A2.hash
    between = find_space("phi:0.50")
    assert between.name == "phi:0.5"
    assert between.blocks[4].base_width == 208  # 192 * 1.18^0.5 = 208.6


def test_spaces_are_found_as_files(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(canonical(space_document(NANO)))
    assert find_space(str(path)) == NANO


KNOWN = "^a space must be one of a0, a1, a2, a3, a4, a5, nano, phi:<number> or a JSON file, but got"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nanu",
            rf"{KNOWN} 'nanu'; did you mean nano\?$",
        ),
        ("phi:", r"^phi must be a number, such as phi:1\.5, but got ''$"),
        ("phi:one", r"^phi must be a number, such as phi:1\.5, but got 'one'$"),
        ("phi:nan", r"^phi must be in \[-6, 6\], but got nan$"),
        ("phi:7", r"^phi must be in \[-6, 6\], but got 7\.0$"),
        (
            "mobilenet",
            rf"{KNOWN} 'mobilenet'$",
        ),
        ("", rf"{KNOWN} ''$"),
        ("absent.json", r"^absent\.json: must be a readable file, but got No such file or directory$"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(SpaceError, match=message):
        find_space(name)
