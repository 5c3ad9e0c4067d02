"""HMDB51's files of marks: 0 unused, 1 train, 2 test."""

import pytest
from datasets import index, rows

from search_spaces.errors import ManifestError

MARKED = {
    "brush_hair": [
        ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", 1),
        ("Boys & Girls!_brush_hair_h_cm_np1_fr_bad_2.avi", 2),
    ],
    "cartwheel": [
        ("#20_Rhythm_clap_u_cartwheel_f_cm_np1_le_med_0.avi", 1),
        ("x(;)_cartwheel_f_cm_np1_ba_med_1.avi", 0),
    ],
}


@pytest.fixture
def hmdb(data_set):
    for label, videos in MARKED.items():
        data_set.videos(*(f"videos/{label}/{name}" for name, _ in videos))
        data_set.text(f"lists/{label}_test_split1.txt", [f"{name} {mark} " for name, mark in videos])
        data_set.text(f"lists/{label}_test_split2.txt", [f"{name} {2 - mark} " for name, mark in videos])
    return data_set


def test_marks_of_a_split(hmdb):
    indexed = index(hmdb.root / "lists", videos=hmdb.root / "videos", ratios=(1.0, 0.0, 0.0))
    assert indexed.format_name == "hmdb51"
    assert rows(indexed) == [
        ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", ("brush_hair",), "train"),
        ("brush_hair/Boys & Girls!_brush_hair_h_cm_np1_fr_bad_2.avi", ("brush_hair",), "test"),
        ("cartwheel/#20_Rhythm_clap_u_cartwheel_f_cm_np1_le_med_0.avi", ("cartwheel",), "train"),
    ]
    assert [item.group for item in indexed.manifest.items] == ["April_09", "Boys & Girls!", "#20_Rhythm_clap_u"]
    assert indexed.warnings == ("1 videos are marked 0: split 1 does not use them",)
    second = index(hmdb.root / "lists", videos=hmdb.root / "videos", read={"fold": 2}, ratios=(1.0, 0.0, 0.0))
    assert [row[2] for row in rows(second)] == ["train", "train", "test"]


def test_a_mark_that_is_none(hmdb):
    source = hmdb.text("lists/cartwheel_test_split1.txt", ["x(;)_cartwheel_f_cm_np1_ba_med_1.avi 3"])
    with pytest.raises(ManifestError, match=r"split1.txt:1: a line must be a video and 0, 1 or 2, but got 'x\(;\)"):
        index(source, videos=hmdb.root / "videos")


def test_a_split_that_is_not_there(hmdb):
    with pytest.raises(ManifestError, match="must have files of split 3, but got 4 others"):
        index(hmdb.root / "lists", read={"fold": 3})
