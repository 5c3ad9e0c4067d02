"""`movinas bench stream`: how far a stream is from its clip, and whether the memory of a long stream grows."""

import os
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from launch import console
from launch.specs import find_spec, find_variant
from search_spaces.errors import UsageError
from supernet.calibrate import settle
from supernet.convert import converted
from supernet.stream import Stream
from supernet.video_net import VideoNet

POSITIONALS = ("specs",)
NUM_CLASSES = 600
STATM = Path("/proc/self/statm")
EARLY = 200


@dataclass(frozen=True, kw_only=True)
class Options:
    """Equality and memory of streams.

    Attributes:
        specs: Spec files, or published:A0 to published:A5; all of these where none is given.
        variants: Forms that stream; one in (2+1)D is also stepped as 2plus1d.
        height: Of the frames, pixels.
        width: Likewise.
        frames: Of the clip.
        steps: Frames pushed one by one through the first network; memory is read after 200 and after these; 0 for none.
        threads: Of torch.
        json: Print one JSON document.
    """

    specs: tuple[str, ...] = tuple(f"published:A{number}" for number in range(6))
    variants: tuple[str, ...] = ("paper-stream", "released-stream")
    height: int = 91
    width: int = 160
    frames: int = 9
    steps: int = 2000
    threads: int = 1
    json: bool = False

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.frames, self.threads) < 1 or 0 < self.steps <= EARLY or self.steps < 0:
            raise UsageError(
                f"height, width, frames and threads must be at least 1, steps 0 or beyond {EARLY}, but got {self}"
            )


def run(options: Options) -> int:
    """Measure and print."""
    torch.set_num_threads(options.threads)
    rows = [
        {"name": name, "variant": variant, **_differences(name, variant, options)}
        for name, variant in product(options.specs, options.variants)
    ]
    memory = {variant: _resident_mib(options.specs[0], variant, options.steps) for variant in options.variants}
    if options.json:
        console.show_json({"differences": rows, "resident_mib": memory})
        return 0
    console.show_table(
        f"Largest max|a - b| / max|a| of a stream in pieces and its clip, {options.frames} frames of "
        f"{options.height} x {options.width}",
        ("name", "variant", "as it is", "as 2plus1d"),
        [
            (row["name"], row["variant"], *(f"{row[key]:.1e}" if key in row else "" for key in ("same", "2plus1d")))
            for row in rows
        ],
    )
    for variant, resident in memory.items():
        for frames, mib in resident.items():
            console.show(f"{options.specs[0]} as {variant}: {mib:.2f} MiB resident after frame {frames}")
    return 0


@torch.inference_mode()
def _differences(name: str, variant: str, options: Options) -> dict[str, float]:
    spec = find_spec(name).arch
    net = VideoNet(spec, find_variant(variant, arch=spec), num_classes=NUM_CLASSES, rezero=0.5)
    generator = torch.Generator().manual_seed(0)
    size = options.height, options.width
    settle(net, torch.rand(2, 3, options.frames + 3, *size, generator=generator))
    clips_BCTHW = torch.rand(1, 3, options.frames, *size, generator=generator)
    wanted_BK = net(clips_BCTHW)
    found = {"same": _worst(net, clips_BCTHW, wanted_BK)}
    if net.variant.conv == "3d_2plus1d":
        found["2plus1d"] = _worst(converted(net, "2plus1d"), clips_BCTHW, wanted_BK)
    return found


def _worst(net: VideoNet, clips_BCTHW: Tensor, wanted_BK: Tensor) -> float:
    """Over single frames, pieces of growing length, and two halves."""
    num_frames = clips_BCTHW.shape[2]
    worst = 0.0
    for lengths in ([1] * num_frames, list(range(1, num_frames + 1)), [num_frames // 2 or 1, num_frames]):
        state, start = net.init_state(1, *clips_BCTHW.shape[3:]), 0
        logits_BK = wanted_BK
        for length in lengths:
            piece_BCTHW = clips_BCTHW[:, :, start : start + length]
            if piece_BCTHW.shape[2]:
                logits_BK, state = net.step(piece_BCTHW, state)
            start += length
        worst = max(worst, float((logits_BK - wanted_BK).abs().max() / wanted_BK.abs().max()))
    return worst


def _resident_mib(name: str, variant: str, steps: int) -> dict[int, float]:
    """Memory of this process after frame 200 and after the last."""
    if not steps or not STATM.exists():
        return {}
    spec = find_spec(name).arch
    stream = Stream(VideoNet(spec, find_variant(variant, arch=spec), num_classes=NUM_CLASSES).eval())
    frame_CHW = torch.rand(3, spec.clip.resolution, spec.clip.resolution)
    resident = {}
    for number in range(1, steps + 1):
        stream.push(frame_CHW)
        if number in (EARLY, steps):
            pages = int(STATM.read_text("utf-8").split()[1])
            resident[number] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resident
