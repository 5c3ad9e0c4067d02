import os
from collections import Counter
from pathlib import Path

import pytest

from search_spaces.errors import ManifestError, UsageError
from video.annotations.assemble import index_folders


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def many(name: str, count: int) -> list[str]:
    return [f"{name}/{index:03d}.mp4" for index in range(count)]


def test_a_folder_per_class(tmp_path):
    root = make(
        tmp_path, "b/2.MP4", "b/1.mkv", "b/deep/er/3.webm", "b/notes.txt", "b/.hidden.mp4", "b/.git/x.mp4", "a a/x.avi"
    )
    make(root, ".trash/x.mp4", "readme.md")
    manifest = index_folders(root)
    assert manifest.class_names == ("a a", "b")
    assert [item.id for item in manifest.items] == ["a a/x.avi", "b/1.mkv", "b/2.MP4", "b/deep/er/3.webm"]
    assert [item.labels for item in manifest.items] == [(0,), (1,), (1,), (1,)]
    assert manifest.items[3].path == root / "b" / "deep" / "er" / "3.webm"


def test_the_draw_is_stratified_seeded_and_of_each_class_alone(tmp_path):
    root = make(tmp_path, *many("a", 20), *many("b", 40))
    manifest = index_folders(root, seed=3)
    counts = Counter((item.labels[0], item.split) for item in manifest.items)
    assert counts == {
        (0, "train"): 14,
        (0, "val"): 3,
        (0, "test"): 3,
        (1, "train"): 28,
        (1, "val"): 6,
        (1, "test"): 6,
    }
    assert index_folders(root, seed=3) == manifest
    assert index_folders(root, seed=4) != manifest
    make(root, *many("c", 5))
    again = index_folders(root, seed=3)
    assert [item for item in again.items if item.labels[0] < 2] == list(manifest.items)


def test_given_splits_are_kept(tmp_path):
    root = make(tmp_path, *many("train/a", 8), *many("train/b", 8), *many("validation/a", 2), *many("test/b", 3))
    manifest = index_folders(root)
    assert manifest.class_names == ("a", "b")
    assert all(item.id.split("/")[0].startswith(item.split) for item in manifest.items)
    assert Counter(item.split for item in manifest.items) == {"train": 16, "val": 2, "test": 3}


def test_a_missing_val_is_carved_out_of_train(tmp_path):
    root = make(tmp_path, *many("train/a", 20), *many("train/b", 20), *many("test/a", 4), *many("test/b", 4))
    manifest = index_folders(root)
    assert Counter(item.split for item in manifest.items) == {"train": 34, "val": 6, "test": 8}
    assert {item.id.split("/")[0] for item in manifest.of("val")} == {"train"}
    assert Counter(item.labels[0] for item in manifest.of("val")) == {0: 3, 1: 3}


def test_a_test_set_alone_stays_a_test_set(tmp_path):
    manifest = index_folders(make(tmp_path, *many("test/a", 3), *many("test/b", 2)))
    assert len(manifest.of("test")) == 5


def test_a_class_may_be_called_train(tmp_path):
    manifest = index_folders(make(tmp_path, *many("train", 3), *many("tram", 3)))
    assert manifest.class_names == ("train", "tram")


def test_what_is_no_folder_per_class_is_named(tmp_path):
    with pytest.raises(ManifestError, match="none: must be a folder with a folder per class, but got No such file"):
        index_folders(tmp_path / "none")
    with pytest.raises(ManifestError, match="must hold a folder per class, at least two, but got none"):
        index_folders(make(tmp_path / "flat", "x.mp4"))
    with pytest.raises(ManifestError, match="at least two, but got only 'a'"):
        index_folders(make(tmp_path / "one", "a/x.mp4"))
    root = make(tmp_path / "empty", "a/x.mp4", "b/notes.txt")
    with pytest.raises(
        ManifestError, match=r"empty/b: a class must have at least one video \(\.3gp, .*\), but got none"
    ):
        index_folders(root)
    root = make(tmp_path / "unknown", "train/a/x.mp4", "train/b/x.mp4", "test/c/x.mp4")
    with pytest.raises(ManifestError, match="a class of test must be among those of train, but got 'c'"):
        index_folders(root)
    root = make(tmp_path / "both", "val/a/x.mp4", "validation/b/x.mp4")
    with pytest.raises(ManifestError, match="must have one folder for val, but got val and validation"):
        index_folders(root)


def test_names_that_are_not_utf_8_are_refused(tmp_path):
    make(tmp_path, "a/x.mp4", "b/x.mp4")
    make(tmp_path, os.fsdecode(b"\xff/x.mp4"))
    with pytest.raises(ManifestError, match=r"class_names must be text in UTF-8, not empty, but got '\\udcff'"):
        index_folders(tmp_path)


@pytest.mark.parametrize("ratios", [(0.5, 0.5, 0.5), (0.0, 0.5, 0.5), (1.2, -0.2, 0.0), (float("nan"), 0.5, 0.5)])
def test_shares_must_be_shares(tmp_path, ratios):
    with pytest.raises(UsageError, match=r"the shares of train, val and test must be .* add up to 1, but got \("):
        index_folders(tmp_path, ratios=ratios)
