import errno
import hashlib
import logging
import os
import random

import faults
import pytest

from results.checkpoint import MANIFEST, load_newest, restoring, save_checkpoint
from search_spaces import strict_json
from search_spaces.errors import CheckpointError, JournalError

OLD = {"weights.safetensors": b"old weights" * 3, "state.json": b"{}"}
NEW = {"weights.safetensors": b"new weights!" * 3, "state.json": b'{"step": 2}', "empty": b""}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "checkpoints"


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_what_was_saved_is_loaded(root):
    assert load_newest(root) is None
    folder = save_checkpoint(root, 7, NEW, num_records=12)
    found = load_newest(root)
    assert (found.number, found.num_records, dict(found.blobs)) == (7, 12, NEW)
    assert folder == root / "step_00000007"
    with pytest.raises(TypeError):
        found.blobs["state.json"] = b""


def test_the_newest_by_number_is_used_and_the_older_are_removed(root):
    for number in (2, 9, 10, 100):
        save_checkpoint(root, number, {"n": str(number).encode()}, num_records=number)
    assert load_newest(root).number == 100
    assert names(root) == ["step_00000010", "step_00000100"]
    save_checkpoint(root, 101, OLD, num_records=1, keep=1)
    assert names(root) == ["step_00000101"]


def test_those_that_are_spared_stay_beside_the_newest(root):
    for number in range(1, 13):
        save_checkpoint(root, number, OLD, num_records=number, spared=range(4, 13, 4))
    assert names(root) == [f"step_{number:08}" for number in (4, 8, 11, 12)]
    save_checkpoint(root, 13, OLD, num_records=1)
    assert names(root) == ["step_00000012", "step_00000013"]


def test_saving_a_number_again_replaces_it_and_leaves_later_ones(root):
    save_checkpoint(root, 5, OLD, num_records=1, keep=3)
    save_checkpoint(root, 6, OLD, num_records=1, keep=3)
    save_checkpoint(root, 5, NEW, num_records=2, keep=1)
    assert names(root) == ["step_00000005", "step_00000006"]
    (root / "step_00000006" / MANIFEST).unlink()
    assert dict(load_newest(root).blobs) == NEW


def test_every_cut_and_flip_of_the_newest_falls_back(root):
    save_checkpoint(root, 1, OLD, num_records=3)
    folder = save_checkpoint(root, 2, NEW, num_records=6)
    rng = random.Random(0)
    originals = {path: path.read_bytes() for path in folder.iterdir()}
    for path, data in originals.items():
        damages = [data[:cut] for cut in range(len(data))] + [data + b"x"]
        for position in range(len(data)):
            damages.append(bytearray(data))
            damages[-1][position] ^= 1 << rng.randrange(8)
        for damage in damages:
            path.write_bytes(damage)
            found = load_newest(root)
            if path.name == MANIFEST and found.number == 2:  # white space between fields may change
                assert strict_json.loads(bytes(damage)) == strict_json.loads(data)
                assert (found.num_records, dict(found.blobs)) == (6, NEW)
            else:
                assert (found.number, found.num_records, dict(found.blobs)) == (1, 3, OLD)
                (root / "bad-step_00000002").rename(folder)
            path.write_bytes(data)
    assert load_newest(root).number == 2


def test_a_bad_one_is_set_aside_with_a_warning(root, caplog):
    save_checkpoint(root, 1, OLD, num_records=3)
    for _ in range(2):
        folder = save_checkpoint(root, 2, NEW, num_records=6)
        (folder / "state.json").write_bytes(b'{"step": 3}')
        with caplog.at_level(logging.WARNING):
            assert load_newest(root).number == 1
    assert "step_00000002: a bad checkpoint was set aside: state.json does not have the SHA-256" in caplog.text
    assert names(root) == ["bad-step_00000002", "bad-step_00000002-2", "step_00000001"]


def test_none_that_verifies_is_an_error_now_and_later_and_changes_nothing(root, caplog):
    folder = save_checkpoint(root, 1, OLD, num_records=3)
    (folder / "state.json").unlink()
    message = "checkpoints: must hold a checkpoint that verifies, but got step_00000001: state.json: No such file"
    for _ in range(2):
        with pytest.raises(CheckpointError, match=message):
            load_newest(root)
        assert names(root) == ["step_00000001"]
    assert caplog.text == ""
    folder.rename(root / "bad-step_00000001")
    with pytest.raises(CheckpointError, match="but got bad-step_00000001, set aside before"):
        load_newest(root)
    save_checkpoint(root, 2, NEW, num_records=6)
    assert load_newest(root).number == 2


def test_one_that_the_journal_no_longer_covers_is_set_aside_too(root):
    for number in (1, 2):
        save_checkpoint(root, number, OLD, num_records=3 * number)
    assert load_newest(root, max_records=6).number == 2
    assert load_newest(root, max_records=5).number == 1
    with pytest.raises(CheckpointError, match="step_00000001: it covers 3 records, but the journal holds 2"):
        load_newest(root, max_records=2)


def test_the_newest_is_told_by_its_number_though_the_clock_was_set_back(root):
    for number in (1, 2):
        os.utime(save_checkpoint(root, number, OLD, num_records=3), (2e9 - 1e6 * number,) * 2)
    assert load_newest(root).number == 2


def test_a_reader_that_does_not_hold_the_run_renames_nothing(root):
    save_checkpoint(root, 1, OLD, num_records=3)
    (save_checkpoint(root, 2, NEW, num_records=6) / "state.json").write_bytes(b"")
    assert load_newest(root, set_aside=False).number == 1
    assert names(root) == ["step_00000001", "step_00000002"]


def reseal(folder, **changes):
    document = strict_json.load(folder / MANIFEST) | changes
    document.pop("sha256")
    digest = hashlib.sha256(strict_json.canonical(document).encode()).hexdigest()
    (folder / MANIFEST).write_text(strict_json.pretty({**document, "sha256": digest}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": 2}, "MANIFEST.json has schema 2, not 1"),
        ({"number": 3}, "MANIFEST.json says number 3"),
        ({"number": "1"}, "MANIFEST.json is malformed: .*valid integer"),
        ({"extra": 1}, "MANIFEST.json is malformed: .*extra"),
        ({"files": [{"name": "../x", "num_bytes": 1, "sha256": "0"}]}, r"MANIFEST.json names '../x'"),
        ({"files": [{"name": "/etc/passwd", "num_bytes": 1, "sha256": "0"}]}, "MANIFEST.json names ./etc/passwd."),
        ({"files": [{"name": "state.json", "num_bytes": 3, "sha256": "0"}]}, r"state.json has 2 bytes, not 3"),
        ({"files": [{"name": "state.json", "num_bytes": 1, "sha256": "0"}]}, r"state.json: 2 bytes, more than 1"),
        ({"files": [{"name": "state.json", "num_bytes": 2, "sha256": "0"}]}, r"state.json does not have the SHA-256"),
    ],
)
def test_a_manifest_that_says_something_else(root, changes, reason):
    reseal(save_checkpoint(root, 1, OLD, num_records=3), **changes)
    with pytest.raises(CheckpointError, match=f"step_00000001: {reason}"):
        load_newest(root)


def test_links_and_pipes_are_never_followed(root, tmp_path):
    secret = tmp_path / "state.json"
    secret.write_bytes(OLD["state.json"])
    folder = save_checkpoint(root, 1, OLD, num_records=3)
    (folder / "state.json").unlink()
    (folder / "state.json").symlink_to(secret)
    with pytest.raises(CheckpointError, match=r"state.json: Too many levels of symbolic links"):
        load_newest(root)
    folder = save_checkpoint(root, 2, OLD, num_records=3)
    (folder / "state.json").unlink()
    os.mkfifo(folder / "state.json")
    with pytest.raises(CheckpointError, match=r"state.json: not a regular file"):
        load_newest(root)
    outside = save_checkpoint(tmp_path / "elsewhere", 3, OLD, num_records=3)
    (root / "step_00000003").symlink_to(outside)
    with pytest.raises(CheckpointError, match="step_00000003: it is not a folder"):
        load_newest(root)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a\0", "a\n", "-x", "ä", "x" * 129, MANIFEST])
def test_a_name_that_could_leave_the_folder_is_refused(root, name):
    with pytest.raises(CheckpointError, match=r"a blob's name must match .* but got "):
        save_checkpoint(root, 1, {name: b""}, num_records=0)
    assert not root.exists()


@pytest.mark.parametrize(
    ("number", "num_records", "keep", "message"),
    [
        (-1, 0, 1, "number must be at least 0, but got -1"),
        (0, -1, 1, "num_records must be at least 0, but got -1"),
        (0, 0, 0, "keep must be at least 1, but got 0"),
    ],
)
def test_numbers_are_checked(root, number, num_records, keep, message):
    with pytest.raises(CheckpointError, match=message):
        save_checkpoint(root, number, {}, num_records=num_records, keep=keep)


def test_an_unreadable_file_is_not_called_bad(root):
    save_checkpoint(root, 1, OLD, num_records=3)
    message = r"step_00000001/MANIFEST.json: must be readable, but got Too many open files"
    with faults.at_call(1, faults.fails(errno.EMFILE)), pytest.raises(CheckpointError, match=message):
        load_newest(root)
    assert load_newest(root).number == 1


def test_a_checkpoint_removed_while_it_is_read_is_looked_for_again(root, monkeypatch):
    save_checkpoint(root, 1, OLD, num_records=3)
    real = os.open
    state = {"saved": False}

    def remove_first(path, *args, **kwargs):
        if not state["saved"]:
            state["saved"] = True
            save_checkpoint(root, 2, NEW, num_records=6, keep=1)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", remove_first)
    assert load_newest(root).number == 2
    assert names(root) == ["step_00000002"]


def test_checkpoints_that_keep_vanishing(root, monkeypatch):
    save_checkpoint(root, 1, OLD, num_records=3)
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    (root / "step_00000001" / MANIFEST).unlink()
    with pytest.raises(CheckpointError, match="must hold still while it is read, but its checkpoints keep vanishing"):
        load_newest(root)


def message_of(operation):
    try:
        operation()
    except CheckpointError as error:
        return str(error)
    return ""


def situations(root):
    def fresh():
        save_checkpoint(root, 2, NEW, num_records=6)

    def again():
        save_checkpoint(root, 1, NEW, num_records=6)

    def pruning():
        save_checkpoint(root, 2, NEW, num_records=6, keep=1)

    return (fresh, again, pruning)


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failing_disk_leaves_the_old_or_the_new_and_the_message_names_the_file(root, which, code):
    operation = situations(root)[which]
    number, named = 0, set()
    while True:
        number += 1
        save_checkpoint(root, 1, OLD, num_records=3)
        with faults.at_call(number, faults.fails(code)) as seen:
            message = message_of(operation)
        assert not message or f": must be writable, but got {os.strerror(code)}" in message
        named.add(message.partition(": ")[0])
        found = load_newest(root)
        assert dict(found.blobs) == (OLD if message else NEW) or seen[-1] in ("fsync", "open")
        assert dict(found.blobs) in (OLD, NEW)
        operation()
        assert dict(load_newest(root).blobs) == NEW
        assert all(name.startswith("step_") for name in names(root))
        for path in root.glob("step_00000002"):
            path.rename(root.parent / f"used-{number}")
        if len(seen) < number:
            break
    assert number > 10
    folder = root / f"step_0000000{1 if which == 1 else 2}"
    assert named == {"", str(folder), *(str(folder / name) for name in (*NEW, MANIFEST))}


@pytest.mark.parametrize("which", range(3))
def test_killed_at_any_call_the_old_or_the_new_loads(root, which):
    operation = situations(root)[which]
    number, killed = 0, True
    while killed:
        number += 1
        save_checkpoint(root, 1, OLD, num_records=3)
        killed = faults.killed_at(number, operation)
        found = load_newest(root)
        assert (found.num_records, dict(found.blobs)) in ((3, OLD), (6, NEW))
        assert killed or found.num_records == 6
        assert not list(root.glob("bad-*"))
        operation()
        assert dict(load_newest(root).blobs) == NEW
        assert all(name.startswith("step_") for name in names(root))
        for path in root.glob("step_00000002"):
            path.rename(root.parent / f"used-{number}")
    assert number > 10


@pytest.mark.parametrize(
    "error", [KeyError("a"), TypeError("b"), ValueError("c"), RuntimeError("d"), AttributeError("e")]
)
def test_state_that_does_not_fit_is_the_fault_of_the_checkpoint(root, error):
    message = rf"must hold a state of this run, but got .{type(error).__name__}: "
    with pytest.raises(CheckpointError, match=message), restoring(root):
        raise error


def test_errors_of_ours_and_of_others_pass_through(root):
    for error in (JournalError("x"), KeyboardInterrupt(), OSError("y")):
        with pytest.raises(type(error)), restoring(root):
            raise error


def test_a_manifest_of_too_many_files_is_refused(root):
    folder = save_checkpoint(root, 1, {"a": b""}, num_records=0)
    document = strict_json.load(folder / MANIFEST)
    del document["sha256"]
    document["files"] = [0] * 5000
    (folder / MANIFEST).write_text(strict_json.pretty({**document, "sha256": strict_json.digest(document)}))
    with pytest.raises(CheckpointError, match=r"MANIFEST\.json names more than 256 files"):
        load_newest(root)
