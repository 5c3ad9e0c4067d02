"""Formats are told by their content; what fits none or several is refused, naming what was found and what is known."""

import json

import pytest
from datasets import index

from search_spaces.errors import ManifestError, UsageError
from video.annotations import text
from video.annotations.formats import FORMATS, formats_of
from video.annotations.text import read_head

EXAMPLES = {
    "kinetics": ("x.csv", "label,youtube_id,time_start,time_end,split\nabseiling,abc,1,11,train\n"),
    "mmaction2": ("x.txt", "abseiling/abc.mp4 0\nb c/abc.mp4 13\n"),
    "pyslowfast": ("x.csv", "abseiling/abc.mp4 0\n/data/b c/abc.mp4 13\n"),
    "ucf101": ("trainlist01.txt", "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\n"),
    "hmdb51": ("cartwheel_test_split1.txt", "Acrobacias_de_un_fenomeno_cartwheel_f_cm_np1_ba_bad_8.avi 1 \n"),
    "something": ("x.json", '[{"id":"78687","label":"holding","template":"Holding [something]","placeholders":["x"]}]'),
    "charades": ("x.csv", "id,subject,actions,length\n46GP8,HR43,c092 11.90 21.20;c147 0.00 12.60,24.83\n"),
    "moments": ("x.csv", "clapping/flickr-9-0.mp4,clapping,3,0\n"),
    "epic-kitchens": (
        "x.csv",
        "narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n"
        "P01_01_0,P01_01,00:00:01.1,00:00:02.2,1,2\n",
    ),
}


def test_every_format_has_an_example():
    assert set(EXAMPLES) == set(FORMATS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_told_from_all_others(data_set, name):
    file, text = EXAMPLES[name]
    assert formats_of(read_head(data_set.text(file, text))) == [name]


@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_files_of_other_systems(data_set, bom):
    text = bom + EXAMPLES["kinetics"][1].replace("\n", "\r\n")
    assert formats_of(read_head(data_set.text("x.csv", text))) == ["kinetics"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "video,class\na.mp4,run\n"),
        ("x.txt", "a.mp4 run\nb.mp4 jump\n"),
        ("x.txt", "a.mp4 0\nb.mp4 1\nand a word\n"),
        ("x.json", json.dumps({"database": {"abc": {"subset": "training", "annotations": []}}})),
        ("x.json", json.dumps([{"id": "1", "caption": "x", "url": "y"}])),
        ("x.txt", "just a text"),
        ("x.xml", "<annotation/>"),
    ],
)
def test_a_foreign_file_is_refused(data_set, name, content):
    source = data_set.text(name, content)
    with pytest.raises(
        ManifestError, match=f"{name}: must be annotations in a format that is known, but got .*; known"
    ) as e:
        index(source)
    assert all(known in str(e.value) for known in ("folders", *FORMATS))


def test_a_folder_of_foreign_files_only(data_set):
    data_set.text("list.csv", "video,class\na.mp4,run\n")
    with pytest.raises(ManifestError, match=r"in a format that is known, but got list.csv; known are folders"):
        index(data_set.root)


def test_two_formats_in_a_folder(data_set):
    data_set.text("kinetics.csv", EXAMPLES["kinetics"][1])
    data_set.text("moments.csv", EXAMPLES["moments"][1])
    message = (
        r"must be of one format, but got kinetics \(kinetics.csv\); moments \(moments.csv\); name one with --format"
    )
    with pytest.raises(ManifestError, match=message):
        index(data_set.root)
    data_set.videos("clapping/flickr-9-0.mp4")
    assert len(index(data_set.root, format_name="moments").manifest.items) == 1


def test_folders_of_classes_beside_annotations(data_set):
    data_set.videos("clapping/flickr-9-0.mp4", "singing/x.mp4")
    data_set.text("moments.csv", EXAMPLES["moments"][1])
    with pytest.raises(ManifestError, match=r"moments \(moments.csv\); folders \(clapping, singing\)"):
        index(data_set.root)
    assert len(index(data_set.root, format_name="folders").manifest.items) == 2


def test_other_files_beside_folders_of_classes_do_not_matter(data_set):
    data_set.videos("clapping/a.mp4", "singing/x.mp4")
    data_set.text("notes.txt", "mine")
    assert index(data_set.root).format_name == "folders"


def test_a_format_that_there_is_not(data_set):
    with pytest.raises(
        UsageError, match="format must be one of folders, .*, but got 'kinetic'; did you mean kinetics?"
    ):
        index(data_set.root, format_name="kinetic")
    with pytest.raises(ManifestError, match=r"must hold files of ucf101 \(trainlist0N.txt and .*, but got none"):
        index(data_set.root, format_name="ucf101")


def test_a_manifest_needs_no_indexing(data_set):
    source = data_set.text("m.jsonl", '{"schema":1,"kind":"movinas.manifest","class_names":["a"]}')
    with pytest.raises(ManifestError, match="must be annotations, but got a manifest, which needs no indexing"):
        index(source)


def test_files_that_are_none(data_set, tmp_path, monkeypatch):
    with pytest.raises(ManifestError, match="must be a readable file, but got No such file or directory"):
        index(tmp_path / "none.csv")
    with pytest.raises(ManifestError, match="annotations must have at least one line, but got an empty file"):
        index(data_set.text("empty.csv", "\n\n"))
    (data_set.root / "binary.csv").write_bytes(b"a.mp4 0\n\xff\xfe 1\n")
    with pytest.raises(ManifestError, match=r"binary.csv:2: must be text in UTF-8, but byte 0 is not"):
        index(data_set.root / "binary.csv")
    (data_set.root / "zero.csv").write_bytes(b"a.mp4\0 0\n")
    with pytest.raises(ManifestError, match=r"zero.csv:1: must be text, but got a zero byte"):
        index(data_set.root / "zero.csv")
    monkeypatch.setattr(text, "MAX_LINES", 3)
    data_set.text("many.txt", ["a.mp4 1"] * 4)
    with pytest.raises(ManifestError, match=r"many.txt:4: must have at most 3 lines, but got more"):
        index(data_set.root / "many.txt")
    data_set.text("long.csv", "a" * 70_000)
    with pytest.raises(ManifestError, match=r"long.csv:1: a line must have at most 65536 bytes, but got more"):
        index(data_set.root / "long.csv")
