"""`movinas search`: find a network at a cost target; and what `resume` runs again."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from launch import console
from launch.clips import ClipConfig, Tally, hold_out, manifest_text, videos_of
from launch.compute import Amp, Compute, environment_of, resolved, set_up
from launch.found import found_spec
from launch.options import to_yaml
from launch.plan import Plan, make_plan, show_plan, try_supernet
from launch.run_report import write_report
from launch.runs import held_new, variant_of
from launch.search_clips import SearchClips
from launch.specs import find_variant, with_clip_choices
from launch.targets import kept_target
from nas.loop import SearchConfig, run_search
from nas.problem import Problem
from nas.select import random_baseline
from nas.start import STARTS
from results.checkpoint import load_newest
from results.records import ResultRecord, StartRecord, StepRecord
from results.run_dir import RunDir, create_run
from results.stopwatch import Stopwatch
from results.telemetry import Telemetry
from search_spaces.errors import UsageError
from search_spaces.movinet import find_space
from search_spaces.randomness import derive_seed, generator
from search_spaces.space_json import read_space, space_document
from search_spaces.spec import ClipGeometry
from search_spaces.spec_json import write_spec
from search_spaces.strict_json import pretty
from search_spaces.target import parse_target
from supernet.evaluator import SupernetEvaluator, WeightConfig
from supernet.supernet import Supernet
from video.manifest import Manifest, load_manifest

NUM_TRIALS = 5
"""Random architectures that `--plan` times."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Search a space for a network at a cost target, on your own videos.

    Attributes:
        space: a0 to a5, phi:<number>, nano, or a JSON file.
        data: Manifest; its train split is used, partly held out for rewards; val and test are not looked at.
        target: Cost to land on, such as macs=12M/clip, or latency=10ms/frame@table.json (bench table).
        out: Run folder to make.
        clip_choices: Makes the clip decisions of the space, such as frames=25:50,resolution=172:224,rate_fps=5; every
            architecture is then trained and measured on clips of its own.
        variant: base, paper-stream, released-stream, or a JSON file.
        proxy: Clips of the search where they differ from the space's, such as frames=16,resolution=112; costs stay
            those of the space.
        held_out: Share of the training videos that rewards come from, in (0, 1).
        compare_clips: Held-out clips, at most, of the final comparison.
        search: Steps, reward, controller, warm-up, selection.
        weights: Training of the shared weights.
        clips: Reading of the videos.
        seed: Of everything that is drawn.
        device: auto, cpu, cuda, ...
        threads: Of torch; 0 takes all cores.
        workers: Processes that read clips, for weights and for rewards each; -1 chooses, 0 reads in this one.
        amp: Autocast of the network.
        plan: Print steps, memory, disk and an estimate of time, and stop.
        json: Print one JSON document at the end.
    """

    space: str
    data: Path
    target: str
    out: Path
    clip_choices: str | None = None
    variant: str = "base"
    proxy: str | None = None
    held_out: float = 0.3
    compare_clips: int = 512
    search: SearchConfig = field(default_factory=SearchConfig)
    weights: WeightConfig = field(default_factory=WeightConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    workers: int = -1
    amp: Amp = "off"
    plan: bool = False
    json: bool = False


def run(options: Options) -> int:
    """Search and say what was found."""
    if options.plan:
        return show_plan(plan(options, check(options)[0]), as_json=options.json)
    folder, result = search(options)
    show_result(folder, result, as_json=options.json)
    return 0


def search(options: Options) -> tuple[RunDir, ResultRecord]:
    """Check everything, make the run folder, and search."""
    problem, manifest = check(options)
    target, tables = kept_target(problem.target)
    kept = replace(resolved(options), data=options.data.resolve(), target=target)
    folder = create_run(
        options.out,
        kind="search",
        files={
            "config.yaml": to_yaml(kept),
            "env.json": pretty(environment_of(kept.threads)),
            "space.json": pretty(space_document(problem.space)),
            "variant.json": pretty(asdict(problem.variant)),
            "manifest.jsonl": manifest_text(manifest),
            **tables,
        },
    )
    with held_new(folder):
        return folder, execute(folder, kept)


def execute(run: RunDir, options: Options) -> ResultRecord:
    """Search in a run folder whose lock the caller holds, from its newest checkpoint on."""
    compute = set_up(options)
    problem = problem_of(run, options)
    telemetry, stopwatch = Telemetry(run.telemetry_path), Stopwatch()
    checkpoint = load_newest(run.checkpoints_path)
    telemetry.append("resume" if checkpoint else "start", environment=environment_of(compute.num_threads))
    evaluator, start = _prepare(run, options, problem, compute, telemetry=telemetry, stopwatch=stopwatch)
    progress = console.Progress("search", total=options.search.steps, done=checkpoint.number if checkpoint else 0)
    result = None
    for record in run_search(
        problem, options.search, evaluator, start=start, run=run, checkpoint=checkpoint, stopwatch=stopwatch
    ):
        if isinstance(record, StepRecord):
            progress.update(record.step + 1, _progress_text(record))
            if record.step + 1 == options.search.steps:
                console.log("compare the likeliest architectures, and random ones, on more held-out clips")
        elif isinstance(record, ResultRecord):
            result = record
    assert result is not None
    finish(run)
    telemetry.append("end")
    return result


def finish(run: RunDir) -> None:
    """Write what is derived from a finished journal: the found spec and the report; again, if need be."""
    write_spec(found_spec(run), run.specs_path)
    write_report(run)


def problem_of(run: RunDir, options: Options) -> Problem:
    """The problem of a run folder, from the copies it keeps."""
    return Problem(
        space=read_space(run.space_path),
        variant=variant_of(run),
        target=parse_target(options.target, folder=run.path),
        num_classes=load_manifest(run.manifest_path).num_classes,
        seed=options.seed,
    )


def clip_geometry(proxy: str | None, geometry: ClipGeometry) -> ClipGeometry:
    """The clips of a search: those of the space, changed by `proxy`.

    Raises:
        UsageError: Not written as frames=16,resolution=112,rate_fps=5.
    """
    for part in (proxy or "").split(",") if proxy else []:
        name, _, text = part.partition("=")
        try:
            if name == "frames":
                geometry = replace(geometry, num_frames=int(text))
            elif name == "resolution":
                geometry = replace(geometry, resolution=int(text))
            elif name == "rate_fps":
                geometry = replace(geometry, rate_fps=float(text))
            else:
                raise ValueError(f"unknown name {name!r}")
        except ValueError as error:
            raise UsageError(
                f"proxy must be written as frames=16,resolution=112,rate_fps=5, but got {proxy!r}: {error}"
            ) from error
    return geometry


def check(options: Options) -> tuple[Problem, Manifest]:
    """Find whatever can be wrong before the first step; nothing is written.

    Raises:
        UsageError: An option, as do the errors of space, target, variant and manifest.
        InfeasibleTargetError: The target cannot be met in the space.
    """
    if not 0 < options.held_out < 1 or options.compare_clips < 2:
        raise UsageError(
            f"held_out must be in (0, 1) and compare_clips at least 2, but got {options.held_out} and "
            f"{options.compare_clips}"
        )
    space = with_clip_choices(find_space(options.space), options.clip_choices)
    target, variant = parse_target(options.target), find_variant(options.variant)
    clip_geometry(options.proxy, space.clip)
    if options.proxy and len(space.clips) > 1:
        raise UsageError(f"a space that decides on its clip must have no proxy, but got {options.proxy!r}")
    manifest = load_manifest(options.data)
    items = videos_of(manifest, "train", path=options.data)
    hold_out(items, fraction=options.held_out, seed=options.seed)
    problem = Problem(space=space, variant=variant, target=target, num_classes=manifest.num_classes, seed=options.seed)
    problem.check_feasible()
    random_baseline(problem, options.search.selection)
    STARTS[options.search.start](problem)
    return problem, manifest


def _prepare(
    run: RunDir,
    options: Options,
    problem: Problem,
    compute: Compute,
    *,
    telemetry: Telemetry,
    stopwatch: Stopwatch,
) -> tuple[SupernetEvaluator, StartRecord]:
    manifest = load_manifest(run.manifest_path)
    items = videos_of(manifest, "train", path=options.data)
    kept, held = hold_out(items, fraction=options.held_out, seed=options.seed)
    tally = Tally(options.clips, num_videos=len(items), telemetry=telemetry)
    clips = SearchClips(
        kept,
        held,
        config=options.clips,
        weights=options.weights,
        compare_clips=options.compare_clips,
        seed=options.seed,
        geometries={clip: clip_geometry(options.proxy, clip) for clip in problem.space.clips},
        compute=compute,
        num_ahead=options.search.architectures_per_step,
        tally=tally,
    )
    supernet = Supernet(
        problem.space,
        problem.variant,
        num_classes=problem.num_classes,
        seed=derive_seed(options.seed, "supernet"),
        rezero=options.weights.rezero_init,
    ).to(compute.device)
    evaluator = SupernetEvaluator(
        supernet,
        options.weights,
        num_steps=options.search.steps,
        train_batches=clips.train,
        reward_batches=clips.reward,
        compare_batches=clips.compare,
        stopwatch=stopwatch,
        amp_dtype=compute.amp_dtype,
    )
    start = StartRecord(
        space=problem.space.name,
        space_hash=problem.space.hash,
        target=problem.target.text,
        target_cost=problem.target.value,
        steps=options.search.steps,
        seed=options.seed,
        decisions={decision.name: decision.choices for decision in problem.space.decisions},
        class_names=manifest.class_names,
        num_train_videos=len(kept),
        num_heldout_videos=len(held),
    )
    return evaluator, start


def plan(options: Options, problem: Problem) -> Plan:
    """What the search will take, from trial steps here."""
    compute = set_up(options)
    space, config, weights = problem.space, options.search, options.weights
    rng = generator(options.seed, "plan")
    supernet = Supernet(space, problem.variant, num_classes=problem.num_classes)
    specs = [space.decode(space.sample(rng), problem.variant).spec for _ in range(NUM_TRIALS)]
    largest_clip = max(space.clips, key=lambda clip: clip.num_frames * clip.resolution**2)
    trial = try_supernet(
        supernet,
        [replace(space.largest_widths(), clip=largest_clip), *specs],
        batch_size=weights.batch_size,
        reward_batch_size=weights.reward_batch_size,
        clip_of=lambda spec: clip_geometry(options.proxy, spec.clip),
        compute=compute,
    )
    num_compared = 1 + config.selection.num_policy + config.selection.num_random
    seconds = config.steps * config.architectures_per_step * (trial.train_s + trial.forward_s)
    seconds += num_compared * trial.forward_s * options.compare_clips / weights.reward_batch_size
    return make_plan(
        steps=config.steps,
        seconds=seconds,
        trial=trial,
        num_params=sum(parameter.numel() for parameter in supernet.parameters()),
        journal_bytes=config.steps * config.architectures_per_step * 64 * len(space.decisions),
    )


def _progress_text(record: StepRecord) -> str:
    quality = float(np.mean([trial.quality for trial in record.trials]))
    ratio = float(np.mean([trial.ratio for trial in record.trials]))
    return (
        f"loss {record.train_loss:.3f}  quality {quality:.3f}  cost/target {ratio:.3f}  "
        f"argmax {record.argmax_ratio:.3f}"
    )


def show_result(run: RunDir, result: ResultRecord, *, as_json: bool) -> None:
    """Print what a search found, beside random architectures of equal cost."""
    spec_path = run.specs_path / f"{result.found}.json"
    if as_json:
        console.show_json(
            {"run": str(run.path), "spec": str(spec_path), "report": str(run.report_path), **asdict(result)}
        )
        return
    console.show_table(
        "Held-out quality of the supernet's networks, at the target's cost",
        ("", "cost/target", "quality", "fingerprint"),
        [
            ("selected", f"{result.found_ratio:.3f}", f"{result.found_quality:.3f}", result.found[:16]),
            ("argmax of the policy", f"{result.argmax_ratio:.3f}", "", result.argmax_fingerprint[:16]),
            (f"random, mean of {result.num_random}", "", f"{result.random_quality_mean:.3f}", ""),
            (f"random, best of {result.num_random}", "", f"{result.random_quality_best:.3f}", ""),
        ],
    )
    console.show(f"spec    {spec_path}\nrun     {run.path}\nreport  {run.report_path}")
