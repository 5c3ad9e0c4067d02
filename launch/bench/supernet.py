"""`movinas bench supernet`: a step of the supernet beside the training step of the network that it samples."""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from launch import console
from launch.bench.machine import Machine, floored, in_turns, line_of, measure_machine
from launch.bench.profile import Profile, profile_of, show_profiles
from launch.compute import Amp, amp_dtype_of, resolve_device, resolve_threads
from launch.search import clip_geometry
from launch.specs import find_variant
from search_spaces.errors import UsageError
from search_spaces.floors import operators, training_floors
from search_spaces.movinet import find_space
from search_spaces.randomness import generator
from search_spaces.space import Candidate
from supernet.extract import extract
from supernet.supernet import Supernet
from supernet.video_net import VideoNet

GOAL = 1.05


@dataclass(frozen=True, kw_only=True)
class Options:
    """Speed of a supernet step, forward and backward, beside the same of each sampled network alone.

    Attributes:
        space: A named space, or a JSON file.
        variant: base, paper-stream, released-stream, or a JSON file.
        proxy: Clips where they differ from the space's, such as frames=16,resolution=112.
        num: Architectures sampled.
        batch_size: Clips.
        classes: Outputs of the classifier.
        repeats: Of which the median is taken, both sides in turns.
        seed: Of the architectures.
        device: auto, cpu, cuda, ...
        threads: Of torch; 0 takes all cores.
        amp: Autocast of the network.
        profile: Say where the time of both goes, for the first architecture.
        json: Print one JSON document.
    """

    space: str = "nano"
    variant: str = "base"
    proxy: str | None = None
    num: int = 7
    batch_size: int = 8
    classes: int = 600
    repeats: int = 9
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    amp: Amp = "off"
    profile: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if min(self.num, self.batch_size, self.classes, self.repeats) < 1:
            raise UsageError(f"num, batch_size, classes and repeats must be at least 1, but got {self}")


def run(options: Options) -> int:
    """Measure and print."""
    space = find_space(options.space)
    space = replace(space, clip=clip_geometry(options.proxy, space.clip))
    variant = find_variant(options.variant)
    device, dtype = torch.device(resolve_device(options.device)), amp_dtype_of(options.amp)
    machine = measure_machine(
        threads=resolve_threads(options.threads), device=str(device), dtype=dtype or torch.float32
    )
    rng = generator(options.seed, "bench supernet")
    candidates = [space.decode(space.sample(rng), variant) for _ in range(options.num)]
    supernet = Supernet(space, variant, num_classes=options.classes, seed=options.seed, rezero=0.5).to(device)
    size = space.clip.resolution
    clips_BCTHW = torch.rand(options.batch_size, 3, space.clip.num_frames, size, size).to(device)
    steps = [_steps(supernet, candidate, clips_BCTHW, dtype) for candidate in candidates]
    rows = [
        _row(candidate, in_turns(step, repeats=options.repeats, device=device), options, machine)
        for candidate, step in zip(candidates, steps, strict=True)
    ]
    profiles: list[Profile] = []
    if options.profile:
        names = ("a supernet step", "the training step of the sampled network")
        profiles = [
            profile_of(name, step, repeats=options.repeats, device=device)
            for name, step in zip(names, steps[0], strict=True)
        ]
    ratio = statistics.median(row["ratio"] for row in rows)
    if options.json:
        console.show_json(
            {
                "machine": asdict(machine),
                "space": space.name,
                "clip": asdict(space.clip),
                "architectures": rows,
                "ratio": ratio,
                "goal": GOAL,
                "profiles": [asdict(found) for found in profiles],
            }
        )
        return 0
    console.show_table(
        f"Steps of {options.batch_size} clips of space {space.name}, {space.clip.num_frames} frames of {size} pixels; "
        f"{line_of(machine)}",
        ("layers", "supernet ms", "alone ms", "ratio", "arithmetic floor ms", "bandwidth floor ms", "over the floor"),
        [
            (
                row["num_layers"],
                *(f"{row[key]:.1f}" for key in ("supernet_ms", "alone_ms")),
                f"{row['ratio']:.3f}",
                *(f"{row[key]:.1f}" for key in ("arithmetic_floor_ms", "bandwidth_floor_ms", "over_floor")),
            )
            for row in rows
        ],
    )
    console.show(f"median ratio {ratio:.3f}, wanted at most {GOAL}")
    show_profiles(profiles)
    return 0


def _steps(
    supernet: Supernet, candidate: Candidate, clips_BCTHW: Tensor, dtype: torch.dtype | None
) -> tuple[Callable[[], None], Callable[[], None]]:
    spec = candidate.spec
    alone = extract(supernet, spec).to(clips_BCTHW.device).train()
    shared_step = _step(supernet, lambda: supernet(clips_BCTHW, spec), clips_BCTHW.device, dtype)
    return shared_step, _step(alone, lambda: alone(clips_BCTHW), clips_BCTHW.device, dtype)


def _step(
    net: Supernet | VideoNet, forward: Callable[[], Tensor], device: torch.device, dtype: torch.dtype | None
) -> Callable[[], None]:
    """A forward and a backward pass; the gradients are dropped, so that those of the next step are fresh."""

    def step() -> None:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            logits_BK = forward()
        torch.autograd.backward(logits_BK.sum())
        net.zero_grad(set_to_none=True)

    return step


def _row(candidate: Candidate, medians_ms: list[float], options: Options, machine: Machine) -> dict[str, float]:
    supernet_ms, alone_ms = medians_ms
    found = operators(candidate.spec, candidate.variant, num_classes=options.classes)
    floors = training_floors(found, num_clips=options.batch_size, dtype="fp32" if options.amp == "off" else "bf16")
    beside = floored(supernet_ms, floors, machine)
    return {
        "num_layers": candidate.spec.num_layers,
        "supernet_ms": supernet_ms,
        "alone_ms": alone_ms,
        "ratio": supernet_ms / alone_ms,
        "arithmetic_floor_ms": beside.arithmetic_floor_ms,
        "bandwidth_floor_ms": beside.bandwidth_floor_ms,
        "over_floor": beside.ratio,
    }
