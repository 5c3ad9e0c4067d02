"""Files that are whole or absent: durable writes, replaced in one step, read without following links.

Plain `os` calls in a fixed order, so that tests can make any one of them fail.
"""

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""A file name that means one file in one folder on every system; use with `fullmatch`."""


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`; the system may take it in pieces (Linux takes at most 2 GiB at once)."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on the disk; an existing one is an error."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # the system names no file here
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names within `path` are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step: readers and a kill see the old file or the new one, whole."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        write_file(temporary, data)
        os.replace(temporary, path)  # noqa: PTH105 -- one spelling for all calls that tests make fail
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def read_regular(path: Path, *, max_bytes: int) -> bytes:
    """Read a regular file of at most `max_bytes`, never through a link, never waiting on a pipe.

    Raises:
        OSError: It is missing, a link, not a regular file, or larger.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        if status.st_size > max_bytes:
            raise OSError(f"{status.st_size} bytes, more than {max_bytes}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes + 1)
    finally:
        os.close(descriptor)


def remove_folder(path: Path) -> None:
    """Delete a folder such that a kill on the way leaves nothing under its name."""
    trash = path.with_name(f"trash-{os.getpid()}-{path.name}")
    shutil.rmtree(trash, ignore_errors=True)
    os.rename(path, trash)  # noqa: PTH104
    shutil.rmtree(trash, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether another process with this id runs; our own id does not count, nor does a dead one."""
    if pid == os.getpid() or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError) as error:
        return isinstance(error, PermissionError)
    return True


def orphans(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    """Entries of `folder` whose name matches `pattern` and whose writer, its group `pid`, is dead."""
    for path in sorted(folder.iterdir()):
        match = pattern.fullmatch(path.name)
        if match and not is_alive(int(match["pid"])):
            yield path
