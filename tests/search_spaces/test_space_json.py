import copy
import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import TINY_CHOSEN, TINY_CLIPS, spaces

from search_spaces.cost_table import CostTable
from search_spaces.errors import MovinasError, SpaceError
from search_spaces.movinet import A2, NANO
from search_spaces.space import BlockChoices, SearchSpace, size_log10
from search_spaces.space_json import read_space, space_document
from search_spaces.spec import ClipGeometry
from search_spaces.strict_json import MAX_BYTES, canonical
from search_spaces.variant import Variant

TEXT = """{
  "schema": 1,
  "kind": "movinas.space",
  "name": "mine",
  "clip": {"num_frames": 16, "resolution": 112, "rate_fps": 8},
  "stem_width": 16,
  "blocks": [
    {"base_width": 24, "depths": [1, 2, 3], "stride": 2},
    {"base_width": 48, "depths": [2], "stride": 1}
  ],
  "head_width": 256,
  "dense_width": 512,
  "kernels": ["1x3x3", "5x3x3"],
  "expansions": [2, 3.5],
  "width_multipliers": [1, 0.5],
  "se": [false]
}
"""
MINE = SearchSpace(
    name="mine",
    clip=ClipGeometry(num_frames=16, resolution=112, rate_fps=8.0),
    stem_width=16,
    blocks=(
        BlockChoices(base_width=24, depths=(1, 2, 3), stride=2),
        BlockChoices(base_width=48, depths=(2,), stride=1),
    ),
    head_width=256,
    dense_width=512,
    kernels=("1x3x3", "5x3x3"),
    expansions=(2.0, 3.5),
    width_multipliers=(1.0, 0.5),
    se=(False,),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "space.json"


def test_a_hand_written_file_is_read(path):
    path.write_text(TEXT)
    assert read_space(path) == MINE
    assert read_space(path).hash == MINE.hash


@pytest.mark.parametrize("space", [A2, NANO, TINY_CHOSEN, TINY_CLIPS, MINE], ids=lambda space: space.name)
def test_spaces_survive_a_file(path, space):
    path.write_text(canonical(space_document(space)))
    assert read_space(path) == space
    assert read_space(path).hash == space.hash


@settings(max_examples=60)
@given(spaces())
def test_any_space_survives_a_file(tmp_path_factory, space):
    path = tmp_path_factory.getbasetemp() / "any_space.json"
    path.write_text(json.dumps(space_document(space), indent=1))
    again = read_space(path)
    assert again == space
    assert again.hash == space.hash


def test_the_hash_does_not_depend_on_the_name_in_the_file(path):
    path.write_text(TEXT.replace('"mine"', '"renamed"'))
    assert read_space(path).name == "renamed"
    assert read_space(path).hash == MINE.hash


def put(*where, value):
    def edit(found):
        for part in where[:-1]:
            found = found[part]
        found[where[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("kind", value="movinas.spec"), r"kind: must be 'movinas\.space', but got 'movinas\.spec'$"),
        (put("kind", value=None), r"kind: must be 'movinas\.space', but got None$"),
        (put("schema", value=2), r"schema: must be 1, but got 2$"),
        (put("schema", value=True), r"schema: must be 1, but got True$"),
        (put("schema", value=None), r"schema: must be 1, but got None$"),
        (put("widths", value=[1]), r"widths: must be a known field, but got an unknown one$"),
        (put("blocks", 1, "depth", value=2), r"blocks\[1\]\.depth: must be a known field, but got an unknown one$"),
        (put("blocks", 1, value={}), r"blocks\[1\]\.base_width: must be given, but is missing$"),
        (
            put("blocks", 1, "depths", value=[1, 3]),
            r"blocks\[1\]\.depths: must be consecutive numbers from 1 to 64, but",
        ),
        (
            put("blocks", 1, "depths", value=[1, 1 << 62]),
            r"blocks\[1\]\.depths: must be consecutive numbers from 1 to 64",
        ),
        (put("blocks", 1, "depths", value=[]), r"blocks\[1\]\.depths: must be consecutive numbers from 1 to 64, but"),
        (
            put("blocks", 1, "depths", value=["1"]),
            r"blocks\[1\]\.depths\[0\]: input should be a valid integer, but got '1'$",
        ),
        (put("blocks", 1, "base_width", value=0), r"blocks\[1\]\.base_width: must be in \[1, 16384\], but got 0$"),
        (
            put("blocks", 1, "base_width", value=True),
            r"blocks\[1\]\.base_width: input should be a valid integer, but got True$",
        ),
        (put("blocks", 1, "stride", value=4), r"blocks\[1\]\.stride: must be 1 or 2, but got 4$"),
        (put("blocks", value=[]), r"blocks: must be 1 to 16 blocks, but got 0$"),
        (put("clip", "num_frames", value=0), r"clip\.num_frames: must be in \[1, 16384\], but got 0$"),
        (put("clip", value=[8, 48, 8]), r"clip: input should be an object, but got \[8, 48, 8\]$"),
        (put("clip_choices", value={"num_frames": [8]}), r"clip_choices\.resolutions: must be given, but is missing$"),
        (
            put("clip_choices", value={"num_frames": [8, 0], "resolutions": [48], "rates_fps": [8]}),
            r"clip_choices\.num_frames: every choice must be in \[1, 16384\], but got 0$",
        ),
        (
            put("clip_choices", value={"num_frames": [9], "resolutions": [48], "rates_fps": [8]}),
            r"clip: must be one of its clip_choices, but got ClipGeometry",
        ),
        (put("kernels", value=["4x3x3"]), r"kernels: must be three odd numbers from 1 to 15, but got \(4, 3, 3\)$"),
        (
            put("kernels", value=["3x3"]),
            r"kernels: a kernel must be written as time x height x width, .* but got '3x3'$",
        ),
        (put("kernels", value=["3x3x3", "3x3x3"]), r"kernels: must be 1 to 64 different choices, but got"),
        (put("kernels", value="3x3x3"), r"kernels: input should be a valid array, but got '3x3x3'$"),
        (put("expansions", value=[0]), r"expansions: must be above 0 and at most 16384, but got \(0\.0,\)$"),
        (put("expansions", value=[1e308]), r"expansions: must be above 0 and at most 16384, but got \(1e\+308,\)$"),
        (put("expansions", value=[True]), r"expansions\[0\]: input should be a valid number, but got True$"),
        (put("expansions", value=[10_000]), r"expansion: must be in \[1, 16384\], but got 240000$"),
        (put("width_multipliers", value=[]), r"width_multipliers: must be 1 to 64 different choices, but got \(\)$"),
        (put("se", value=[0]), r"se\[0\]: input should be a valid boolean, but got 0$"),
        (put("se", value=[True, True]), r"se: must be 1 to 64 different choices, but got \(True, True\)$"),
        (put("stem_width", value=0), r"stem_width: must be in \[1, 16384\], but got 0$"),
        (put("head_width", value=-1), r"head_width: must be in \[1, 16384\], but got -1$"),
        (put("dense_width", value=1 << 20), r"dense_width: must be in \[1, 16384\], but got 1048576$"),
        (put("expansion_of", value="half"), r"expansion_of: input should be 'base' or 'chosen', but got 'half'$"),
        (put("name", value=3), r"name: input should be a valid string, but got 3$"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(path, edit, message):
    document = json.loads(TEXT)
    edit(document)
    path.write_text(json.dumps(document))
    with pytest.raises(SpaceError, match=rf"space\.json: {message}") as caught:
        read_space(path)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a document must be JSON, but got Expecting value at line 1 column 1$"),
        ("[1]", r"must be an object, but got \[1\]$"),
        ("{}", r"kind: must be 'movinas\.space', but got None$"),
        ('{"name": 1, "name": 2}', r"a field must stand once, but got 'name' more than once$"),
        ('{"expansions": [NaN]}', r"a number must be finite, but got NaN$"),
        ('{"a":' * 40 + "1" + "}" * 40, r"a document must nest at most 32 deep, but got more$"),
        (" " * (MAX_BYTES + 1), r"a document must have at most 1048576 bytes, but got 1048577$"),
    ],
)
def test_what_is_no_document_is_refused(path, text, message):
    path.write_text(text)
    with pytest.raises(SpaceError, match=rf"space\.json: {message}"):
        read_space(path)


def test_a_missing_file_is_an_error(path):
    with pytest.raises(SpaceError, match=r"space\.json: must be a readable file, but got No such file or directory$"):
        read_space(path)


def read_or_error(path):
    try:
        return read_space(path)
    except MovinasError as error:
        return error


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.integers(-(1 << 62), 1 << 62)
    | st.sampled_from((0.5, 1.5, 3.0, 1e-320, 1e300, -0.0))
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(("1x3x3", "7x7x7", "base", "chosen", "")),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)
PLACES = [
    ("name",),
    ("clip", "num_frames"),
    ("clip", "resolution"),
    ("clip", "rate_fps"),
    ("stem_width",),
    ("blocks",),
    ("blocks", 0),
    ("blocks", 0, "base_width"),
    ("blocks", 1, "depths"),
    ("blocks", 1, "depths", 0),
    ("blocks", 0, "depths", 2),
    ("blocks", 0, "stride"),
    ("head_width",),
    ("dense_width",),
    ("kernels",),
    ("kernels", 0),
    ("expansions",),
    ("expansions", 1),
    ("width_multipliers",),
    ("width_multipliers", 0),
    ("se",),
    ("se", 0),
    ("expansion_of",),
]


@settings(max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=3))
def test_any_change_of_a_file_is_refused_or_gives_a_space_that_works(tmp_path_factory, edits):
    document = copy.deepcopy(json.loads(TEXT))
    for where, value in edits:
        try:
            put(*where, value=value)(document)
        except (TypeError, IndexError, KeyError):
            continue  # an earlier edit took the place away
    path = tmp_path_factory.getbasetemp() / "changed_space.json"
    path.write_text(json.dumps(document))
    space = read_or_error(path)
    if isinstance(space, MovinasError):
        assert isinstance(space, SpaceError)
        return
    indices_ND = space.sample_indices(np.random.default_rng(0), 2)
    spec = space.decode(space.genotype(indices_ND[0]), Variant()).spec
    assert space.contains(spec)
    assert size_log10(space) >= 0
    assert dataclasses.replace(space, name="other").hash == space.hash
    low, high = CostTable(space, Variant(), metric="macs", num_classes=5).bounds()
    assert (low <= CostTable(space, Variant(), metric="macs", num_classes=5).costs(indices_ND)).all()
    assert 0 < low <= high
