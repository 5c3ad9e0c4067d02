"""`--plan`: steps, memory, disk and time of a run, from arithmetic and a few trial steps on random clips."""

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from launch import console
from launch.compute import Compute
from search_spaces.space import Candidate
from search_spaces.spec import ArchSpec, ClipGeometry
from supernet.inputs import network_input
from supernet.objective import Objective
from supernet.supernet import Supernet
from supernet.video_net import VideoNet
from video.clips import ClipBatch

ADAM_COPIES = 3
"""Weights and two moments, each 4 bytes per parameter, in a checkpoint."""
KEPT_CHECKPOINTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What trial steps took.

    Attributes:
        train_s: Seconds of a forward and backward pass; `forward_s` of a forward pass.
        peak_bytes: Of this process, or of the GPU where there is one.
    """

    train_s: float
    forward_s: float
    peak_bytes: int


def try_supernet(
    supernet: Supernet,
    candidates: list[Candidate],
    *,
    widest: Candidate,
    mixed: frozenset[str],
    batch_size: int,
    reward_batch_size: int,
    clip_of: Callable[[ArchSpec], ClipGeometry],
    subclip_frames: int | None,
    compute: Compute,
) -> tuple[Trial, float]:
    """Mean seconds per architecture, each on clips of `clip_of`, and those of a training step of the widest.

    Of this there are two steps before, of which the second counts; `mixed` names its layers that run all their kernels.
    """
    supernet.to(compute.device)
    times = []
    objective = Objective(
        supernet=supernet,
        label_smoothing=0.0,
        subclip_frames=subclip_frames,
        teacher=None,
        autocast=lambda: _autocast(compute),
    )
    for number, candidate in enumerate((widest, widest, *candidates)):
        train, reward = (_random_batch(size, clip_of(candidate.spec)) for size in (batch_size, reward_batch_size))
        run = mixed if number < 2 else frozenset()
        times.append(_supernet_step(objective, candidate, train, reward, mixed=run, compute=compute))
    return _mean(times[2:], compute), times[1][0]


def try_net(net: VideoNet, *, batch_size: int, clip: ClipGeometry, compute: Compute) -> Trial:
    """Mean seconds of three steps, after one to warm up."""
    batch = _random_batch(batch_size, clip)
    net.to(compute.device)
    return _mean([_step(net, batch, batch, compute) for _ in range(4)][1:], compute)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will take.

    Attributes:
        parts_s: Seconds of its parts, by name, on this machine; reading videos for the first time comes on top.
        peak_bytes: Of each of its `ranks`: of the process, or of the GPU where there is one.
        disk_bytes: Of its folder.
    """

    steps: int
    parts_s: Mapping[str, float]
    peak_bytes: int
    disk_bytes: int
    num_params: int
    ranks: int = 1

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(self.parts_s.values())


def make_plan(
    *,
    steps: int,
    parts_s: Mapping[str, float],
    trial: Trial,
    num_params: int,
    journal_bytes: int,
    num_kept: int = 0,
    ranks: int = 1,
) -> Plan:
    """The plan that follows from trial steps; `num_kept` checkpoints stay beside the newest ones."""
    return Plan(
        steps=steps,
        parts_s=parts_s,
        peak_bytes=trial.peak_bytes,
        disk_bytes=(KEPT_CHECKPOINTS + num_kept) * ADAM_COPIES * 4 * num_params + journal_bytes,
        num_params=num_params,
        ranks=ranks,
    )


def show_plan(plan: Plan, *, as_json: bool) -> int:
    """Print a plan."""
    if as_json:
        document = {
            "steps": plan.steps,
            "estimated_s": plan.seconds,
            "parts_s": dict(plan.parts_s),
            "peak_memory_bytes": plan.peak_bytes,
            "disk_bytes": plan.disk_bytes,
            "params": plan.num_params,
            "ranks": plan.ranks,
        }
        console.show_json(document)
        return 0
    on_ranks = f" on {plan.ranks} ranks, each with the peak memory" if plan.ranks > 1 else ""
    console.show_table(
        f"Plan{on_ranks}, from trial steps on random clips; reading videos for the first time comes on top",
        ("steps", *(name.replace("_", " ") for name in plan.parts_s), "time", "peak memory", "disk", "parameters"),
        [
            (
                plan.steps,
                *map(console.duration, plan.parts_s.values()),
                console.duration(plan.seconds),
                f"{plan.peak_bytes / 2**30:.2f} GiB",
                f"{plan.disk_bytes / 2**20:.1f} MiB",
                f"{plan.num_params:,}",
            )
        ],
    )
    return 0


def _random_batch(size: int, clip: ClipGeometry) -> ClipBatch:
    shape = (size, clip.num_frames, clip.resolution, clip.resolution, 3)
    frames_BTHWC = torch.from_numpy(np.random.Generator(np.random.Philox(0)).integers(0, 256, shape, dtype=np.uint8))
    return ClipBatch(
        frames_BTHWC=frames_BTHWC, labels_B=torch.zeros(size, dtype=torch.int64), indices=tuple(range(size))
    )


def _step(net: VideoNet, train: ClipBatch, reward: ClipBatch, compute: Compute) -> tuple[float, float]:
    start = _now(compute)
    torch.autograd.backward(_logits(net, train, compute).float().logsumexp(dim=1).mean())
    middle = _now(compute)
    with torch.no_grad():
        _logits(net, reward, compute)
    return middle - start, _now(compute) - middle


def _supernet_step(
    objective: Objective,
    candidate: Candidate,
    train: ClipBatch,
    reward: ClipBatch,
    *,
    mixed: frozenset[str],
    compute: Compute,
) -> tuple[float, float]:
    start = _now(compute)
    objective.backward(candidate, mixed, *network_input(train, compute.device), share=1.0)
    middle = _now(compute)
    objective.logits(candidate, network_input(reward, compute.device)[0])
    return middle - start, _now(compute) - middle


def _logits(net: VideoNet, batch: ClipBatch, compute: Compute) -> torch.Tensor:
    clips_BCTHW, _ = network_input(batch, compute.device)
    with _autocast(compute):
        logits_BK: torch.Tensor = net(clips_BCTHW)
    return logits_BK


def _autocast(compute: Compute) -> torch.autocast:
    return torch.autocast(compute.device.type, dtype=compute.amp_dtype, enabled=compute.amp_dtype is not None)


def _now(compute: Compute) -> float:
    if compute.device.type == "cuda":
        torch.cuda.synchronize(compute.device)
    return time.perf_counter()


def _mean(times: list[tuple[float, float]], compute: Compute) -> Trial:
    train_s, forward_s = (float(value) for value in np.mean(times, axis=0))
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if compute.device.type == "cuda":
        peak_bytes = torch.cuda.max_memory_allocated(compute.device)
    return Trial(train_s=train_s, forward_s=forward_s, peak_bytes=peak_bytes)
