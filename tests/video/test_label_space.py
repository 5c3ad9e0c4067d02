import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import ManifestError
from video.label_space import LabelHead, LabelSpace
from video.manifest import Manifest, VideoItem, load_manifest, write_manifest

EPIC = LabelSpace.of_heads({"verb": ["open", "close"], "noun": ["door", "tap", "jar"]})
HEADER = {"schema": 1, "kind": "movinas.manifest"}


def write(tmp_path, *lines):
    path = tmp_path / "m.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def row(name, labels, split="train"):
    return {"id": name, "path": f"{name}.mp4", "labels": labels, "split": split}


def test_heads_lie_beside_each_other():
    assert EPIC.class_names == ("noun:door", "noun:tap", "noun:jar", "verb:open", "verb:close")
    assert EPIC.parts == {"noun": slice(0, 3), "verb": slice(3, 5)}
    assert EPIC.numbers_of({"verb": 1, "noun": 2}) == (2, 4)
    assert EPIC.names_of("noun") == ("door", "tap", "jar")
    assert (EPIC.num_classes, EPIC.single_label, EPIC.metric) == (5, False, "action top-1")


def test_without_heads_all_classes_are_one_part():
    space = LabelSpace(class_names=("a", "b"))
    assert space.parts == {"": slice(0, 2)}
    assert space.names_of("") == ("a", "b")
    assert (space.single_label, space.metric) == (True, "top-1")
    assert LabelSpace(class_names=("a",), multi_label=True).metric == "mAP"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": EPIC.heads[:1], "class_names": EPIC.class_names[:3]}, r"heads must be at least two .* \['noun'\]"),
        ({"heads": EPIC.heads, "class_names": EPIC.class_names, "multi_label": True}, "multi_label=True"),
        ({"heads": (EPIC.heads[0],) * 2, "class_names": ("verb:a",) * 4}, "with different names"),
        ({"heads": EPIC.heads[::-1], "class_names": EPIC.class_names}, r"sorted, .* \['verb', 'noun'\]"),
        ({"heads": EPIC.heads, "class_names": ("door", "tap", "jar", "open", "close")}, "must be head:class"),
        ({"heads": EPIC.heads, "class_names": EPIC.class_names[:4]}, "as many as the heads have classes, but got 4"),
        ({"heads": (EPIC.heads[0],) * 65, "class_names": EPIC.class_names}, "at most 64 heads, but got 65"),
    ],
)
def test_a_label_space_checks_itself(fields, message):
    with pytest.raises(ManifestError, match=message):
        LabelSpace(**fields)


@pytest.mark.parametrize("num_classes", [-1, 0, 1_000_001, 1 << 62])
def test_a_head_without_classes_or_of_too_many(num_classes):
    with pytest.raises(ManifestError, match=f"must have 1 to 1000000 classes, but got {num_classes}"):
        LabelHead(name="noun", num_classes=num_classes)


@pytest.mark.parametrize(
    ("space", "labels", "message"),
    [
        (LabelSpace(class_names=("a", "b")), (), "at least one, but got"),
        (LabelSpace(class_names=("a", "b"), multi_label=True), (2,), "below 2, but got 2"),
        (EPIC, (0,), r"one class of each head, noun, verb, but got \[0\]"),
        (EPIC, (0, 1, 3), r"one class of each head, noun, verb, but got \[0, 1, 3\]"),
    ],
)
def test_labels_that_no_video_can_have(space, labels, message):
    with pytest.raises(ManifestError, match=message):
        space.check(labels)


def test_a_file_of_several_heads(tmp_path):
    names = {"verb": ["open", "close"], "noun": ["door", "tap", "jar"]}
    path = write(tmp_path, HEADER | {"class_names": names}, row("a", {"noun": 2, "verb": 1}))
    manifest = load_manifest(path)
    assert manifest.label_space == EPIC
    assert manifest.items[0].labels == (2, 4)
    write_manifest(manifest, path, overwrite=True)
    header, line = map(json.loads, path.read_text().splitlines())
    assert header == HEADER | {"class_names": names}
    assert line["labels"] == {"verb": 1, "noun": 2}


def test_a_file_of_several_labels(tmp_path):
    path = write(tmp_path, HEADER | {"class_names": ["a", "b"], "multi_label": True}, row("x", []), row("y", [1]))
    manifest = load_manifest(path)
    assert (manifest.multi_label, [item.labels for item in manifest.items]) == (True, [(), (1,)])
    write_manifest(manifest, path, overwrite=True)
    assert load_manifest(path) == manifest


def test_a_file_of_before_with_several_labels_is_one_too(tmp_path):
    path = write(tmp_path, HEADER | {"class_names": ["a", "b"]}, row("x", [0]), row("y", [1, 0]))
    assert load_manifest(path).multi_label
    path = write(tmp_path, HEADER | {"class_names": ["a", "b"]}, row("x", [0]))
    assert not load_manifest(path).multi_label
    assert "multi_label" not in path.read_text()


@pytest.mark.parametrize(
    ("header", "labels", "message"),
    [
        (
            {"class_names": {"verb": ["a"], "noun": ["b"]}},
            [0, 1],
            r":2: labels: labels must map each of \['noun', 'verb'",
        ),
        ({"class_names": {"verb": ["a"], "noun": ["b"]}}, {"verb": 0}, r"each of \['noun', .* got \{'verb': 0\}"),
        ({"class_names": {"verb": ["a"], "n" * 101: ["b"]}}, {}, "head must have at most 100 letters, but got 101"),
        ({"class_names": {"verb": ["a"], "noun": ["b"]}}, {"verb": 0, "noun": 1}, "labels.noun: .* below 1, but got 1"),
        ({"class_names": {"verb": ["a"], "noun": ["b"]}}, {"verb": True, "noun": 0}, "labels.verb: .* but got True"),
        ({"class_names": {"verb": ["a"], "noun": "b"}}, {}, "class_names.noun: class_names must be a list of strings"),
        ({"class_names": {"verb": ["a", "a"], "noun": ["b"]}}, {}, "must be different, but got 'a' 2 times"),
        ({"class_names": {"verb": ["a"]}}, {}, ":1: heads: heads must be at least two"),
        ({"class_names": {"verb": ["a"], "no:un": ["b"]}}, {}, ":1: class_names: class_names of several heads"),
        ({"class_names": {}}, {}, "class_names"),
        ({"class_names": ["a"], "multi_label": 1}, [], "multi_label: multi_label must be true or false, but got int"),
        ({"class_names": {"verb": ["a"], "noun": ["b"]}, "multi_label": True}, {}, "heads: heads must be at least two"),
    ],
)
def test_a_bad_file_names_the_place(tmp_path, header, labels, message):
    with pytest.raises(ManifestError, match=message):
        load_manifest(write(tmp_path, HEADER | header, row("a", labels)))


names_st = st.lists(st.text(string.ascii_letters, min_size=1, max_size=3), min_size=1, max_size=4, unique=True)


@given(st.data())
def test_several_heads_survive_a_file(tmp_path_factory, data):
    heads = data.draw(st.dictionaries(st.text("vno", min_size=1, max_size=3), names_st, min_size=2, max_size=3))
    space = LabelSpace.of_heads(heads)
    folder = tmp_path_factory.mktemp("manifest")
    items = tuple(
        VideoItem(
            id=f"{number}",
            path=folder / "v.mp4",
            labels=tuple(data.draw(st.integers(part.start, part.stop - 1)) for part in space.parts.values()),
            split="val",
        )
        for number in range(data.draw(st.integers(0, 3)))
    )
    manifest = Manifest(class_names=space.class_names, items=items, heads=space.heads)
    write_manifest(manifest, folder / "m.jsonl")
    assert load_manifest(folder / "m.jsonl") == manifest
