"""Names on the command line."""

import pytest

from launch.specs import check_classes, find_spec, find_variant
from search_spaces.errors import SpecError, UsageError
from search_spaces.published import published, released_stream
from search_spaces.spec_json import make_spec_file, write_spec
from search_spaces.variant import VARIANTS, Variant


def test_published_networks_and_files(tmp_path):
    assert find_spec("published:A3").arch == published("A3")
    path = write_spec(make_spec_file(published("A1"), Variant()), tmp_path)
    assert find_spec(str(path)).arch == published("A1")
    with pytest.raises(SpecError, match="a published network must be one of A0"):
        find_spec("published:a0")
    with pytest.raises(SpecError, match="must be a readable file"):
        find_spec(str(tmp_path / "no.json"))


def test_variants_by_name_and_file(tmp_path):
    assert find_variant("base") == Variant()
    path = tmp_path / "v.json"
    path.write_text('{"gate": "hard_sigmoid"}')
    assert find_variant(str(path)) == Variant(gate="hard_sigmoid")
    for text, message in (
        ('{"gate": "soft"}', "gate: "),
        ('{"gates": "sigmoid"}', "gates: must be a known field"),
        ("[", "must be JSON"),
    ):
        path.write_text(text)
        with pytest.raises(SpecError, match=message):
            find_variant(str(path))
    with pytest.raises(SpecError, match="did you mean base"):
        find_variant("bas")


def test_a_published_stream_is_built_as_it_was_released(tmp_path):
    for name in ("A0", "A1", "A3"):
        assert find_variant("released-stream", spec=f"published:{name}") == released_stream(name)
    assert find_variant("released-stream", spec=str(tmp_path / "a3.json")) == VARIANTS["released-stream"]
    assert find_variant("released-stream") == VARIANTS["released-stream"]
    assert find_variant("paper-stream", spec="published:A3") == VARIANTS["paper-stream"]


@pytest.mark.parametrize("classes", [0, -3, 10**7])
def test_numbers_of_classes(classes):
    with pytest.raises(UsageError, match="classes must be in"):
        check_classes(classes)
