import pickle
from pathlib import Path

import pytest

from search_spaces import errors
from search_spaces.errors import InfeasibleTargetError, MovinasError, SpecError, WeightsError, shown

LEAVES = [
    entry
    for entry in vars(errors).values()
    if isinstance(entry, type) and issubclass(entry, MovinasError) and entry is not MovinasError
]


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_leaf_is_also_of_the_builtin_that_fits(leaf):
    assert issubclass(leaf, ValueError | RuntimeError)
    assert issubclass(leaf.__bases__[0], MovinasError)
    assert leaf.__doc__


def test_exit_code_is_2_but_3_for_a_target_that_cannot_be_met():
    codes = {leaf: leaf.exit_code for leaf in LEAVES}
    assert codes.pop(InfeasibleTargetError) == 3
    assert set(codes.values()) == {2}


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({}, "must be odd, but got 2"),
        ({"where": "blocks[3].kernel"}, "blocks[3].kernel: must be odd, but got 2"),
        ({"path": "a/b.json"}, "a/b.json: must be odd, but got 2"),
        ({"path": Path("a/b.jsonl"), "line": 7}, "a/b.jsonl:7: must be odd, but got 2"),
        ({"path": "b.jsonl", "line": 7, "where": "x"}, "b.jsonl:7: x: must be odd, but got 2"),
    ],
)
def test_text_is_place_then_message(place, text):
    assert str(SpecError("must be odd,\n   but got\t2", **place)) == text


def test_message_is_one_line_without_the_place():
    error = SpecError("must be\nodd", path="a.json", where="x")
    assert (error.message, error.path, error.line, error.where) == ("must be odd", Path("a.json"), None, "x")


def test_at_adds_only_what_was_not_known():
    inner = SpecError("must be odd", where="kernel")
    outer = inner.at(path="a.json", line=3, where="elsewhere")
    assert type(outer) is SpecError
    assert str(outer) == "a.json:3: kernel: must be odd"
    assert str(outer.at(path="b.json", line=4)) == str(outer)
    assert str(inner) == "kernel: must be odd"


def test_what_else_an_error_knows_stays_with_it():
    inner = WeightsError("must fit", missing=["a", "b"], unexpected=["c"])
    for error in (inner.at(path="w"), pickle.loads(pickle.dumps(inner.at(path="w")))):
        assert str(error) == "w: must fit"
        assert (error.missing, error.unexpected, error.misshaped) == (("a", "b"), ("c",), ())


def test_an_error_survives_the_way_back_from_a_worker_process():
    error = pickle.loads(pickle.dumps(SpecError("must be odd", path="a.json", line=3, where="kernel")))
    assert str(error) == "a.json:3: kernel: must be odd"
    assert (error.message, error.path, error.line, error.where) == ("must be odd", Path("a.json"), 3, "kernel")


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), ("a\n", "'a\\n'"), (True, "True"), ("x" * 78, repr("x" * 78)), ("x" * 79, "'" + "x" * 76 + "...")],
)
def test_shown_is_printable_and_short(value, text):
    assert shown(value) == text
    assert len(text) <= 80


def test_a_message_commands_no_terminal():
    error = SpecError("must be odd, but got \x1b[2J\u202e\ud800 é", path="a\x07b/ü.json", where="k\x1b" + "x" * 500)
    assert str(error).isprintable()
    assert error.message == "must be odd, but got \\x1b[2J\\u202e\\ud800 é"
    assert str(error).startswith("a\\x07b/ü.json: k\\x1bxxx")
    assert len(str(error)) < 400
    assert error.path == Path("a\x07b/ü.json")


def test_a_message_has_an_end():
    error = SpecError("must be odd, but got " + "7" * 100_000, path="a.json", where="kernel")
    assert str(error).startswith("a.json: kernel: must be odd, but got 777")
    assert str(error).endswith("7...")
    assert len(str(error)) < 2000
