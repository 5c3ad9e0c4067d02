"""Moments in Time: lists without a header, with the votes of those who labelled."""

import pytest
from datasets import index, rows

from search_spaces.errors import ManifestError


@pytest.fixture
def moments(data_set):
    data_set.videos(
        "training/adult+female+singing/yt-a_12.mp4",
        "training/clapping/flickr-9-0-1_7.mp4",
        "validation/clapping/flickr-9-0-1_7.mp4",
    )
    data_set.text(
        "trainingSet.csv",
        ["adult+female+singing/yt-a_12.mp4,adult+female+singing,3,0", "clapping/flickr-9-0-1_7.mp4,clapping,4,1"],
    )
    data_set.text("validationSet.csv", ["clapping/flickr-9-0-1_7.mp4,clapping,3,0"])
    data_set.text("moments_categories.txt", ["adult+female+singing,0", "baking,1", "clapping,2"])
    data_set.text("license.txt", ["All rights, and none."])
    return data_set


def test_lists_and_the_folders_of_their_splits(moments):
    with pytest.raises(ManifestError, match=r"got moments \(trainingSet.csv, .*; folders \(training, validation\)"):
        index(moments.root)
    indexed = index(moments.root, format_name="moments")
    assert rows(indexed) == [
        ("training/adult+female+singing/yt-a_12.mp4", ("adult+female+singing",), "train"),
        ("training/clapping/flickr-9-0-1_7.mp4", ("clapping",), "train"),
        ("validation/clapping/flickr-9-0-1_7.mp4", ("clapping",), "val"),
    ]
    assert indexed.manifest.class_names == ("adult+female+singing", "baking", "clapping")


def test_a_file_alone_is_told_by_its_content(moments):
    assert index(moments.root / "validationSet.csv").format_name == "moments"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clapping/x.mp4,clapping,three,0", "a line must be class/video.mp4,class,votes,votes, but got"),
        ("clapping/x.mp4,singing,3,0", "a line must be class/video.mp4,class,votes,votes, but got"),
        ("singing/x.mp4,singing,3,0", "a class must be one of the 3 known, but got 'singing'"),
    ],
)
def test_what_is_no_line_is_named(moments, line, message):
    source = moments.text("trainingSet.csv", ["clapping/flickr-9-0-1_7.mp4,clapping,4,1", line])
    with pytest.raises(ManifestError, match=f"trainingSet.csv:2: {message}"):
        index(source, format_name="moments")
