"""PySlowFast's train.csv, val.csv and test.csv."""

import pytest
from datasets import index, rows

from search_spaces.errors import ManifestError


def test_a_folder_of_three_lists(data_set):
    data_set.videos("v/a b.mp4", "v/b.mp4", "v/c.mp4")
    data_set.text("train.csv", [f"{data_set.root}/v/a b.mp4 1"])
    data_set.text("val.csv", ["v/b.mp4 0"])
    data_set.text("test.csv", ["v/c.mp4 1"])
    indexed = index(data_set.root)
    assert indexed.format_name == "pyslowfast"
    assert sorted(rows(indexed)) == [
        ("v/a b.mp4", ("1",), "train"),
        ("v/b.mp4", ("0",), "val"),
        ("v/c.mp4", ("1",), "test"),
    ]


def test_commas(data_set):
    data_set.videos("a,b.mp4", "c.mp4")
    indexed = index(data_set.text("train.csv", ['"a,b.mp4",1', "c.mp4,0"]), ratios=(1.0, 0.0, 0.0))
    assert [row[:2] for row in rows(indexed)] == [("a,b.mp4", ("1",)), ("c.mp4", ("0",))]


def test_three_columns_may_mean_two_things(data_set):
    data_set.videos("a.mp4", "b.mp4")
    source = data_set.text("train.csv", ["a.mp4 250 1", "b.mp4 300 0"])
    message = (
        "csv: must be of one format, but mmaction2 and pyslowfast both fit; name one with --format. It begins with 'a"
    )
    with pytest.raises(ManifestError, match=message):
        index(source)
    assert [item.labels for item in index(source, format_name="pyslowfast").manifest.items] == [(1,), (0,)]
    assert index(source, format_name="mmaction2").manifest.multi_label


def test_a_line_without_a_label_is_not_class_0(data_set):
    data_set.videos("a.mp4", "b.mp4")
    with pytest.raises(ManifestError, match=r"train.csv:2: a line must be a path and the number of its class"):
        index(data_set.text("train.csv", ["a.mp4 1", "b.mp4"]), format_name="pyslowfast")
