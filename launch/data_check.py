"""`movinas data check`: decode every video of a manifest and list those that fail."""

import os
from dataclasses import dataclass
from pathlib import Path

from launch import console
from search_spaces.errors import UsageError
from video.check import Finding, Memory, check_videos
from video.manifest import load_manifest

POSITIONALS = ("manifest",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Decode every video from start to end, each in a process that is killed when it takes too long.

    Attributes:
        manifest: Manifest of the videos.
        limit_s: Seconds that one video may take.
        memory: File of what is found, so that a second check decodes only files that are new or have changed; None
            takes one beside the manifest.
        again: Decode all, whatever is remembered.
        workers: Processes that decode; -1 takes the number of cores.
        json: Print one JSON document.
    """

    manifest: Path
    limit_s: float = 300.0
    memory: Path | None = None
    again: bool = False
    workers: int = -1
    json: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.limit_s < float("inf"):
            raise UsageError(f"limit_s must be above 0, but got {self.limit_s}")


def run(options: Options) -> int:
    """List the videos that fail; exit 2 if there is one."""
    manifest = load_manifest(options.manifest)
    workers = len(os.sched_getaffinity(0)) if options.workers < 0 else max(1, options.workers)
    path = options.memory or options.manifest.with_name(f"{options.manifest.name}.checked")
    if options.again:
        path.unlink(missing_ok=True)
    progress = console.Progress("check", total=len(manifest.items))
    bad: list[Finding] = []
    num_remembered = 0
    findings = check_videos(manifest.items, num_workers=workers, limit_s=options.limit_s, memory=Memory(path))
    for done, finding in enumerate(findings, start=1):
        num_remembered += finding.remembered
        if finding.problem is not None:
            bad.append(finding)
        progress.update(done, f"{len(bad)} bad")
    _show(options, bad, num_videos=len(manifest.items), num_remembered=num_remembered)
    return 2 if bad else 0


def _show(options: Options, bad: list[Finding], *, num_videos: int, num_remembered: int) -> None:
    bad = sorted(bad, key=lambda finding: finding.item.id)
    if options.json:
        document = [{"id": each.item.id, "path": str(each.item.path), "problem": each.problem} for each in bad]
        counts = {"num_videos": num_videos, "num_bad": len(bad), "num_remembered": num_remembered}
        console.show_json({**counts, "bad": document})
        return
    for each in bad:
        console.show(str(each.problem))
    earlier = f", {num_remembered} of them at an earlier time" if num_remembered else ""
    console.show(f"{num_videos} videos checked{earlier}; {len(bad)} of them cannot be decoded")
