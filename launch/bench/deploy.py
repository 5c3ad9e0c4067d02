"""`movinas bench deploy`: deployed files beside PyTorch: their size, what they say, and the time of a frame."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from launch import console
from launch.bench.machine import in_turns, line_of, measure_machine
from launch.bench.model import NUM_CLASSES
from launch.clips import short_side_of
from launch.specs import find_spec, find_variant
from retrain.deploy.check import difference, frames_for
from retrain.deploy.graph import Graph, to_pt2, trace
from retrain.deploy.onnx_file import OnnxNet, quantised, to_onnx
from retrain.deploy.runs import run_of_program
from retrain.model_file import ModelCard, file_of
from search_spaces.errors import UsageError
from search_spaces.spec_json import fingerprint
from supernet.calibrate import settle
from supernet.frozen import FrozenNet
from supernet.video_net import VideoNet

POSITIONALS = ("specs",)
MIB = 2**20
REZERO = 0.5
SETTLING_FRAMES = 24


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
    net = VideoNet(spec, find_variant(variant_name, arch=spec), num_classes=NUM_CLASSES, rezero=REZERO)
    card, clip = _card(net), spec.clip
    frames_TCHW = frames_for(card, num_frames=options.frames)
    # with statistics of other frames a deep network of drawn weights turns rounding errors into answers
    settle(net, torch.from_numpy(frames_TCHW[:SETTLING_FRAMES]).transpose(0, 1)[None])
    graph = trace(net, mode="stream", num_frames=clip.num_frames, resolution=clip.resolution, flat=False)
    blobs = {"safetensors": file_of(net, card), "pt2": to_pt2(graph), "onnx": to_onnx(graph)}
    blobs["int8"], num_int8 = quantised(blobs["onnx"])
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for way in ("onnx", "int8"):
            path = Path(folder, f"{way}.onnx")
            path.write_bytes(blobs[way])
            files[way] = OnnxNet(path, num_threads=options.threads)
        differences = {
            way: difference(file.run, net, frames_TCHW, mode="stream", flat=False) for way, file in files.items()
        }
        ways = _ways(net, graph, files)
        times_ms = in_turns(list(ways.values()), repeats=options.repeats)
    return {
        "name": name,
        "variant": variant_name,
        "fingerprint": card.fingerprint,
        "num_states": len(graph.state),
        "num_int8": num_int8,
        "difference": differences["onnx"],
        "int8_difference": differences["int8"],
        **{f"{way}_mib": len(blob) / MIB for way, blob in blobs.items()},
        **{f"{way}_ms": ms for way, ms in zip(ways, times_ms, strict=True)},
    }


def _card(net: VideoNet) -> ModelCard:
    clip = net.spec.clip
    return ModelCard(
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


def _ways(net: VideoNet, graph: Graph, files: Mapping[str, OnnxNet]) -> dict[str, Callable[[], object]]:
    """A step of each, on one frame again and again."""
    size = net.spec.clip.resolution
    frame_BCHW = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    frozen, program = FrozenNet(net), run_of_program(graph)
    state, frozen_state = net.init_state(1, size, size), frozen.init_state(1, size, size)

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
