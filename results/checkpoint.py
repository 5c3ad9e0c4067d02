"""Checkpoints: folders of named bytes that verify, the newest good one found by looking, not by a pointer.

`ROOT/step_00000123/` holds one file per blob and `MANIFEST.json` with the size and SHA-256 of each and of itself. A
folder appears under its name when all of it is on the disk, and disappears from it before any of it is deleted.
"""

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from pydantic import ConfigDict, TypeAdapter, ValidationError

from results import files
from search_spaces import strict_json
from search_spaces.errors import CheckpointError, DocumentError, MovinasError, shown

logger = logging.getLogger(__name__)

SCHEMA = 1
MAX_BLOB_BYTES = 1 << 34
MAX_BLOBS = 256
MANIFEST = "MANIFEST.json"
_FOLDER = re.compile(r"(?P<replaced>replaced-)?step_(?P<number>\d{8,18})")
_TEMPORARY = re.compile(r"step_\d+\.tmp-(?P<pid>\d+)")
_TRASH = re.compile(r"trash-(?P<pid>\d+)-.*")
_LOOKS = 5
_OF_THE_PROCESS = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that say nothing against the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint whose bytes are those that were saved.

    Attributes:
        number: Steps (or epochs) done when it was saved.
        num_records: Records of the journal it covers.
        blobs: Name to content.
    """

    number: int
    num_records: int
    blobs: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    name: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    schema: int
    number: int
    num_records: int
    files: tuple[_File, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    path: Path
    number: int
    replaced: bool


class _BadCheckpointError(Exception):
    """What is wrong with a folder."""


_MANIFESTS = TypeAdapter(tuple[_Manifest], config=ConfigDict(strict=True, extra="forbid"))


def save_checkpoint(
    root: Path,
    number: int,
    blobs: Mapping[str, bytes],
    *,
    num_records: int,
    keep: int = 2,
    spared: Container[int] = (),
    scheduled: Callable[[int], bool] | None = None,
) -> Path:
    """Save `blobs` as checkpoint `number` and remove those older than the newest `keep`, but for those `spared`.

    Older ones that are not `scheduled`, where that is given, go, too: they were saved because a run was told to end.
    Killed or failing at any point, the newest checkpoint that was complete before, or this one, loads. Saving a number
    again replaces it. The caller must be the only writer (see `run_dir.lock`).

    Raises:
        CheckpointError: A name or number is not as it must be, or the disk failed.
    """
    _check_arguments(root, number, blobs, num_records=num_records, keep=keep)
    final = root / f"step_{number:08d}"
    temporary = root / f"{final.name}.tmp-{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        _write(temporary, number, blobs, num_records)
        _publish(temporary, final)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        place = str(error.filename or final).replace(str(temporary), str(final))
        raise CheckpointError(f"must be writable, but got {error.strerror or error}", path=place) from error
    with _warned(root):
        _prune(root, number, keep=keep, spared=spared, scheduled=scheduled)
    return final


def tidy(
    root: Path,
    number: int,
    *,
    keep: int = 2,
    spared: Container[int] = (),
    scheduled: Callable[[int], bool] | None = None,
) -> None:
    """Remove what a kill left beside checkpoint `number`, as saving it would have; see `save_checkpoint`."""
    with _warned(root):
        if root.is_dir():
            _sweep(root)
            _prune(root, number, keep=keep, spared=spared, scheduled=scheduled)


def load_newest(root: Path, *, set_aside: bool = True, max_records: int | None = None) -> Checkpoint | None:
    """The newest checkpoint of which every byte verifies; None if none was ever saved.

    Bad ones that are newer are set aside (renamed to `bad-...`) with a warning. Where none verifies, nothing changes.

    Args:
        root: Folder of checkpoints.
        set_aside: Whether bad ones may be renamed; not for a reader that does not hold the run.
        max_records: Complete records in the journal, where it is to go on: a checkpoint that covers more is bad, too.

    Raises:
        CheckpointError: There are checkpoints, but none verifies.
    """
    for _ in range(_LOOKS):
        bad: dict[Path, str] = {}
        for entry in _entries(root):
            try:
                found = _load(entry, max_records)
            except _BadCheckpointError as error:
                if not os.path.lexists(entry.path):
                    break  # a writer has removed it since: look again
                bad[entry.path] = str(error)
            else:
                for path, reason in bad.items() if set_aside else ():
                    _set_aside(path, reason)
                return found
        else:
            if reasons := [f"{path.name}: {reason}" for path, reason in bad.items()] or _set_aside_before(root):
                raise CheckpointError(f"must hold a checkpoint that verifies, but got {'; '.join(reasons)}", path=root)
            return None
    raise CheckpointError("must hold still while it is read, but its checkpoints keep vanishing", path=root)


@contextlib.contextmanager
def restoring(root: Path | None) -> Iterator[None]:
    """State is taken back inside; whatever does not fit there is the fault of the checkpoint.

    Its bytes are those that were saved, but anybody can save: a tensor may be missing, a number a list.

    Raises:
        CheckpointError: The state is not of this run.
    """
    try:
        yield
    except MovinasError:
        raise
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RuntimeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"must hold a state of this run, but got {shown(what)}", path=root) from error


def _check_arguments(root: Path, number: int, blobs: Mapping[str, bytes], *, num_records: int, keep: int) -> None:
    for name in blobs:
        if files.NAME.fullmatch(name) is None or name == MANIFEST:
            rule = f"a blob's name must match {files.NAME.pattern} and not be {MANIFEST}"
            raise CheckpointError(f"{rule}, but got {name!r}", path=root)
    for label, value, least in (("number", number, 0), ("num_records", num_records, 0), ("keep", keep, 1)):
        if value < least:
            raise CheckpointError(f"{label} must be at least {least}, but got {value}", path=root)


def _write(folder: Path, number: int, blobs: Mapping[str, bytes], num_records: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    entries = []
    for name, blob in sorted(blobs.items()):
        files.write_file(folder / name, blob)
        entries.append(_File(name=name, num_bytes=len(blob), sha256=hashlib.sha256(blob).hexdigest()))
    manifest = asdict(_Manifest(schema=SCHEMA, number=number, num_records=num_records, files=tuple(entries)))
    text = strict_json.pretty({**manifest, "sha256": _digest(manifest)})
    files.write_file(folder / MANIFEST, text.encode())
    files.sync_folder(folder)


def _publish(temporary: Path, final: Path) -> None:
    replaced = final.with_name(f"replaced-{final.name}")
    if final.exists():
        if replaced.exists():
            files.remove_folder(replaced)
        os.rename(final, replaced)  # noqa: PTH104 -- still found by `load_newest`, after the new one
    try:
        os.rename(temporary, final)  # noqa: PTH104
    except OSError:
        with contextlib.suppress(OSError):
            os.rename(replaced, final)  # noqa: PTH104
        raise
    files.sync_folder(final.parent)


@contextlib.contextmanager
def _warned(root: Path) -> Iterator[None]:
    """What is too much may stay, where the disk will not have it otherwise."""
    try:
        yield
    except OSError as error:
        logger.warning("%s: old checkpoints were left: %s", root, error.strerror)


def _sweep(root: Path) -> None:
    for pattern in (_TEMPORARY, _TRASH):
        for path in files.orphans(root, pattern):
            shutil.rmtree(path, ignore_errors=True)


def _prune(
    root: Path, number: int, *, keep: int, spared: Container[int], scheduled: Callable[[int], bool] | None
) -> None:
    entries = _entries(root)
    names = {entry.path.name for entry in entries}
    stale = [entry for entry in entries if entry.replaced and f"step_{entry.number:08d}" in names]
    older = [entry for entry in entries if entry.number < number and entry not in stale]
    extra = [entry for entry in older if scheduled is not None and not scheduled(entry.number)]
    regular = [entry for entry in older if entry not in extra]
    for entry in [*stale, *extra, *(entry for entry in regular[keep - 1 :] if entry.number not in spared)]:
        files.remove_folder(entry.path)


def _entries(root: Path) -> list[_Entry]:
    """Checkpoints from newest to oldest; of one number, the one that was replaced comes last."""
    entries = []
    for path in root.iterdir() if root.is_dir() else ():
        if match := _FOLDER.fullmatch(path.name):
            entry = _Entry(path=path, number=int(match["number"]), replaced=match["replaced"] is not None)
            entries.append(entry)
    return sorted(entries, key=lambda entry: (-entry.number, entry.replaced))


def _load(entry: _Entry, max_records: int | None) -> Checkpoint:
    if entry.path.is_symlink() or not entry.path.is_dir():
        raise _BadCheckpointError("it is not a folder")
    manifest = _load_manifest(entry.path)
    if manifest.number != entry.number:
        raise _BadCheckpointError(f"{MANIFEST} says number {manifest.number}")
    if max_records is not None and manifest.num_records > max_records:
        raise _BadCheckpointError(f"it covers {manifest.num_records} records, but the journal holds {max_records}")
    blobs = {file.name: _load_blob(entry.path, file) for file in manifest.files}
    return Checkpoint(number=manifest.number, num_records=manifest.num_records, blobs=MappingProxyType(blobs))


def _load_manifest(folder: Path) -> _Manifest:
    data = _read(folder, MANIFEST, max_bytes=strict_json.MAX_BYTES)
    try:
        document = strict_json.loads(data)
        stated = document.pop("sha256", None) if isinstance(document, dict) else None
        if stated is None or stated != _digest(document):
            raise _BadCheckpointError(f"{MANIFEST} does not have the SHA-256 it states")
        if strict_json.num_values(document) > 8 * MAX_BLOBS:
            raise _BadCheckpointError(f"{MANIFEST} names more than {MAX_BLOBS} files")
        (manifest,) = _MANIFESTS.validate_json(strict_json.canonical([document]))
    except (DocumentError, ValidationError) as error:
        raise _BadCheckpointError(f"{MANIFEST} is malformed: {' '.join(str(error).split())[:200]}") from error
    if manifest.schema != SCHEMA:
        raise _BadCheckpointError(f"{MANIFEST} has schema {manifest.schema}, not {SCHEMA}")
    return manifest


def _load_blob(folder: Path, file: _File) -> bytes:
    if files.NAME.fullmatch(file.name) is None:
        raise _BadCheckpointError(f"{MANIFEST} names {shown(file.name)}")
    blob = _read(folder, file.name, max_bytes=min(file.num_bytes, MAX_BLOB_BYTES))
    if len(blob) != file.num_bytes:
        raise _BadCheckpointError(f"{file.name} has {len(blob)} bytes, not {file.num_bytes}")
    if hashlib.sha256(blob).hexdigest() != file.sha256:
        raise _BadCheckpointError(f"{file.name} does not have the SHA-256 of the manifest")
    return blob


def _read(folder: Path, name: str, *, max_bytes: int) -> bytes:
    try:
        return files.read_regular(folder / name, max_bytes=max_bytes)
    except OSError as error:
        if error.errno in _OF_THE_PROCESS:
            raise CheckpointError(f"must be readable, but got {error.strerror}", path=folder / name) from error
        raise _BadCheckpointError(f"{name}: {error.strerror or error}") from error


def _digest(manifest: object) -> str:
    return hashlib.sha256(strict_json.canonical(manifest).encode()).hexdigest()


def _set_aside(path: Path, reason: str) -> None:
    names = [f"bad-{path.name}", *(f"bad-{path.name}-{index}" for index in range(2, 100))]
    target = next((path.with_name(name) for name in names if not os.path.lexists(path.with_name(name))), None)
    try:
        if target is not None:
            os.rename(path, target)  # noqa: PTH104
    except OSError as error:
        logger.warning("%s: could not be set aside: %s", path, error.strerror)
    logger.warning("%s: a bad checkpoint was set aside: %s", path, reason)


def _set_aside_before(root: Path) -> list[str]:
    return [f"{path.name}, set aside before" for path in sorted(root.glob("bad-*step_*"))]
