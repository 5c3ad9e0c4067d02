"""`movinas bench inspect`: how long a look at a long search takes, interpreter and all."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch import console
from launch.bench.made_search import make_search
from results.history import read_history
from search_spaces.errors import UsageError
from search_spaces.movinet import find_space


@dataclass(frozen=True, kw_only=True)
class Options:
    """Speed of `movinas inspect` on the journal of a long search that was made up.

    Attributes:
        space: a2, nano, or a JSON file.
        steps: Of the search, of two architectures each.
        running: Whether the search is still under way, as far as two thirds.
        repeats: Of which the median is reported.
        json: Print one JSON document.
    """

    space: str = "a2"
    steps: int = 30_000
    running: bool = False
    repeats: int = 5
    json: bool = False


def run(options: Options) -> int:
    """Measure and print."""
    if options.steps < 1 or options.repeats < 1:
        raise UsageError(f"steps and repeats must be at least 1, but got {options.steps} and {options.repeats}")
    with tempfile.TemporaryDirectory() as folder:
        made = make_search(
            Path(folder) / "run",
            find_space(options.space),
            num_steps=options.steps,
            done=2 * options.steps // 3 if options.running else None,
        )
        looks = [_look(made.path) for _ in range(options.repeats)]
        reads = []
        for _ in range(options.repeats):
            start = time.process_time()
            read_history(made.journal_path)
            reads.append(time.process_time() - start)
        num_bytes = made.journal_path.stat().st_size
    document: dict[str, Any] = {
        "space": options.space,
        "steps": options.steps,
        "journal_bytes": num_bytes,
        "wall_s": statistics.median(wall for wall, _ in looks),
        "cpu_s": statistics.median(cpu for _, cpu in looks),
        "cpu_s_min": min(cpu for _, cpu in looks),
        "cpu_s_max": max(cpu for _, cpu in looks),
        "read_cpu_s": statistics.median(reads),
    }
    if options.json:
        console.show_json(document)
    else:
        console.show(
            f"inspect of {options.steps:,} steps of {options.space}, a journal of {num_bytes / 1e6:.1f} MB: "
            f"{document['cpu_s']:.2f} s of processor time (min {document['cpu_s_min']:.2f}, max "
            f"{document['cpu_s_max']:.2f} of {options.repeats} repeats), {document['wall_s']:.2f} s by the clock; "
            f"reading the journal is {document['read_cpu_s']:.2f} s of it"
        )
    return 0


def _look(path: Path) -> tuple[float, float]:
    """Seconds by the clock and of processor time of the whole command, in a process of its own."""
    before, start = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "launch", "inspect", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu_s = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - start, cpu_s
