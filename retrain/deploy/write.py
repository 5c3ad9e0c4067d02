"""Trained networks to files that were run beside them before anybody gets them."""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import numpy as np

from results.files import sync_folder, write_file
from retrain.deploy.card import DeployedCard, DeployedMember, FileFormat, OutputPart
from retrain.deploy.check import MAX_DIFFERENCE, Check, Run, difference, frames_for, require
from retrain.deploy.graph import LOGITS, Mode, StateTensor, TensorForm, dtype_name, to_pt2, trace
from retrain.deploy.int8 import Int8Bounds, judged
from retrain.deploy.onnx_file import OnnxNet, quantised, to_onnx
from retrain.deploy.runs import run_of_clip, run_of_module, run_of_program
from retrain.ensemble import Ensemble, TrainedMember
from retrain.model_file import file_of
from search_spaces.errors import DeployError, UsageError
from search_spaces.spec import INPUT_CHANNELS
from search_spaces.strict_json import pretty
from supernet.video_net import VideoNet

SAMPLE: Final = Path(__file__).with_name("sample.py")
WRITERS: Final = ("movinas", "torch", "onnx", "onnxscript", "onnxruntime", "safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be written.

    Attributes:
        format: `onnx`; `pt2`, a program of `torch.export`; `safetensors`, weights with the card in the header.
        mode: What a call of the file takes.
        flat: Whether no tensor may have more than four dimensions.
        int8: Bounds of pointwise layers in int8; None for fp32.
        video: What the file is checked on; None for a generated video.
        check_frames: Frames of it, for a stream; a clip has its own number.
        num_threads: Of ONNX Runtime.
    """

    format: FileFormat
    mode: Mode
    flat: bool = False
    int8: Int8Bounds | None = None
    video: Path | None = None
    check_frames: int = 24
    num_threads: int = 1

    def __post_init__(self) -> None:
        if self.check_frames < 1:
            raise UsageError(f"check_frames must be at least 1, but got {self.check_frames}")
        if self.int8 is not None and self.format != "onnx":
            raise UsageError(f"int8 must be left out where the format is not onnx, but got {self.format}")
        if self.flat and self.format == "safetensors":
            raise UsageError("flat must be left out for safetensors, which hold the network as it is")


def deploy(ensemble: Ensemble, out: Path, plan: Plan) -> DeployedCard:
    """Write the file of a network, or one for each member of an ensemble, and what lies beside it: all or nothing.

    `net.onnx` comes with `net.json` and `net_sample.py`; members of an ensemble are `net.0.onnx`, `net.1.onnx`, ...

    Args:
        ensemble: One network or several, in evaluation mode, on the CPU.
        out: The file to write, or for an ensemble the name to number.
        plan: What is wanted.

    Raises:
        DeployError: A file does not say what its network says, or int8 costs too much; nothing is left of it.
        UsageError: A file exists already or cannot be written, or the extra `deploy` is not installed.
        SpecError: A stream of a network that does not stream.
        VideoError: The video of the check cannot be read.
    """
    several, space = len(ensemble.members) > 1, ensemble.label_space
    names = [f"{out.stem}.{n}{out.suffix}" if several else out.name for n in range(len(ensemble.members))]
    beside = [f"{out.stem}.json"] + ([f"{out.stem}_sample.py"] if plan.format == "onnx" else [])
    for name in (*names, *beside):
        if (out.parent / name).exists():
            raise UsageError("must not exist yet, a file is never overwritten, but it does", path=out.parent / name)
    staged = out.parent / f".{out.stem}.tmp-{os.getpid()}"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        staged.mkdir(parents=True)
        members = [
            _member(member, number, staged / name, plan, final=out.parent / name)
            for number, (member, name) in enumerate(zip(ensemble.members, names, strict=True))
        ]
        card = DeployedCard(
            format=plan.format,
            mode=plan.mode,
            flat=plan.flat,
            class_names=ensemble.class_names,
            scores="sigmoid" if space.multi_label else "softmax",
            parts=tuple(OutputPart(name=head, start=part.start, stop=part.stop) for head, part in space.parts.items()),
            members=tuple(members),
            versions=_versions(),
        )
        write_file(staged / beside[0], pretty(asdict(card)).encode())
        if plan.format == "onnx":
            write_file(staged / beside[1], SAMPLE.read_bytes())
        for name in (*names, *beside):
            (staged / name).rename(out.parent / name)
        sync_folder(out.parent)
    except DeployError as error:
        raise error.at(path=out) from error
    except OSError as error:
        raise UsageError(f"must be a file that can be written, but got {error.strerror or error}", path=out) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return card


def _member(member: TrainedMember, number: int, path: Path, plan: Plan, *, final: Path) -> DeployedMember:
    """Write one file to `path`, run it, and say what it is; errors speak of `final`."""
    net, card = member.net.cpu().float().eval(), member.card
    num_frames = card.num_frames if plan.mode == "clip" else plan.check_frames
    frames_TCHW = frames_for(card, num_frames=num_frames, video=plan.video)
    if plan.mode == "clip":  # of which a video may be shorter
        frames_TCHW = frames_TCHW[np.minimum(np.arange(num_frames), len(frames_TCHW) - 1)]
    forms, make_run = _write(member, path, plan)
    found = difference(make_run(), net, frames_TCHW, mode=plan.mode, flat=plan.flat)
    check = Check(num_frames=len(frames_TCHW), difference=found, bound=MAX_DIFFERENCE)
    require(check, path=final)
    int8 = None
    if plan.int8 is not None:
        blob, num_layers = quantised(path.read_bytes())
        path.unlink()
        write_file(path, blob)
        moved = difference(make_run(), net, frames_TCHW, mode=plan.mode, flat=plan.flat)
        accuracy = None
        if plan.int8.measure is not None:
            clip_run = run_of_clip(path, mode=plan.mode, flat=plan.flat, num_threads=plan.num_threads)
            accuracy = plan.int8.measure(number, clip_run)
        int8 = judged(plan.int8, moved, accuracy, num_layers=num_layers, num_frames=len(frames_TCHW), path=final)
    blob = path.read_bytes()
    return DeployedMember(
        file=path.name,
        num_bytes=len(blob),
        sha256=hashlib.sha256(blob).hexdigest(),
        fingerprint=card.fingerprint,
        rate_fps=card.rate_fps,
        offset_frames=member.offset_frames,
        num_frames=card.num_frames,
        short_side=card.short_side,
        resolution=card.resolution,
        input=forms[0],
        output=forms[1],
        state=forms[2],
        check=check,
        int8=int8,
    )


def _write(
    member: TrainedMember, path: Path, plan: Plan
) -> tuple[tuple[TensorForm, TensorForm, tuple[StateTensor, ...]], Callable[[], Run]]:
    """The forms of inputs and outputs, and what runs the file from its start."""
    net, card = member.net, member.card
    if plan.format == "safetensors":
        write_file(path, file_of(net, card))
        return _module_forms(net, plan.mode, card.num_frames, card.resolution), lambda: run_of_module(
            path, mode=plan.mode
        )
    graph = trace(net, mode=plan.mode, num_frames=card.num_frames, resolution=card.resolution, flat=plan.flat)
    forms = (graph.input, graph.output, graph.state)
    if plan.format == "onnx":
        write_file(path, to_onnx(graph))
        return forms, lambda: OnnxNet(path, num_threads=plan.num_threads).run
    write_file(path, to_pt2(graph))
    return forms, lambda: run_of_program(graph)


def _module_forms(
    net: VideoNet, mode: Mode, num_frames: int, resolution: int
) -> tuple[TensorForm, TensorForm, tuple[StateTensor, ...]]:
    """Of `VideoNet.forward` and `VideoNet.step`."""
    frames = (num_frames,) if mode == "clip" else ()
    shape = (1, INPUT_CHANNELS, *frames, resolution, resolution)
    state = net.init_state(1, resolution, resolution) if mode == "stream" else {}
    return (
        TensorForm(name="clips_BCTHW", shape=shape, dtype="float32"),
        TensorForm(name=LOGITS, shape=(1, net.num_classes), dtype="float32"),
        tuple(
            StateTensor(input=name, output=name, shape=tuple(tensor.shape), dtype=dtype_name(tensor))
            for name, tensor in state.items()
        ),
    )


def _versions(names: Sequence[str] = WRITERS) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
