"""A search killed at any moment and resumed ends in the same bytes as one left alone."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from program import TARGET

from results.checkpoint import load_newest
from results.journal import iter_journal
from results.records import StepRecord
from search_spaces.movinet import NANO
from search_spaces.space_json import space_document
from search_spaces.spec_json import read_spec
from search_spaces.strict_json import pretty

STEPS = 24
OPTIONS = (
    f"--space=nano --target={TARGET} --threads=1 --workers=0 --device=cpu --proxy=frames=4,resolution=32 "
    f"--search.steps={STEPS} --search.checkpoint_every=4 --search.selection.num_policy=3 "
    "--search.selection.num_random=3 --weights.batch_size=4 --weights.reward_batch_size=4"
).split()


def start(*arguments) -> subprocess.Popen:
    """In a process group of its own, as a shell does it, so that a test can press Ctrl-C."""
    command = [sys.executable, "-m", "launch", *map(str, arguments)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )


def search(manifest, out, *more) -> subprocess.Popen:
    return start("search", f"--data={manifest}", f"--out={out}", *OPTIONS, *more)


def resume(run) -> None:
    process = start("resume", run)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err


def final_bytes(run: Path) -> dict[str, bytes]:
    """Journal, and every file of the newest checkpoint."""
    newest = sorted((run / "checkpoints").glob("step_*"))[-1]
    assert newest.name == f"step_{STEPS:08}"
    files = {path.name: path.read_bytes() for path in sorted(newest.iterdir())}
    return {"journal": (run / "journal.jsonl").read_bytes(), **files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, motion_manifest):
    """A search left alone, and the seconds from its first record to its end."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    process = search(motion_manifest, run)
    wait_for_journal(process, run)
    begin = time.monotonic()
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    return run, time.monotonic() - begin


def wait_for_journal(process, run) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (run / "journal.jsonl").exists():
            return
        time.sleep(0.005)
    raise AssertionError(f"no run folder: {process.communicate()}")


def test_sigkill_at_a_random_moment(undisturbed, motion_manifest, tmp_path):
    """Once; `test_random_kills.py` and its program do so often."""
    reference, duration_s = undisturbed
    run = tmp_path / "run"
    process = search(motion_manifest, run)
    wait_for_journal(process, run)
    time.sleep(random.Random(1).uniform(0, duration_s))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resume(run)
    assert final_bytes(run) == final_bytes(reference)
    assert (run / "report.html").exists()
    assert list((run / "specs").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["nsga2", *(pytest.param(name, marks=pytest.mark.long) for name in ("evolution", "uniform", "random"))]
)
def test_every_strategy_survives_a_kill(motion_manifest, tmp_path, name):
    limits = ["--variant=released-stream", "--max=state=128KiB@fp16"]
    options = [f"--search.strategy={name}", "--search.population.size=6", "--search.population.tournament=3", *limits]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start("search", f"--data={motion_manifest}", f"--out={whole}", *OPTIONS, *options)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    process = start("search", f"--data={motion_manifest}", f"--out={killed}", *OPTIONS, *options)
    wait_for_journal(process, killed)
    journal = killed / "journal.jsonl"
    while process.poll() is None and journal.read_bytes().count(b'"kind":"step"') < STEPS * 3 // 4:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resume(killed)
    assert final_bytes(killed) == final_bytes(whole)


def require_last_step_saved(run) -> None:
    """Nothing that was done before the interrupt is to be done again."""
    num_steps = sum(isinstance(record, StepRecord) for record in iter_journal(run / "journal.jsonl"))
    newest = load_newest(run / "checkpoints")
    assert (newest.number if newest else 0) == num_steps


def test_an_interrupt_is_exit_130_and_resumable(undisturbed, motion_manifest, tmp_path):
    run = tmp_path / "run"
    process = search(motion_manifest, run)
    wait_for_journal(process, run)
    while (run / "journal.jsonl").stat().st_size == 0:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "movinas: interrupted; a run goes on with: movinas resume RUN"
    assert "Traceback" not in err
    require_last_step_saved(run)
    resume(run)
    assert final_bytes(run) == final_bytes(undisturbed[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("press", "number"),
    [
        pytest.param(os.killpg, signal.SIGINT, id="keyboard"),
        pytest.param(os.kill, signal.SIGTERM, id="container"),
        pytest.param(os.killpg, signal.SIGTERM, id="service", marks=pytest.mark.long),
    ],
)
def test_workers_change_nothing_and_end_with_their_search(undisturbed, motion_manifest, tmp_path, press, number):
    """Interrupted while they read, by Ctrl-C or by whoever manages the machine, and resumed with as many."""
    run = tmp_path / "run"
    process = search(motion_manifest, run, "--workers=2")
    wait_for_journal(process, run)
    while (run / "journal.jsonl").read_bytes().count(b"\n") < 3:
        time.sleep(0.01)
    press(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "movinas: interrupted; a run goes on with: movinas resume RUN"
    assert "Traceback" not in err
    require_last_step_saved(run)
    wait_for_the_group_to_end(process.pid)
    resume(run)
    assert final_bytes(run) == final_bytes(undisturbed[0])


def wait_for_the_group_to_end(group) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"processes of group {group} are left")


def test_a_corrupt_checkpoint_is_set_aside_and_the_one_before_used(undisturbed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(undisturbed[0], run)
    (run / "journal.jsonl").write_bytes(b"".join((run / "journal.jsonl").read_bytes().splitlines(keepends=True)[:-1]))
    weights = sorted((run / "checkpoints").glob("step_*/supernet.safetensors"))[-1]
    damaged = bytearray(weights.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    weights.write_bytes(damaged)
    resume(run)
    assert final_bytes(run) == final_bytes(undisturbed[0])
    assert list((run / "checkpoints").glob("bad-*"))
    kinds = [json.loads(line)["kind"] for line in (run / "telemetry.jsonl").read_text().splitlines()]
    assert (kinds.count("start"), kinds.count("resume")) == (1, 1)


@pytest.mark.slow
def test_a_resumed_search_needs_none_of_the_files_it_was_given(undisturbed, motion_manifest, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    (given / "variant.json").write_text('{"gate": "hard_sigmoid"}')
    (given / "space.json").write_text(pretty({**space_document(NANO), "name": "mine"}))
    shutil.copy(motion_manifest, motion_manifest.with_name("given.jsonl"))
    manifest = motion_manifest.with_name("given.jsonl")
    options = [option for option in OPTIONS if not option.startswith("--space")]
    files = [f"--space={given / 'space.json'}", f"--variant={given / 'variant.json'}", f"--data={manifest}"]
    run = tmp_path / "run"
    process = start("search", f"--out={run}", *files, *options)
    wait_for_journal(process, run)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    shutil.rmtree(given)
    manifest.unlink()
    resume(run)
    (spec,) = (run / "specs").iterdir()
    assert read_spec(spec).variant.gate == "hard_sigmoid"
    assert read_spec(spec).provenance.space == "mine"
