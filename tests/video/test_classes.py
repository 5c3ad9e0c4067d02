"""Files with the names of classes."""

import json

import pytest

from search_spaces.errors import ManifestError
from video.annotations.classes import read_class_names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.txt", "riding a bike\nrun\njump 2\n"),
        ("x.txt", "1 riding a bike\n3 jump 2\n2 run\n"),
        ("x.txt", "0 riding a bike\n1 run\n2 jump 2\n"),
        ("x.txt", "c000 riding a bike\nc001 run\nc002 jump 2\n"),
        ("x.csv", "riding a bike,0\nrun,1\njump 2,2\n"),
        ("x.json", json.dumps({"run": "1", "riding a bike": 0, "jump 2": "2"})),
    ],
)
def test_ways_to_number_classes(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_class_names(tmp_path / name) == ("riding a bike", "run", "jump 2")


def test_names_that_begin_with_numbers_are_names(tmp_path):
    (tmp_path / "x.txt").write_text("3 point shot\n100 m run\n")
    assert read_class_names(tmp_path / "x.txt") == ("3 point shot", "100 m run")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.txt", "a\nb\na\n", "must name different classes, .* but got 3 of which 2 differ"),
        ("x.txt", "", "must name different classes"),
        ("x.json", '["a"]', "must map class names to numbers, but got list"),
        ("x.json", '{"a": 0, "b": 2}', r"must number the classes from 0 without gaps, but got \[0, 2\]"),
        ("x.json", '{"a": 0, "b": 0}', "each by a number of its own, .* but got 2 of which 1 differ"),
        ("x.json", '{"a": true}', "'a': a class must have a number, but got True"),
        ("x.json", '{"a": "-1"}', "a class must be a number from 0"),
        ("x.json", '{"a": 0, "a": 1}', "a field must stand once"),
        ("x.json", '{"": 0}', "a class must be text in UTF-8, not empty"),
    ],
)
def test_files_that_are_none(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_class_names(tmp_path / name)
