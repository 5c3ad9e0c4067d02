"""From annotations to a manifest: files found, repetitions dropped, groups formed, splits kept or drawn."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from search_spaces.errors import ManifestError, UsageError, shown
from video.annotations.annotation import Annotation, ClassNames, Labels, Listing, ReadOptions
from video.annotations.draw import Candidate, Ratios, check_ratios, draw_splits
from video.annotations.formats import read_annotations
from video.annotations.text import at_line
from video.annotations.tree import VideoTree
from video.label_space import SEPARATOR, LabelSpace
from video.manifest import Manifest, Split, VideoItem, check_name

DEFAULT_RATIOS: Ratios = (0.7, 0.15, 0.15)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOptions:
    """How annotations become a manifest.

    Attributes:
        videos: Folder that names of files lead below; None takes the annotations' own.
        format_name: Format of the annotations; None tells it by their content.
        read: What cannot be read off the files.
        ratios: Shares of train, val and test where no split is given.
        seed: Of the draw.
        group_by: A column of the format, or a regular expression that every id must match; what its first group
            matches, or all of it, names the group.
        redraw: Whether given splits are dropped, and all drawn anew.
        max_missing: Largest share of the listed videos that may have no file, in [0, 1].
    """

    videos: Path | None = None
    format_name: str | None = None
    read: ReadOptions = field(default_factory=ReadOptions)
    ratios: Ratios = DEFAULT_RATIOS
    seed: int = 0
    group_by: str | None = None
    redraw: bool = False
    max_missing: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """A manifest and what was noticed on the way.

    Attributes:
        format_name: Of the annotations.
        num_listed: Annotations with a label.
        num_unlabelled: Lines without one, which are left out.
        num_repeated: Lines that say again what another has said.
        missing: Names that have no file, in order, each once.
        given_splits: Whether the annotations tell the splits.
        warnings: What whoever indexes should know.
    """

    manifest: Manifest
    format_name: str
    num_listed: int
    num_unlabelled: int
    num_repeated: int
    missing: tuple[str, ...]
    given_splits: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """An annotation whose file there is."""

    annotation: Annotation
    path: Path
    start_s: float | None
    end_s: float | None
    id: str


def index_folders(source: Path, *, ratios: Ratios = DEFAULT_RATIOS, seed: int = 0) -> Manifest:
    """A manifest of a folder per class; ids are paths from `source`. Errors are those of `index_annotations`."""
    return index_annotations(source, IndexOptions(format_name="folders", ratios=ratios, seed=seed)).manifest


def index_annotations(source: Path, options: IndexOptions) -> Indexed:
    """Everything from an annotation file, a folder of them, or a folder per class, to a manifest.

    Splits that the format brings stay as they are. If train is among them and val is not, the share of val is taken out
    of train; test is never touched.

    Raises:
        UsageError: Shares, a group, a format or a share of missing files that cannot be.
        ManifestError: Annotations or names of files that do not hold what they must; too many files are missing; a
            group that lies in several of the given splits.
    """
    check_ratios(options.ratios)
    if not 0.0 <= options.max_missing <= 1.0:
        raise UsageError(f"max_missing must be in [0, 1], but got {options.max_missing}")
    source = Path(os.path.abspath(source))  # noqa: PTH100 (resolve() would lose links that data sets are made of)
    format_name, listing = read_annotations(source, options.read, format_name=options.format_name)
    root = options.videos or (source if source.is_dir() else source.parent)
    found, missing, num_repeated = _files(listing, VideoTree(Path(os.path.abspath(root))))  # noqa: PTH100
    _check_missing(listing, missing, root=root, max_missing=options.max_missing)
    groups = _groups(found, listing, options.group_by)
    given_splits = not options.redraw and any(each.annotation.split is not None for each in found)
    splits = _splits(found, groups, options, given=given_splits)
    warnings = (*listing.notes, *_leaks(groups, splits, asked_for=options.group_by is not None, source=source))
    return Indexed(
        manifest=_manifest(found, splits, groups, _label_space(listing)),
        format_name=format_name,
        num_listed=len(listing.annotations),
        num_unlabelled=listing.num_unlabelled,
        num_repeated=num_repeated,
        missing=missing,
        given_splits=given_splits,
        warnings=warnings,
    )


def _manifest(
    found: Sequence[_Found], splits: Sequence[Split], groups: Sequence[str | None], space: LabelSpace
) -> Manifest:
    number_of = {name: number for number, name in enumerate(space.class_names)}
    items = tuple(
        VideoItem(
            id=each.id,
            path=each.path,
            labels=_numbers(each.annotation, number_of),
            split=split,
            start_s=each.start_s,
            end_s=each.end_s,
            group=group,
        )
        for each, split, group in zip(found, splits, groups, strict=True)
    )
    return Manifest(class_names=space.class_names, items=items, heads=space.heads, multi_label=space.multi_label)


def _files(listing: Listing, tree: VideoTree) -> tuple[list[_Found], tuple[str, ...], int]:
    """The annotations whose files there are, names of those that are missing, and how many say nothing new."""
    found: dict[str, _Found] = {}
    missing: dict[str, None] = {}
    num_repeated = 0
    for annotation in listing.annotations:
        with at_line(*annotation.place):
            each = _file(annotation, tree)
            if each is None:
                missing[annotation.cut_name or annotation.name] = None
            elif each.id not in found:
                found[each.id] = each
            else:
                _check_same(found[each.id], each)
                num_repeated += 1
    return list(found.values()), tuple(missing), num_repeated


def _check_same(first: _Found, second: _Found) -> None:
    """A line may say again what another has said, but nothing else of the same video or segment."""
    for what, before, after in (
        ("label", first.annotation.labels, second.annotation.labels),
        ("split", first.annotation.split, second.annotation.split),
        ("segment", (first.path, first.start_s, first.end_s), (second.path, second.start_s, second.end_s)),
    ):
        if before != after:
            raise ManifestError(
                f"{shown(second.id)} must have the same {what} wherever it stands, but got {shown(after)} after "
                f"{shown(before)}"
            )


def _file(annotation: Annotation, tree: VideoTree) -> _Found | None:
    labels = annotation.label_names
    if annotation.cut_name is not None:
        path = tree.find(annotation.cut_name, split=annotation.split, labels=labels)
        if path is not None:
            return _Found(annotation, path, None, None, annotation.id or path.relative_to(tree.root).as_posix())
    path = tree.find(annotation.name, split=annotation.split, labels=labels)
    if path is None:
        return None
    start_s, end_s = annotation.start_s, annotation.end_s
    span = "" if end_s is None else f"#{start_s or 0.0:g}-{end_s:g}"
    name = annotation.id or f"{path.relative_to(tree.root).as_posix()}{span}"
    return _Found(annotation, path, start_s, end_s, name)


def _check_missing(listing: Listing, missing: Sequence[str], *, root: Path, max_missing: float) -> None:
    names = {annotation.cut_name or annotation.name for annotation in listing.annotations}
    if not names:
        raise ManifestError("annotations must label at least one video, but got none", path=root)
    if len(missing) > max_missing * len(names) or len(missing) == len(names):
        raise ManifestError(
            f"at most {max_missing:.0%} of {len(names)} listed videos may be missing, but {len(missing)} are, such as "
            f"{shown(missing[0])}; --videos names the folder they lie in, --max-missing the share",
            path=root,
        )


def _groups(found: Sequence[_Found], listing: Listing, group_by: str | None) -> list[str | None]:
    if group_by is None:
        return [each.annotation.group for each in found]
    columns = sorted({name for annotation in listing.annotations for name in annotation.columns})
    if group_by in columns:
        for each in found:
            if group_by not in each.annotation.columns:
                raise ManifestError(f"a line must have a {group_by} to be grouped by, but got none").at(
                    path=each.annotation.place[0], line=each.annotation.place[1] or None
                )
        return [each.annotation.columns[group_by] for each in found]
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise UsageError(f"group-by must be a regular expression or a column, but got {group_by!r}: {error}") from error
    return [_matched(pattern, each.id, columns) for each in found]


def _matched(pattern: re.Pattern[str], name: str, columns: Sequence[str]) -> str:
    match = pattern.search(name)
    group = "" if match is None else (match[1] if pattern.groups else match[0])
    if not group:
        known = f"; columns are {', '.join(columns)}" if columns else ""
        raise UsageError(f"group-by must match the id of every video, but {pattern.pattern!r} does not {name!r}{known}")
    return group


def _splits(
    found: Sequence[_Found], groups: Sequence[str | None], options: IndexOptions, *, given: bool
) -> list[Split]:
    videos = [Candidate(each.annotation.label_names, group) for each, group in zip(found, groups, strict=True)]
    if not given:
        return draw_splits(videos, options.ratios, seed=options.seed)
    splits: list[Split] = []
    for each in found:
        if each.annotation.split is None:
            raise ManifestError("a file must tell the split of its videos where others do, but does not").at(
                path=each.annotation.place[0]
            )
        splits.append(each.annotation.split)
    if "val" in splits or "train" not in splits:
        return splits
    train = [index for index, split in enumerate(splits) if split == "train"]
    carved = options.ratios[1]
    drawn = draw_splits([videos[index] for index in train], (1.0 - carved, carved, 0.0), seed=options.seed)
    for index, split in zip(train, drawn, strict=True):
        splits[index] = split
    return splits


def _leaks(groups: Sequence[str | None], splits: Sequence[Split], *, asked_for: bool, source: Path) -> tuple[str, ...]:
    """A warning where groups of the format's own lie in several given splits; groups that were asked for must not."""
    where: dict[str, set[Split]] = {}
    for group, split in zip(groups, splits, strict=True):
        if group is not None:
            where.setdefault(group, set()).add(split)
    straddling = sorted(group for group, found in where.items() if len(found) > 1)
    if not straddling:
        return ()
    if asked_for:
        raise ManifestError(
            f"a group must lie in one split, but {len(straddling)} do not, such as {shown(straddling[0])}, in the "
            "splits that the annotations give; --redraw draws new ones",
            path=source,
        )
    return (f"{len(straddling)} recordings lie in several of the given splits, such as {shown(straddling[0])}",)


def _label_space(listing: Listing) -> LabelSpace:
    names = listing.class_names if listing.class_names is not None else _occurring(listing.annotations)
    for each in (names,) if isinstance(names, tuple) else names.values():
        for name in each:
            check_name("class_names", name)
    if isinstance(names, Mapping):
        return LabelSpace.of_heads(names)
    several = any(isinstance(annotation.labels, tuple) for annotation in listing.annotations)
    return LabelSpace(class_names=names, multi_label=several)


def _occurring(annotations: Sequence[Annotation]) -> ClassNames:
    return tuple(sorted({name for annotation in annotations for name in annotation.label_names}))


def _numbers(annotation: Annotation, number_of: Mapping[str, int]) -> tuple[int, ...]:
    names = _full_names(annotation.labels)
    unknown = next((name for name in names if name not in number_of), None)
    if unknown is not None:
        with at_line(*annotation.place):
            raise ManifestError(f"a class must be one of the {len(number_of)} that are known, but got {shown(unknown)}")
    return tuple(number_of[name] for name in names)


def _full_names(labels: Labels) -> tuple[str, ...]:
    """Names as a manifest has them: those of several heads begin with the head, in the order of heads."""
    if isinstance(labels, Mapping):
        return tuple(f"{head}{SEPARATOR}{labels[head]}" for head in sorted(labels))
    return (labels,) if isinstance(labels, str) else labels
