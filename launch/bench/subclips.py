"""`movinas bench subclips`: what a supernet step keeps for its backward pass, on whole clips and on sub-clips (A.3)."""

import contextlib
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from launch import console
from launch.compute import resolve_threads
from launch.specs import find_variant
from search_spaces.errors import UsageError
from search_spaces.movinet import find_space
from search_spaces.randomness import generator
from search_spaces.space import Candidate
from search_spaces.spec import layer_name
from supernet.objective import Objective
from supernet.supernet import Supernet

GOAL = 0.65
"""Paper, Table 7: 6.6 GB against 10.4 GB, of a device that also holds weights, moments and the input."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Memory of a step of the supernet by the length of its sub-clips, on random clips.

    Attributes:
        space: A named space, or a JSON file; its resolution is taken.
        variant: One that streams: paper-stream, released-stream, or a JSON file.
        frames: Frames of a clip.
        subclip_frames: Of a sub-clip.
        num: Architectures sampled.
        batch_size: Clips.
        classes: Outputs of the classifier.
        mixed: Run all kernels of every layer, as while operators warm up.
        seed: Of the architectures.
        threads: Of torch; 0 takes all cores.
        json: Print one JSON document.
    """

    space: str = "a0"
    variant: str = "paper-stream"
    frames: int = 16
    subclip_frames: int = 8
    num: int = 5
    batch_size: int = 2
    classes: int = 600
    mixed: bool = False
    seed: int = 0
    threads: int = 1
    json: bool = False

    def __post_init__(self) -> None:
        if min(self.num, self.batch_size, self.classes, self.frames, self.subclip_frames) < 1:
            raise UsageError(f"num, batch_size, classes, frames and subclip_frames must be at least 1, but got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One architecture: bytes kept at most at a time on whole clips and on sub-clips."""

    num_layers: int
    whole_bytes: int
    subclip_bytes: int
    ratio: float


def run(options: Options) -> int:
    """Measure and print."""
    torch.set_num_threads(resolve_threads(options.threads))
    variant = find_variant(options.variant)
    if not variant.streams:
        raise UsageError(f"sub-clips must be of a variant that streams, but got {options.variant}")
    space = find_space(options.space)
    space = replace(space, clip=replace(space.clip, num_frames=options.frames))
    supernet = Supernet(space, variant, num_classes=options.classes, seed=options.seed, rezero=0.5)
    rng = generator(options.seed, "bench subclips")
    size = space.clip.resolution
    clips_BCTHW = torch.rand(options.batch_size, 3, options.frames, size, size)
    rows = []
    for _ in range(options.num):
        candidate = space.decode(space.sample(rng), variant)
        mixed = _layers(candidate) if options.mixed else frozenset()
        whole = kept_bytes(_objective(supernet, None), candidate, mixed, clips_BCTHW)
        pieces = kept_bytes(_objective(supernet, options.subclip_frames), candidate, mixed, clips_BCTHW)
        rows.append(
            Row(
                num_layers=candidate.spec.num_layers,
                whole_bytes=whole,
                subclip_bytes=pieces,
                ratio=pieces / whole,
            )
        )
    median = statistics.median(row.ratio for row in rows)
    if options.json:
        console.show_json({"architectures": [asdict(row) for row in rows], "ratio": median, "goal": GOAL})
        return 0
    console.show_table(
        f"Kept for the backward pass, space {space.name}, {options.variant}, "
        f"{options.batch_size} clips of {options.frames} frames of {size} pixels",
        ("layers", "whole clips MiB", f"sub-clips of {options.subclip_frames} frames MiB", "ratio"),
        [
            (
                row.num_layers,
                *(f"{kept / 2**20:.1f}" for kept in (row.whole_bytes, row.subclip_bytes)),
                f"{row.ratio:.3f}",
            )
            for row in rows
        ],
    )
    console.show(f"median ratio {median:.3f}, wanted at most {GOAL}")
    return 0


def kept_bytes(objective: Objective, candidate: Candidate, mixed: frozenset[str], clips_BCTHW: Tensor) -> int:
    """Most bytes that a step keeps at a time for its backward passes: all different memory but weights and clips."""
    labels_B = torch.zeros(len(clips_BCTHW), dtype=torch.int64)
    most = most_kept(
        lambda: objective.backward(candidate, mixed, clips_BCTHW, labels_B, share=1.0),
        apart=[clips_BCTHW, *objective.supernet.parameters()],
    )
    objective.supernet.zero_grad(set_to_none=True)
    return most


def most_kept(step: Callable[[], object], *, apart: Iterable[Tensor]) -> int:
    """Most bytes that autograd keeps at a time while `step` runs: all different memory but that of `apart`."""
    places = {tensor.untyped_storage().data_ptr() for tensor in apart}
    alive: dict[int, int] = {}
    held = most = 0

    class Kept:
        """A tensor that the graph holds, as long as it holds it."""

        def __init__(self, tensor: Tensor) -> None:
            nonlocal held, most
            self.tensor, self.place = tensor, tensor.untyped_storage().data_ptr()
            alive[self.place] = alive.get(self.place, 0) + 1
            if alive[self.place] == 1 and self.place not in places:
                held += tensor.untyped_storage().nbytes()
                most = max(most, held)

        def __del__(self) -> None:
            nonlocal held
            alive[self.place] -= 1
            if alive[self.place] == 0 and self.place not in places:
                held -= self.tensor.untyped_storage().nbytes()

    with saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        step()
    return most


def _objective(supernet: Supernet, subclip_frames: int | None) -> Objective:
    return Objective(
        supernet=supernet,
        label_smoothing=0.1,
        subclip_frames=subclip_frames,
        teacher=None,
        autocast=contextlib.nullcontext,
    )


def _layers(candidate: Candidate) -> frozenset[str]:
    return frozenset(
        layer_name(number, position)
        for number, block in enumerate(candidate.spec.blocks)
        for position in range(len(block.layers))
    )
