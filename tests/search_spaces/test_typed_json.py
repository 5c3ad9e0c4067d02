"""Documents of a kind; what they share. Whole files are tested where their content is, in test_spec_json and others."""

import json
from dataclasses import dataclass

import pytest
from pydantic import ConfigDict, TypeAdapter

from search_spaces.errors import SpecError
from search_spaces.typed_json import check_fingerprint, check_header, read_document, validate, write_document


@dataclass(frozen=True, kw_only=True)
class Inner:
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    sizes: tuple[int, ...]

    def __post_init__(self):
        if min(self.sizes) < 1:
            raise SpecError(f"must be at least 1, but got {min(self.sizes)}", where="sizes")


@dataclass(frozen=True, kw_only=True)
class Outer:
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    items: tuple[Inner, ...]


ADAPTER = TypeAdapter(Outer)


def test_a_document_is_written_whole_and_read_back(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_document({"kind": "k", "schema": 1}, path)
    write_document({"kind": "k", "schema": 2}, path)
    assert read_document(path) == {"kind": "k", "schema": 2}
    assert [entry.name for entry in path.parent.iterdir()] == ["a.json"]
    path.write_text("[")
    with pytest.raises(SpecError, match=r"a\.json: a document must be JSON"):
        read_document(path)


def test_a_value_that_is_no_json_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_document({"a": 1}, path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_document({"a": float("nan")}, path)
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_headers(tmp_path):
    document = {"kind": "k", "schema": 1, "more": None}
    assert check_header(document, kind="k", schema=1, path=None) is document
    for found, message in (
        ([], r"^x: must be an object, but got \[\]$"),
        ({"kind": "j", "schema": 1}, "^x: kind: must be 'k', but got 'j'$"),
        ({"kind": "k", "schema": True}, "^x: schema: must be 1, but got True$"),
    ):
        with pytest.raises(SpecError, match=message):
            check_header(found, kind="k", schema=1, path="x")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"items": [{"sizes": [1]}, {"sizes": [3, 0]}]}, r"^x: items\[1\]\.sizes: must be at least 1, but got 0$"),
        ({"items": [{"sizes": [True]}]}, r"^x: items\[0\]\.sizes\[0\]: input should be a valid integer, but got True$"),
        ({"items": [{}]}, r"^x: items\[0\]\.sizes: must be given, but is missing$"),
        ({"items": [], "more": 1}, "^x: more: must be a known field, but got an unknown one$"),
    ],
)
def test_what_is_wrong_has_its_place(document, message):
    with pytest.raises(SpecError, match=message):
        validate(ADAPTER, document, path="x")


def test_a_value_of_a_document():
    assert validate(ADAPTER, {"items": [{"sizes": [1, 2]}]}, path=None) == Outer(items=(Inner(sizes=(1, 2)),))


def test_fingerprints():
    check_fingerprint("ab", actual="ab", of="a thing", path=None)
    with pytest.raises(SpecError, match="^fingerprint: must be that of a thing, ab, but got 'cd'$"):
        check_fingerprint("cd", actual="ab", of="a thing", path=None)
