"""Kinetics csv, as DeepMind gives it, with clips as the usual downloaders name them."""

import pytest
from datasets import index, rows

from search_spaces.errors import ManifestError
from video.decode import decode_all

HEADER = "label,youtube_id,time_start,time_end,split,is_cc"


@pytest.fixture
def kinetics(data_set):
    data_set.videos(
        "train/riding a bike/-0xqXqgGEuA_000012_000022.mp4",
        "train/shaking_hands/_9Kq0h1X2yM_000000_000010.mp4",
        "val/passing American football (not in game)/abcdefghijk_001003_001013.mp4",
        "val/riding a bike/-0xqXqgGEuA_000050_000060.mkv",
    )
    data_set.text(
        "kinetics.csv",
        [
            HEADER,
            '"riding a bike",-0xqXqgGEuA,12,22,train,0',
            "shaking hands,_9Kq0h1X2yM,0,10,train,1",
            '"passing American football (not in game)",abcdefghijk,1003,1013,validate,0',
            "riding a bike,-0xqXqgGEuA,50,60,val,0",
        ],
    )
    return data_set


def test_clips_that_were_cut_out(kinetics):
    indexed = index(kinetics.root / "kinetics.csv")
    assert indexed.format_name == "kinetics"
    assert indexed.given_splits
    assert rows(indexed) == [
        ("train/riding a bike/-0xqXqgGEuA_000012_000022.mp4", ("riding a bike",), "train"),
        ("train/shaking_hands/_9Kq0h1X2yM_000000_000010.mp4", ("shaking hands",), "train"),
        (
            "val/passing American football (not in game)/abcdefghijk_001003_001013.mp4",
            ("passing American football (not in game)",),
            "val",
        ),
        ("val/riding a bike/-0xqXqgGEuA_000050_000060.mkv", ("riding a bike",), "val"),
    ]
    assert all(item.start_s is None and item.end_s is None for item in indexed.manifest.items)


def test_of_a_whole_video_the_span_is_decoded_exactly(data_set):
    data_set.videos("a/x.mp4", "b/yz-_.mp4")
    source = data_set.text("train.csv", [HEADER, "a,x,0.2,0.6,,", "b,yz-_,0,0.4,,"])
    first, second = index(source, ratios=(1.0, 0.0, 0.0)).manifest.items
    assert (first.id, first.start_s, first.end_s, first.split) == ("a/x.mp4#0.2-0.6", 0.2, 0.6, "train")
    assert second.id == "b/yz-_.mp4#0-0.4"
    decoded = decode_all(first.path, short_side=16, start_s=first.start_s, end_s=first.end_s)
    assert decoded.frames.shape[0] == 10
    whole = decode_all(first.path, short_side=16)
    assert (decoded.frames == whole.frames[5:15]).all()


def test_missing_videos_are_left_out_and_named_up_to_a_share(kinetics):
    with (kinetics.root / "kinetics.csv").open("a") as file:
        file.write("shaking hands,gonegonegon,1,11,train,0\n,unlabelled00,1,11,test,0\n")
    indexed = index(kinetics.root / "kinetics.csv")
    assert indexed.missing == ("gonegonegon_000001_000011",)
    assert (indexed.num_listed, indexed.num_unlabelled, len(indexed.manifest.items)) == (5, 1, 4)
    with pytest.raises(ManifestError, match="at most 10% of 5 listed videos may be missing, but 1 are, such as 'gone"):
        index(kinetics.root / "kinetics.csv", max_missing=0.1)


def test_classes_of_a_file_of_their_own(kinetics):
    names = kinetics.text("names", ["shaking hands", "riding a bike", "passing American football (not in game)", "x"])
    indexed = index(kinetics.root / "kinetics.csv", read={"classes": names})
    assert [item.labels for item in indexed.manifest.items] == [(1,), (0,), (2,), (1,)]
    kinetics.text("names", ["shaking hands", "riding a bike"])
    with pytest.raises(ManifestError, match="csv:4: a class must be one of the 2 that are known, but got 'passing"):
        index(kinetics.root / "kinetics.csv", read={"classes": names})


def test_no_video_at_all_is_an_error_whatever_may_be_missing(kinetics, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="4 are, such as .*; --videos names the folder they lie in"):
        index(kinetics.root / "kinetics.csv", videos=tmp_path / "empty", max_missing=1.0)


def test_the_test_list_without_labels(data_set):
    source = data_set.text("test.csv", ["youtube_id,time_start,time_end,split", "abc,1,11,test"])
    with pytest.raises(ManifestError, match="must label at least one video, but got none"):
        index(source)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,x,one,11,train,0", "time_start must be seconds, such as 11.90, but got 'one'"),
        ("a,x,12,11,train,0", "a segment must start at 0 s or later and end after that"),
        ("a,x,1,11,dev,0", "a split must be one of train, .*, but got 'dev'"),
        ("a,../x,1,11,train,0", r"youtube_id must be the id of a video, but got '\.\./x'"),
        ("a,x,1,11,train", "a record must have the 6 fields of the header, but got 5"),
        ('"a,x,1,11,train,0', "must be csv, but got unexpected end of data"),
        ("a,x,1e999,11,train,0", "time_start must be seconds"),
        ("a,x,nan,11,train,0", "time_start must be seconds"),
    ],
)
def test_what_is_no_line_is_named(kinetics, line, message):
    source = kinetics.text("kinetics.csv", [HEADER, "riding a bike,-0xqXqgGEuA,12,22,train,0", line])
    with pytest.raises(ManifestError, match=f"kinetics.csv:3: {message}"):
        index(source)


def test_a_name_that_two_videos_answer_to(kinetics):
    kinetics.videos("copy/-0xqXqgGEuA_000012_000022.mp4")
    assert len(index(kinetics.root / "kinetics.csv").manifest.items) == 4  # the folder of the split decides
    kinetics.videos("train/more/-0xqXqgGEuA_000012_000022.mp4")
    assert len(index(kinetics.root / "kinetics.csv").manifest.items) == 4  # and then that of the class
    kinetics.videos("train/more/riding_a_bike/-0xqXqgGEuA_000012_000022.mp4")
    with pytest.raises(ManifestError, match="csv:2: '-0xqXqgGEuA_000012_000022' must name one video, but both train/"):
        index(kinetics.root / "kinetics.csv")
