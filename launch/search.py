"""`movinas search`: find a network at a cost target; and what `resume` runs again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from pathlib import Path

import numpy as np

from launch import console
from launch.clips import ClipConfig, Tally, hold_out, manifest_text, require_single_label, videos_of
from launch.compute import Amp, Compute, environment_of, resolved, set_up
from launch.found import found_spec
from launch.initial import SCRATCH, Source, read_source, start_from, summary, teacher_of
from launch.memory_watch import MemoryWatch
from launch.options import to_yaml
from launch.plan import Plan, show_plan
from launch.presets import Preset, check_preset, paper
from launch.run_report import write_report
from launch.runs import absolute_init, held_new, variant_of
from launch.search_clips import SearchClips, clip_geometry
from launch.search_plan import search_plan
from launch.specs import find_variant, with_clip_choices, with_conv_choices
from launch.targets import kept_targets
from nas.loop import SearchConfig, run_search
from nas.problem import Problem
from nas.select import random_baseline
from nas.start import STARTS
from results.checkpoint import load_newest
from results.history import read_history
from results.records import ResultRecord, StartRecord, StepRecord
from results.run_dir import RunDir, create_run
from results.stopwatch import Stopwatch
from results.telemetry import Telemetry
from search_spaces.errors import UsageError, WeightsError
from search_spaces.movinet import find_space
from search_spaces.randomness import derive_seed
from search_spaces.space_json import read_space, space_document
from search_spaces.spec_json import write_spec
from search_spaces.strict_json import pretty
from search_spaces.target import parse_target
from supernet.evaluator import SupernetEvaluator, WeightConfig
from supernet.supernet import Supernet
from video.manifest import Manifest, load_manifest

REPEATED = ("max",)


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """What the searches of a family have in common.

    Attributes:
        data: Manifest; its train split is used, partly held out for rewards; val and test are not looked at.
        max: Cost never to exceed, such as state=64KiB@fp16; may be given several times.
        preset: paper: the constants of the paper and TuNAS, scaled to batch and data, where no option says otherwise.
        clip_choices: Makes the clip decisions of the space, such as frames=25:50,resolution=172:224,rate_fps=5; every
            architecture is then trained and measured on clips of its own.
        conv_choices: Makes the form of convolutions longer than one frame a decision of the space, as 3d:3d_2plus1d.
        variant: base, paper-stream, released-stream, or a JSON file.
        proxy: Clips of the search where they differ from the space's, such as frames=16,resolution=112; costs stay
            those of the space.
        init: What the shared weights start from: scratch, weights:FILE for the model.safetensors of a network beside
            its model.json (or their folder), retrain:RUN for that of a retraining, supernet:RUN for those of a search.
        held_out: Share of the training videos that rewards come from, in (0, 1).
        compare_clips: Held-out clips, at most, of the final comparison.
        search: Strategy, steps, reward, controller, warm-up, selection.
        weights: Training of the shared weights.
        clips: Reading of the videos.
        device: auto, cpu, cuda, ...
        amp: Autocast of the network.
        plan: Print steps, memory, disk and an estimate of time, and stop.
        json: Print one JSON document at the end.
    """

    data: Path
    max: tuple[str, ...] = ()
    preset: str | None = None
    clip_choices: str | None = None
    conv_choices: str | None = None
    variant: str = "base"
    proxy: str | None = None
    init: str = SCRATCH
    held_out: float = 0.3
    compare_clips: int = 512
    search: SearchConfig = field(default_factory=SearchConfig)
    weights: WeightConfig = field(default_factory=WeightConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)
    device: str = "auto"
    amp: Amp = "off"
    plan: bool = False
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Options(SharedOptions):
    """Search a space for a network at a cost target, on your own videos.

    Attributes:
        space: a0 to a5, phi:<number>, nano, or a JSON file.
        target: Cost to land on, such as macs=12M/clip, or latency=10ms/frame@table.json (bench table).
        out: Run folder to make.
        seed: Of everything that is drawn.
        threads: Of torch; 0 takes all cores.
        workers: Processes that read clips, for weights and for rewards each; -1 chooses, 0 reads in this one.
    """

    space: str
    target: str
    out: Path
    seed: int = 0
    threads: int = 0
    workers: int = -1


def run(options: Options) -> int:
    """Search and say what was found."""
    if options.preset is not None:
        show_preset(options)
    if options.plan:
        return show_plan(plan(options, *check(options)), as_json=options.json)
    folder, result = search(options)
    show_result(folder, result, as_json=options.json)
    return 0


def search(options: Options) -> tuple[RunDir, ResultRecord]:
    """Check everything, make the run folder, and search."""
    problem, manifest = check(options)
    (target, *limits), tables = kept_targets(problem.target, *problem.limits)
    kept = replace(
        resolved(options),
        data=options.data.resolve(),
        init=absolute_init(options.init),
        target=target,
        max=tuple(limits),
    )
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
    evaluator, start = _prepare(
        run, options, problem, compute, telemetry=telemetry, stopwatch=stopwatch, fresh=checkpoint is None
    )
    progress = console.Progress("search", total=options.search.steps, done=checkpoint.number if checkpoint else 0)
    memory = MemoryWatch(telemetry, compute.device)
    result = None
    for record in run_search(
        problem, options.search, evaluator, start=start, run=run, checkpoint=checkpoint, stopwatch=stopwatch
    ):
        if isinstance(record, StepRecord):
            memory.look()
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
        limits=tuple(parse_target(limit, folder=run.path) for limit in options.max),
        num_classes=load_manifest(run.manifest_path).num_classes,
        seed=options.seed,
    )


def preset_of(options: Options) -> Preset:
    """The preset that the options name, for their data and batch; they hold what it is scaled by.

    Raises:
        UsageError: An unknown preset.
        ManifestError: The manifest does not read, or has too few videos.
    """
    check_preset(options.preset)
    manifest = load_manifest(options.data)
    require_single_label(manifest, path=options.data)
    items = videos_of(manifest, "train", path=options.data)
    kept, held = hold_out(items, fraction=options.held_out, seed=options.seed)
    return paper(
        num_train_videos=len(kept),
        num_held_out=len(held),
        batch_size=options.weights.batch_size,
        architectures_per_step=options.search.architectures_per_step,
        steps=options.search.steps,
        bf16=options.amp == "bf16",
    )


def show_preset(options: Options) -> None:
    """Print how the preset's values came about, and which of them were given otherwise."""
    preset = preset_of(options)
    given = {name: attrgetter(name)(options) for name in preset.values}
    others = [f"{name} is {value}, as given" for name, value in given.items() if value != preset.values[name]]
    for line in (*preset.arithmetic, *others):
        console.log(f"preset {options.preset}: {line}")


def defaults_of(options: Options) -> Mapping[str, object]:
    """What options are where nobody gave them, by dotted names; it may follow from what was given."""
    return {} if options.preset is None else preset_of(options).values


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
    space = with_conv_choices(with_clip_choices(find_space(options.space), options.clip_choices), options.conv_choices)
    target, limits = parse_target(options.target), tuple(map(parse_target, options.max))
    variant = find_variant(options.variant)
    clip_geometry(options.proxy, space.clip)
    if options.proxy and len(space.clips) > 1:
        raise UsageError(f"a space that decides on its clip must have no proxy, but got {options.proxy!r}")
    manifest = load_manifest(options.data)
    require_single_label(manifest, path=options.data)
    items = videos_of(manifest, "train", path=options.data)
    hold_out(items, fraction=options.held_out, seed=options.seed)
    problem = Problem(
        space=space,
        variant=variant,
        target=target,
        limits=limits,
        num_classes=manifest.num_classes,
        seed=options.seed,
    )
    if options.search.subclip_frames is not None and not variant.streams:
        raise UsageError(
            "search.subclip_frames must go with a variant that streams, such as paper-stream or released-stream, "
            f"but got {options.variant}"
        )
    source = read_source(options.init)
    teacher_of(source, options.search.distill, class_names=manifest.class_names)
    if source is not None:
        start_from(source, _supernet(options, problem), class_names=manifest.class_names)
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
    fresh: bool,
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
    supernet = _supernet(options, problem)
    distill = options.search.distill
    source = read_source(options.init) if fresh or distill.weight else None
    if source is not None and fresh:
        found = start_from(source, supernet, class_names=manifest.class_names)
        console.log(summary(source, found))
        telemetry.append("init", **asdict(found))
    elif source is not None:
        _require_same(source, run)
    teacher = teacher_of(source, distill, class_names=manifest.class_names)
    supernet.to(compute.device)
    if teacher is not None:
        teacher.net.to(compute.device)
    evaluator = SupernetEvaluator(
        supernet,
        options.weights,
        num_steps=options.search.steps,
        train_batches=clips.train,
        reward_batches=clips.reward,
        compare_batches=clips.compare,
        stopwatch=stopwatch,
        amp_dtype=compute.amp_dtype,
        subclip_frames=options.search.subclip_frames,
        teacher=teacher,
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
        limits=tuple(limit.text for limit in problem.limits),
        strategy=options.search.strategy,
        init=SCRATCH if source is None else source.identity,
    )
    return evaluator, start


def _supernet(options: Options, problem: Problem) -> Supernet:
    return Supernet(
        problem.space,
        problem.variant,
        num_classes=problem.num_classes,
        seed=derive_seed(options.seed, "supernet"),
        rezero=options.weights.rezero_init,
        checkpointing=options.weights.checkpointing,
    )


def _require_same(source: Source, run: RunDir) -> None:
    start = read_history(run.journal_path).start
    if start is not None and start.init != source.identity:
        raise WeightsError(
            f"the network that a search learns from must stay as it was, {start.init}, but is now {source.identity}",
            path=source.init.partition(":")[2],
        )


def plan(options: Options, problem: Problem, manifest: Manifest) -> Plan:
    """What the search will take, from trial steps here."""
    items = videos_of(manifest, "train", path=options.data)
    _, held = hold_out(items, fraction=options.held_out, seed=options.seed)
    return search_plan(
        problem,
        options.search,
        options.weights,
        clip_of=lambda spec: clip_geometry(options.proxy, spec.clip),
        compare_clips=min(options.compare_clips, len(held)),
        compute=set_up(options),
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
    history = read_history(run.journal_path)
    assert history.start is not None
    limits = history.start.limits
    nothing = ("",) * len(limits)
    found = [f"{ratio:.3f}" for ratio in result.found_limit_ratios]
    argmax = [f"{ratio:.3f}" for ratio in result.argmax_limit_ratios]
    mean, best = f"random, mean of {result.num_random}", f"random, best of {result.num_random}"
    rows = [
        ("selected", f"{result.found_ratio:.3f}", *found, f"{result.found_quality:.3f}", result.found[:16]),
        ("raw argmax", f"{result.argmax_ratio:.3f}", *argmax, "", result.argmax_fingerprint[:16]),
        (mean, "", *nothing, f"{result.random_quality_mean:.3f}", ""),
        (best, "", *nothing, f"{result.random_quality_best:.3f}", ""),
    ]
    if result.unlimited_quality_mean is not None and result.unlimited_quality_best is not None:
        rows.append((f"{mean}, limits lifted", "", *nothing, f"{result.unlimited_quality_mean:.3f}", ""))
        rows.append((f"{best}, limits lifted", "", *nothing, f"{result.unlimited_quality_best:.3f}", ""))
    console.show_table(
        "Held-out quality of the supernet's networks, inside the budget",
        ("", "cost/target", *(f"cost/({limit})" for limit in limits), "quality", "fingerprint"),
        rows,
    )
    if any(each.origin == "stand-in" and each.fingerprint == result.found for each in history.candidates):
        console.log(
            "the search proposed too few architectures inside the budget, and the selected one is a random one that it "
            "finds likely; more steps, or a budget nearer to the middle of the space, would help"
        )
    console.show(f"spec    {spec_path}\nrun     {run.path}\nreport  {run.report_path}")
