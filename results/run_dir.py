"""A run's folder: made whole or not at all, opened only as what it is, written by one process at a time."""

import contextlib
import errno
import fcntl
import importlib.metadata
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from results import files as durable
from search_spaces import strict_json
from search_spaces.errors import DocumentError, RunExistsError, RunFolderError, shown

Kind = Literal["search", "retrain", "scaling", "family", "ensemble", "audit", "study"]
"""A run, or what runs belong to: a sweep over scaling coefficients, or of spaces, targets and seeds; an ensemble; an
audit of a search; a study, whose folder is locked like the others but never opened as a run."""
Environment = dict[str, str | int]

SCHEMA = 1
_IDENTITY = "run.json"
_OWN_FILES = (_IDENTITY, "journal.jsonl", "telemetry.jsonl")
_PACKAGES = ("movinas", "torch", "numpy", "av")
_PATIENCE_S = 0.25
_held: set[int] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDir:
    """Where the parts of a run lie; see `create_run` and `open_run`."""

    path: Path
    kind: Kind

    @property
    def config_path(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def journal_path(self) -> Path:
        """What happened, determined by seed and data."""
        return self.path / "journal.jsonl"

    @property
    def telemetry_path(self) -> Path:
        """What depends on the machine and the hour."""
        return self.path / "telemetry.jsonl"

    @property
    def checkpoints_path(self) -> Path:
        """Root of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def specs_path(self) -> Path:
        """Exported architectures."""
        return self.path / "specs"

    @property
    def report_path(self) -> Path:
        """The report, one HTML file."""
        return self.path / "report.html"

    @property
    def env_path(self) -> Path:
        """The environment that the run started in."""
        return self.path / "env.json"

    @property
    def space_path(self) -> Path:
        """The search space, as a file."""
        return self.path / "space.json"

    @property
    def variant_path(self) -> Path:
        """How the networks of a search are built."""
        return self.path / "variant.json"

    @property
    def spec_path(self) -> Path:
        """What a retraining trains, as a spec file."""
        return self.path / "spec.json"

    @property
    def ensemble_path(self) -> Path:
        """Which networks answer together and, once they are trained, where they lie."""
        return self.path / "ensemble.json"

    @property
    def manifest_path(self) -> Path:
        """The videos, by absolute path."""
        return self.path / "manifest.jsonl"

    @property
    def model_path(self) -> Path:
        """The trained network."""
        return self.path / "model"

    @property
    def test_path(self) -> Path:
        """The test report, once there is one."""
        return self.path / "test.json"

    @property
    def members_path(self) -> Path:
        """The run folders of a sweep."""
        return self.path / "members"

    @property
    def lock_path(self) -> Path:
        """Held by the one process that works on the run, or that has others do so."""
        return self.path / ".lock"

    @property
    def writer_lock_path(self) -> Path:
        """Held by the one of those others that writes, for it may outlive for a moment whoever holds the run."""
        return self.path / ".writer-lock"


def create_run(path: Path, *, kind: Kind, files: Mapping[str, str]) -> RunDir:
    """Make a new run folder holding `files` (name to text) and an empty journal; parents are made as needed.

    A kill leaves no folder of that name, or the whole one.

    Raises:
        RunExistsError: The path exists, or came to be meanwhile; nothing was changed.
        RunFolderError: A name may not be used, or the folder cannot be written; nothing was changed.
    """
    for name in files:
        parts = PurePosixPath(name).parts
        if name in _OWN_FILES or not parts or not all(durable.NAME.fullmatch(part) for part in parts):
            raise RunFolderError(f"a file of a run must have a plain name, but got {name!r}", path=path)
    temporary = path.with_name(f".{path.name}.new-{os.getpid()}")
    identity = strict_json.pretty({"schema": SCHEMA, "kind": kind})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        _refuse_existing(path)
        _fill(temporary, {**files, "journal.jsonl": "", "telemetry.jsonl": "", _IDENTITY: identity})
        _refuse_existing(path)
        os.rename(temporary, path)  # noqa: PTH104 -- fails if the path is a folder that holds anything
        durable.sync_folder(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            _refuse_existing(path)
        place = f" at {error.filename}".replace(str(temporary), str(path)) if error.filename else ""
        reason = f"{error.strerror or error}{place}"
        raise RunFolderError(f"must be a folder that can be made, but got {reason}", path=path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return RunDir(path=path, kind=kind)


def open_run(path: Path, *, kind: Kind | None = None) -> RunDir:
    """Open an existing run folder.

    Raises:
        RunFolderError: There is none, it is not of this `kind`, or it holds a link, which could lead whoever writes to
            it elsewhere, or a pipe or device.
    """
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing there"
        raise RunFolderError(f"must be a run folder, but got {found}", path=path)
    try:
        identity = strict_json.load(path / _IDENTITY)
    except DocumentError as error:
        raise RunFolderError(f"must be a run folder, but {_IDENTITY} {error.message}", path=path) from error
    match identity:
        case {"schema": 1, "kind": "search" | "retrain" | "scaling" | "family" | "ensemble" | "audit" as found_kind}:
            if kind not in (None, found_kind):
                raise RunFolderError(f"must be a {kind} run, but got a {found_kind} run", path=path)
            _refuse_links(path)
            return RunDir(path=path, kind=found_kind)
    raise RunFolderError(f"must be a run folder of schema {SCHEMA}, but {_IDENTITY} holds {shown(identity)}", path=path)


@contextlib.contextmanager
def lock(run: RunDir, *, patience_s: float = _PATIENCE_S, as_writer: bool = False) -> Iterator[None]:
    """Hold the run as its only writer; the system frees it when the process dies, however it dies.

    Args:
        run: The run.
        patience_s: How long to wait for another process to end.
        as_writer: Hold it on behalf of another process, which holds it, too.

    Raises:
        RunFolderError: Another process holds it; the text names that process.
    """
    try:
        path = run.writer_lock_path if as_writer else run.lock_path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise RunFolderError(f"must be writable, but got {error.strerror}", path=run.path) from error
    _held.add(descriptor)
    try:
        try:
            if not _acquire(descriptor, patience_s):
                raise RunFolderError(f"must not be in use, but {_holder(descriptor)} holds it", path=run.path)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {_boot_id()}\n".encode(), 0)
        except OSError as error:
            raise RunFolderError(f"must be a file that can be locked, but got {error.strerror}", path=path) from error
        yield
    finally:
        if descriptor in _held:
            _held.remove(descriptor)
            os.close(descriptor)


def is_locked(run: RunDir) -> bool:
    """Whether a process holds `lock` on the run."""
    try:
        descriptor = os.open(run.lock_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def environment() -> Environment:
    """What equal results depend on: versions, platform, processor. Add the thread counts where torch is known."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
    }


def environment_differences(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """One line per entry that differs, such as `torch: 2.12.0 -> 2.13.0`."""
    names = sorted({*old, *new})
    return [
        f"{name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _refuse_links(run: Path) -> None:
    """Refuse a run folder that holds, or of which a folder holds, anything but plain files and folders.

    A run's own path may be a link, for whoever gave it knows where it leads.
    """
    try:
        for entry in _plain_entries(run):
            if entry.is_dir(follow_symlinks=False):
                for _ in _plain_entries(Path(entry.path)):
                    pass
    except OSError as error:
        raise RunFolderError(f"must be readable, but got {error.strerror}", path=run) from error


def _plain_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
                what = "a link" if entry.is_symlink() else "a pipe or device"
                raise RunFolderError(f"must hold files and folders alone, but got {what}", path=entry.path)
            yield entry


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise RunExistsError("must not exist yet, a run is never overwritten, but it does", path=path)


def _sweep(path: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(path.name)}\.new-(?P<pid>\d+)")
    for orphan in durable.orphans(path.parent, pattern):
        shutil.rmtree(orphan, ignore_errors=True)


def _fill(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir()
    folders = {folder, folder / "checkpoints", folder / "specs", *((folder / name).parent for name in files)}
    for inner in sorted(folders - {folder}):
        inner.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        durable.write_file(folder / name, text.encode())
    for inner in folders:
        durable.sync_folder(inner)


def _acquire(descriptor: int, patience_s: float) -> bool:
    deadline = time.monotonic() + max(patience_s, _PATIENCE_S)  # `is_locked` of a reader holds it for a moment
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _holder(descriptor: int) -> str:
    words = os.pread(descriptor, 200, 0).decode("ascii", "replace").split()
    if not words:
        return "another process"
    if words[1:] not in ([], [_boot_id()]):
        return f"process {words[0]} of another machine"
    if words[0].isdigit() and int(words[0]) != os.getpid() and not durable.is_alive(int(words[0])):
        return f"process {words[0]}, which is not to be seen here, or one that it began,"
    return f"process {words[0]}"


def _release_in_child() -> None:
    # a lock lives as long as any copy of its descriptor: workers that outlive a killed parent must not keep it
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_release_in_child)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node() or "unknown"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
