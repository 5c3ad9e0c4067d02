"""mmaction2 lists of videos; lists of frame folders are refused by name."""

import time

import pytest
from datasets import index, rows

from search_spaces.errors import ManifestError
from video.annotations.lines import split_line


def test_names_with_spaces_and_numbers_stay_whole(data_set):
    data_set.videos("some class/v 1 2.mp4", "b/x.mp4", "b/take 7.mp4")
    source = data_set.text("my_list.txt", ["some class/v 1 2.mp4 0", "b/x.mp4 1", "b/take 7.mp4   1", ""])
    indexed = index(source, ratios=(1.0, 0.0, 0.0))
    assert indexed.format_name == "mmaction2"
    assert rows(indexed) == [
        ("some class/v 1 2.mp4", ("0",), "train"),
        ("b/x.mp4", ("1",), "train"),
        ("b/take 7.mp4", ("1",), "train"),
    ]


def test_splits_of_the_file_names_and_names_of_the_classes(data_set):
    data_set.videos("a/1.mp4", "a/2.mp4", "b/1.mp4")
    data_set.text("kinetics_train_list_videos.txt", ["a/1.mp4 0", "b/1.mp4 2"])
    data_set.text("kinetics_val_list_videos.txt", ["a/2.mp4 0"])
    data_set.text("README.txt", ["This is the data set."])
    names = data_set.text("map.names", ["applauding", "applying cream", "archery"])
    indexed = index(data_set.root, format_name="mmaction2", read={"classes": names})
    assert rows(indexed) == [
        ("a/1.mp4", ("applauding",), "train"),
        ("b/1.mp4", ("archery",), "train"),
        ("a/2.mp4", ("applauding",), "val"),
    ]
    assert indexed.manifest.class_names == ("applauding", "applying cream", "archery")


def test_several_labels_per_video(data_set):
    data_set.videos("1.mp4", "2.mp4", "3.mp4")
    source = data_set.text("train.txt", ["1.mp4 0 2 4", "2.mp4 1", "3.mp4 2 1 0 4"])
    indexed = index(source, ratios=(1.0, 0.0, 0.0), format_name="mmaction2")
    assert indexed.manifest.multi_label
    assert [item.labels for item in indexed.manifest.items] == [(0, 2, 4), (1,), (2, 1, 0, 4)]


def test_a_list_of_frame_folders_is_refused(data_set):
    source = data_set.text("train_rawframes.txt", ["some/dir 163 0", "other/dir 201 1"])
    with pytest.raises(ManifestError, match=r"txt:1: must list video files, but got a list of folders with frames"):
        index(source)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a/1.mp4 -1", "a label must be a number from 0 to below 100000, but got '-1'"),
        ("a/1.mp4 7", "a label must be below 2, the number of classes, but got 7"),
        ("a/1.mp4 99999999999999999999", "a label must be a number from 0"),
        ("a/1.mp4", "a line must be a path and the number of its class, but got 'a/1.mp4'"),
        ("/etc/passwd.mp4 0", "a file name must lead below the folder of the videos, .*, but got '/etc/passwd.mp4'"),
        ("../a/1.mp4 0", r"a file name must lead below .*, but got '\.\./a/1.mp4'"),
        ("C:\\x\\1.mp4 0", "a file name must lead below"),
    ],
)
def test_what_is_no_line_is_named(data_set, line, message):
    data_set.videos("a/2.mp4")
    names = data_set.text("names.txt", ["x", "y"])
    source = data_set.text("list.txt", ["a/2.mp4 0", line])
    with pytest.raises(ManifestError, match=f"list.txt:2: {message}"):
        index(source, format_name="mmaction2", read={"classes": names})


def test_long_lines_take_no_longer_than_their_length(data_set):
    for text in ("1 " * 32_000 + "x", "x" + " 1" * 32_000, " " * 60_000 + "1", "-1 " * 20_000 + "-"):
        start_s = time.process_time()
        split_line(text)
        assert time.process_time() - start_s < 0.1
