"""UCF101's split files, whose class numbers begin with 1."""

import pytest
from datasets import index, rows

from search_spaces.errors import ManifestError


@pytest.fixture
def ucf(data_set):
    for name in ("ApplyEyeMakeup", "ApplyLipstick"):
        data_set.videos(
            *(f"UCF-101/{name}/v_{name}_g{group:02d}_c{clip:02d}.avi" for group in (1, 8, 9) for clip in (1, 2))
        )
    data_set.text("lists/classInd.txt", "1 ApplyEyeMakeup\r\n2 ApplyLipstick\r\n")
    for fold in (1, 2):
        held_out = {1: 1, 2: 8}[fold]
        data_set.text(
            f"lists/trainlist{fold:02d}.txt",
            [
                f"{name}/v_{name}_g{group:02d}_c{clip:02d}.avi {number}"
                for number, name in enumerate(("ApplyEyeMakeup", "ApplyLipstick"), start=1)
                for group in (1, 8, 9)
                for clip in (1, 2)
                if group != held_out
            ],
        )
        data_set.text(
            f"lists/testlist{fold:02d}.txt",
            [f"{name}/v_{name}_g{held_out:02d}_c01.avi" for name in ("ApplyEyeMakeup", "ApplyLipstick")],
        )
    return data_set


@pytest.mark.parametrize(("fold", "held_out"), [(1, "g01"), (2, "g08")])
def test_a_fold_and_a_val_split_of_whole_recordings(ucf, fold, held_out):
    indexed = index(ucf.root / "lists", videos=ucf.root / "UCF-101", read={"fold": fold}, ratios=(0.5, 0.5, 0.0))
    assert indexed.format_name == "ucf101"
    assert indexed.manifest.class_names == ("ApplyEyeMakeup", "ApplyLipstick")
    test = [row for row in rows(indexed) if row[2] == "test"]
    assert test == [
        (f"ApplyEyeMakeup/v_ApplyEyeMakeup_{held_out}_c01.avi", ("ApplyEyeMakeup",), "test"),
        (f"ApplyLipstick/v_ApplyLipstick_{held_out}_c01.avi", ("ApplyLipstick",), "test"),
    ]
    where = {}
    for item in indexed.manifest.items:
        where.setdefault(item.group, set()).add(item.split)
    assert len(where) == 6
    assert {frozenset(splits) for splits in where.values()} == {frozenset({name}) for name in ("train", "val", "test")}


def test_a_number_that_is_not_the_class_is_refused(ucf):
    source = ucf.root / "lists" / "trainlist01.txt"
    source.write_text(source.read_text().replace("ApplyLipstick_g09_c01.avi 2", "ApplyLipstick_g09_c01.avi 1"))
    with pytest.raises(
        ManifestError, match=r"trainlist01.txt:7: class 'ApplyLipstick' must have number 2, .* but got '1'"
    ):
        index(source, videos=ucf.root)


def test_without_the_file_of_numbers_they_are_those_of_the_sorted_classes(ucf):
    (ucf.root / "lists" / "classInd.txt").unlink()
    assert index(ucf.root / "lists", videos=ucf.root).manifest.class_names == ("ApplyEyeMakeup", "ApplyLipstick")


def test_a_fold_that_is_not_there(ucf):
    with pytest.raises(ManifestError, match=r"must have lists of fold 3, but got testlist01.txt, testlist02.txt"):
        index(ucf.root / "lists", videos=ucf.root, read={"fold": 3})
