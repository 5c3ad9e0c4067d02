"""`movinas bench deploy`: deployed files beside PyTorch: their size, what they say, and the time of a frame."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from launch import console
from launch.bench.machine import in_turns, line_of, measure_machine
from launch.bench.model import NUM_CLASSES, made_net
from launch.clips import short_side_of
from launch.specs import find_spec, find_variant
from retrain.deploy.card import DeployedMember, FileFormat
from retrain.deploy.graph import trace
from retrain.deploy.int8 import Int8Bounds
from retrain.deploy.onnx_file import OnnxNet
from retrain.deploy.runs import run_of_program
from retrain.deploy.write import Plan, deploy
from retrain.ensemble import Ensemble, TrainedMember
from retrain.model_file import ModelCard
from search_spaces.errors import UsageError
from search_spaces.spec_json import fingerprint
from supernet.frozen import FrozenNet
from supernet.video_net import VideoNet

POSITIONALS = ("specs",)
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Options:
    """Deployed streams beside the network that they come from.

    Attributes:
        specs: Spec files, or published:A0 to published:A5; published:A0, A1 and A2 where none is given.
        variants: Forms that stream.
        frames: Of the generated video over which files and network are compared.
        repeats: Frames of which the median time is reported, one of each way in turns.
        threads: Of torch and of ONNX Runtime.
        json: Print one JSON document.
    """

    specs: tuple[str, ...] = ("published:A0", "published:A1", "published:A2")
    variants: tuple[str, ...] = ("paper-stream", "released-stream")
    frames: int = 100
    repeats: int = 30
    threads: int = 1
    json: bool = False

    def __post_init__(self) -> None:
        if min(self.frames, self.repeats, self.threads) < 1:
            raise UsageError(f"frames, repeats and threads must be at least 1, but got {self}")


def run(options: Options) -> int:
    """Measure and print."""
    machine = measure_machine(threads=options.threads)
    rows = [_measured(name, variant, options) for name, variant in product(options.specs, options.variants)]
    if options.json:
        console.show_json({"machine": asdict(machine), "networks": rows})
        return 0
    sizes = ("safetensors_mib", "pt2_mib", "onnx_mib", "int8_mib")
    console.show_table(
        f"Files, MiB, and the largest max|a - b| / max|a| of {options.frames} frames",
        ("name", "variant", "safetensors", "pt2", "onnx", "onnx int8", "states", "onnx differs", "int8 differs"),
        [
            (
                row["name"],
                row["variant"],
                *(f"{row[size]:.2f}" for size in sizes),
                row["num_states"],
                f"{row['difference']:.1e}",
                f"{row['int8_difference']:.1e}",
            )
            for row in rows
        ],
    )
    console.show_table(
        f"One more frame, median ms of {options.repeats} in turns; {line_of(machine)}",
        ("name", "variant", "VideoNet.step", "FrozenNet.step_", "pt2", "onnx", "onnx int8"),
        [
            (
                row["name"],
                row["variant"],
                *(f"{row[f'{way}_ms']:.2f}" for way in ("net", "frozen", "pt2", "onnx", "int8")),
            )
            for row in rows
        ],
    )
    return 0


def _measured(name: str, variant_name: str, options: Options) -> dict[str, object]:
    spec = find_spec(name).arch
    net = made_net(spec, find_variant(variant_name, arch=spec), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        files = {
            way: _deployed(net, Path(folder) / way, format_, options, int8=way == "int8")
            for way, format_ in _FORMATS.items()
        }
        ways = _ways(net, Path(folder), options)
        times_ms = in_turns(list(ways.values()), repeats=options.repeats)
    int8 = files["int8"].int8
    assert int8 is not None
    return {
        "name": name,
        "variant": variant_name,
        "fingerprint": fingerprint(spec, net.variant),
        "num_states": len(files["onnx"].state),
        "difference": files["onnx"].check.difference,
        "int8_difference": int8.difference,
        **{f"{way}_mib": file.num_bytes / MIB for way, file in files.items()},
        **{f"{way}_ms": ms for way, ms in zip(ways, times_ms, strict=True)},
    }


_FORMATS: dict[str, FileFormat] = {"onnx": "onnx", "int8": "onnx", "pt2": "pt2", "safetensors": "safetensors"}


def _deployed(net: VideoNet, folder: Path, format_: FileFormat, options: Options, *, int8: bool) -> DeployedMember:
    """A file in a folder of its own; int8 is told, whatever it costs."""
    clip = net.spec.clip
    card = ModelCard(
        fingerprint=fingerprint(net.spec, net.variant),
        arch=net.spec,
        variant=net.variant,
        class_names=tuple(f"class_{number:03}" for number in range(NUM_CLASSES)),
        num_frames=clip.num_frames,
        rate_fps=clip.rate_fps,
        short_side=short_side_of(net.spec),
        resolution=clip.resolution,
        epoch=None,
        val_top1=None,
    )
    plan = Plan(
        format=format_,
        mode="stream",
        int8=Int8Bounds(max_difference=math.inf, max_drop=1.0) if int8 else None,
        check_frames=options.frames,
        num_threads=options.threads,
    )
    member = TrainedMember(net=net, card=card)
    return deploy(Ensemble(members=(member,)), folder / f"net.{format_}", plan).members[0]


def _ways(net: VideoNet, folder: Path, options: Options) -> dict[str, Callable[[], object]]:
    """A step of each, on one frame again and again."""
    clip = net.spec.clip
    frame_BCHW = torch.rand(1, 3, clip.resolution, clip.resolution, generator=torch.Generator().manual_seed(0))
    graph = trace(net, mode="stream", num_frames=clip.num_frames, resolution=clip.resolution, flat=False)
    frozen, program = FrozenNet(net), run_of_program(graph)
    files = {way: OnnxNet(folder / way / "net.onnx", num_threads=options.threads) for way in ("onnx", "int8")}
    state, frozen_state = (one.init_state(1, clip.resolution, clip.resolution) for one in (net, frozen))

    @torch.inference_mode()
    def step() -> Tensor:
        return net.step(frame_BCHW, state)[0]

    return {
        "net": step,
        "frozen": lambda: frozen.step_(frame_BCHW, frozen_state),
        "pt2": lambda: program(frame_BCHW.numpy()),
        "onnx": lambda: files["onnx"].run(frame_BCHW.numpy()),
        "int8": lambda: files["int8"].run(frame_BCHW.numpy()),
    }
