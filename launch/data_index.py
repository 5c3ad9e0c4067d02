"""`movinas data index`: a manifest from a folder per class."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from launch import console
from search_spaces.errors import UsageError
from video.annotations import index_folders
from video.manifest import Manifest, write_manifest

POSITIONALS = ("source", "out")


@dataclass(frozen=True, kw_only=True)
class Options:
    """List the videos of a folder per class, with a split for each.

    Attributes:
        source: Folder with a folder per class, or with train, val and test folders that hold them.
        out: Manifest to write.
        split: Shares of train, val and test, drawn per class; folders that name their split keep it.
        seed: Of the draw.
        json: Print one JSON document.
    """

    source: Path
    out: Path
    split: str = "0.7,0.15,0.15"
    seed: int = 0
    json: bool = False


def run(options: Options) -> int:
    """Write the manifest and count its classes."""
    manifest = index(options)
    counts = _counts(manifest)
    if options.json:
        console.show_json({"manifest": str(options.out), "num_videos": len(manifest.items), "classes": counts})
        return 0
    rows = [(name, *(count[split] for split in ("train", "val", "test"))) for name, count in counts.items()]
    console.show_table(f"{len(manifest.items)} videos in {options.out}", ("class", "train", "val", "test"), rows)
    return 0


def index(options: Options) -> Manifest:
    """The manifest, which is also written."""
    manifest = index_folders(options.source, ratios=_ratios(options.split), seed=options.seed)
    write_manifest(manifest, options.out)
    return manifest


def _ratios(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"split must be three shares, such as 0.7,0.15,0.15, but got {text!r}") from error
    return train, val, test


def _counts(manifest: Manifest) -> dict[str, dict[str, int]]:
    pairs = Counter((item.labels[0], item.split) for item in manifest.items)
    return {
        name: {split: pairs[label, split] for split in ("train", "val", "test")}
        for label, name in enumerate(manifest.class_names)
    }
