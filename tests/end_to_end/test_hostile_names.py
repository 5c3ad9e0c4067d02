"""Names and folders made to lead elsewhere: nothing outside the folder at hand is written, changed or waited for."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from results.checkpoint import load_newest, save_checkpoint
from results.files import replace_file
from results.journal import Journal
from results.run_dir import RunDir, create_run, is_locked, lock, open_run
from results.telemetry import Telemetry
from search_spaces import strict_json
from search_spaces.errors import CheckpointError, MovinasError, RunFolderError, UsageError
from search_spaces.movinet import NANO
from search_spaces.outside import read_regular
from search_spaces.spec_json import make_spec_file, read_spec, write_spec
from search_spaces.typed_json import write_document
from search_spaces.variant import Variant
from video.check import Memory
from video.manifest import Manifest, VideoItem, load_manifest, write_manifest

FOUND = NANO.decode(NANO.sample(np.random.default_rng(0)), Variant())
HOSTILE = (
    "../x",
    "../../outside/kept.txt",
    "/tmp/x",
    "a/../../x",
    "a\0b",
    "",
    ".",
    "..",
    "x" * 300,
    ".hidden",
    "a\nb",
    "\u202ex",
)
LINKS = (
    *(".lock", ".writer-lock", "journal.jsonl", "telemetry.jsonl", "config.yaml", "report.html", "space.json"),
    *("checkpoints", "specs", "model", "members", "checkpoints/step_00000001", "specs/x.json", "members/other"),
)


@pytest.fixture(autouse=True)
def outside(tmp_path) -> Path:
    """A folder that must stay as it is."""
    folder = tmp_path / "outside"
    (folder / "step_00000001").mkdir(parents=True)
    (folder / "kept.txt").write_text("torn: no line ends here")
    (folder / "step_00000001" / "kept.bin").write_bytes(b"mine")
    before = listed(tmp_path)
    yield folder
    assert {name: what for name, what in listed(tmp_path).items() if not name.startswith("inside")} == before


def listed(folder: Path) -> dict[str, str]:
    """Every file by its content, every folder, every link."""
    return {
        str(path.relative_to(folder)): "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_dir() or path.is_file()
    }


@pytest.fixture
def inside(tmp_path) -> Path:
    (tmp_path / "inside").mkdir()
    return tmp_path / "inside"


@pytest.fixture
def run(inside) -> RunDir:
    made = create_run(inside / "run", kind="search", files={"config.yaml": "seed: 0\n", "members/a/x.txt": "x"})
    save_checkpoint(made.checkpoints_path, 2, {"a.bin": b"abc"}, num_records=0)
    return made


def write_all(run: RunDir) -> None:
    """What working on a run writes."""
    with lock(run), Journal.open(run.journal_path, keep=0):
        Telemetry(run.telemetry_path).append("start")
        save_checkpoint(run.checkpoints_path, 3, {"a.bin": b"abc"}, num_records=0, keep=1)
        write_spec(make_spec_file(FOUND.spec, Variant()), run.specs_path)
        replace_file(run.report_path, b"report")


def test_a_plain_run_is_written(run):
    write_all(open_run(run.path))
    assert run.report_path.read_bytes() == b"report"


@pytest.mark.parametrize("name", LINKS)
def test_a_run_with_a_link_in_it_is_refused(run, outside, name):
    path, is_folder = run.path / name, "." not in name.rpartition("/")[2].removeprefix(".")
    if path.is_dir():
        path.rename(run.path / f"away-{path.name}")
    path.unlink(missing_ok=True)
    path.symlink_to(outside if is_folder and not name.startswith(".") else outside / "kept.txt")
    with pytest.raises(RunFolderError, match=f"{name}: must hold files and folders alone, but got a link"):
        write_all(open_run(run.path))


@pytest.mark.parametrize("name", [".lock", "journal.jsonl", "telemetry.jsonl"])
def test_files_that_a_run_is_written_to_are_never_links(run, outside, name):
    """Even where somebody opened the run before the link was there."""
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).symlink_to(outside / "kept.txt")
    assert not is_locked(run)
    Telemetry(run.telemetry_path).append("start")
    if name != "telemetry.jsonl":
        with pytest.raises(MovinasError, match="Too many levels of symbolic links"):
            write_all(run)


@pytest.mark.parametrize("name", [".lock", "journal.jsonl", "run.json", "checkpoints/pipe"])
def test_a_pipe_in_a_run_is_not_waited_for(run, name):
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    with pytest.raises(RunFolderError, match=r"a pipe or device|no regular file"):
        open_run(run.path)


def test_a_run_itself_may_lie_behind_a_link(run, inside):
    (inside / "link").symlink_to(run.path)
    assert open_run(inside / "link").kind == "search"


@pytest.mark.parametrize("name", HOSTILE)
def test_no_file_of_a_run_has_a_hostile_name(inside, name):
    with pytest.raises(RunFolderError, match="a file of a run must have a plain name"):
        create_run(inside / "run", kind="search", files={name: "x"})
    assert not list(inside.iterdir())


@pytest.mark.parametrize("name", HOSTILE)
def test_no_blob_of_a_checkpoint_has_a_hostile_name(inside, name):
    with pytest.raises(CheckpointError, match="a blob's name must match"):
        save_checkpoint(inside / "checkpoints", 1, {name: b"x"}, num_records=0)


@pytest.mark.parametrize("name", ["../../../outside/kept.txt", "/etc/hostname", "link", "sub/a.bin"])
def test_a_checkpoint_that_names_other_files_is_not_read(run, outside, name):
    folder = run.checkpoints_path / "step_00000002"
    (folder / "link").symlink_to(outside / "kept.txt")
    document = strict_json.load(folder / "MANIFEST.json")
    del document["sha256"]
    data = (outside / "kept.txt").read_bytes()
    document["files"] = [{"name": name, "num_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}]
    (folder / "MANIFEST.json").write_text(json.dumps({**document, "sha256": strict_json.digest(document)}))
    with pytest.raises(CheckpointError, match="must hold a checkpoint that verifies"):
        load_newest(run.checkpoints_path, set_aside=False)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_a_manifest_are_names_alone(inside, name):
    """They go from file to file, and are never part of a path that is written."""
    item = {"id": name, "path": name, "labels": [0], "split": "train", "group": name}
    lines = [{"schema": 1, "kind": "movinas.manifest", "class_names": [name]}, item]
    (inside / "m.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    try:
        manifest = load_manifest(inside / "m.jsonl")
    except MovinasError:
        assert name in ("", "a\0b")
        return
    write_manifest(manifest, inside / "n.jsonl")
    assert load_manifest(inside / "n.jsonl") == manifest
    memory = Memory(inside / "n.checked")
    assert memory.known(manifest.items[0], limit_s=1.0) is None
    assert {path.name for path in inside.iterdir()} == {"m.jsonl", "n.jsonl", "n.checked"}


def test_findings_are_not_kept_behind_a_link(inside, outside):
    (inside / "m.checked").symlink_to(outside / "kept.txt")
    with pytest.raises(UsageError, match="must be kept in a file to write to"):
        Memory(inside / "m.checked")


@pytest.mark.parametrize("stated", ["../../outside/kept", "/tmp/x", "x" * 64])
def test_a_spec_cannot_choose_the_name_of_its_file(inside, stated):
    spec_file = make_spec_file(FOUND.spec, Variant())
    path = write_spec(spec_file, inside / "specs")
    path.write_text(json.dumps({**asdict(spec_file), "fingerprint": stated}))
    with pytest.raises(MovinasError, match="fingerprint: must be that of arch and variant"):
        read_spec(path)


@pytest.mark.parametrize("write", [write_document, lambda document, path: replace_file(path, b"x")])
def test_a_link_laid_where_a_temporary_file_would_be_is_not_followed(inside, outside, write: Callable):
    for name in (f".a.tmp-{os.getpid()}", f".a.json.tmp-{os.getpid()}"):
        (inside / name).symlink_to(outside / "kept.txt")
    write({"a": 1}, inside / "a.json")
    assert (inside / "a.json").is_file()
    assert not (inside / "a.json").is_symlink()


def test_a_manifest_over_a_link_replaces_the_link(inside, outside):
    (inside / "m.jsonl").symlink_to(outside / "kept.txt")
    item = VideoItem(id="a", path=Path("/a.mp4"), labels=(0,), split="train")
    write_manifest(Manifest(class_names=("a",), items=(item,)), inside / "m.jsonl", overwrite=True)
    assert not (inside / "m.jsonl").is_symlink()


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/stdin", "/", "a\0b", "x" * 5000, "\ud800"])
def test_what_is_no_regular_file_is_an_error_of_the_system(name):
    with pytest.raises(OSError, match=r"regular file|Is a directory|no file can have|File name too long|No such"):
        read_regular(Path(name), max_bytes=10)
