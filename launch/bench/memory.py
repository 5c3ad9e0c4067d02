"""`movinas bench memory`: peak memory by number of frames, as clip, as several clips, as a stream, in training.

The paper's Figure 3 and Table 3: a clip network needs memory for all frames at once; one that averages the answers to
short clips, or streams, needs the same for a second of video as for an hour. A training step needs the activations of
the whole clip, and should need little more.
"""

import multiprocessing
import statistics
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import torch

from launch import console
from launch.bench.machine import processor_name
from launch.specs import find_spec, find_variant
from search_spaces.errors import UsageError
from search_spaces.floors import kept_bytes, operators
from supernet.frozen import FrozenNet
from supernet.video_net import VideoNet

POSITIONALS = ("specs",)
NUM_CLASSES = 600
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

Net = VideoNet | FrozenNet
Mode = Literal["clip", "multi-clip", "stream", "train"]
MODES: tuple[Mode, ...] = ("clip", "multi-clip", "stream", "train")
VARIANT_OF = {"clip": "base", "multi-clip": "base", "stream": "released-stream", "train": "base"}
TRAIN_CLIPS = 2
"""Batch norm needs more than one."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Peak memory of inference, and of a training step, against the number of frames.

    Attributes:
        specs: Spec files, or published:A0 to published:A5; published:A0, A1 and A2 where none is given.
        frames: Numbers of frames.
        modes: clip: all frames at once. multi-clip: clips of `clip_frames`, one after the other, logits averaged.
            stream: frame by frame with a state. train: forward and backward of two clips, beside the activations that
            the backward pass needs.
        clip_frames: Frames of one of several clips.
        repeats: Processes, of which the median is taken; how well each uses freed memory again differs.
        threads: Of torch.
        json: Print one JSON document.
    """

    specs: tuple[str, ...] = ("published:A0", "published:A1", "published:A2")
    frames: tuple[int, ...] = (8, 16, 32, 50, 64, 128)
    modes: tuple[Mode, ...] = MODES
    clip_frames: int = 8
    repeats: int = 1
    threads: int = 1
    json: bool = False

    def __post_init__(self) -> None:
        if not self.specs or not self.modes:
            raise UsageError(f"specs and modes must not be empty, but got {self.specs} and {self.modes}")
        if min(*self.frames, self.clip_frames, self.repeats, self.threads, len(self.frames)) < 1:
            raise UsageError(f"frames, clip_frames, repeats and threads must be at least 1, but got {self}")


def run(options: Options) -> int:
    """Measure each case in a process of its own, and print."""
    if not CLEAR.exists():
        raise UsageError("bench memory needs Linux, which counts the peak memory of a process in /proc")
    for name in options.specs:
        find_spec(name)  # what is wrong with it is said here, not in every process
    rows = [
        _row(name, mode, frames, options)
        for name, mode, frames in product(options.specs, options.modes, options.frames)
    ]
    if options.json:
        console.show_json({"processor": processor_name(), "torch": torch.__version__, "peaks": rows})
        return 0
    console.show_table(
        "Peak memory beyond that of the loaded network, MiB, fp32, batch 1, in training 2",
        ("name", "mode", *(f"{frames} frames" for frames in options.frames)),
        [
            (name, mode, *(f"{row['peak_mib']:.0f}" for row in rows if (row["name"], row["mode"]) == (name, mode)))
            for name, mode in product(options.specs, options.modes)
        ],
    )
    trained = [row for row in rows if row["mode"] == "train"]
    if trained:
        console.show_table(
            "Of these, in training, activations that the backward pass needs, MiB, and how much more the peak is",
            ("name", *(f"{frames} frames" for frames in options.frames)),
            [
                (name, *(f"{row['needed_mib']:.0f} ({row['ratio']:.2f})" for row in trained if row["name"] == name))
                for name in options.specs
            ],
        )
    return 0


def _row(name: str, mode: Mode, frames: int, options: Options) -> dict[str, Any]:
    peak_mib = statistics.median(peak_bytes(name, mode, frames, options) for _ in range(options.repeats)) / 2**20
    row = {"name": name, "mode": mode, "frames": frames, "peak_mib": peak_mib}
    if mode != "train":
        return row
    spec = find_spec(name).arch
    found = operators(
        spec,
        find_variant(VARIANT_OF[mode], arch=spec),
        num_classes=NUM_CLASSES,
        clip=replace(spec.clip, num_frames=frames),
    )
    needed_mib = kept_bytes(found, num_clips=TRAIN_CLIPS) / 2**20
    return {**row, "needed_mib": needed_mib, "ratio": peak_mib / needed_mib}


def peak_bytes(name: str, mode: Mode, frames: int, options: Options) -> int:
    """Peak resident memory beyond that of the loaded network, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_probe, args=(theirs, name, mode, frames, options))
    process.start()
    theirs.close()
    try:
        peak: int = ours.recv()
    except EOFError:
        raise UsageError(
            f"a measurement must end, but that of {name} as {mode} with {frames} frames did not; enough memory?"
        ) from None
    finally:
        process.join()
    return peak


def _probe(connection: Connection, name: str, mode: Mode, frames: int, options: Options) -> None:
    torch.set_num_threads(options.threads)
    spec = find_spec(name).arch
    net = VideoNet(spec, find_variant(VARIANT_OF[mode], arch=spec), num_classes=NUM_CLASSES).eval()
    size = spec.clip.resolution
    work = {"clip": _clip, "multi-clip": _several_clips, "stream": _stream, "train": _train}[mode]
    run = net.train() if mode == "train" else FrozenNet(net)
    with torch.inference_mode(mode != "train"):
        before = _status("VmRSS")
        CLEAR.write_text("5")  # forget the peak so far
        work(run, frames, size, options.clip_frames)
    connection.send(max(0, _status("VmHWM") - before))


def _clip(net: Net, frames: int, size: int, clip_frames: int) -> None:
    del clip_frames
    net(torch.rand(1, 3, frames, size, size))


def _several_clips(net: Net, frames: int, size: int, clip_frames: int) -> None:
    logits_BK = torch.zeros(1, NUM_CLASSES)
    for start in range(0, frames, clip_frames):
        logits_BK += net(torch.rand(1, 3, min(clip_frames, frames - start), size, size))


def _stream(net: Net, frames: int, size: int, clip_frames: int) -> None:
    del clip_frames
    assert isinstance(net, FrozenNet)
    state = net.init_state(1, size, size)
    for _ in range(frames):
        net.step_(torch.rand(1, 3, size, size), state)


def _train(net: Net, frames: int, size: int, clip_frames: int) -> None:
    del clip_frames
    torch.autograd.backward(net(torch.rand(TRAIN_CLIPS, 3, frames, size, size)).sum())


def _status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    line = next(line for line in STATUS.read_text("utf-8").splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
