"""EPIC-KITCHENS: segments of long recordings with a verb and a noun."""

import pytest
from datasets import index
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import ManifestError
from video.annotations.epic_kitchens import timestamp_s
from video.decode import decode_all
from video.manifest import load_manifest, write_manifest

HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
LINES = [
    "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:00.37,8,202,open door,open,1,door,2,['door'],[2]",
    "P01_01_1,P01,P01_01,00:00:02.629,00:00:00.310,00:00:00.69,262,370,turn on light,turn-on,0,light,0,['light'],[0]",
    "P02_101_0,P02,P02_101,00:00:02.6,00:00:00.000,00:00:00.50,1,30,"
    '"put cup, plate",put,0,cup,1,"[\'cup\', \'plate\']","[1, 3]"',
]


@pytest.fixture
def epic(data_set):
    data_set.videos("P01/videos/P01_01.MP4", "P02/videos/P02_101.MP4")
    data_set.text("EPIC_100_train.csv", [HEADER, *LINES[:2]])
    data_set.text("EPIC_100_validation.csv", [HEADER, LINES[2]])
    data_set.text(
        "EPIC_100_verb_classes.csv",
        ["id,key,instances,category", "0,put,\"['put', 'put-on']\",leave", "1,open,\"['open']\",access"],
    )
    data_set.text(
        "EPIC_100_noun_classes.csv",
        [
            "id,key,instances,category",
            *(f"{number},{name},\"['{name}']\",x" for number, name in enumerate(("light", "cup", "door"))),
        ],
    )
    return data_set


def test_segments_have_a_verb_and_a_noun(epic):
    indexed = index(epic.root, format_name="epic-kitchens")
    manifest = indexed.manifest
    assert manifest.class_names == ("noun:light", "noun:cup", "noun:door", "verb:put", "verb:open")
    assert [head.name for head in manifest.heads] == ["noun", "verb"]
    assert [(item.id, item.labels, item.split, item.start_s, item.end_s) for item in manifest.items] == [
        ("P01_01_0", (2, 4), "train", 0.14, 0.37),
        ("P01_01_1", (0, 3), "train", 0.31, 0.69),
        ("P02_101_0", (1, 3), "val", 0.0, 0.5),
    ]
    assert [item.group for item in manifest.items] == ["P01_01", "P01_01", "P02_101"]
    write_manifest(manifest, epic.root / "m.jsonl")
    assert load_manifest(epic.root / "m.jsonl") == manifest
    first = manifest.items[0]
    decoded = decode_all(first.path, short_side=8, start_s=first.start_s, end_s=first.end_s)
    assert len(decoded.times_s) == 7  # on display from 0.12 s, and those that begin before 0.37 s


def test_persons_may_be_kept_together(epic):
    lines = [HEADER, *LINES[:2], LINES[2].replace("P02,", "P01,")]
    epic.text("EPIC_100_train.csv", lines[:3])
    epic.text("EPIC_100_validation.csv", [HEADER, lines[3]])
    with pytest.raises(
        ManifestError, match="a group must lie in one split, but 1 do not, such as 'P01', in the splits"
    ):
        index(epic.root, format_name="epic-kitchens", group_by="participant_id")
    again = index(epic.root, format_name="epic-kitchens", group_by="participant_id", redraw=True)
    assert len({item.split for item in again.manifest.items}) == 1


def test_classes_without_names_are_called_by_their_numbers(epic):
    for name in ("verb", "noun"):
        (epic.root / f"EPIC_100_{name}_classes.csv").unlink()
    names = index(epic.root / "EPIC_100_train.csv").manifest.class_names
    assert names == ("noun:0", "noun:1", "noun:2", "verb:0", "verb:1")


def test_two_files_of_verbs(epic):
    epic.text("EPIC_verb_classes.csv", ["verb_id,class_key,verbs", "0,take,x"])
    with pytest.raises(ManifestError, match="must hold one file with the verbs, but got EPIC_100_verb_classes.csv and"):
        index(epic.root, format_name="epic-kitchens")


def test_the_test_set_has_no_labels(epic):
    header = (
        "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame"
    )
    source = epic.text(
        "EPIC_100_test_timestamps.csv", [header, "P01_11_0,P01,P01_11,00:00:01.1,00:00:00.1,00:00:02.9,1,5"]
    )
    with pytest.raises(ManifestError, match="must label at least one video, but got none"):
        index(source)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59_999))
def test_times(hours, minutes, milliseconds):
    text = f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
    assert timestamp_s(text) == (hours * 3_600_000 + minutes * 60_000 + milliseconds) / 1000


@pytest.mark.parametrize(
    "text", ["", "1:2", "00:61:00.0", "00:00:60.1", "00:00:00.", "-1:00:00", "00:00:0x", "٠0:00:01"]
)
def test_times_that_are_none(text):
    with pytest.raises(ManifestError, match="a time must be written as HH:MM:SS.ms, but got"):
        timestamp_s(text)
