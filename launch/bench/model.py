"""`movinas bench model`: how fast networks are, beside the machine's matrix rate and a plain PyTorch MoViNet."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from launch import console
from launch.bench.machine import Machine, floored, in_turns, line_of, measure_machine
from launch.bench.plain_net import plain_copy
from launch.bench.profile import profile_of, show_profiles
from launch.compute import Amp, amp_dtype_of, resolve_device
from launch.specs import find_spec, find_variant
from search_spaces.errors import UsageError
from search_spaces.floors import Floors, forward_floors, operators, training_floors
from search_spaces.spec import ArchSpec
from search_spaces.spec_json import fingerprint
from search_spaces.variant import VARIANTS, Variant
from supernet.calibrate import settle
from supernet.frozen import FrozenNet
from supernet.stream import Stream
from supernet.video_net import VideoNet

POSITIONALS = ("specs",)
NUM_CLASSES = 600
WARM_UP_STEPS = 5
CLIP_FRAMES = 16
SETTLING_BCTHW = (2, 3, 4, 64, 64)

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
            step (forward and backward) of clips of 16 frames, their forward pass, a streamed frame.
        work_repeats: Of each of these.
        batch_size: Clips of a training step and of a forward pass.
        device: auto, cpu, cuda, ...
        amp: Autocast of both networks; a streamed frame has none.
        profile: Say where the time of each of these works goes.
        json: Print one JSON document.
    """

    specs: tuple[str, ...] = ("published:A0", "published:A1", "published:A2")
    variants: tuple[str, ...] = ("paper-stream", "released-stream")
    threads: int = 1
    repeats: int = 30
    works: tuple[Work, ...] = ("train", "clip", "frame")
    work_repeats: int = 5
    batch_size: int = 2
    device: str = "cpu"
    amp: Amp = "off"
    profile: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if not self.specs or not self.variants:
            raise UsageError(f"specs and variants must not be empty, but got {self.specs} and {self.variants}")
        if min(self.repeats, self.work_repeats, self.threads, self.batch_size) < 1:
            raise UsageError(
                "repeats, work_repeats, threads and batch_size must be at least 1, "
                f"but got {self.repeats}, {self.work_repeats}, {self.threads} and {self.batch_size}"
            )


def run(options: Options) -> int:
    """Measure and print."""
    options = replace(options, device=resolve_device(options.device))
    dtype = amp_dtype_of(options.amp) or torch.float32
    machine = measure_machine(threads=options.threads, device=options.device, dtype=dtype)
    rows = [_measured(name, variant, options, machine) for name, variant in product(options.specs, options.variants)]
    beside, profiles = [], []
    for name, work in product(options.specs, options.works):
        case = _Case.of(name, work, options)
        ours, plain = case.pair()
        ms, plain_ms = in_turns((ours, plain), repeats=options.work_repeats, device=case.device)
        floors = asdict(floored(ms, case.floors(), machine))
        beside.append({"name": name, "work": case.work, **floors, "plain_ms": plain_ms, "speedup": plain_ms / ms})
        if options.profile:
            title = f"{name}, {work}"
            profiles.append(profile_of(title, ours, repeats=options.work_repeats, device=case.device))
    if options.json:
        found = [asdict(one) for one in profiles]
        console.show_json({"machine": asdict(machine), "steps": rows, "beside_plain": beside, "profiles": found})
        return 0
    floor_names = ("arithmetic floor ms", "bandwidth floor ms", "median / floor")
    floor_keys = ("arithmetic_floor_ms", "bandwidth_floor_ms", "ratio")
    console.show_table(
        f"One streamed frame; {line_of(machine)}",
        ("name", "variant", "MACs", "median ms", "min ms", "max ms", *floor_names),
        [
            (
                row["name"],
                row["variant"],
                f"{row['macs']:,}",
                *(f"{row[key]:.2f}" for key in ("median_ms", "min_ms", "max_ms", *floor_keys)),
            )
            for row in rows
        ],
    )
    if beside:
        console.show_table(
            f"Medians of {options.work_repeats} in turns with a plain PyTorch MoViNet; {line_of(machine)}",
            ("name", "work", "ms", "plain ms", "times as fast", *floor_names),
            [
                (
                    row["name"],
                    row["work"],
                    *(f"{row[key]:.1f}" for key in ("ms", "plain_ms")),
                    *(f"{row[key]:.2f}" for key in ("speedup", *floor_keys)),
                )
                for row in beside
            ],
        )
    show_profiles(profiles)
    return 0


def _measured(name: str, variant_name: str, options: Options, machine: Machine) -> dict[str, object]:
    spec = find_spec(name).arch
    variant = find_variant(variant_name, arch=spec)
    seconds = step_seconds(made_net(spec, variant, device=options.device), repeats=options.repeats)
    found = operators(spec, variant, num_classes=NUM_CLASSES, clip=replace(spec.clip, num_frames=1))
    floors = forward_floors(found)
    beside = asdict(floored(1000 * statistics.median(seconds), floors, machine))
    return {
        "name": name,
        "fingerprint": fingerprint(spec, variant),
        "variant": variant_name,
        "macs": floors.macs,
        "median_ms": beside.pop("ms"),
        "min_ms": 1000 * min(seconds),
        "max_ms": 1000 * max(seconds),
        **beside,
    }


def made_net(spec: ArchSpec, variant: Variant, *, device: str | torch.device) -> VideoNet:
    """A network with drawn weights, in evaluation mode, whose activations are of the size that trained ones are."""
    net = VideoNet(spec, variant, num_classes=NUM_CLASSES, rezero=1.0)
    settle(net, torch.rand(SETTLING_BCTHW, generator=torch.Generator().manual_seed(1)))
    return net.to(device)


@torch.inference_mode()
def step_seconds(net: VideoNet, *, repeats: int) -> list[float]:
    """Seconds of single-frame steps of one stream at the network's own resolution, after some that are not counted."""
    size = net.spec.clip.resolution
    frames = torch.rand(repeats + WARM_UP_STEPS, 3, size, size, generator=torch.Generator().manual_seed(0))
    stream = Stream(net)
    taken = []
    for frame_CHW in frames.to(net.stem.weight.device):
        start = time.perf_counter()
        logits_K = stream.push(frame_CHW)
        if logits_K.is_cuda:
            torch.cuda.synchronize(logits_K.device)
        taken.append(time.perf_counter() - start)
    return taken[WARM_UP_STEPS:]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A work of a network: what runs of it, and what it must do at least."""

    spec: ArchSpec
    work: Work
    clips_BCTHW: Tensor
    amp: Amp

    @classmethod
    def of(cls, name: str, work: Work, options: Options) -> "_Case":
        spec = find_spec(name).arch
        clips, frames = (1, 1) if work == "frame" else (options.batch_size, CLIP_FRAMES)
        size = spec.clip.resolution
        clips_BCTHW = torch.rand(clips, 3, frames, size, size, generator=torch.Generator().manual_seed(0))
        return cls(spec=spec, work=work, clips_BCTHW=clips_BCTHW.to(options.device), amp=options.amp)

    @property
    def device(self) -> torch.device:
        return self.clips_BCTHW.device

    @property
    def variant(self) -> Variant:
        return VARIANTS["released-stream" if self.work == "frame" else "base"]

    def floors(self) -> Floors:
        num_clips, _, num_frames = self.clips_BCTHW.shape[:3]
        clip = replace(self.spec.clip, num_frames=num_frames)
        found = operators(self.spec, self.variant, num_classes=NUM_CLASSES, clip=clip)
        least = training_floors if self.work == "train" else forward_floors
        return least(found, num_clips=num_clips, dtype="fp32" if self._dtype is None else "bf16")

    def pair(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """What is measured: our network, and the plain one with the same numbers."""
        net = made_net(self.spec, self.variant, device=self.device)
        plain = plain_copy(net, stream=self.work == "frame").to(self.device)
        if self.work == "train":
            return self._pass(net.train()), self._pass(lambda clips: plain.train()(clips)[0])
        with torch.inference_mode():
            past = plain(self.clips_BCTHW)[1] if self.work == "frame" else None
            with torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype is not None):
                frozen = FrozenNet(net)
        state = frozen.init_state(1, *self.clips_BCTHW.shape[3:]) if self.work == "frame" else None
        ours = frozen if state is None else lambda clips: frozen.step_(clips, state)
        return self._pass(ours), self._pass(lambda clips: plain(clips, past)[0])

    @property
    def _dtype(self) -> torch.dtype | None:
        return None if self.work == "frame" else amp_dtype_of(self.amp)

    def _pass(self, forward: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        """Forward, and backward too in training."""
        training, device, dtype = self.work == "train", self.device, self._dtype

        def run_once() -> None:
            with torch.inference_mode(not training):
                with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                    logits_BK = forward(self.clips_BCTHW)
                if training:
                    torch.autograd.backward(logits_BK.sum())

        return run_once
