"""Three Ray nodes and a head on one machine; of every kind of run a worker, a node and the driver are killed in turn.

Each run ends whole, in the results of one process that was left alone. Records of sweeps and audits stand in the order
in which units ended, which no cluster repeats; all else is compared byte for byte.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from processes import ROOT, children, finish, ray_workers, start, wait_for_lines
from program import SEARCH, TARGET

from launch.cli import main

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]  # each starts many processes

STEPS = 30
ON_RANKS = (
    f"--threads=1 --workers=0 --device=cpu --proxy=frames=2,resolution=32 --search.steps={STEPS} "
    "--search.checkpoint_every=3 --search.selection.num_policy=2 --search.selection.num_random=2 "
    "--weights.batch_size=4 --weights.reward_batch_size=4"
).split()
"""Two architectures in a step: one for each of two ranks, so that one process adds the same two gradients."""
AUDIT = [
    "--architectures=4",
    "--bands=2",
    "--seeds=1",
    "--recipe.epochs=1",
    "--recipe.evaluations=1",
    "--recipe.batch_size=16",
    "--recipe.calibration_batches=1",
    "--device=cpu",
]
STORE_BYTES = 80 << 20
PATIENCE_S = 400.0
"""Of each wait, which takes a twentieth of it where the cores are idle."""
T = TypeVar("T")


@dataclass(kw_only=True)
class Nodes:
    """A head without CPUs and three nodes of one CPU each: two workers are on two nodes, and a node may go."""

    cluster: object
    others: list[object] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.cluster.address

    def fill(self) -> None:
        while len(self.others) < 3:
            self.others.append(self.cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES))

    def kill_worker(self, name: str) -> None:
        os.kill(ray_workers(_raylet(self._node_with(name)), name)[0], signal.SIGKILL)

    def kill_node(self, name: str) -> None:
        """All its processes end at once, as when a machine is taken away."""
        node = self._node_with(name)
        for pid in [_raylet(node), *children(_raylet(node))]:
            os.kill(pid, signal.SIGKILL)
        self.others.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def _node_with(self, name: str) -> object:
        return _awaited(lambda: next((node for node in self.others if ray_workers(_raylet(node), name)), None))


def _raylet(node) -> int:
    return node.all_processes["raylet"][0].process.pid


def _awaited(look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + PATIENCE_S
    while (found := look()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])))
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        nodes = Nodes(cluster=Cluster(initialize_head=True, head_node_args=head))
        try:
            yield nodes
        finally:
            nodes.cluster.shutdown()


@pytest.fixture
def nodes(cluster):
    cluster.fill()
    return cluster


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A run that is on its way, and what its driver has written."""

    process: subprocess.Popen
    run: Path
    err: Path

    def wait(self, *, num_lines: int, num_losses: int) -> None:
        """Until its journal has so many lines, and so many losses of workers were overcome."""
        wait_for_lines(self.process, self.run, num_lines)
        _awaited(lambda: self.process.poll() is not None or self.num_losses() >= num_losses or None)
        assert self.process.poll() is None, self.err.read_text()

    def num_losses(self) -> int:
        return self.err.read_text().count("its worker was lost") + len(events(self.run, "resume"))


def killed_in_turn(nodes, arguments, run, *, worker: str, moments: tuple[int, int, int], record_property) -> None:
    """Start a run; kill a worker, a node and the driver when its journal has so many lines; resume it to its end.

    Each kill but the first waits, too, until the loss before was overcome.
    """
    begin = time.monotonic()

    def tell(what: str) -> None:
        record_property(what, f"{time.monotonic() - begin:.0f} s")

    err = run.with_name("err")
    with err.open("w") as file:
        process = start(*arguments, f"--out={run}", f"--ray-address={nodes.address}", stderr=file)
    begun = Begun(process=process, run=run, err=err)
    try:
        begun.wait(num_lines=moments[0], num_losses=0)
        tell("worker killed")
        nodes.kill_worker(worker)
        begun.wait(num_lines=moments[1], num_losses=1)
        tell("node killed")
        nodes.kill_node(worker)
        begun.wait(num_lines=moments[2], num_losses=2)
        tell("driver killed")
    finally:
        process.kill()
        process.communicate()
    finish(start("resume", run))
    tell("resumed to its end")


def bytes_of(run: Path) -> dict[str, bytes]:
    """Journal, every file of the newest checkpoint, and the spec that was found."""
    newest = max((run / "checkpoints").glob("step_*"))
    files = [run / "journal.jsonl", *sorted(newest.iterdir()), *sorted((run / "specs").iterdir())]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def records(run: Path) -> list[bytes]:
    return sorted((run / "journal.jsonl").read_bytes().splitlines())


def events(run: Path, kind: str) -> list[dict]:
    lines = (run / "telemetry.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


@pytest.fixture(scope="module")
def search(motion_manifest):
    """`search`, without its folder."""
    return ["search", "--space=nano", f"--target={TARGET}", f"--data={motion_manifest}", *ON_RANKS]


@pytest.fixture(scope="module")
def searched(tmp_path_factory, search):
    run = tmp_path_factory.mktemp("alone") / "run"  # specs tell its name
    assert main([*search, f"--out={run}"]) == 0
    return run


def test_a_search_on_two_ranks(nodes, search, searched, tmp_path, record_property):
    run = tmp_path / "run"
    killed_in_turn(
        nodes,
        [*search, "--ranks=2", "--executor=ray"],
        run,
        worker="ray::RayTrainWorker",
        moments=(11, 27, 43),  # two records in a step
        record_property=record_property,
    )
    assert [len(events(run, kind)) for kind in ("start", "resume", "end")] == [1, 3, 1]
    assert bytes_of(run) == bytes_of(searched)
    assert not (run / "ray").exists()


def test_an_audit(nodes, searched, tmp_path, record_property):
    audit = ["audit", str(searched), *AUDIT]
    assert main([*audit, f"--out={tmp_path / 'alone'}"]) == 0
    run = tmp_path / "run"
    killed_in_turn(
        nodes,
        [*audit, "--executor=ray", "--parallel=2"],
        run,
        worker="ray::_Worker.run",
        moments=(1, 3, 6),
        record_property=record_property,
    )
    assert not events(run, "failed")
    assert records(run) == records(tmp_path / "alone")
    assert (run / "audit.json").read_bytes() == (tmp_path / "alone/audit.json").read_bytes()


def test_a_sweep(nodes, motion_manifest, tmp_path, record_property):
    sweep = ["sweep", "seeds", "--space=nano", f"--target={TARGET}", f"--data={motion_manifest}", "--seeds=4", *SEARCH]
    assert main([*sweep, f"--out={tmp_path / 'alone'}"]) == 0
    run = tmp_path / "run"
    killed_in_turn(
        nodes,
        [*sweep, "--executor=ray", "--parallel=2"],
        run,
        worker="ray::_Worker.run",
        moments=(1, 2, 3),
        record_property=record_property,
    )
    assert not events(run, "failed")
    assert records(run) == records(tmp_path / "alone")
    for name in ("table.json", "table.csv", "front.json"):
        assert (run / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    members = sorted((tmp_path / "alone/members").iterdir())
    assert len(members) == 4
    for member in members:
        assert bytes_of(run / "members" / member.name) == bytes_of(member)
