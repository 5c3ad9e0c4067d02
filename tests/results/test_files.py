import errno
import os
import subprocess
import sys

import faults
import pytest

from results import files


def test_replace_is_old_or_new_at_any_failure_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "report.html"
    for number in range(1, faults.num_calls(lambda: files.replace_file(path, b"old")) + 1):
        path.write_bytes(b"old")
        with faults.at_call(number, faults.fails(errno.ENOSPC)), pytest.raises(OSError, match="No space left"):
            files.replace_file(path, b"new")
        assert path.read_bytes() in (b"old", b"new")
        assert list(tmp_path.iterdir()) == [path]
    files.replace_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_replace_is_old_or_new_when_killed(tmp_path):
    path = tmp_path / "report.html"
    number, killed = 0, True
    while killed:
        number += 1
        path.write_bytes(b"old")
        killed = faults.killed_at(number, lambda: files.replace_file(path, b"new"))
        assert path.read_bytes() in (b"old", b"new")
    assert path.read_bytes() == b"new"
    assert number > 4


def test_a_file_is_written_once(tmp_path):
    files.write_file(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        files.write_file(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_all_is_written_in_however_small_pieces(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:3]))
    files.write_file(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_read_regular(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"123")
    assert files.read_regular(path, max_bytes=3) == b"123"
    with pytest.raises(OSError, match="3 bytes, more than 2"):
        files.read_regular(path, max_bytes=2)
    with pytest.raises(OSError, match="not a regular file"):
        files.read_regular(tmp_path, max_bytes=2)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        files.read_regular(tmp_path / "link", max_bytes=3)


def test_a_folder_leaves_its_name_before_its_files(tmp_path):
    folder = tmp_path / "step_1"
    number, killed = 0, True
    while killed:
        number += 1
        folder.mkdir(exist_ok=True)
        for name in "abc":
            (folder / name).touch()
        killed = faults.killed_at(number, lambda: files.remove_folder(folder))
        assert not folder.exists() or len(list(folder.iterdir())) == 3
    assert not folder.exists()


def test_whether_a_process_lives():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert files.is_alive(process.pid)
    process.communicate()
    assert not files.is_alive(process.pid)
    assert not files.is_alive(os.getpid())
    assert not files.is_alive(0)
    assert not files.is_alive(10**30)
    assert files.is_alive(1)


@pytest.mark.parametrize(("name", "fits"), [("a", True), ("a.b-c_9", True), ("..", False), ("a/b", False), ("", False)])
def test_names(name, fits):
    assert (files.NAME.fullmatch(name) is not None) == fits
