"""GRW-smoothing and streaming training on generated videos, beside the same training without; finished runs are kept.

    python scripts/grw_study.py OUT [--seeds 0 1 2] [--only NAME]

Every run is `movinas retrain` and `movinas evaluate` of one small network, on one thread. `smooth` and `plain` have the
same temporal head, data, order of clips, steps and seeds, and differ in the weight of GRW-smoothing alone; `full` and
`pieces` are a streaming network with the published head on clips of 16 frames, seen whole and in sub-clips of 4. A
second call goes on where the first one ended, and prints the table of what is there.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from launch.bench.subclips import most_kept
from launch.cli import main as movinas
from retrain.objective import Objective
from retrain.recipe import Recipe
from search_spaces.spec import ArchSpec, BlockSpec, ClipGeometry, LayerSpec
from search_spaces.spec_json import make_spec_file, write_spec
from search_spaces.temporal_head import TemporalHead
from search_spaces.variant import VARIANTS
from supernet.video_net import VideoNet
from video.clips import ClipBatch

STREAM = VARIANTS["released-stream"]
HEAD = replace(STREAM, temporal_head=TemporalHead(embed_dim=64, depth=1, heads=4, mlp_dim=128, window=8))
BATCH_SIZE = 16
MEASURES = {
    "|a|/|v|": "acceleration_ratio",
    "order NLL": "order_nll",
    "order NLL at V = 1": "scaled_order_nll",
    "order accuracy": "order_accuracy",
    "V": "velocity",
    "variance on two axes": "explained",
}


def arch(*, num_frames: int, resolution: int) -> ArchSpec:
    """The network: four layers on three resolutions."""
    return ArchSpec(
        clip=ClipGeometry(num_frames=num_frames, resolution=resolution, rate_fps=8.0),
        stem_width=8,
        blocks=(
            BlockSpec(layers=(LayerSpec(kernel=(3, 3, 3), width=16, expansion=40, stride=2),)),
            BlockSpec(layers=(LayerSpec(kernel=(5, 3, 3), width=24, expansion=64, stride=2),)),
            BlockSpec(
                layers=(
                    LayerSpec(kernel=(3, 3, 3), width=48, expansion=96, stride=2),
                    LayerSpec(kernel=(3, 3, 3), width=48, expansion=96),
                )
            ),
        ),
        head_width=96,
        dense_width=128,
    )


@dataclass(frozen=True, kw_only=True)
class Study:
    """One pair of trainings.

    Attributes:
        cue: Which videos.
        videos_per_class: How many, of which 70 % are trained on and 20 % tested.
        num_frames: Of a video and of a clip.
        variant: Of both networks.
        options: Of every run; `runs` of each of the two.
    """

    cue: str
    videos_per_class: int
    num_frames: int
    resolution: int
    head: bool
    epochs: int
    runs: dict[str, list[str]]


SLOW = "--recipe.learning_rate=3e-3"
"""A third of the usual rate, for the transformer."""
GRW = {"plain": [SLOW], "smooth": [SLOW, "--recipe.grw_weight=0.1", "--recipe.grw_warmup_steps=50"]}
STUDIES = {
    "airplanes": Study(
        cue="airplanes", videos_per_class=200, num_frames=8, resolution=40, head=True, epochs=12, runs=GRW
    ),
    "motion": Study(cue="motion", videos_per_class=80, num_frames=16, resolution=32, head=True, epochs=16, runs=GRW),
    "streaming": Study(
        cue="motion",
        videos_per_class=80,
        num_frames=16,
        resolution=32,
        head=False,
        epochs=8,
        runs={"full": [], "pieces": ["--recipe.subclip_frames=4"]},
    ),
}


def program(*arguments: object) -> None:
    """A verb of the program, in this process."""
    if code := movinas([str(argument) for argument in arguments]):
        raise SystemExit(code)


def prepare(name: str, study: Study, out: Path) -> tuple[Path, Path]:
    """Manifest and spec of a study."""
    folder, spec_file = (
        out / name,
        make_spec_file(arch(num_frames=study.num_frames, resolution=study.resolution), HEAD if study.head else STREAM),
    )
    manifest, spec = folder / "videos.jsonl", folder / f"{spec_file.fingerprint}.json"
    if not manifest.exists():
        videos = folder / "videos"
        if not videos.exists():
            sizes = {"size": study.resolution + 8, "num_frames": study.num_frames, "rate_fps": 8}
            flags = [f"--{key}={value}" for key, value in sizes.items()]
            program(
                "data", "synth", videos, f"--videos_per_class={study.videos_per_class}", f"--cue={study.cue}", *flags
            )
        program("data", "index", videos, manifest, "--split=0.7,0.1,0.2")
    write_spec(spec_file, folder)
    return manifest, spec


def train(name: str, study: Study, out: Path, *, seed: int, kind: str) -> dict[str, object]:
    """The test report of one run, computed if it is not there."""
    run = out / name / f"{kind}-{seed}"
    if not (run / "test.json").exists():
        manifest, spec = prepare(name, study, out)
        common = ["--threads=1", "--workers=0", f"--clips.cache_dir={out / 'cache'}"]
        recipe = [f"--recipe.epochs={study.epochs}", f"--recipe.batch_size={BATCH_SIZE}", "--recipe.evaluations=4"]
        begin = time.monotonic()
        if run.exists():
            program("resume", run)
        else:
            program(
                "retrain",
                spec,
                f"--data={manifest}",
                f"--out={run}",
                f"--seed={seed}",
                *recipe,
                *study.runs[kind],
                *common,
            )
        program("evaluate", run, f"--data={manifest}", *common)
        sys.stdout.write(f"{run}: {time.monotonic() - begin:.0f} s\n")
    document: dict[str, object] = json.loads((run / "test.json").read_text())
    return document


def kept_mib(study: Study, recipe: Recipe) -> float:
    """Most that autograd keeps at a time in a step of a study, MiB."""
    spec = arch(num_frames=study.num_frames, resolution=study.resolution)
    net = VideoNet(spec, HEAD if study.head else STREAM, num_classes=8, rezero=0.5).train()
    frames_BTHWC = torch.zeros(BATCH_SIZE, study.num_frames, study.resolution, study.resolution, 3, dtype=torch.uint8)
    batch = ClipBatch(
        frames_BTHWC=frames_BTHWC,
        labels_B=torch.zeros(BATCH_SIZE, dtype=torch.int64),
        indices=tuple(range(BATCH_SIZE)),
        num_substituted=0,
        num_failed=0,
        bad_ids=(),
    )
    objective = Objective(recipe=recipe, seed=0, device=torch.device("cpu"), amp_dtype=None)
    return most_kept(lambda: objective.backward(net, batch, step=0), apart=net.parameters()) / 2**20


def show(name: str, kind: str, reports: list[dict[str, object]]) -> None:
    """One row: accuracy per seed, mean and deviation, and the smoothness where there is one."""

    def spread(values: list[float]) -> str:
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return f"{statistics.mean(values):.3f} ({deviation:.3f}) [{', '.join(f'{value:.3f}' for value in values)}]"

    row = [f"{name:10} {kind:7} top-1 {spread([float(str(report['top1'])) for report in reports])}"]
    embeddings = [found for report in reports if isinstance(found := report["embeddings"], dict)]
    for label, key in MEASURES.items():
        if embeddings:
            row.append(f"{label} {spread([found[key] for found in embeddings])}")
    sys.stdout.write("\n    ".join(row) + "\n")


def main() -> None:
    """Run what is missing, then print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", choices=STUDIES, nargs="+", default=list(STUDIES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[tuple[str, str], list[dict[str, object]]] = {}
    for seed in options.seeds:
        for name in options.only:
            for kind in STUDIES[name].runs:
                report = train(name, STUDIES[name], options.out, seed=seed, kind=kind)
                found.setdefault((name, kind), []).append(report)
    for (name, kind), reports in sorted(found.items()):
        show(name, kind, reports)
    if "streaming" in options.only:
        study = STUDIES["streaming"]
        full, pieces = (kept_mib(study, Recipe(subclip_frames=frames)) for frames in (None, 4))
        sys.stdout.write(f"kept at most in a step: whole {full:.1f} MiB, sub-clips {pieces:.1f}, {pieces / full:.3f}\n")


if __name__ == "__main__":
    main()
