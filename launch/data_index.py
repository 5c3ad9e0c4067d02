"""`movinas data index`: a manifest from annotations in any known format, or from a folder per class."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launch import console
from search_spaces.errors import UsageError
from video.annotations.annotation import ReadOptions
from video.annotations.assemble import Indexed, IndexOptions, index_annotations
from video.annotations.findings import Duplicates, Imbalance, class_counts, duplicates, imbalance, likely_leak
from video.annotations.formats import FormatName
from video.manifest import SPLITS, Manifest, write_manifest

POSITIONALS = ("source", "out")
IMBALANCED = 10.0
"""From this ratio of the largest to the smallest class on, it is worth a line."""
_NAMES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Options:
    """List videos with their classes, and a split for each, as annotations or folders say.

    Attributes:
        source: Annotation file, folder of such files of one data set, or folder per class.
        out: Manifest to write.
        videos: Folder of the videos; None takes the one of the annotations.
        format: Of the annotations; None tells it by their content, or refuses.
        classes: File with the names of the classes, one per line; None looks for the format's own.
        fold: Which of the splits of UCF101 and HMDB51, from 1.
        segments: Charades: every action as a segment with one class, not every video with all its actions.
        split: Shares of train, val and test, drawn per class; what names its splits keeps them.
        seed: Of the draw.
        group_by: Regular expression on ids, or a column of the annotations, such as the person: videos of one group
            never lie in different splits.
        redraw: Draw the splits even where the annotations name them.
        max_missing: Largest share of the listed videos that may be missing, in [0, 1].
        duplicates: Also compare the contents of all files of equal size.
        json: Print one JSON document.
    """

    source: Path
    out: Path
    videos: Path | None = None
    format: FormatName | None = None
    classes: Path | None = None
    fold: int = 1
    segments: bool = False
    split: str = "0.7,0.15,0.15"
    seed: int = 0
    group_by: str | None = None
    redraw: bool = False
    max_missing: float = 0.2
    duplicates: bool = False
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that is said about an index, in plain data."""

    manifest: str
    format: str
    num_videos: int
    num_listed: int
    num_unlabelled: int
    num_repeated: int
    missing: tuple[str, ...]
    given_splits: bool
    num_groups: int
    classes: dict[str, dict[Any, int]]
    imbalance: Imbalance | None
    duplicates: tuple[Duplicates, ...] | None
    warnings: tuple[str, ...]


def run(options: Options) -> int:
    """Write the manifest; count its classes, and name what is missing, twice there, or likely to leak."""
    indexed = _index(options)
    report = _report(indexed, options)
    write_manifest(indexed.manifest, options.out)
    if options.json:
        console.show_json(asdict(report))
        return 0
    rows = [(name, *(count[split] for split in SPLITS)) for name, count in report.classes.items()]
    console.show_table(f"{report.num_videos} videos in {options.out} ({report.format})", ("class", *SPLITS), rows)
    for line in _lines(report):
        console.show(line)
    for warning in report.warnings:
        console.log(f"note: {warning}")
    return 0


def index(options: Options) -> Manifest:
    """The manifest, which is also written."""
    manifest = _index(options).manifest
    write_manifest(manifest, options.out)
    return manifest


def _index(options: Options) -> Indexed:
    return index_annotations(
        options.source,
        IndexOptions(
            videos=options.videos,
            format_name=options.format,
            read=ReadOptions(classes=options.classes, fold=options.fold, segments=options.segments),
            ratios=_ratios(options.split),
            seed=options.seed,
            group_by=options.group_by,
            redraw=options.redraw,
            max_missing=options.max_missing,
        ),
    )


def _report(indexed: Indexed, options: Options) -> Report:
    manifest = indexed.manifest
    counts = class_counts(manifest)
    same = tuple(duplicates(manifest.items)) if options.duplicates else None
    balance = imbalance(counts)
    return Report(
        manifest=str(options.out),
        format=indexed.format_name,
        num_videos=len(manifest.items),
        num_listed=indexed.num_listed,
        num_unlabelled=indexed.num_unlabelled,
        num_repeated=indexed.num_repeated,
        missing=indexed.missing,
        given_splits=indexed.given_splits,
        num_groups=len({item.group for item in manifest.items if item.group is not None}),
        classes={name: dict(count) for name, count in counts.items()},
        imbalance=balance,
        duplicates=same,
        warnings=(*indexed.warnings, *_warnings(manifest, balance, same)),
    )


def _warnings(manifest: Manifest, balance: Imbalance | None, same: tuple[Duplicates, ...] | None) -> Iterator[str]:
    if balance is not None and balance.empty:
        yield f"no video to train on shows {_some(balance.empty)}"
    if balance is not None and balance.ratio >= IMBALANCED:
        yield (
            f"classes are unequal: {balance.largest[1]} videos of {balance.largest[0]}, "
            f"{balance.smallest[1]} of {balance.smallest[0]} to train on"
        )
    leak = likely_leak(manifest.items)
    if leak is not None:
        yield (
            f"{leak.num_recordings} recordings seem to lie in several splits, such as {leak.ids[0]} ({leak.splits[0]}) "
            f"and {leak.ids[1]} ({leak.splits[1]}); --group-by '{leak.pattern}' keeps such clips together"
        )
    leaked = [each for each in same or () if len(set(each.splits)) > 1]
    if leaked:
        yield f"{len(leaked)} videos lie in several splits under other names, such as {_some(leaked[0].ids)}"
    contradicting = [each for each in same or () if not each.same_labels]
    if contradicting:
        ids = _some(contradicting[0].ids)
        yield f"{len(contradicting)} videos have different labels under other names, such as {ids}"


def _lines(report: Report) -> Iterator[str]:
    if report.imbalance is not None:
        (largest, most), (smallest, least) = report.imbalance.largest, report.imbalance.smallest
        yield f"largest class to train on: {most} ({largest}), smallest: {least} ({smallest})"
    origin = "as the annotations have them" if report.given_splits else "drawn"
    kept = f", {report.num_groups} groups kept together" if report.num_groups else ""
    yield f"splits: {origin}{kept}"
    if report.missing:
        yield f"{len(report.missing)} missing and left out: {_some(report.missing)}"
    if report.num_unlabelled:
        yield f"{report.num_unlabelled} lines without a label left out"
    if report.num_repeated:
        yield f"{report.num_repeated} lines say again what others say"
    if report.duplicates is not None:
        yield f"{len(report.duplicates)} contents that several files have"
    for each in (report.duplicates or ())[:_NAMES_SHOWN]:
        yield f"  {', '.join(each.ids)}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")


def _ratios(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"split must be three shares, such as 0.7,0.15,0.15, but got {text!r}") from error
    return train, val, test
