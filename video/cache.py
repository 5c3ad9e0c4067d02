"""Decoded frames on disk, shared by all processes that read the same videos with the same settings.

An entry is one file of three NumPy arrays one after the other: times (each frame's, then the segment's end), the
checksum of the pixels, and the pixels, which are mapped into memory rather than read. Nothing is pickled and nothing
is forced to the disk: an entry that does not hold what it must is removed and made again.
"""

import hashlib
import logging
import os
import re
import time
import zlib
from pathlib import Path
from typing import BinaryIO, Final, final

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError, VideoError
from search_spaces.outside import open_regular
from video.container import DECODER_VERSION
from video.frames import Frames

ENTRY_SUFFIX: Final = ".frames"
TEMPORARY_SUFFIX: Final = ".tmp"
_TEMPORARY: Final = re.compile(r"[0-9a-f]{64}\.[0-9]+\.[0-9]+\.tmp")
ORPHAN_AGE_S: Final = 600.0
MAX_MAPPED: Final = 8192
"""Entries that a process keeps mapped; the system allows some 65,000 mappings."""
_PROCESSES_EXPECTED: Final = 16
_HEADER_BYTES: Final = 4096

_log = logging.getLogger(__name__)


def cache_key(path: Path, *, short_side: int, start_s: float, end_s: float | None) -> str:
    """A name for the frames of a segment that changes when the file or the way it is decoded does.

    Raises:
        VideoError: No such file.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"must be a readable video, but got {type(error).__name__}: {detail}", path=path) from error
    parts = (os.fspath(path), status.st_size, status.st_mtime_ns, short_side, start_s, end_s, DECODER_VERSION)
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode()).hexdigest()


@final
class FrameCache:
    """Frames of segments in a folder of at most `max_bytes`.

    Once the folder is full, nothing more is admitted, and nothing ever leaves: training reads every video once per
    epoch, and a cache that drops the least recently used entry of such a cycle drops each one just before it is wanted
    again. What was admitted first stays a hit for ever, which is the best that can be done.

    Args:
        root: Folder, made if need be. Temporary files that others left in it ten minutes ago or earlier are removed.
        max_bytes: Bound on the bytes of all entries. Up to 16 processes hold to it, but for entries that several of
            them write at the same moment when there is room for one.

    Raises:
        UsageError: Not a folder that can be written to, or a bound below 0.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        if max_bytes < 0:
            raise UsageError(f"max_bytes must be at least 0, but got max_bytes={max_bytes}")
        self._root = root
        self._max_bytes = max_bytes
        self._mapped: dict[str, Frames] = {}  # verified once per process; mapping and parsing cost more than a crop
        try:
            root.mkdir(parents=True, exist_ok=True)
            _sweep(root)
            self._scan()
        except OSError as error:
            raise UsageError(f"a cache must be a folder to write to, but got {error.strerror} for {root}") from error

    def __reduce__(self) -> tuple[type["FrameCache"], tuple[Path, int]]:
        """A copy in another process counts for itself."""
        return FrameCache, (self._root, self._max_bytes)

    @property
    def max_bytes(self) -> int:
        """The bound it was made with."""
        return self._max_bytes

    def has_room(self, num_bytes: int) -> bool:
        """Whether an entry with pixels of `num_bytes` would be admitted, as far as this process knows."""
        return self._scanned_bytes + self._own_bytes + num_bytes + _HEADER_BYTES <= self._max_bytes

    def get(self, key: str) -> Frames | None:
        """The frames stored under `key`, mapped into memory; None if there are none, or damaged ones (then removed)."""
        if key in self._mapped:
            return self._mapped[key]
        path = self._root / f"{key}{ENTRY_SUFFIX}"
        try:
            with open_regular(path) as file:
                edges_s, checksum, frames = _read_entry(file, path)
            _check_pixels(frames, checksum)
            entry = Frames(times_s=edges_s[:-1], frames=frames, duration_s=float(edges_s[-1]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, MemoryError, OverflowError, VideoError) as error:
            _log.warning("removing the damaged cache entry %s: %s", path, error)
            path.unlink(missing_ok=True)
            return None
        if len(self._mapped) >= MAX_MAPPED:
            del self._mapped[next(iter(self._mapped))]
        self._mapped[key] = entry
        return entry

    def put(self, key: str, frames: Frames) -> bool:
        """Store frames under `key`, unless the cache is full or cannot be written to; whether it did."""
        self._look_again_before(frames.num_bytes)
        if not self.has_room(frames.num_bytes):
            return False
        temporary = self._root / f"{key}.{os.getpid()}.{time.monotonic_ns()}{TEMPORARY_SUFFIX}"
        try:
            with temporary.open("xb") as file:
                _write_entry(file, frames)
                num_bytes = file.tell()
            temporary.replace(self._root / f"{key}{ENTRY_SUFFIX}")
        except OSError as error:
            _log.warning("cannot write to the cache %s: %s", self._root, error)
            temporary.unlink(missing_ok=True)
            return False
        self._own_bytes += num_bytes
        return True

    def _look_again_before(self, num_bytes: int) -> None:
        """Count the folder's bytes again if others, each having written as much as this one, could have filled it."""
        room_bytes = self._max_bytes - self._scanned_bytes
        if self.has_room(num_bytes) and (self._own_bytes + num_bytes) * _PROCESSES_EXPECTED > room_bytes:
            self._scan()

    def _scan(self) -> None:
        entries = (entry for entry in os.scandir(self._root) if entry.name.endswith(ENTRY_SUFFIX))
        self._scanned_bytes = sum(_size(Path(entry.path)) for entry in entries)
        self._own_bytes = 0


def _write_entry(file: BinaryIO, frames: Frames) -> None:
    pixels = np.ascontiguousarray(frames.frames)
    for array in (np.append(frames.times_s, frames.duration_s), np.array(_checksum(pixels), dtype=np.uint32), pixels):
        np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)


def _read_entry(file: BinaryIO, path: Path) -> tuple[NDArray[np.float64], int, NDArray[np.uint8]]:
    edges_s = np.lib.format.read_array(file, allow_pickle=False)
    checksum = np.lib.format.read_array(file, allow_pickle=False)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not an array of format 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if edges_s.dtype != np.float64 or checksum.shape != () or dtype != np.uint8 or fortran:
        raise ValueError(f"not the arrays of an entry: {edges_s.dtype}, {checksum.shape}, {dtype}")
    if file.tell() + np.prod(shape, dtype=np.int64) != path.stat().st_size:
        raise ValueError(f"not as long as pixels of {shape} make it")
    pixels: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r", offset=file.tell(), shape=shape)
    return edges_s, int(checksum), pixels


def _check_pixels(frames: NDArray[np.uint8], checksum: int) -> None:
    found = _checksum(frames)
    if found != checksum:
        raise ValueError(f"pixels have checksum {found}, not {checksum}")


def _checksum(pixels: NDArray[np.uint8]) -> int:
    return zlib.crc32(pixels.reshape(-1).data)


def _sweep(root: Path) -> None:
    oldest = time.time() - ORPHAN_AGE_S
    for path in root.glob(f"*{TEMPORARY_SUFFIX}"):
        if _TEMPORARY.fullmatch(path.name) is None:  # somebody else's
            continue
        try:
            if path.stat().st_mtime < oldest:
                path.unlink()
        except FileNotFoundError:  # another process was faster
            continue


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
