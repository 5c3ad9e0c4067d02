"""Runs killed at random moments, and gone on with: `random_kills.py FOLDER --search=50 --retrain=25 --sweep=5`.

Each run is a fork of this process, which has imported everything, so a kill costs little more than the run. A line of
FOLDER/kills.jsonl per kill says what came of it; begun again, the program goes on with those that are missing.
With `--signal=TERM` runs are told to end instead: they must save their last finished step, and end with 130.
"""

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

from program import TARGET

from launch.cli import main
from launch.console import show
from results.checkpoint import load_newest
from results.journal import iter_journal
from results.records import StepRecord

MODULES = ("search", "retrain", "resume", "sweep_seeds", "data_synth", "data_index", "space_sample")
MACHINE = ["--threads=1", "--workers=0", "--device=cpu"]
SEARCH = [
    *("--space=nano", f"--target={TARGET}", "--proxy=frames=4,resolution=32"),
    *("--search.checkpoint_every=4", "--search.selection.num_policy=2", "--search.selection.num_random=2"),
    *("--weights.batch_size=4", "--weights.reward_batch_size=4"),
]
RECIPE = [
    *("--recipe.epochs=3", "--recipe.batch_size=8", "--recipe.train_frames=2", "--recipe.test_frames=3"),
    *("--recipe.evaluations=3", "--recipe.calibration_batches=2", "--recipe.checkpoint_every=4"),
]
EQUAL = ("journal.jsonl", "checkpoints", "specs", "model", "members", "table.json", "table.csv")
"""What is equal in the end, of a run and of each member of a sweep."""


def begin(arguments, log) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        code = main([str(argument) for argument in arguments])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finish(arguments, log) -> float:
    """Seconds of processor time."""
    _, status, usage = os.wait4(begin(arguments, log), 0)
    assert status == 0, f"{arguments} ended with {status}: see {log}"
    return usage.ru_utime + usage.ru_stime


def wait_for(run, child, log) -> None:
    while not (run / "journal.jsonl").exists():
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        assert ended is None or (run / "journal.jsonl").exists(), f"see {log}"
        time.sleep(0.001)


def final_bytes(run) -> dict[str, bytes]:
    files = (path for name in EQUAL for path in (run / name, *(run / name).rglob("*")) if path.is_file())
    found = {str(path.relative_to(run)): path.read_bytes() for path in files}
    return {
        name: data for name, data in found.items() if "members" not in name or set(EQUAL) & set(Path(name).parts[2:])
    }


def commands(folder) -> dict[str, list[str]]:
    manifest, log = folder / "manifest.jsonl", folder / "log.txt"
    if not manifest.exists():
        finish(["data", "synth", folder / "videos", "--videos_per_class=10", "--size=48", "--json"], log)
        finish(["data", "index", folder / "videos", manifest, "--json"], log)
        finish(["space", "sample", "nano", "-n", "1", "--seed=0", f"--out={folder / 'spec'}", "--json"], log)
    (spec,) = (folder / "spec").iterdir()
    data = [f"--data={manifest}", f"--clips.cache_dir={folder / 'frames'}", *MACHINE]
    return {
        "search": ["search", *data, *SEARCH, "--search.steps=12"],
        "retrain": ["retrain", str(spec), *data, *RECIPE],
        "sweep": ["sweep", "seeds", "--seeds=2", *data, *SEARCH, "--search.steps=6"],
    }


def undisturbed(command, run, log) -> float:
    """Seconds from the run's folder to its end; made once."""
    times = run.parent / "seconds.json"
    if not times.exists():
        shutil.rmtree(run.parent, ignore_errors=True)
        child = begin([*command, f"--out={run}"], log)
        wait_for(run, child, log)
        since = time.monotonic()
        assert os.waitpid(child, 0)[1] == 0, f"see {log}"
        times.write_text(json.dumps(time.monotonic() - since))
    return json.loads(times.read_text())


def disturbed(command, run, log, *, whole, duration_s, draws, number) -> dict[str, object]:
    """What came of one signal at a random moment: the draws go on until one comes before the end."""
    while True:
        shutil.rmtree(run, ignore_errors=True)
        moment_s = draws.uniform(0, duration_s)
        child = begin([*command, f"--out={run}"], log)
        wait_for(run, child, log)
        time.sleep(moment_s)
        os.kill(child, number)
        since = time.monotonic()
        _, status, usage = os.wait4(child, 0)
        if status != 0:
            break
    found = {"moment_s": round(moment_s, 3), "end_s": round(time.monotonic() - since, 3), "status": status}
    if number == signal.SIGTERM and command[0] == "search":
        newest = load_newest(run / "checkpoints", set_aside=False)
        num_steps = sum(isinstance(record, StepRecord) for record in iter_journal(run / "journal.jsonl"))
        found["saved"] = (newest.number if newest else 0) == num_steps
    cpu_s = usage.ru_utime + usage.ru_stime + finish(["resume", run], log)
    return {**found, "cpu_s": round(cpu_s, 2), "equal": final_bytes(run) == whole}


def kills(folder, counts, *, name) -> list[dict[str, object]]:
    number = signal.Signals[f"SIG{name}"]
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"{'kills' if number is signal.SIGKILL else 'ends'}.jsonl"
    done = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
    all_commands, log = commands(folder), folder / "log.txt"
    for kind, count in counts.items():
        missing = set(range(count)) - {row["number"] for row in done if row["kind"] == kind}
        if not missing:
            continue
        left_alone = folder / f"{kind}-whole" / "run"  # specs name the run they are of, by the last part of its path
        duration_s = undisturbed(all_commands[kind], left_alone, log)
        whole = final_bytes(left_alone)
        for index in sorted(missing):
            run = folder / f"{kind}-{index}" / "run"
            draws = random.Random(f"{name} {kind} {index}")
            found = disturbed(
                all_commands[kind], run, log, whole=whole, duration_s=duration_s, draws=draws, number=number
            )
            done.append({"kind": kind, "number": index, **found})
            with table.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            if found["equal"]:
                shutil.rmtree(run.parent)
    return [row for row in done if row["number"] < counts[row["kind"]]]


def run_all() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for kind in ("search", "retrain", "sweep"):
        parser.add_argument(f"--{kind}", type=int, default=0)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    options = parser.parse_args()
    for module in MODULES:
        importlib.import_module(f"launch.{module}")
    importlib.import_module("results.report")
    counts = {kind: getattr(options, kind) for kind in ("search", "retrain", "sweep")}
    rows = kills(options.folder.resolve(), counts, name=options.signal)
    for kind in counts:
        mine = [row for row in rows if row["kind"] == kind]
        if mine:
            equal, cpu_s = sum(row["equal"] for row in mine), sum(row["cpu_s"] for row in mine)
            longest_s = max(row["end_s"] for row in mine)
            show(f"{kind}: {equal} of {len(mine)} equal, {cpu_s:.0f} s of one core, longest end {longest_s:.2f} s")
    codes = {os.waitstatus_to_exitcode(row["status"]) for row in rows}
    good = codes <= ({-signal.SIGKILL} if options.signal == "KILL" else {130})
    good &= all(row["equal"] and row.get("saved", True) for row in rows) and len(rows) == sum(counts.values())
    show(f"{sum(row['equal'] for row in rows)} of {sum(counts.values())}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(run_all())
