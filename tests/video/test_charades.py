"""Charades csv: all actions of a video, or each as a segment."""

import pytest
from datasets import index, rows

from search_spaces.errors import ManifestError
from video.decode import decode_all
from video.manifest import load_manifest, write_manifest

HEADER = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
ROWS = [
    '46GP8,HR43,Kitchen,6,7,Yes,"A person cooks, then ""eats"".",food;stove,"A person cooks;\nthen eats.",'
    "c092 0.20 0.60;c147 0.00 0.90;c092 0.70 0.90,0.96",
    "N11GT,0KZ7,Stairs,6,7,Yes,A person runs.,,Runs.,,0.96",
    "KRF68,HR43,Kitchen,6,7,No,A person sits.,chair,Sits.,c151 0.10 0.50,0.96",
]


@pytest.fixture
def charades(data_set):
    data_set.videos("Charades_v1_480/46GP8.mp4", "Charades_v1_480/N11GT.mp4", "Charades_v1_480/KRF68.mp4")
    data_set.text("Charades_v1_train.csv", [HEADER, *ROWS])
    data_set.text("Charades_v1_test.csv", [HEADER])
    data_set.text("Charades_v1_classes.txt", [f"c{number:03d} Action {number}, held" for number in range(157)])
    return data_set


def test_videos_have_all_their_actions(charades):
    indexed = index(charades.root / "Charades_v1_train.csv", ratios=(1.0, 0.0, 0.0))
    assert indexed.format_name == "charades"
    assert indexed.manifest.multi_label
    assert rows(indexed) == [
        ("Charades_v1_480/46GP8.mp4", ("Action 92, held", "Action 147, held"), "train"),
        ("Charades_v1_480/N11GT.mp4", (), "train"),
        ("Charades_v1_480/KRF68.mp4", ("Action 151, held",), "train"),
    ]
    assert indexed.manifest.num_classes == 157
    write_manifest(indexed.manifest, charades.root / "m.jsonl")
    assert load_manifest(charades.root / "m.jsonl") == indexed.manifest


def test_actions_as_segments_decode_exactly(charades):
    indexed = index(charades.root, read={"segments": True}, ratios=(1.0, 0.0, 0.0))
    assert not indexed.manifest.multi_label
    assert [(item.labels, item.start_s, item.end_s) for item in indexed.manifest.items] == [
        ((92,), 0.2, 0.6),
        ((147,), 0.0, 0.9),
        ((92,), 0.7, 0.9),
        ((151,), 0.1, 0.5),
    ]
    assert {item.group for item in indexed.manifest.items} == {"46GP8", "KRF68"}
    counts = [
        len(decode_all(item.path, short_side=8, start_s=item.start_s, end_s=item.end_s).times_s)
        for item in indexed.manifest.items
    ]
    assert counts == [10, 23, 6, 11]  # at 25 per second, with the frame on display where a segment begins


def test_one_person_never_straddles(charades):
    indexed = index(charades.root, group_by="subject", redraw=True, ratios=(0.5, 0.5, 0.0))
    splits = {item.group: item.split for item in indexed.manifest.items}
    assert set(splits) == {"HR43", "0KZ7"}
    assert len({item.split for item in indexed.manifest.items if item.group == "HR43"}) == 1


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ("c092 0.20", "an action must be written as c092 11.90 21.20, but got 'c092 0.20'"),
        ("c999 0.20 0.30", "a label must be below 157, the number of classes, but got 999"),
        ("c001 -1 0.30", "a start must be seconds, such as 11.90, but got '-1'"),
    ],
)
def test_actions_that_are_none(charades, actions, message):
    source = charades.text("Charades_v1_train.csv", [HEADER, f"46GP8,HR43,K,6,7,Yes,s,o,d,{actions},0.96"])
    with pytest.raises(ManifestError, match=f"train.csv:2: {message}"):
        index(source)


def test_segments_that_end_before_they_begin_are_left_out(charades):
    source = charades.text(
        "Charades_v1_train.csv", [HEADER, "46GP8,HR43,K,6,7,Yes,s,o,d,c001 0.5 0.5;c002 0.1 0.2,0.96"]
    )
    indexed = index(source, read={"segments": True})
    assert len(indexed.manifest.items) == 1
    assert indexed.warnings == ("1 actions end before they begin and are left out",)


def test_pyslowfasts_list_of_frames_is_foreign(data_set):
    lines = ["original_vido_id video_id frame_id path labels", 'EBLRP 0 0 EBLRP/EBLRP-000001.jpg ""']
    with pytest.raises(ManifestError, match="must be annotations in a format that is known, but got 'original_vido_id"):
        index(data_set.text("train.csv", lines))
