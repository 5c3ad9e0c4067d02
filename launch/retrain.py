"""`movinas retrain`: train the network of a spec, from scratch or from weights."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

from launch import console
from launch.clips import ClipConfig, Tally, endless, manifest_text, once, short_side_of, videos_of
from launch.compute import Compute, TrainingAmp, environment_of, set_up
from launch.options import to_yaml
from launch.plan import Plan, make_plan, show_plan, try_net
from launch.rank_start import RankExecutor, check_ranks, require_same_division, resolved_on_ranks, start_ranks
from launch.ranks import local_number, torchrun_ranks
from launch.retrain_init import SCRATCH, describe, start
from launch.run_report import write_report
from launch.runs import absolute_init, held_new, options_of, require_same, tell_differences
from launch.specs import find_spec, find_variant
from results.checkpoint import Checkpoint, load_newest
from results.run_dir import RunDir, create_run, lock, open_run
from results.stopwatch import Stopwatch
from results.summary import summarise_retrain
from results.telemetry import Telemetry
from retrain.distributed import ALONE, Ranks
from retrain.embeddings import check_objective
from retrain.evaluate import clip_logits, predict, report_of
from retrain.fit import Trainer
from retrain.losses import balancing_weights
from retrain.model_file import ModelCard, read_card
from retrain.presets import RecipePreset, check_preset, preset, schedule_lines, variant_of_preset
from retrain.recipe import Recipe
from search_spaces.cost import cost
from search_spaces.spec import ClipGeometry
from search_spaces.spec_json import SpecFile, fingerprint, make_spec_file, read_spec
from search_spaces.strict_json import pretty
from supernet.tensors import from_bytes, load_exactly, to_bytes
from supernet.video_net import VideoNet
from video.augment import Augmenter
from video.clips import ClipBatch, ClipReader
from video.label_space import LabelSpace
from video.manifest import Manifest, load_manifest

POSITIONALS = ("spec",)
SHORT = {"ray_address": "--ray-address"}
ASIDE = (
    *("spec", "data", "variant", "out", "plan", "json", "resume"),
    *("device", "threads", "workers", "executor", "gpus", "ray_address", "max_failures"),
    *("ranks", "recipe.accumulation"),  # whose product must not: `require_same_division`
    *("clips.cache_dir", "clips.cache_bytes"),
)
"""Options that may differ where a run goes on: who computes, and files of which the run keeps a copy."""
WRITER_PATIENCE_S = 60.0
"""How long the first rank waits for the one of a try before to end."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train the network of a spec on your own videos; the classes come from the manifest.

    Attributes:
        spec: Spec file, or published:A0 to published:A5.
        data: Manifest; trains on its train split, measures on val.
        out: Run folder to make.
        variant: base, paper-stream, released-stream, or a JSON file; None takes the one of the spec file.
        preset: paper, released, small (few videos), or finetune (on from trained weights, with a new classifier), where
            no option says otherwise; scaled to batch and data.
        init: scratch, supernet:RUN for the shared weights of a search, retrain:RUN for those of a retraining of the
            same network, or weights:FILE for a safetensors file, or the folder of a network, imported or ours.
        init_partial: Take from `init` what fits by name and shape, and name the rest; otherwise all must fit.
        recipe: Epochs, batch size, optimizer, rates, augmentation, clip lengths.
        clips: Reading of the videos.
        seed: Of everything that is drawn.
        device: auto, cpu, cuda, ...
        threads: Of torch; 0 takes all cores.
        workers: Processes that read clips; -1 chooses, 0 reads in this one.
        amp: Autocast of the network: off, bf16, or fp16 with a scaled loss.
        ranks: Processes that train together, each with its share of every batch, and threads and workers of its own.
            torchrun starts them itself.
        executor: Who runs the ranks: inline on this machine, or ray for workers of Ray Train.
        gpus: Of each rank on Ray, 0 or 1.
        ray_address: host:port of a running cluster, or auto; None starts one.
        max_failures: How often the ranks on Ray are begun again, from the newest checkpoint, after the loss of one.
        resume: auto goes on where `out` is a run with the same options, and begins where there is none; never refuses
            a folder that exists.
        plan: Print steps, memory, disk and an estimate of time, and stop.
        json: Print one JSON document at the end.
    """

    spec: str
    data: Path
    out: Path
    variant: str | None = None
    preset: str | None = None
    init: str = SCRATCH
    init_partial: bool = False
    recipe: Recipe = field(default_factory=Recipe)
    clips: ClipConfig = field(default_factory=ClipConfig)
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    workers: int = -1
    amp: TrainingAmp = "off"
    ranks: int = 1
    executor: RankExecutor = "inline"
    gpus: int = 0
    ray_address: str | None = None
    max_failures: int = 3
    resume: Literal["never", "auto"] = "never"
    plan: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every rank knows of a training; the first has it from the run folder, which the others need not see."""

    options: Options
    spec_file: SpecFile
    manifest: Manifest
    checkpoint: Checkpoint | None


def run(options: Options) -> int:
    """Train and say how well it went."""
    if options.preset is not None:
        for line in preset_lines(options):
            console.log(f"preset {options.preset}: {line}")
    if options.plan:
        return show_plan(plan(options, *check(options)), as_json=options.json)
    with torchrun_ranks() as ranks:
        if ranks.is_first:
            folder, card = retrain(options, ranks)
            show_result(folder, card, as_json=options.json)
        else:
            follow(ranks)
    return 0


def retrain(options: Options, ranks: Ranks = ALONE) -> tuple[RunDir, ModelCard]:
    """Check everything, make the run folder, or find it where the options say so, and train.

    Args:
        options: As given.
        ranks: Of torchrun, of which this is the first.
    """
    with begun(options, ranks) as (folder, kept):
        return folder, execute(folder, kept, ranks)


@contextlib.contextmanager
def begun(options: Options, ranks: Ranks = ALONE) -> Iterator[tuple[RunDir, Options]]:
    """The run folder, held, and the resolved options.

    Raises:
        UsageError: Options do not go together, or are not those of the run that is there.
    """
    spec_file, manifest = check(options)
    kept = replace(options, data=options.data.resolve(), init=absolute_init(options.init), resume="never")
    kept = resolved_on_ranks(kept, ranks)
    texts = {"spec.json": pretty(asdict(spec_file)), "manifest.jsonl": manifest_text(manifest)}
    if options.resume == "auto" and options.out.exists():
        folder = open_run(options.out, kind="retrain")
        with lock(folder):
            require_same(folder, kept, files=texts, aside=ASIDE)
            require_same_division(options_of(folder, Options), kept)
            tell_differences(folder, environment_of(kept.threads, ranks=kept.ranks))
            yield folder, kept
        return
    environment = pretty(environment_of(kept.threads, ranks=kept.ranks))
    folder = create_run(
        options.out, kind="retrain", files={**texts, "config.yaml": to_yaml(kept), "env.json": environment}
    )
    with held_new(folder):
        yield folder, kept


def execute(run: RunDir, options: Options, ranks: Ranks = ALONE) -> ModelCard:
    """Train in a run folder whose lock the caller holds, from its newest checkpoint on."""
    if ranks.size == 1 and (options.ranks > 1 or options.executor == "ray"):
        folder = run.path.resolve()
        start_ranks(train_as_rank, (folder, options), options, folder=folder)
    else:
        train(run, options, ranks)
    write_report(run)
    return read_card(run.model_path)


def train_as_rank(task: tuple[Path, Options], ranks: Ranks) -> None:
    """What each rank does that was started to train in a run folder that another process holds."""
    if not ranks.is_first:
        follow(ranks)
        return
    folder, options = task
    run = open_run(folder, kind="retrain")
    with lock(run, patience_s=WRITER_PATIENCE_S, as_writer=True):
        train(run, options, ranks)


def train(run: RunDir, options: Options, ranks: Ranks) -> None:
    """Train as the first rank, from the newest checkpoint of the run on."""
    telemetry = Telemetry(run.telemetry_path)

    def job() -> Job:
        found = load_newest(run.checkpoints_path)
        return Job(
            options=options,
            spec_file=read_spec(run.spec_path),
            manifest=load_manifest(run.manifest_path),
            # as a plain mapping, which travels
            checkpoint=None if found is None else replace(found, blobs=dict(found.blobs)),
        )

    shared = ranks.from_first(job)
    checkpoint = shared.checkpoint
    compute = set_up(options, local_rank=_local_rank(ranks))
    environment = environment_of(compute.num_threads, ranks=ranks.size)
    telemetry.append("resume" if checkpoint else "start", environment=environment)
    trainer = _trainer(shared, compute, ranks=ranks, telemetry=telemetry)
    progress = console.Progress("retrain", total=trainer.num_steps, done=checkpoint.number if checkpoint else 0)
    for record in trainer.fit(run, checkpoint, Stopwatch()):
        val = "" if record.val_top1 is None else f"  val {record.metric} {record.val_top1:.3f}"
        progress.update(
            record.step, f"epoch {record.epoch}  loss {record.train_loss:.3f}  train top-1 {record.train_top1:.3f}{val}"
        )
    telemetry.append("end")


def follow(ranks: Ranks) -> None:
    """Train as a rank that is not the first, which says what is trained, and alone writes."""
    job: Job = ranks.from_first(_unasked)
    compute = set_up(job.options, local_rank=_local_rank(ranks))
    trainer = _trainer(job, compute, ranks=ranks, telemetry=None)
    for _ in trainer.fit(None, job.checkpoint, Stopwatch()):
        pass


def accuracy_of(
    reader: ClipReader,
    *,
    batch_size: int,
    space: LabelSpace,
    compute: Compute,
    tally: Tally,
    ranks: Ranks = ALONE,
) -> Callable[[VideoNet], float]:
    """What a network is chosen by (`space.metric`), over the middle clip of every video of a reader, on every rank.

    The batches are those of one process, whichever rank runs them, and so the quality is, to the last bit.
    """
    batches: Callable[[], Iterator[ClipBatch]] = once(
        reader, batch_size=batch_size, compute=compute, tally=tally, ranks=ranks
    )

    def accuracy(net: VideoNet) -> float:
        mine = clip_logits(net, batches(), device=compute.device, amp_dtype=compute.amp_dtype)
        logits = mine if ranks.size == 1 else ranks.interleaved(list(mine))
        tally.exchange()
        predictions = predict(logits, num_videos=len(reader.items), space=space, num_views=1)
        return report_of(predictions, space=space, views="1x1").quality

    return accuracy


def check(options: Options) -> tuple[SpecFile, Manifest]:
    """Find whatever can be wrong before the first step; nothing is written. Errors are those of spec and manifest."""
    check_ranks(options)
    check_preset(options.preset)
    spec_file = spec_of(options)
    return spec_file, check_spec(options, spec_file)


def check_spec(options: Options, spec_file: SpecFile) -> Manifest:
    """The rest of `check`, once it is known what is trained."""
    check_objective(options.recipe, spec_file.arch, spec_file.variant, clip=spec_file.arch.clip)
    manifest = load_manifest(options.data)
    videos_of(manifest, "train", path=options.data)
    start(
        spec_file,
        options.init,
        class_names=manifest.class_names,
        seed=options.seed,
        recipe=options.recipe,
        partial=options.init_partial,
    )
    return manifest


def spec_of(options: Options) -> SpecFile:
    """The network that is trained, in the variant asked for, or else that of the preset or its file.

    Raises:
        SpecError: Unknown, unreadable, or not what a spec or variant must be.
    """
    found = find_spec(options.spec)
    if options.variant is not None:
        variant = find_variant(options.variant, arch=found.arch)
    else:
        variant = variant_of_preset(options.preset, found.variant)
    if variant == found.variant and options.variant is None:
        return found
    return make_spec_file(found.arch, variant, genotype=found.genotype, provenance=found.provenance)


def preset_of(options: Options) -> RecipePreset | None:
    """The preset that the options name, for their network, data and batch; None where they name none.

    Raises:
        UsageError: An unknown preset.
        SpecError: As `spec_of`.
        ManifestError: The manifest does not read, or has no videos to train on.
    """
    check_preset(options.preset)
    if options.preset is None:
        return None
    manifest, spec_file = load_manifest(options.data), spec_of(options)
    return preset(
        options.preset,
        num_train_videos=len(videos_of(manifest, "train", path=options.data)),
        batch_size=options.recipe.batch_size,
        arch=spec_file.arch,
        variant=spec_file.variant,
        num_classes=manifest.num_classes,
    )


def defaults_of(options: Options) -> Mapping[str, object]:
    """What options are where nobody gave them, by dotted names; it may follow from what was given."""
    found = preset_of(options)
    return {} if found is None else found.values


def preset_lines(options: Options) -> Iterator[str]:
    """The arithmetic of the preset, and what was given in place of it."""
    found = preset_of(options)
    assert found is not None
    for name, value in found.values.items():
        actual = attrgetter(name)(options)
        if actual != value:
            yield f"{name}: {actual}, as given, and not {value}"
        elif name in found.arithmetic:
            yield f"{name}: {found.arithmetic[name]}"
    yield from schedule_lines(options.recipe, len(load_manifest(options.data).of("train")))


def plan(options: Options, spec_file: SpecFile, manifest: Manifest) -> Plan:
    """What the training will take, from trial steps here."""
    compute = set_up(options)
    recipe, num_videos = options.recipe, len(manifest.of("train"))
    micro_batch = recipe.batch_size // (options.ranks * recipe.accumulation)
    net = VideoNet(spec_file.arch, spec_file.variant, num_classes=manifest.num_classes)
    trial = try_net(
        net,
        batch_size=micro_batch,
        clip=_with_frames(spec_file.arch.clip, recipe.train_frames),
        compute=compute,
    )
    num_steps = recipe.num_steps(num_videos)
    num_evaluations = sum(recipe.evaluation_due(epoch) for epoch in range(recipe.epochs))
    num_forwards = recipe.calibration_batches * recipe.accumulation + len(manifest.of("val")) / (
        micro_batch * options.ranks
    )
    return make_plan(
        steps=num_steps,
        parts_s={
            "training": num_steps * recipe.accumulation * trial.train_s,
            "evaluations": num_evaluations * num_forwards * trial.forward_s,
        },
        trial=trial,
        num_params=sum(parameter.numel() for parameter in net.parameters()),
        journal_bytes=200 * recipe.epochs,
        num_kept=recipe.epochs // recipe.keep_every if recipe.keep_every else 0,
    )


def _local_rank(ranks: Ranks) -> int | None:
    return local_number("LOCAL_RANK", 0) if ranks.size > 1 else None


def _unasked() -> Job:
    raise AssertionError("only the first rank is asked what is trained")


def _trainer(job: Job, compute: Compute, *, ranks: Ranks, telemetry: Telemetry | None) -> Trainer:
    options, spec_file, manifest = job.options, job.spec_file, job.manifest
    recipe, clip = options.recipe, spec_file.arch.clip
    items, val_items = videos_of(manifest, "train", path=options.data), manifest.of("val")
    tally = Tally(options.clips, num_videos=len(items) + len(val_items), telemetry=telemetry, ranks=ranks)
    short_side = short_side_of(spec_file.arch) if options.clips.short_side is None else options.clips.short_side
    clips = replace(options.clips, short_side=short_side)
    space = manifest.label_space
    train_reader = clips.reader(
        items,
        _with_frames(clip, recipe.train_frames),
        seed=options.seed,
        training=True,
        augment=Augmenter(config=recipe.augment, directed=recipe.augment.directed_classes(manifest.class_names)),
        space=space,
    )
    test_clip = _with_frames(clip, recipe.test_frames)
    accuracy: Callable[[VideoNet], float | None] = _not_measured
    if val_items:
        accuracy = accuracy_of(
            clips.reader(val_items, test_clip, seed=options.seed, training=False, space=space),
            batch_size=recipe.batch_size // (ranks.size * recipe.accumulation),
            space=space,
            compute=compute,
            tally=tally,
            ranks=ranks,
        )
    fresh = job.checkpoint is None
    begins = fresh and ranks.is_first
    found = start(
        spec_file,
        options.init if begins else SCRATCH,
        class_names=manifest.class_names,
        seed=options.seed,
        recipe=recipe if begins else replace(recipe, new_head=False),
        partial=options.init_partial,
    )
    if fresh:
        weights = ranks.from_first(lambda: to_bytes(found.net.state_dict()))
        load_exactly(found.net, from_bytes(weights), source="the first rank")
    if begins and options.init != SCRATCH:
        assert telemetry is not None
        console.log(describe(options.init, found))
        telemetry.append("init", init=options.init, **found.names())
    return Trainer(
        found.net.to(compute.device),
        recipe,
        num_videos=len(items),
        card=ModelCard(
            fingerprint=fingerprint(spec_file.arch, spec_file.variant),
            arch=spec_file.arch,
            variant=spec_file.variant,
            class_names=manifest.class_names,
            num_frames=test_clip.num_frames,
            rate_fps=test_clip.rate_fps,
            short_side=train_reader.short_side,
            resolution=test_clip.resolution,
            epoch=0,
            val_top1=None,
            heads=space.heads,
            multi_label=space.multi_label,
        ),
        train_batches=endless(
            train_reader,
            seed=options.seed,
            purpose="retrain",
            batch_size=recipe.batch_size,
            compute=compute,
            tally=tally,
            num_ahead=recipe.accumulation,
            ranks=ranks,
            accumulation=recipe.accumulation,
            balanced=recipe.balance == "sampling",
        ),
        accuracy=accuracy,
        seed=options.seed,
        amp_dtype=compute.amp_dtype,
        ranks=ranks,
        class_weights_K=balancing_weights([item.labels for item in items], space) if recipe.balance == "loss" else None,
    )


def _not_measured(net: VideoNet) -> None:
    """Accuracy where there is no validation split."""


def _with_frames(clip: ClipGeometry, num_frames: int | None) -> ClipGeometry:
    return clip if num_frames is None else replace(clip, num_frames=num_frames)


def show_result(run: RunDir, card: ModelCard, *, as_json: bool) -> None:
    """Print how a retraining went."""
    summary = summarise_retrain(run)
    if as_json:
        console.show_json(
            {
                "run": str(run.path),
                "spec": card.fingerprint,
                "steps": summary.steps,
                "best": {"top1": card.val_top1, "epoch": card.epoch, "metric": card.label_space.metric},
                "macs": cost(card.arch, card.variant, num_classes=len(card.class_names)).macs,
                "model": str(run.model_path),
            }
        )
        return
    val = "no validation split"
    if card.val_top1 is not None:
        val = f"val {card.label_space.metric} {card.val_top1:.3f} after epoch {card.epoch}"
    console.show(f"{summary.steps} steps, {val}\nmodel   {run.model_path}\nreport  {run.report_path}")
