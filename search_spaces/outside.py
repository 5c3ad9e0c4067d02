"""Files from outside, opened without waiting and read within a limit.

What is named may be a pipe that nobody writes to, a device without end, or a name that no system takes: each is an
OSError here, so that whoever reads has one kind of error to turn into its own.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path, *, buffer_bytes: int = -1) -> BinaryIO:
    """A regular file, or a link to one, to read from.

    Args:
        path: The file.
        buffer_bytes: Of its buffer; -1 leaves it to the system.

    Raises:
        OSError: It is missing, not to be read, or not a regular file; or the name has a zero byte or is no text.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, "a name that no file can have", None) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), None)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "something that is no regular file", None)
        return os.fdopen(descriptor, "rb", buffer_bytes)
    except BaseException:
        os.close(descriptor)
        raise


def append_regular(path: Path) -> BinaryIO:
    """A regular file to read from and to append to, made if need be; never through a link, which may lead anywhere.

    Raises:
        OSError: As `open_regular`, or a link.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except ValueError as error:
        raise OSError(errno.EINVAL, "a name that no file can have", None) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "something that is no regular file", None)
    return os.fdopen(descriptor, "a+b")


def read_regular(path: Path, *, max_bytes: int) -> bytes:
    """The content of a regular file, or of a link to one, of at most `max_bytes`.

    Raises:
        OSError: As `open_regular`, or a larger file.
    """
    with open_regular(path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"more than {max_bytes} bytes", None)
    return data
