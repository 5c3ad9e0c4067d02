"""A retraining killed at any moment and gone on with ends in the same bytes as one left alone, on one rank or two."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from processes import (
    finish,
    free_port,
    on_ranks,
    rank_processes,
    ray_workers,
    start,
    wait_for_lines,
    wait_for_the_group_to_end,
)

from results.checkpoint import load_newest
from results.telemetry import read_telemetry
from search_spaces.movinet import NANO
from search_spaces.randomness import generator
from search_spaces.spec_json import make_spec_file, write_spec
from search_spaces.variant import Variant

pytestmark = pytest.mark.timeout(900)  # each starts many processes

OPTIONS = [
    "--recipe.epochs=6",
    "--recipe.batch_size=8",
    "--recipe.train_frames=2",
    "--recipe.test_frames=3",
    "--recipe.evaluations=6",
    "--recipe.calibration_batches=2",
    "--recipe.checkpoint_every=3",
    "--recipe.dropout=0.2",
    "--threads=1",
    "--workers=0",
    "--device=cpu",
]
"""42 steps: seven in each of six epochs."""
RESUMABLE = "the run goes on with: movinas resume RUN"


@pytest.fixture(scope="module")
def command(tmp_path_factory, motion_manifest):
    """`retrain` of a small network, without its folder."""
    candidate = NANO.decode(NANO.sample(generator(0, "killed")), Variant())
    spec = write_spec(
        make_spec_file(candidate.spec, Variant(), genotype=candidate.genotype), tmp_path_factory.mktemp("spec")
    )
    return ["retrain", str(spec), f"--data={motion_manifest}", *OPTIONS]


def final_bytes(run: Path) -> dict[str, bytes]:
    """Journal, every file of the newest checkpoint, and the network."""
    newest = sorted((run / "checkpoints").glob("step_*"))[-1]
    assert newest.name == "step_00000042"
    files = [run / "journal.jsonl", *sorted(newest.iterdir()), *sorted((run / "model").iterdir())]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def left_alone(run, *arguments) -> tuple[dict[str, bytes], float]:
    process = start(*arguments, f"--out={run}")
    wait_for_lines(process, run, 0)
    begin = time.monotonic()
    finish(process)
    return final_bytes(run), time.monotonic() - begin


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, command):
    return left_alone(tmp_path_factory.mktemp("alone") / "run", *command)


@pytest.fixture(scope="module")
def undisturbed_on_two(tmp_path_factory, command):
    return left_alone(tmp_path_factory.mktemp("two") / "run", *command, "--ranks=2")


MOMENTS = [
    ("saving", 17),
    ("publishing", 3),
    ("pruning", 2),
    ("journaling", 4),
    ("averaging", 23),
    ("swapping", 2),
    ("evaluating", 3),
    ("replacing", 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "number"), [*MOMENTS[:2], *(pytest.param(*moment, marks=pytest.mark.long) for moment in MOMENTS[2:])]
)
def test_killed_in_the_middle_of_something(command, undisturbed, tmp_path, point, number):
    run = tmp_path / "run"
    trap = (str(Path(__file__).with_name("killed_at.py")), point, str(number))
    process = start(*command, f"--out={run}", program=trap)
    process.communicate(timeout=400)
    assert process.returncode == -signal.SIGKILL
    finish(start("resume", run))
    assert final_bytes(run) == undisturbed[0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 10))])
def test_killed_at_a_random_moment_and_begun_again_by_its_own_command(command, undisturbed, tmp_path, seed):
    """Twice, and gone on with as a batch system does: by the same command."""
    expected, duration_s = undisturbed
    run, draws = tmp_path / "run", random.Random(seed)
    for _ in range(2):
        process = start(*command, f"--out={run}", "--resume=auto")
        wait_for_lines(process, run, 0)
        time.sleep(draws.uniform(0, duration_s))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(start(*command, f"--out={run}", "--resume=auto"))
    assert final_bytes(run) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "victim", ["first", *(pytest.param(who, marks=pytest.mark.long) for who in ("second", "parent"))]
)
def test_two_ranks_of_which_one_is_killed_end_and_go_on_to_the_same(command, undisturbed_on_two, tmp_path, victim):
    run = tmp_path / "run"
    process = start(*command, f"--out={run}", "--ranks=2", "--workers=1")
    wait_for_lines(process, run, 2)
    ranks = rank_processes(process.pid)
    assert len(ranks) == 2
    os.kill({"first": ranks[0], "second": ranks[1], "parent": process.pid}[victim], signal.SIGKILL)
    begin = time.monotonic()
    _, err = process.communicate(timeout=60)  # until every process that writes to its pipes has ended
    assert time.monotonic() - begin < 30
    wait_for_the_group_to_end(process.pid)
    if victim != "parent":
        assert process.returncode == 2
        number = ("first", "second").index(victim)
        assert f"rank {number} of 2: it must stay until the end, but was killed by SIGKILL; {RESUMABLE}" in err
        assert "Traceback" not in err
    finish(start("resume", run))
    assert final_bytes(run) == undisturbed_on_two[0]


@pytest.mark.slow
def test_two_ranks_train_as_one_with_two_micro_batches(command, undisturbed_on_two, tmp_path):
    """On videos, from the command line: equal but for rounding, and their accuracies to the last bit."""
    found, _ = left_alone(tmp_path / "run", *command, "--recipe.accumulation=2")
    assert found["journal.jsonl"] == undisturbed_on_two[0]["journal.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_nobody_watches_sees_that_the_other_is_gone(command, tmp_path, victim):
    run = tmp_path / "run"
    processes = on_ranks(command, free_port(), f"--out={run}")
    wait_for_lines(processes[0], run, 1)
    processes[victim].send_signal(signal.SIGKILL)
    begin = time.monotonic()
    _, err = processes[1 - victim].communicate(timeout=60)
    assert time.monotonic() - begin < 30
    processes[victim].communicate()
    assert processes[1 - victim].returncode == 2
    last = err.splitlines()[-1]
    assert last.startswith("movinas: all ranks must stay in contact until the end, but another was lost")
    assert last.endswith(RESUMABLE)
    assert "Traceback" not in err


@pytest.mark.slow
def test_under_torchrun_a_training_is_begun_and_gone_on_with(command, undisturbed_on_two, tmp_path):
    run = tmp_path / "run"
    program = ("-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}", "-m", "launch")
    process = start(*command, f"--out={run}", program=program)
    wait_for_lines(process, run, 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finish(start("resume", run, program=program))
    assert final_bytes(run) == undisturbed_on_two[0]


def steps_done(run) -> int:
    return 1 + max(event["step"] for event in read_telemetry(run / "telemetry.jsonl") if event["kind"] == "phase_times")


@pytest.mark.long
def test_an_interrupt_of_ranks_is_exit_130_and_resumable(command, undisturbed_on_two, tmp_path):
    for press in (os.kill, os.killpg):
        run = tmp_path / press.__name__
        process = start(*command, f"--out={run}", "--ranks=2")
        wait_for_lines(process, run, 2)
        press(process.pid, signal.SIGTERM if press is os.kill else signal.SIGINT)
        begin = time.monotonic()
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - begin < 10
        assert process.returncode == 130
        assert steps_done(run) <= load_newest(run / "checkpoints").number
        assert err.splitlines()[-1] == "movinas: interrupted; a run goes on with: movinas resume RUN"
        assert "Traceback" not in err
        finish(start("resume", run))
        assert final_bytes(run) == undisturbed_on_two[0]


@pytest.mark.long
def test_ray_train_begins_again_after_the_loss_of_a_worker_and_ends_in_the_same(command, undisturbed_on_two, tmp_path):
    run = tmp_path / "run"
    process = start(*command, f"--out={run}", "--ranks=2", "--executor=ray", "--max_failures=1")
    wait_for_lines(process, run, 2)
    os.kill(ray_workers(process.pid)[1], signal.SIGKILL)
    finish(process)
    assert (run / "telemetry.jsonl").read_text().count('"kind":"resume"') == 1
    assert final_bytes(run) == undisturbed_on_two[0]


@pytest.mark.long
def test_ray_train_tells_what_a_rank_refused(command, tmp_path):
    run = tmp_path / "run"
    wild = ["--recipe.learning_rate=1e30", "--recipe.warmup_epochs=0"]
    process = start(*command, *wild, f"--out={run}", "--ranks=2", "--executor=ray", "--max_failures=0")
    _, err = process.communicate(timeout=400)
    assert process.returncode == 2
    assert "movinas: the loss must stay finite, but got nan in step 1" in err
    assert "Traceback" not in err
    assert not run.exists()
