"""Thousands of decodes, then hundreds of search steps, in one process: `soak.py MANIFEST FOLDER DECODES STEPS`.

One line of JSON per look at the process: what it does, how much of it is done, resident bytes and open files.
"""

import os
import sys
from pathlib import Path

from program import SEARCH, TARGET

from launch.cli import main
from launch.clips import ClipConfig
from launch.console import show_json_line
from results.telemetry import Telemetry
from search_spaces.spec import ClipGeometry
from video.clips import read_batches, training_keys
from video.manifest import load_manifest

BATCH = 8
WARM = 0.2
"""Share of the work before the first look: until then libraries fill their own caches."""


def look(phase, done):
    resident_bytes = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    show_json_line({"phase": phase, "done": done, "bytes": resident_bytes, "files": files})


def decode(manifest, count):
    items = load_manifest(manifest).of("train")
    geometry = ClipGeometry(num_frames=4, resolution=32, rate_fps=8.0)
    reader = ClipConfig(cache_bytes=0).reader(items, geometry, seed=0, training=True)
    keys = (training_keys(len(items), 0, position=done, count=BATCH) for done in range(0, count, BATCH))
    looks = {round(share * count / BATCH) for share in (WARM, 0.6, 1.0)}
    for number, batch in enumerate(read_batches(reader, keys, num_workers=0), start=1):
        assert len(batch.frames_BTHWC) == BATCH
        if number in looks:
            look("decode", number * BATCH)


def search(manifest, folder, steps):
    append = Telemetry.append
    looks = {round(share * steps) for share in (WARM, 0.6, 1.0)}

    def watched(telemetry, kind, **fields):
        append(telemetry, kind, **fields)
        if kind == "phase_times" and fields["step"] + 1 in looks:
            look("search", fields["step"] + 1)

    Telemetry.append = watched
    options = [option for option in SEARCH if not option.startswith("--search.steps")]
    options += [f"--search.steps={steps}", "--search.checkpoint_every=25", f"--clips.cache_dir={folder / 'frames'}"]
    out = folder / "run"
    assert main(["search", "--space=nano", f"--data={manifest}", f"--target={TARGET}", f"--out={out}", *options]) == 0


if __name__ == "__main__":
    decode(Path(sys.argv[1]), int(sys.argv[3]))
    search(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[4]))
