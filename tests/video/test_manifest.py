import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import ManifestError
from video.manifest import Manifest, VideoItem, load_manifest, write_manifest

HEADER = {"schema": 1, "kind": "movinas.manifest", "class_names": ["run", "jump"]}
ROW = {"id": "a", "path": "clips/a.mp4", "labels": [0], "split": "train"}
ITEM = VideoItem(id="a", path=Path("/data/a.mp4"), labels=(0,), split="train")

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
PARTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=8).filter(
    lambda part: part not in {".", ".."}
)


@st.composite
def manifests(draw, *, folder: Path) -> Manifest:
    class_names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    items = []
    for item_id in draw(st.lists(NAMES, max_size=5, unique=True)):
        root = draw(st.sampled_from([folder, Path("/elsewhere")]))
        start_s = draw(st.none() | st.floats(0.0, 100.0))
        span_s = draw(st.none() | st.floats(0.1, 100.0))
        labels = draw(st.lists(st.integers(0, len(class_names) - 1), min_size=1, max_size=3, unique=True))
        items.append(
            VideoItem(
                id=item_id,
                path=root.joinpath(*draw(st.lists(PARTS, min_size=1, max_size=3))),
                labels=tuple(labels),
                split=draw(st.sampled_from(["train", "val", "test"])),
                start_s=start_s,
                end_s=None if span_s is None else (start_s or 0.0) + span_s,
                group=draw(st.none() | NAMES),
            )
        )
    return Manifest(class_names=tuple(class_names), items=tuple(items))


@given(st.data())
def test_what_is_written_is_read_again(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    manifest = data.draw(manifests(folder=folder))
    write_manifest(manifest, folder / "round.jsonl", overwrite=True)
    assert load_manifest(folder / "round.jsonl") == manifest


def test_paths_below_the_manifest_move_with_it(tmp_path):
    inside, outside = tmp_path / "data" / "clips" / "ü b.mp4", Path("/elsewhere/b.mp4")
    manifest = Manifest(
        class_names=("x",),
        items=(replace(ITEM, path=inside), replace(ITEM, id="b", path=outside)),
    )
    (tmp_path / "data").mkdir()
    write_manifest(manifest, tmp_path / "data" / "m.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "data" / "m.jsonl").read_text().splitlines()]
    assert [row["path"] for row in rows[1:]] == ["clips/ü b.mp4", "/elsewhere/b.mp4"]
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = load_manifest(tmp_path / "moved" / "m.jsonl")
    assert [item.path for item in moved.items] == [tmp_path / "moved" / "clips" / "ü b.mp4", outside]


def test_a_relative_manifest_path_gives_absolute_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, [HEADER, ROW])
    assert load_manifest(Path("m.jsonl")).items[0].path == tmp_path / "clips" / "a.mp4"


def test_splits_and_classes(tmp_path):
    rows = [ROW, ROW | {"id": "b", "split": "test"}, ROW | {"id": "c", "labels": [1, 0]}]
    manifest = load_manifest(write(tmp_path, [HEADER, *rows]))
    assert manifest.num_classes == 2
    assert [item.id for item in manifest.of("train")] == ["a", "c"]
    assert [item.id for item in manifest.of("test")] == ["b"]
    assert manifest.of("val") == ()
    assert manifest.items[2].labels == (1, 0)


@pytest.mark.parametrize(
    ("line", "lines", "message"),
    [
        (2, [HEADER, {**ROW, "lables": [1]}], "a line must have no other fields than id, .*, group, but got 'lables'"),
        (2, [HEADER, {"id": "a"}], "a line must have the fields id, path, labels, split, but got no 'path'"),
        (2, [HEADER, [1]], "a line must be a JSON object, but got list"),
        (2, [HEADER, ROW | {"labels": [True]}], r"labels: labels must be a list of integers, but got \[True\]"),
        (2, [HEADER, ROW | {"labels": 1}], "labels: labels must be a list of integers, but got 1"),
        (2, [HEADER, ROW | {"labels": []}], r"labels must be different class numbers .* but got \[\]"),
        (2, [HEADER, ROW | {"labels": [1, 1]}], r"labels must be different class numbers .* but got \[1, 1\]"),
        (2, [HEADER, ROW | {"labels": [-1]}], r"labels must be different class numbers from 0, but got \[-1\]"),
        (3, [HEADER, ROW, ROW | {"id": "b", "labels": [2]}], "labels must be class numbers below 2, but got 2"),
        (3, [HEADER, ROW, ROW], "id: an id must be unique, but got 'a' again"),
        (2, [HEADER, ROW | {"split": "dev"}], "split: a split must be train, val or test, but got 'dev'"),
        (2, [HEADER, ROW | {"id": 3}], "id: id must be a string, but got int"),
        (2, [HEADER, ROW | {"id": ""}], "id: id must be text in UTF-8, not empty, but got ''"),
        (2, [HEADER, ROW | {"path": ""}], "path: path must be text in UTF-8, not empty, but got ''"),
        (2, [HEADER, ROW | {"path": None}], "path: path must be a string, but got null"),
        (2, [HEADER, ROW | {"group": ""}], "group: group must be text in UTF-8"),
        (2, [HEADER, ROW | {"start_s": "1"}], "start_s: start_s must be a number of seconds, but got str"),
        (2, [HEADER, ROW | {"end_s": True}], "end_s: end_s must be a number of seconds, but got bool"),
        (2, [HEADER, ROW | {"start_s": 2, "end_s": 2}], r"a segment must start at 0 .* got start_s=2\.0, end_s=2\.0"),
        (2, [HEADER, ROW | {"start_s": -0.5}], r"a segment must start at 0 or later .* start_s=-0\.5, end_s=None"),
        (2, [HEADER, "{"], "a document must be JSON, but got"),
        (2, [HEADER, ""], "a document must be JSON, but got"),
        (2, [HEADER, '{"id": "a", "id": "b"}'], "a field must stand once, but got 'id' more than once"),
        (2, [HEADER, '{"id": "\\ud800", "path": "p", "labels": [0], "split": "val"}'], r"text in UTF-8.*'\\ud800'"),
        (1, [], "a document must be JSON"),
        (1, [ROW], "a line must have the fields schema, kind, class_names, but got no 'schema'"),
        (1, [HEADER | {"more": 1}], "no other fields than schema, kind, class_names, multi_label, but got 'more'"),
        (1, [HEADER | {"schema": 2}], "schema: schema must be 1, but got 2"),
        (1, [HEADER | {"schema": True}], "schema: schema must be 1, but got True"),
        (1, [HEADER | {"kind": "x"}], "kind: the first line must have kind 'movinas.manifest', but got 'x'"),
        (1, [HEADER | {"class_names": "run"}], "class_names: class_names must be a list of strings, but got str"),
        (1, [HEADER | {"class_names": []}], "class_names: class_names must name at least one class, but got none"),
        (1, [HEADER | {"class_names": ["a", "a"]}], "class_names must be different, but got 'a' 2 times"),
    ],
)
def test_a_line_that_does_not_hold_what_it_must_is_named(tmp_path, line, lines, message):
    path = write(tmp_path, lines)
    with pytest.raises(ManifestError, match=message) as caught:
        load_manifest(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(caught.value)
    assert (caught.value.path, caught.value.line) == (path, line)


def test_a_line_without_end_is_not_read_whole(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(json.dumps(HEADER).encode() + b"\n" + b"x" * (3 << 20))
    with pytest.raises(ManifestError, match=r"m\.jsonl:2: a document must have at most 1048576 bytes"):
        load_manifest(path)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(ManifestError, match=r"none\.jsonl: must be a readable manifest, but got No such file"):
        load_manifest(tmp_path / "none.jsonl")
    with pytest.raises(ManifestError, match="must be a readable manifest, but got Is a directory"):
        load_manifest(tmp_path)


def test_nothing_is_overwritten_or_left_half_written(tmp_path, monkeypatch):
    path = write(tmp_path, [HEADER, ROW])
    before = path.read_bytes()
    manifest = Manifest(class_names=("x",), items=(ITEM,))
    with pytest.raises(ManifestError, match=r"m\.jsonl: must not exist yet, but a manifest would be written over it"):
        write_manifest(manifest, path)
    assert path.read_bytes() == before

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ManifestError, match=r"m\.jsonl: must be a file to write to, but got No space left on device"):
        write_manifest(manifest, path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    write_manifest(manifest, path, overwrite=True)
    assert load_manifest(path) == manifest
    with pytest.raises(ManifestError, match="must be a file to write to, but got No such file or directory"):
        write_manifest(manifest, tmp_path / "nowhere" / "m.jsonl")


def test_values_check_themselves():
    with pytest.raises(ManifestError, match=r"path: a path must be absolute, but got path='a\.mp4'"):
        replace(ITEM, path=Path("a.mp4"))
    with pytest.raises(ManifestError, match="split: a split must be train, val or test, but got 'dev'"):
        replace(ITEM, split="dev")
    with pytest.raises(ManifestError, match=r"a segment must start at 0 .* end_s=inf"):
        replace(ITEM, end_s=float("inf"))
    with pytest.raises(ManifestError, match=r"items\[1\]\.id: an id must be unique, but got 'a' again"):
        Manifest(class_names=("x",), items=(ITEM, ITEM))
    with pytest.raises(ManifestError, match="labels must be class numbers below 1, but got 3"):
        Manifest(class_names=("x",), items=(replace(ITEM, labels=(3,)),))
    with pytest.raises(ManifestError, match="class_names must name at least one class"):
        Manifest(class_names=(), items=())


def write(folder: Path, lines: list) -> Path:
    path = folder / "m.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path
