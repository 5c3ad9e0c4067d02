"""`movinas deploy`: a trained network, or an ensemble, as files that other programs run."""

import itertools
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from launch import console
from launch.clips import ClipConfig, Tally, once, videos_of
from launch.compute import Amp, Compute, set_up
from launch.trained import clip_of, load_trained, require_all_stream
from retrain.deploy.card import DeployedCard, FileFormat
from retrain.deploy.check import Run
from retrain.deploy.int8 import Accuracy, Int8Bounds
from retrain.deploy.write import Plan, deploy
from retrain.ensemble import Ensemble, TrainedMember
from retrain.evaluate import ClipLogits, clip_logits, predict, report_of
from search_spaces.errors import ManifestError, UsageError
from supernet.inputs import network_input
from video.manifest import Split, VideoItem, load_manifest

POSITIONALS = ("run",)
SUFFIXES: dict[FileFormat, str] = {"onnx": ".onnx", "pt2": ".pt2", "safetensors": ".safetensors"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a trained network for use elsewhere, with a JSON beside it, once the file says what the network says.

    Attributes:
        run: Run folder of a finished retraining or of an ensemble's training, folder of a network, or an ensemble file
            that names its models.
        out: File to write, ending in .onnx, .pt2 or .safetensors; members of an ensemble get a number before that.
        format: onnx, with a sample script that runs it; pt2, a program of torch.export; safetensors, weights and card
            for retrain.model_file.load_model.
        stream: A call takes one more frame and the state, and gives the new state; otherwise it takes a whole clip.
        flat: No tensor of more than four dimensions: a buffer's pixels lie in a row, a clip comes as its frames.
        int8: Weights of pointwise layers in int8, activations quantised as they come; refused where it costs too much.
        int8_max_difference: Bound for int8 without data: largest change of a logit, relative to the largest logit.
        int8_max_drop: Bound for int8 with data: largest loss of top-1, or of the mAP of several labels.
        data: Manifest that int8 is judged on.
        split: Which of its videos.
        video: Video file that the written file is checked on; None generates one.
        check_frames: Frames of a stream's check.
        batch_size: Clips that are read at a time.
        clips: Reading of the videos of data.
        device: Not a choice: files are made and checked on the CPU.
        threads: Of torch and of ONNX Runtime; 0 takes all cores.
        workers: Processes that read clips; -1 chooses, 0 reads in this one.
        amp: Not a choice: files are in fp32.
        seed: Not needed here: nothing is drawn.
        json: Print the JSON that lies beside the file.
    """

    run: Path
    out: Path
    format: FileFormat = "onnx"
    stream: bool = False
    flat: bool = False
    int8: bool = False
    int8_max_difference: float = 0.05
    int8_max_drop: float = 0.01
    data: Path | None = None
    split: Split = "val"
    video: Path | None = None
    check_frames: int = 24
    batch_size: int = 8
    clips: ClipConfig = field(default_factory=ClipConfig)
    device: str = "cpu"
    threads: int = 0
    workers: int = -1
    amp: Amp = "off"
    seed: int = 0
    json: bool = False

    def __post_init__(self) -> None:
        if self.out.suffix != SUFFIXES[self.format]:
            raise UsageError(f"out must end in {SUFFIXES[self.format]}, as format says, but got {str(self.out)!r}")
        if self.device != "cpu" or self.amp != "off":
            raise UsageError(f"device must be cpu and amp off, but got device={self.device!r}, amp={self.amp}")
        if not (0 < self.int8_max_difference <= 1 and 0 <= self.int8_max_drop <= 1 and self.batch_size > 0):
            raise UsageError(
                "int8_max_difference must be in (0, 1], int8_max_drop in [0, 1] and batch_size above 0, but got "
                f"{self.int8_max_difference}, {self.int8_max_drop} and {self.batch_size}"
            )
        if self.data is not None and not self.int8:
            raise UsageError("data must be left out without int8, which alone is judged on it")


def run(options: Options) -> int:
    """Write the files and say what they are."""
    compute = set_up(options)
    ensemble = load_trained(options.run)
    if options.stream:
        require_all_stream(ensemble, path=options.run)
    card = deploy(
        ensemble,
        options.out,
        Plan(
            format=options.format,
            mode="stream" if options.stream else "clip",
            flat=options.flat,
            int8=_bounds(options, ensemble, compute) if options.int8 else None,
            video=options.video,
            check_frames=options.check_frames,
            num_threads=compute.num_threads,
        ),
    )
    _show(card, options, metric=ensemble.label_space.metric)
    return 0


def _show(card: DeployedCard, options: Options, *, metric: str) -> None:
    if options.json:
        console.show_json(asdict(card))
        return
    for member in card.members:
        console.show(
            f"{options.out.parent / member.file}: {member.num_bytes / 2**20:.2f} MiB, {len(member.state)} entries of "
            f"state; logits of {member.check.num_frames} frames are the network's to {member.check.difference:.1e}"
        )
        if (int8 := member.int8) is not None:
            drop = "" if int8.top1 is None else f", {metric} {int8.top1:.4f} after {int8.fp32_top1:.4f}"
            console.show(f"  int8 in {int8.num_layers} layers: logits move by {int8.difference:.3f}{drop}")
    beside = options.out.with_suffix(".json")
    sample = f", and to try it: python {options.out.parent / options.out.stem}_sample.py VIDEO"
    console.show(f"{beside}: what it expects{sample if options.format == 'onnx' else ''}")


def _bounds(options: Options, ensemble: Ensemble, compute: Compute) -> Int8Bounds:
    bounds = Int8Bounds(max_difference=options.int8_max_difference, max_drop=options.int8_max_drop)
    if options.data is None:
        return bounds
    manifest = load_manifest(options.data)
    if manifest.label_space != ensemble.members[0].card.label_space:
        raise ManifestError("a manifest must have the classes of the network, but has others", path=options.data)
    items = videos_of(manifest, options.split, path=options.data)
    return replace(
        bounds, measure=lambda number, run: _accuracy(run, ensemble.members[number], items, options, compute)
    )


def _accuracy(
    run: Run, member: TrainedMember, items: tuple[VideoItem, ...], options: Options, compute: Compute
) -> Accuracy:
    """Of a file beside its network, on the middle clips of the videos."""
    config = replace(options.clips, short_side=member.card.short_side, max_bad_fraction=1.0)
    space = member.card.label_space
    reader = config.reader(items, clip_of(member.card), seed=0, training=False, space=space)
    tally = Tally(config, num_videos=len(items))
    batches = once(reader, batch_size=options.batch_size, compute=compute, tally=tally)
    for_net, for_file = itertools.tee(batches())
    of_net: list[ClipLogits] = []
    of_file: list[ClipLogits] = []
    for answer, batch in zip(clip_logits(member.net, for_net, device=compute.device), for_file, strict=True):
        if not answer.indices:
            continue
        frames_BTCHW = network_input(batch, compute.device)[0].transpose(1, 2).contiguous().numpy()
        logits_BK = torch.tensor(np.array([run(frames_TCHW) for frames_TCHW in frames_BTCHW]), dtype=torch.float64)
        of_net.append(answer)
        of_file.append(replace(answer, logits_BK=logits_BK))
    net, file = (
        report_of(
            predict(found, num_videos=len(items), space=space, num_views=1),
            space=space,
            views="1x1",
        )
        for found in (of_net, of_file)
    )
    if not net.num_videos:
        raise ManifestError("a manifest must have a video that can be decoded, but has none", path=options.data)
    return Accuracy(top1=file.quality, fp32_top1=net.quality, num_videos=net.num_videos)
