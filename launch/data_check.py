"""`movinas data check`: decode every video of a manifest and list those that fail."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from launch import console
from search_spaces.errors import VideoError
from video.decode import decode_all
from video.manifest import VideoItem, load_manifest

POSITIONALS = ("manifest",)
SHORT_SIDE = 32


@dataclass(frozen=True, kw_only=True)
class Options:
    """Decode every video from start to end.

    Attributes:
        manifest: Manifest of the videos.
        workers: Processes that decode; -1 takes the number of cores.
        json: Print one JSON document.
    """

    manifest: Path
    workers: int = -1
    json: bool = False


def run(options: Options) -> int:
    """List the videos that fail; exit 2 if there is one."""
    manifest = load_manifest(options.manifest)
    workers = len(os.sched_getaffinity(0)) if options.workers < 0 else max(1, options.workers)
    progress = console.Progress("check", total=len(manifest.items))
    bad = []
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("forkserver")) as pool:
        for done, (item, problem) in enumerate(
            zip(manifest.items, pool.map(_problem, manifest.items, chunksize=8), strict=True), start=1
        ):
            if problem is not None:
                bad.append({"id": item.id, "path": str(item.path), "problem": problem})
            progress.update(done, f"{len(bad)} bad")
    if options.json:
        console.show_json({"num_videos": len(manifest.items), "num_bad": len(bad), "bad": bad})
    else:
        for entry in bad:
            console.show(entry["problem"])
        console.show(f"{len(manifest.items)} videos, {len(bad)} of them cannot be decoded")
    return 2 if bad else 0


def _problem(item: VideoItem) -> str | None:
    try:
        decode_all(item.path, short_side=SHORT_SIDE, start_s=item.start_s or 0.0, end_s=item.end_s)
    except VideoError as error:
        return str(error)
    return None
