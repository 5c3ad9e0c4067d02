"""`movinas bench model`: how fast networks are, beside the machine's matrix rate and a plain PyTorch MoViNet."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from typing import Literal

import torch

from launch import console
from launch.bench.machine import line_of, measure_machine
from launch.bench.plain_net import PlainNet
from launch.specs import find_spec, find_variant
from search_spaces.cost import cost
from search_spaces.errors import UsageError
from search_spaces.spec import ArchSpec
from search_spaces.spec_json import fingerprint
from search_spaces.variant import VARIANTS
from supernet.video_net import VideoNet

POSITIONALS = ("specs",)
NUM_CLASSES = 600
WARM_UP_STEPS = 5
CLIPS, CLIP_FRAMES = 2, 16

Work = Literal["train", "clip", "frame"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Speed of streamed frames, of clips, and of training.

    Attributes:
        specs: Spec files, or published:A0 to published:A5; published:A0, A1 and A2 where none is given.
        variants: Forms that stream.
        threads: Of torch.
        repeats: Steps, of which the median is reported.
        works: What is measured, in turns, beside a MoViNet written in PyTorch without a thought for speed: a training
            step (forward and backward) of 2 clips of 16 frames, their forward pass, a streamed frame.
        work_repeats: Of each of these.
        json: Print one JSON document.
    """

    specs: tuple[str, ...] = ("published:A0", "published:A1", "published:A2")
    variants: tuple[str, ...] = ("paper-stream", "released-stream")
    threads: int = 1
    repeats: int = 30
    works: tuple[Work, ...] = ("train", "clip", "frame")
    work_repeats: int = 5
    json: bool = False

    def __post_init__(self) -> None:
        if not self.specs or not self.variants:
            raise UsageError(f"specs and variants must not be empty, but got {self.specs} and {self.variants}")
        if min(self.repeats, self.work_repeats, self.threads) < 1:
            raise UsageError(
                "repeats, work_repeats and threads must be at least 1, "
                f"but got {self.repeats}, {self.work_repeats} and {self.threads}"
            )


def run(options: Options) -> int:
    """Measure and print."""
    machine = measure_machine(threads=options.threads)
    rows = [
        _measured(name, variant, repeats=options.repeats, gmacs_per_s=machine.matrix_gmacs_per_s)
        for name, variant in product(options.specs, options.variants)
    ]
    beside = [
        _beside_plain(name, work, repeats=options.work_repeats) for name, work in product(options.specs, options.works)
    ]
    if options.json:
        console.show_json({"machine": asdict(machine), "steps": rows, "beside_plain": beside})
        return 0
    console.show_table(
        f"One streamed frame; {line_of(machine)}",
        ("name", "variant", "MACs", "median ms", "min ms", "max ms", "floor ms", "median / floor"),
        [
            (
                row["name"],
                row["variant"],
                f"{row['macs']:,}",
                *(f"{row[key]:.2f}" for key in ("median_ms", "min_ms", "max_ms", "floor_ms")),
                f"{row['ratio']:.1f}",
            )
            for row in rows
        ],
    )
    if beside:
        console.show_table(
            f"Medians of {options.work_repeats} in turns with a plain PyTorch MoViNet",
            ("name", "work", "ms", "plain ms", "times as fast"),
            [
                (row["name"], row["work"], f"{row['ms']:.1f}", f"{row['plain_ms']:.1f}", f"{row['speedup']:.2f}")
                for row in beside
            ],
        )
    return 0


def _measured(name: str, variant_name: str, *, repeats: int, gmacs_per_s: float) -> dict[str, object]:
    spec = find_spec(name).arch
    variant = find_variant(variant_name, arch=spec)
    seconds = step_seconds(VideoNet(spec, variant, num_classes=NUM_CLASSES, rezero=1.0), repeats=repeats)
    macs = cost(spec, variant, num_classes=NUM_CLASSES).macs_per_frame
    assert macs is not None  # else it could not step
    floor_ms = macs / gmacs_per_s / 1e6
    return {
        "name": name,
        "fingerprint": fingerprint(spec, variant),
        "variant": variant_name,
        "macs": macs,
        "median_ms": 1000 * statistics.median(seconds),
        "min_ms": 1000 * min(seconds),
        "max_ms": 1000 * max(seconds),
        "floor_ms": floor_ms,
        "ratio": 1000 * statistics.median(seconds) / floor_ms,
    }


@torch.inference_mode()
def step_seconds(net: VideoNet, *, repeats: int) -> list[float]:
    """Seconds of single-frame steps of one stream at the network's own resolution, after some that are not counted."""
    size = net.spec.clip.resolution
    frames = torch.rand(repeats + WARM_UP_STEPS, 1, 3, size, size, generator=torch.Generator().manual_seed(0))
    state = net.eval().init_state(1, size, size)
    seconds = []
    for frame_BCHW in frames:
        start = time.perf_counter()
        _, state = net.step(frame_BCHW, state)
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP_STEPS:]


def _beside_plain(name: str, work: Work, *, repeats: int) -> dict[str, object]:
    spec = find_spec(name).arch
    ours, plain = _ours(spec, work), _plain(spec, work)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for run_once, taken in zip((ours, plain), seconds, strict=True):
            start = time.perf_counter()
            run_once()
            taken.append(time.perf_counter() - start)
    ms, plain_ms = (1000 * statistics.median(taken[1:]) for taken in seconds)
    return {"name": name, "work": work, "ms": ms, "plain_ms": plain_ms, "speedup": plain_ms / ms}


def _ours(spec: ArchSpec, work: Work) -> Callable[[], object]:
    variant = VARIANTS["released-stream" if work == "frame" else "base"]
    net = VideoNet(spec, variant, num_classes=NUM_CLASSES, rezero=1.0).train(work == "train")
    clips_BCTHW = _clips(spec, work)
    if work == "frame":
        state = net.init_state(1, *clips_BCTHW.shape[3:])
        return torch.inference_mode()(lambda: net.step(clips_BCTHW, state))
    if work == "clip":
        return torch.inference_mode()(lambda: net(clips_BCTHW))
    return lambda: torch.autograd.backward(net(clips_BCTHW).sum())


def _plain(spec: ArchSpec, work: Work) -> Callable[[], object]:
    net = PlainNet(spec, num_classes=NUM_CLASSES, stream=work == "frame").train(work == "train")
    clips_BCTHW = _clips(spec, work)
    if work == "train":
        return lambda: torch.autograd.backward(net(clips_BCTHW)[0].sum())
    with torch.inference_mode():
        state = net(clips_BCTHW)[1] if work == "frame" else None
    return torch.inference_mode()(lambda: net(clips_BCTHW, state))


def _clips(spec: ArchSpec, work: Work) -> torch.Tensor:
    clips, frames = (1, 1) if work == "frame" else (CLIPS, CLIP_FRAMES)
    size = spec.clip.resolution
    return torch.rand(clips, 3, frames, size, size, generator=torch.Generator().manual_seed(0))
