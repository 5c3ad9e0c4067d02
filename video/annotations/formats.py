"""The formats by name, and which of them some files are in: told by their content, never guessed."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from search_spaces.errors import ManifestError, UsageError, shown
from video.annotations import (
    charades,
    epic_kitchens,
    hmdb51,
    kinetics,
    mmaction2,
    moments,
    pyslowfast,
    something,
    ucf101,
)
from video.annotations.annotation import Format, Head, Listing, ReadOptions
from video.annotations.folders import read_folders
from video.annotations.text import read_head
from video.annotations.tree import walk_videos
from video.manifest import KIND

FormatName = Literal[
    "folders",
    "kinetics",
    "mmaction2",
    "pyslowfast",
    "ucf101",
    "hmdb51",
    "something",
    "charades",
    "moments",
    "epic-kitchens",
]
FOLDERS: Final = "folders"
FOLDERS_SHAPE: Final = "a folder per class, or folders train, val and test that hold them"
FORMATS: Final[Mapping[str, Format]] = {
    "kinetics": kinetics.FORMAT,
    "mmaction2": mmaction2.FORMAT,
    "pyslowfast": pyslowfast.FORMAT,
    "ucf101": ucf101.FORMAT,
    "hmdb51": hmdb51.FORMAT,
    "something": something.FORMAT,
    "charades": charades.FORMAT,
    "moments": moments.FORMAT,
    "epic-kitchens": epic_kitchens.FORMAT,
}
_SUFFIXES: Final = frozenset({".csv", ".txt", ".json", ".list", ".tsv", ".jsonl"})
_MAX_FILES: Final = 2000


def read_annotations(source: Path, options: ReadOptions, *, format_name: str | None = None) -> tuple[str, Listing]:
    """The format of a file or folder, and all that it says.

    Args:
        source: An annotation file, a folder of such files of one data set, or a folder per class.
        options: What cannot be read off the files.
        format_name: Which format it is; None tells it by the content.

    Raises:
        UsageError: A format that there is not.
        ManifestError: No format or several fit; a file that does not hold what it must.
    """
    if format_name is not None and format_name not in get_args(FormatName):
        close = difflib.get_close_matches(format_name, get_args(FormatName), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UsageError(f"format must be one of {', '.join(get_args(FormatName))}, but got {format_name!r}{hint}")
    if format_name == FOLDERS:
        return FOLDERS, read_folders(source)
    files = _files(source)
    if format_name is None:
        format_name, files = _told(source, files)
        if format_name == FOLDERS:
            return FOLDERS, read_folders(source)
    elif source.is_dir():
        files = _of_format(files, FORMATS[format_name], source=source, name=format_name)
    return format_name, FORMATS[format_name].read(files, options)


def formats_of(head: Head) -> list[str]:
    """The names of all formats that a file may be in."""
    return [name for name, known in FORMATS.items() if known.recognises(head)]


def _files(source: Path) -> list[Path]:
    """The files that may hold annotations: the source itself, or those right in it."""
    try:
        if not source.is_dir():
            return [source]
        names = sorted(entry for entry in source.iterdir() if not entry.name.startswith("."))
    except (OSError, ValueError) as error:
        raise ManifestError(f"must be a readable file or folder, but got {error}", path=source) from error
    files = [path for path in names if path.suffix.lower() in _SUFFIXES and path.is_file()]
    if len(files) > _MAX_FILES:
        raise ManifestError(f"must hold at most {_MAX_FILES} annotation files, but got {len(files)}", path=source)
    return files


def _of_format(files: list[Path], known: Format, *, source: Path, name: str) -> list[Path]:
    found = [path for path in files if known.recognises(head := read_head(path)) and not known.accompanies(head)]
    if not found:
        raise ManifestError(f"must hold files of {name} ({known.shape}), but got none", path=source)
    return found


def _told(source: Path, files: list[Path]) -> tuple[str, list[Path]]:
    """The one format that fits, and its files."""
    if not source.is_dir():
        head = _readable_head(source)
        names = formats_of(head)
        if len(names) != 1:
            raise ManifestError(f"{_problem(names)} {shown(head.lines[0])}; {_known()}", path=source)
        return names[0], [source]
    found: dict[str, list[Path]] = {}
    for path in files:
        for name in _formats_in_folder(path):
            found.setdefault(name, []).append(path)
    whose = {name: ", ".join(path.name for path in paths[:3]) for name, paths in found.items()}
    folders = _folders_with_videos(source) if found or files else []
    if not found and len(folders) < 2 and files:
        raise ManifestError(f"{_problem([])} {', '.join(path.name for path in files[:5])}; {_known()}", path=source)
    if not found:
        return FOLDERS, []
    if len(folders) > 1:
        whose[FOLDERS] = ", ".join(folders[:3])
    if len(whose) > 1:
        listed = "; ".join(f"{name} ({where})" for name, where in whose.items())
        raise ManifestError(f"must be of one format, but got {listed}; name one with --format", path=source)
    ((name, chosen),) = found.items()
    return name, chosen


def _formats_in_folder(path: Path) -> list[str]:
    """Formats of a file among others, none for what is no annotation, such as a licence or names of classes."""
    try:
        head = read_head(path)
    except ManifestError:
        return []
    if any(known.accompanies(head) for known in FORMATS.values()):
        return []
    return formats_of(head)


def _readable_head(path: Path) -> Head:
    head = read_head(path)
    if KIND in head.lines[0]:
        raise ManifestError("must be annotations, but got a manifest, which needs no indexing", path=path)
    return head


def _problem(names: list[str]) -> str:
    if not names:
        return "must be annotations in a format that is known, but got"
    return f"must be of one format, but {' and '.join(names)} both fit; name one with --format. It begins with"


def _known() -> str:
    shapes = {FOLDERS: FOLDERS_SHAPE} | {name: known.shape for name, known in FORMATS.items()}
    return "known are " + ", ".join(f"{name} ({shape})" for name, shape in shapes.items())


def _folders_with_videos(source: Path) -> list[str]:
    """Names of the folders right in the source that hold videos; two or more may be classes."""
    with_videos = {path.relative_to(source).parts[0] for path in walk_videos(source) if path.parent != source}
    return sorted(with_videos)
