"""`movinas bench search`: where a step of a search spends its time, and how much of it runs no network."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from launch import console, data_index, data_synth, search
from launch.bench.machine import line_of, measure_machine
from launch.clips import ClipConfig
from launch.compute import Amp, resolved
from launch.search_clips import clip_geometry
from launch.specs import find_variant
from nas.loop import SearchConfig
from nas.problem import Problem
from nas.select import SelectionConfig
from nas.warmup import WarmupConfig
from results.history import overhead_share, phase_shares, seconds_per_step
from results.telemetry import read_telemetry
from search_spaces.errors import UsageError
from search_spaces.movinet import find_space
from search_spaces.target import parse_target
from supernet.evaluator import WeightConfig
from video.manifest import load_manifest
from video.reader import usual_short_side

GOALS: Mapping[str, float] = {"a0": 0.03, "nano": 0.05}
UNCOUNTED_STEPS = 10
VIDEOS_PER_CLASS, RATE_FPS = 6, 16


@dataclass(frozen=True, kw_only=True)
class Options:
    """Share of a search step that is neither a forward nor a backward pass.

    Attributes:
        space: A named space, or a JSON file.
        data: Manifest; without one, videos are generated.
        target: Cost to land on; without one, the median of the space.
        variant: base, paper-stream, released-stream, or a JSON file.
        proxy: Clips of the search where they differ from the space's, such as frames=16,resolution=112.
        steps: Steps counted, after ten that are not; the last of them, and every `search.checkpoint_every`-th of all,
            saves a checkpoint.
        search: Architectures per step and the like; steps, warm-up and selection are set here.
        weights: Training of the shared weights.
        clips: Reading of the videos.
        seed: Of everything that is drawn.
        device: auto, cpu, cuda, ...
        threads: Of torch; 0 takes all cores.
        workers: Processes that read clips, for weights and for rewards each; -1 chooses, 0 reads in this one.
        amp: Autocast of the network.
        json: Print one JSON document.
    """

    space: str = "nano"
    data: Path | None = None
    target: str | None = None
    variant: str = "base"
    proxy: str | None = None
    steps: int = 65
    search: SearchConfig = field(default_factory=SearchConfig)
    weights: WeightConfig = field(default_factory=WeightConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    workers: int = 1
    amp: Amp = "off"
    json: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps must be at least 1, but got {self.steps}")


def run(options: Options) -> int:
    """Search in a folder that is removed afterwards, and print where the time went."""
    options = resolved(options)
    machine = measure_machine(threads=options.threads, device=options.device)
    with tempfile.TemporaryDirectory() as folder:
        events = _searched(options, Path(folder))
    shares, step_s = phase_shares(events), seconds_per_step(events, num_recent=options.steps)
    rest, goal = overhead_share(shares), GOALS.get(options.space)
    assert step_s is not None
    assert rest is not None
    if options.json:
        console.show_json(
            {
                "machine": asdict(machine),
                "space": options.space,
                "step_ms": 1000 * step_s,
                "shares": shares,
                "neither_forward_nor_backward": rest,
                "goal": goal,
            }
        )
        return 0
    console.show_table(
        f"A step of a search of space {options.space}; {line_of(machine)}",
        ("phase", "ms", "share, %"),
        [(name, f"{1000 * share * step_s:.2f}", f"{100 * share:.2f}") for name, share in shares.items()],
    )
    wanted = "" if goal is None else f", wanted at most {100 * goal:.0f} %"
    console.show(f"neither forward nor backward: {100 * rest:.2f} %{wanted}")
    return 0


def _searched(options: Options, folder: Path) -> list[Mapping[str, Any]]:
    """What a search told of its steps, but for the first ones."""
    manifest = options.data or _generated(options, folder)
    steps = UNCOUNTED_STEPS + options.steps
    found, _ = search.search(
        search.Options(
            space=options.space,
            data=manifest,
            target=options.target or _median_target(options, manifest),
            out=folder / "run",
            variant=options.variant,
            proxy=options.proxy,
            compare_clips=options.weights.reward_clips,
            search=replace(
                options.search,
                steps=steps,
                warmup=WarmupConfig(op_fraction=0.0, filter_fraction=0.0),
                selection=SelectionConfig(num_policy=1, num_random=1),
            ),
            weights=options.weights,
            clips=options.clips,
            seed=options.seed,
            device=options.device,
            threads=options.threads,
            workers=options.workers,
            amp=options.amp,
        )
    )
    events = read_telemetry(found.telemetry_path)
    return [event for event in events if UNCOUNTED_STEPS <= event.get("step", -1) < steps]


def _generated(options: Options, folder: Path) -> Path:
    """Videos as large and as long as the clips of the search need."""
    clip = clip_geometry(options.proxy, find_space(options.space).clip)
    short_side = options.clips.short_side or usual_short_side(clip.resolution)
    data_synth.synthesise(
        data_synth.Options(
            out=folder / "videos",
            videos_per_class=VIDEOS_PER_CLASS,
            size=2 * -(-short_side // 2),
            num_frames=math.ceil(RATE_FPS * (clip.num_frames / clip.rate_fps + 0.5)),
            rate_fps=RATE_FPS,
            seed=options.seed,
        )
    )
    manifest = folder / "manifest.jsonl"
    data_index.index(data_index.Options(source=folder / "videos", out=manifest, seed=options.seed))
    return manifest


def _median_target(options: Options, manifest: Path) -> str:
    problem = Problem(
        space=find_space(options.space),
        variant=find_variant(options.variant),
        target=parse_target("macs=1/clip"),
        num_classes=load_manifest(manifest).num_classes,
        seed=options.seed,
    )
    return f"macs={round(problem.statistics()[1])}/clip"
