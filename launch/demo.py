"""`movinas demo`: the whole path on generated videos, ending in a table."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from launch import console, data_index, data_synth, evaluate, retrain, search
from launch.clips import ClipConfig
from launch.compute import Amp
from launch.found import found_spec, random_spec
from nas.loop import SearchConfig
from nas.select import SelectionConfig
from nas.warmup import WarmupConfig
from results.records import TestReport
from results.run_dir import open_run
from retrain.recipe import Recipe
from search_spaces.cost import cost
from search_spaces.errors import RunFolderError
from search_spaces.spec_json import SpecFile, write_spec
from supernet.evaluator import WeightConfig
from video.manifest import load_manifest

TARGET = "macs=16M/clip"
VIDEOS_PER_CLASS = 64
SEARCH = SearchConfig(
    steps=400,
    architectures_per_step=2,
    warmup=WarmupConfig(op_fraction=0.05, filter_fraction=0.15),  # all kernels at once cost seven times as much
    selection=SelectionConfig(num_policy=12, num_random=12),
)
WEIGHTS = WeightConfig(batch_size=12)
RECIPE = Recipe(epochs=14, batch_size=32, evaluations=3)

QUICK_VIDEOS_PER_CLASS = 12
QUICK_SEARCH = replace(SEARCH, steps=4, selection=SelectionConfig(num_policy=2, num_random=2))
QUICK_WEIGHTS = WeightConfig(batch_size=4, reward_batch_size=4)
QUICK_RECIPE = Recipe(epochs=1, batch_size=16, calibration_batches=2)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Generate videos, search, export, retrain, evaluate, report: the whole path within minutes on a CPU.

    Attributes:
        out: Folder to make; by default the next free one of runs/demo, runs/demo-2, ...
        target: Cost to land on.
        variant: Of all networks: base, paper-stream, released-stream, or a JSON file.
        seed: Of everything that is drawn.
        device: auto, cpu, cuda, ...
        threads: Of torch; 0 takes all cores.
        workers: Processes that read clips; -1 chooses, 0 reads in this one.
        amp: Autocast of the network.
        quick: Seconds instead of minutes: the same path with too little of everything to learn much.
        json: Print one JSON document at the end.
    """

    out: Path | None = None
    target: str = TARGET
    variant: str = "base"
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    workers: int = -1
    amp: Amp = "off"
    quick: bool = False
    json: bool = False


def run(options: Options) -> int:
    """Run the whole path and print what came of it."""
    start = time.monotonic()
    out = _next_free(Path("runs/demo")) if options.out is None else options.out
    if out.exists():
        raise RunFolderError("must not exist yet, a demo is never overwritten, but it does", path=out)
    manifest_path = _make_videos(options, out)
    _announce(2, f"search space nano for {options.target}")
    search.search(
        search.Options(
            space="nano",
            data=manifest_path,
            target=options.target,
            variant=options.variant,
            out=out / "search",
            search=QUICK_SEARCH if options.quick else SEARCH,
            weights=QUICK_WEIGHTS if options.quick else WEIGHTS,
            clips=_clips(out),
            seed=options.seed,
            device=options.device,
            threads=options.threads,
            workers=options.workers,
            amp=options.amp,
        )
    )
    searched = open_run(out / "search")
    specs = {"found": found_spec(searched), "random": random_spec(searched)}
    reports = {}
    for number, (name, spec_file) in enumerate(specs.items()):
        path = write_spec(spec_file, out / "specs")
        _announce(3 + number, f"retrain and test the {name} architecture with the same recipe")
        reports[name] = _retrain(options, out, name, path, manifest_path)
    _show(options, out, specs, reports, time.monotonic() - start)
    return 0


def _make_videos(options: Options, out: Path) -> Path:
    per_class = QUICK_VIDEOS_PER_CLASS if options.quick else VIDEOS_PER_CLASS
    _announce(1, f"generate {8 * per_class} videos of 8 motions in {out / 'videos'}")
    data_synth.synthesise(data_synth.Options(out=out / "videos", videos_per_class=per_class, seed=options.seed))
    manifest_path = out / "manifest.jsonl"
    data_index.index(data_index.Options(source=out / "videos", out=manifest_path, seed=options.seed))
    return manifest_path


def _retrain(options: Options, out: Path, name: str, spec_path: Path, manifest_path: Path) -> TestReport:
    run_path = out / f"retrain-{name}"
    retrain.retrain(
        retrain.Options(
            spec=str(spec_path),
            data=manifest_path,
            out=run_path,
            recipe=QUICK_RECIPE if options.quick else RECIPE,
            clips=_clips(out),
            seed=options.seed,
            device=options.device,
            threads=options.threads,
            workers=options.workers,
            amp=options.amp,
        )
    )
    return evaluate.evaluate(
        evaluate.Options(
            run=run_path,
            data=manifest_path,
            clips=_clips(out),
            device=options.device,
            threads=options.threads,
            workers=options.workers,
            amp=options.amp,
        )
    )


def _show(
    options: Options, out: Path, specs: dict[str, SpecFile], reports: dict[str, TestReport], seconds: float
) -> None:
    num_classes = load_manifest(out / "manifest.jsonl").num_classes
    chance = 1 / num_classes
    searched = open_run(out / "search")
    document: dict[str, object] = {
        "target": options.target,
        "chance": chance,
        "run": str(searched.path),
        "report": str(searched.report_path),
        "seconds": round(seconds, 1),
    }
    rows = []
    for name, spec_file in specs.items():
        macs = cost(spec_file.arch, spec_file.variant, num_classes=num_classes).macs
        ratio = spec_file.metrics["cost_ratio"]
        top1 = reports[name].top1
        document[name] = {"fingerprint": spec_file.fingerprint, "macs": macs, "ratio": ratio, "top1": top1}
        rows.append((name, f"{macs:,}", f"{ratio:.3f}", f"{top1:.3f}", spec_file.fingerprint[:16]))
    rows.append(("chance", "", "", f"{chance:.3f}", ""))
    if options.json:
        console.show_json(document)
        return
    console.show_table(
        f"Target {options.target}; test accuracy on {reports['found'].num_videos} videos",
        ("architecture", "MACs", "cost/target", "top-1", "fingerprint"),
        rows,
    )
    console.show(
        f"spec    {out / 'specs' / specs['found'].fingerprint}.json\n"
        f"run     {searched.path}\n"
        f"report  {searched.report_path}\n"
        f"in {console.duration(seconds)}"
    )


def _clips(out: Path) -> ClipConfig:
    return ClipConfig(cache_dir=out / "cache")


def _announce(number: int, text: str) -> None:
    console.log(f"[{number}/4] {text}")


def _next_free(path: Path) -> Path:
    number, free = 2, path
    while free.exists():
        free = path.with_name(f"{path.name}-{number}")
        number += 1
    return free
