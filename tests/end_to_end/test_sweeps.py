"""Sweeps on Ray: killed and resumed, on nodes that die, they end in the tables of sweeps left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from program import SEARCH

ROOT = Path(__file__).parents[2]
SCALING = [
    "--space=docs/spaces/scaling-demo.json",
    "--candidates=6",
    "--architectures=2",
    "--top=3",
    "--recipe.epochs=1",
    "--recipe.batch_size=16",
    "--recipe.calibration_batches=2",
    "--recipe.train_frames=4",
    "--recipe.test_frames=4",
]
TWO_WORKERS = ["--executor=ray", "--parallel=2"]
TABLES = ("table.json", "table.csv")


def start(*arguments) -> subprocess.Popen:
    command = [sys.executable, "-m", "launch", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process) -> str:
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, out + err
    return err


def tables(sweep: Path) -> list[bytes]:
    return [(sweep / name).read_bytes() for name in TABLES]


def num_records(sweep: Path) -> int:
    try:
        return (sweep / "journal.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def wait_for_records(process, sweep: Path, count: int) -> None:
    deadline = time.monotonic() + 200
    while num_records(sweep) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, motion_manifest) -> Path:
    """A sweep of six candidates times two architectures in one process, left alone."""
    sweep = tmp_path_factory.mktemp("undisturbed") / "sweep"
    finish(start("sweep", "scaling", f"--data={motion_manifest}", f"--out={sweep}", *SCALING))
    assert num_records(sweep) == 12
    return sweep


@pytest.mark.slow
def test_a_scaling_sweep_killed_in_the_middle_and_resumed_ends_in_the_same_table(
    undisturbed, motion_manifest, tmp_path
):
    sweep = tmp_path / "sweep"
    process = start("sweep", "scaling", f"--data={motion_manifest}", f"--out={sweep}", *SCALING, *TWO_WORKERS)
    wait_for_records(process, sweep, 5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = (sweep / "journal.jsonl").read_bytes()
    assert 5 <= before.count(b"\n") < 12
    finish(start("resume", sweep))
    assert (sweep / "journal.jsonl").read_bytes().startswith(before)
    assert num_records(sweep) == 12
    assert tables(sweep) == tables(undisturbed)
    assert (sweep / "report.html").exists()


@pytest.mark.slow
def test_an_interrupted_sweep_ends_with_130_and_goes_on_in_one_process(undisturbed, motion_manifest, tmp_path):
    sweep = tmp_path / "sweep"
    process = start("sweep", "scaling", f"--data={motion_manifest}", f"--out={sweep}", *SCALING, *TWO_WORKERS)
    wait_for_records(process, sweep, 3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "movinas: interrupted; a run goes on with: movinas resume RUN"
    finish(start("resume", sweep, "--executor=inline"))
    assert tables(sweep) == tables(undisturbed)


@pytest.mark.slow
def test_a_sweep_ends_whole_though_a_node_dies(undisturbed, motion_manifest, tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
        sweep = tmp_path / "sweep"
        where = ["--executor=ray", "--parallel=3", f"--ray-address={cluster.address}"]
        process = start("sweep", "scaling", f"--data={motion_manifest}", f"--out={sweep}", *SCALING, *where)
        wait_for_records(process, sweep, 4)
        cluster.remove_node(nodes[0], allow_graceful=False)
        err = finish(process)
        assert num_records(sweep) == 12
        assert "its worker was lost" in err
        assert tables(sweep) == tables(undisturbed)
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_optuna_chooses_on_tune_and_a_resumed_sweep_goes_on_with_what_was_begun(motion_manifest, tmp_path):
    sweep = tmp_path / "sweep"
    options = [*SCALING, "--sampler=tpe", "--executor=tune", "--parallel=2"]
    process = start("sweep", "scaling", f"--data={motion_manifest}", f"--out={sweep}", *options)
    wait_for_records(process, sweep, 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    begun = {path.name.rpartition("-")[0] for path in (sweep / "members").iterdir()}
    finish(start("resume", sweep, "--executor=inline"))
    document = json.loads((sweep / "table.json").read_text())
    assert num_records(sweep) == 12
    assert len(document["candidates"]) == 6
    assert begun <= {path.name.rpartition("-")[0] for path in (sweep / "members").iterdir()}
    assert not document["missing"]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_family_on_two_workers_lands_on_all_its_targets(motion_manifest, tmp_path):
    family = tmp_path / "family"
    options = [option for option in SEARCH if not option.startswith("--search.steps")]
    targets = ["--spaces=[nano]", "--targets=[macs=12M/clip,macs=16M/clip,macs=24M/clip]", "--seeds=[0,1]"]
    steps = [
        "--search.steps=600",
        "--search.beta=-1",
        "--search.warmup.op_fraction=0.05",
        "--search.checkpoint_every=99",
    ]
    steps += ["--weights.reward_batch_size=16"]
    arguments = [f"--data={motion_manifest}", f"--out={family}", *targets, *options, *steps, *TWO_WORKERS]
    process = start("sweep", "targets", *arguments, "--json")
    out, err = process.communicate(timeout=1100)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert len(document["members"]) == 6
    for member in document["members"]:
        assert abs(member["ratio"] - 1) <= 0.03
        assert abs(member["argmax_ratio"] - 1) <= 0.05
    assert any(point["on_macs_front"] for point in document["points"])
