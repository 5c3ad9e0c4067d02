"""From annotations to a manifest: repetitions, groups, splits."""

import pytest
from datasets import index, rows

from search_spaces.errors import ManifestError, UsageError
from video.manifest import load_manifest, write_manifest


@pytest.fixture
def takes(data_set):
    """Two takes of each of twelve recordings."""
    names = [f"v/{label}{number}_take{take}.mp4" for label in "ab" for number in range(6) for take in (1, 2)]
    data_set.videos(*names)
    data_set.text("list.txt", [f"{name} {int(name[2] == 'b')}" for name in names])
    return data_set


def test_a_line_may_be_repeated_but_not_contradicted(takes):
    source = takes.root / "list.txt"
    text = source.read_text()
    source.write_text(text + "v/a0_take1.mp4 0\n")
    assert index(source).num_repeated == 1
    source.write_text(text + "v/a0_take1.mp4 1\n")
    with pytest.raises(
        ManifestError, match="list.txt:25: 'v/a0_take1.mp4' must have the same label wherever it stands"
    ):
        index(source)
    takes.text("train.txt", text)
    takes.text("val.txt", ["v/a0_take1.mp4 0"])
    source.unlink()
    with pytest.raises(ManifestError, match="val.txt:1: 'v/a0_take1.mp4' must have the same split wherever it stands"):
        index(takes.root, format_name="mmaction2")


def test_groups_by_a_regular_expression(takes):
    indexed = index(takes.root / "list.txt", group_by=r"(.*)_take\d")
    where = {}
    for item in indexed.manifest.items:
        where.setdefault(item.group, set()).add(item.split)
    assert set(where) == {f"v/{label}{number}" for label in "ab" for number in range(6)}
    assert all(len(splits) == 1 for splits in where.values())
    assert {split for splits in where.values() for split in splits} == {"train", "val", "test"}
    again = index(takes.root / "list.txt", group_by=r"(.*)_take\d")
    assert again == indexed
    assert index(takes.root / "list.txt", group_by=r"(.*)_take\d", seed=1) != indexed


@pytest.mark.parametrize(
    ("group_by", "message"),
    [
        ("(", "group-by must be a regular expression or a column, but got '\\('"),
        (r"a\d_take", "group-by must match the id of every video, but .* does not 'v/b0_take1.mp4'"),
        ("subject", "group-by must match the id of every video, but 'subject' does not 'v/a0_take1.mp4'"),
        ("()", "group-by must match the id of every video"),
    ],
)
def test_groups_that_are_none(takes, group_by, message):
    with pytest.raises(UsageError, match=message):
        index(takes.root / "list.txt", group_by=group_by)


def test_given_splits_are_kept_or_redrawn(takes):
    names = (takes.root / "list.txt").read_text().splitlines()
    (takes.root / "list.txt").unlink()
    takes.text("train_list.txt", names[::2])
    takes.text("test_list.txt", names[1::2])
    indexed = index(takes.root, format_name="mmaction2", ratios=(0.6, 0.3, 0.1))
    assert indexed.given_splits
    splits = {item.id: item.split for item in indexed.manifest.items}
    assert {split for name, split in splits.items() if "take2" in name} == {"test"}
    assert sorted(split for name, split in splits.items() if "take1" in name) == ["train"] * 8 + ["val"] * 4
    with pytest.raises(
        ManifestError, match="a group must lie in one split, but 12 do not, such as 'v/a0', .* --redraw"
    ):
        index(takes.root, format_name="mmaction2", group_by=r"(.*)_take\d")
    redrawn = index(takes.root, format_name="mmaction2", group_by=r"(.*)_take\d", redraw=True)
    assert not redrawn.given_splits
    takes.text("more.txt", ["v/a0_take1.mp4 0", "v/a0_take2.mp4 0"])
    takes.videos("v/new.mp4")
    takes.text("more.txt", ["v/new.mp4 0"])
    with pytest.raises(ManifestError, match="more.txt: a file must tell the split of its videos where others do"):
        index(takes.root, format_name="mmaction2")


def test_a_manifest_of_any_format_is_read_again(takes):
    indexed = index(takes.root / "list.txt", group_by=r"(.*)_take\d")
    write_manifest(indexed.manifest, takes.root / "m.jsonl")
    assert load_manifest(takes.root / "m.jsonl") == indexed.manifest


def test_shares_of_missing_videos_are_shares(takes):
    with pytest.raises(UsageError, match=r"max_missing must be in \[0, 1\], but got nan"):
        index(takes.root / "list.txt", max_missing=float("nan"))


def test_numbers_without_videos_stay_classes(data_set):
    data_set.videos("a.mp4", "b.mp4")
    indexed = index(data_set.text("train.txt", ["a.mp4 0", "b.mp4 3"]), ratios=(1.0, 0.0, 0.0))
    assert indexed.manifest.class_names == ("0", "1", "2", "3")
    assert rows(indexed) == [("a.mp4", ("0",), "train"), ("b.mp4", ("3",), "train")]


def test_recordings_in_several_of_the_given_splits_are_told(data_set):
    data_set.videos("Run/v_Run_g01_c01.avi", "Run/v_Run_g01_c02.avi")
    data_set.text("trainlist01.txt", ["Run/v_Run_g01_c01.avi 1"])
    data_set.text("testlist01.txt", ["Run/v_Run_g01_c02.avi"])
    indexed = index(data_set.root, format_name="ucf101", ratios=(1.0, 0.0, 0.0))
    assert indexed.warnings == ("1 recordings lie in several of the given splits, such as 'v_Run_g01'",)
