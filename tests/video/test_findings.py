"""What an index notices: imbalance, likely leaks, equal files."""

import re
from pathlib import Path

import pytest

from search_spaces.errors import ManifestError
from video.annotations.findings import class_counts, duplicates, imbalance, likely_leak
from video.manifest import Manifest, VideoItem


def item(name, label=0, split="train", group=None, root=Path("/v")):
    labels = label if isinstance(label, tuple) else (label,)
    return VideoItem(id=name, path=root / name, labels=labels, split=split, group=group)


def test_counts_and_imbalance():
    items = (item("1", 0), item("2", 0), item("3", (0, 1)), item("4", 1, "test"))
    counts = class_counts(Manifest(class_names=("a", "b", "c"), items=items))
    assert counts["a"] == {"train": 3, "val": 0, "test": 0}
    assert counts["b"] == {"train": 1, "val": 0, "test": 1}
    found = imbalance(counts)
    assert (found.largest, found.smallest, found.ratio, found.empty) == (("a", 3), ("b", 1), 3.0, ("c",))
    assert imbalance({"a": {"train": 0, "val": 1, "test": 1}}) is None


@pytest.mark.parametrize(
    "names",
    [
        ("a/v_Run_g08_c01.avi", "a/v_Run_g08_c02.avi", "a/v_Run_g09_c01.avi", "a/v_Run_g09_c02.avi"),
        ("a/-x_12_000012_000022.mp4", "a/-x_12_000050_000060.mp4", "a/zz_000012_000022.mp4", "a/zz_000022_000032.mp4"),
        ("a/kitchen_1.mp4", "a/kitchen_12.mp4", "a/street 1.mp4", "a/street 2.mp4"),
        ("a/anna clip 1.mp4", "a/anna clip 2.mp4", "a/ben-clip01.mp4", "a/ben-clip02.mp4"),
    ],
)
def test_names_that_suggest_one_recording(names):
    splits = ("train", "test", "train", "train")
    leak = likely_leak([item(name, split=split) for name, split in zip(names, splits, strict=True)])
    assert leak.num_recordings == 1
    assert leak.ids == names[:2]
    assert leak.splits == ("train", "test")
    groups = [re.search(leak.pattern, name)[1] for name in names]
    assert groups[0] == groups[1] != groups[2] == groups[3]
    assert likely_leak([item(name) for name in names]) is None
    grouped = [item(name, split=split, group="x") for name, split in zip(names, splits, strict=True)]
    assert likely_leak(grouped) is None


def test_numbers_alone_suggest_nothing():
    names = [f"a/{number:04d}.mp4" for number in range(9)] + [f"b/video_{number}.mp4" for number in range(9)]
    splits = ("train", "val", "test") * 6
    assert likely_leak([item(name, split=split) for name, split in zip(names, splits, strict=True)]) is None


def test_equal_files(tmp_path):
    for name, text in (("1", "same"), ("2", "same"), ("3", "size"), ("4", "another"), ("5", "same")):
        (tmp_path / name).write_text(text)
    items = [item(name, label=int(name == "5"), root=tmp_path) for name in "1234"]
    items += [item("5", 1, "test", root=tmp_path)]
    (found,) = duplicates(items)
    assert found.ids == ("1", "2", "5")
    assert found.splits == ("train", "train", "test")
    assert not found.same_labels
    assert duplicates(items[1:4]) == []
    (pair,) = duplicates(items[:3])
    assert pair.ids == ("1", "2")
    assert pair.same_labels
    with pytest.raises(ManifestError, match="6: must be a readable video, but got No such file"):
        duplicates([item("6", root=tmp_path)])
