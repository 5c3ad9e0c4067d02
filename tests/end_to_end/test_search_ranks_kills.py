"""A search on two ranks, killed at any moment and gone on with, ends in the same bytes as one left alone."""

import json
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
from program import TARGET

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # each starts many processes

STEPS = 12
OPTIONS = (
    f"--space=nano --target={TARGET} --threads=1 --workers=0 --device=cpu --proxy=frames=2,resolution=32 "
    f"--search.steps={STEPS} --search.checkpoint_every=2 --search.selection.num_policy=2 "
    "--search.selection.num_random=2 --weights.batch_size=4 --weights.reward_batch_size=4"
).split()
"""Two architectures in a step: one for each of two ranks."""
RESUMABLE = "the run goes on with: movinas resume RUN"


@pytest.fixture(scope="module")
def command(motion_manifest):
    """`search`, without its folder."""
    return ["search", f"--data={motion_manifest}", *OPTIONS]


def final_bytes(run: Path) -> dict[str, bytes]:
    """Journal, every file of the newest checkpoint, and the spec that was found."""
    newest = sorted((run / "checkpoints").glob("step_*"))[-1]
    assert newest.name == f"step_{STEPS:08}"
    files = [run / "journal.jsonl", *sorted(newest.iterdir()), *sorted((run / "specs").iterdir())]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def left_alone(run, *arguments) -> tuple[dict[str, bytes], float]:
    process = start(*arguments, f"--out={run}")
    wait_for_lines(process, run, 0)
    begin = time.monotonic()
    finish(process)
    return final_bytes(run), time.monotonic() - begin


@pytest.fixture(scope="module")
def alone(tmp_path_factory, command):
    """A search on one rank; with one architecture for each, two ranks add the same two gradients: equal bytes."""
    return left_alone(tmp_path_factory.mktemp("alone") / "run", *command)[0]


def test_begun_on_two_ranks_and_killed_it_goes_on_on_one_to_the_bytes_of_one(command, alone, tmp_path):
    run = tmp_path / "run"
    process = start(*command, f"--out={run}", "--ranks=2")
    wait_for_lines(process, run, 6)
    os.kill(rank_processes(process.pid)[1], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"rank 1 of 2: it must stay until the end, but was killed by SIGKILL; {RESUMABLE}" in err
    assert "Traceback" not in err
    assert json.loads((run / "env.json").read_text())["ranks"] == 2
    process = start("resume", run, "--ranks=1")
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert "environment differs, so results may: ranks: 2 -> 1" in err
    assert final_bytes(run) == alone
    events = [json.loads(line) for line in (run / "telemetry.jsonl").read_text().splitlines()]
    assert [event["environment"]["ranks"] for event in events if event["kind"] in ("start", "resume")] == [2, 1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, command, alone):
    found, duration_s = left_alone(tmp_path_factory.mktemp("two") / "run", *command, "--ranks=2")
    assert found == alone
    return found, duration_s


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 9))])
def test_a_rank_or_their_parent_is_killed_at_a_random_moment(command, undisturbed, tmp_path, seed):
    """Twice, of which the second kill hits the resumed run; each time whoever is left ends by itself."""
    expected, duration_s = undisturbed
    run, draws = tmp_path / "run", random.Random(seed)
    process = start(*command, f"--out={run}", "--ranks=2", "--workers=1")
    wait_for_lines(process, run, 0)
    for _ in range(2):
        time.sleep(draws.uniform(0, duration_s))
        victims = [process.pid, *rank_processes(process.pid)]
        if process.poll() is None:
            os.kill(victims[(seed + draws.randrange(2)) % len(victims)], signal.SIGKILL)
        process.communicate(timeout=60)  # until every process that writes to its pipes has ended
        wait_for_the_group_to_end(process.pid)
        process = start("resume", run)
    finish(process)
    assert final_bytes(run) == expected


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_nobody_watches_sees_that_the_other_is_gone(command, tmp_path, victim):
    run = tmp_path / "run"
    processes = on_ranks(command, free_port(), f"--out={run}")
    wait_for_lines(processes[0], run, 1)
    processes[victim].send_signal(signal.SIGKILL)
    _, err = processes[1 - victim].communicate(timeout=60)
    processes[victim].communicate()
    assert processes[1 - victim].returncode == 2
    last = err.splitlines()[-1]
    assert last.startswith("movinas: all ranks must stay in contact until the end, but another was lost")
    assert last.endswith(RESUMABLE)
    assert "Traceback" not in err


@pytest.mark.long
def test_under_torchrun_a_search_is_begun_gone_on_with_and_found_finished(command, undisturbed, tmp_path):
    run = tmp_path / "run"
    program = ("-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}", "-m", "launch")
    process = start(*command, f"--out={run}", program=program)
    wait_for_lines(process, run, 4)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for _ in range(2):
        finish(start("resume", run, program=program))
        assert final_bytes(run) == undisturbed[0]


@pytest.mark.parametrize(
    "press", [pytest.param(os.killpg, id="group", marks=pytest.mark.long), pytest.param(os.kill, id="process")]
)
def test_an_interrupt_of_ranks_is_exit_130_and_resumable(command, undisturbed, tmp_path, press):
    run = tmp_path / "run"
    process = start(*command, f"--out={run}", "--ranks=2", "--workers=1")
    wait_for_lines(process, run, 3)
    press(process.pid, signal.SIGTERM if press is os.kill else signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "movinas: interrupted; a run goes on with: movinas resume RUN"
    assert "Traceback" not in err
    wait_for_the_group_to_end(process.pid)
    finish(start("resume", run))
    assert final_bytes(run) == undisturbed[0]


def test_ray_train_begins_again_after_the_loss_of_a_worker_and_ends_in_the_same(command, undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start(*command, f"--out={run}", "--ranks=2", "--executor=ray", "--max_failures=1")
    wait_for_lines(process, run, 6)
    os.kill(ray_workers(process.pid)[1], signal.SIGKILL)
    finish(process)
    assert (run / "telemetry.jsonl").read_text().count('"kind":"resume"') == 1
    assert final_bytes(run) == undisturbed[0]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(
            ["--search.strategy=nsga2", "--search.population.size=4", "--search.population.tournament=2"],
            id="nsga2",
            marks=pytest.mark.long,
        ),
        pytest.param(
            ["--search.strategy=random", "--variant=released-stream", "--max=state=128KiB@fp16"],
            id="random",
            marks=pytest.mark.long,
        ),
        pytest.param(["--search.distill.weight=0.5"], id="distill"),
    ],
)
def test_whatever_chooses_and_teaches_two_ranks_find_what_one_finds(command, retrain_run, tmp_path, more):
    init = [f"--init=retrain:{retrain_run}"] if "distill" in more[0] else []
    on_one, on_two = (
        left_alone(tmp_path / str(ranks) / "run", *command, *more, *init, f"--ranks={ranks}")[0]  # specs tell its name
        for ranks in (1, 2)
    )
    assert on_one == on_two
