"""`movinas retrain`: train the network of a spec, from scratch or from weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from pathlib import Path

from torch import Tensor

from launch import console
from launch.clips import ClipConfig, Tally, endless, manifest_text, once, short_side_of, videos_of
from launch.compute import Amp, Compute, environment_of, resolved, set_up
from launch.options import to_yaml
from launch.plan import Plan, make_plan, show_plan, try_net
from launch.retrain_init import SCRATCH, describe, start
from launch.run_report import write_report
from launch.runs import absolute_init, held_new
from launch.specs import find_spec, find_variant
from results.checkpoint import load_newest
from results.run_dir import RunDir, create_run
from results.stopwatch import Stopwatch
from results.summary import summarise_retrain
from results.telemetry import Telemetry
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
from supernet.video_net import VideoNet
from video.augment import Augmenter
from video.clips import ClipBatch, ClipReader
from video.manifest import Manifest, VideoItem, load_manifest

POSITIONALS = ("spec",)


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
        amp: Autocast of the network.
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
    amp: Amp = "off"
    plan: bool = False
    json: bool = False


def run(options: Options) -> int:
    """Train and say how well it went."""
    if options.preset is not None:
        for line in preset_lines(options):
            console.log(f"preset {options.preset}: {line}")
    if options.plan:
        return show_plan(plan(options, *check(options)), as_json=options.json)
    folder, card = retrain(options)
    show_result(folder, card, as_json=options.json)
    return 0


def retrain(options: Options) -> tuple[RunDir, ModelCard]:
    """Check everything, make the run folder, and train."""
    spec_file, manifest = check(options)
    kept = replace(resolved(options), data=options.data.resolve(), init=absolute_init(options.init))
    folder = create_run(
        options.out,
        kind="retrain",
        files={
            "config.yaml": to_yaml(kept),
            "env.json": pretty(environment_of(kept.threads)),
            "spec.json": pretty(asdict(spec_file)),
            "manifest.jsonl": manifest_text(manifest),
        },
    )
    with held_new(folder):
        return folder, execute(folder, kept)


def execute(run: RunDir, options: Options) -> ModelCard:
    """Train in a run folder whose lock the caller holds, from its newest checkpoint on."""
    compute = set_up(options)
    telemetry, stopwatch = Telemetry(run.telemetry_path), Stopwatch()
    checkpoint = load_newest(run.checkpoints_path)
    telemetry.append("resume" if checkpoint else "start", environment=environment_of(compute.num_threads))
    trainer = _trainer(run, options, compute, telemetry=telemetry, fresh=checkpoint is None)
    progress = console.Progress("retrain", total=trainer.num_steps, done=checkpoint.number if checkpoint else 0)
    for record in trainer.fit(run, checkpoint, stopwatch):
        val = "" if record.val_top1 is None else f"  val top-1 {record.val_top1:.3f}"
        progress.update(
            record.step, f"epoch {record.epoch}  loss {record.train_loss:.3f}  train top-1 {record.train_top1:.3f}{val}"
        )
    telemetry.append("end")
    write_report(run)
    return read_card(run.model_path)


def accuracy_of(
    reader: ClipReader, *, batch_size: int, class_names: tuple[str, ...], compute: Compute, tally: Tally
) -> Callable[[VideoNet], float]:
    """Top-1 accuracy of a network over the middle clip of every video of a reader."""
    batches: Callable[[], Iterator[ClipBatch]] = once(reader, batch_size=batch_size, compute=compute, tally=tally)

    def accuracy(net: VideoNet) -> float:
        logits = clip_logits(net, batches(), device=compute.device, amp_dtype=compute.amp_dtype)
        predictions = predict(logits, num_videos=len(reader.items), num_classes=len(class_names), num_views=1)
        return report_of(predictions, class_names=class_names, views="1x1").top1

    return accuracy


def check(options: Options) -> tuple[SpecFile, Manifest]:
    """Find whatever can be wrong before the first step; nothing is written. Errors are those of spec and manifest."""
    check_preset(options.preset)
    spec_file = spec_of(options)
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
    return spec_file, manifest


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
    net = VideoNet(spec_file.arch, spec_file.variant, num_classes=manifest.num_classes)
    trial = try_net(
        net,
        batch_size=recipe.batch_size,
        clip=_with_frames(spec_file.arch.clip, recipe.train_frames),
        compute=compute,
    )
    num_steps = recipe.num_steps(num_videos)
    num_evaluations = sum(recipe.evaluation_due(epoch) for epoch in range(recipe.epochs))
    forwards = recipe.calibration_batches + len(manifest.of("val")) / recipe.batch_size
    return make_plan(
        steps=num_steps,
        parts_s={
            "training": num_steps * trial.train_s,
            "evaluations": num_evaluations * forwards * trial.forward_s,
        },
        trial=trial,
        num_params=sum(parameter.numel() for parameter in net.parameters()),
        journal_bytes=200 * recipe.epochs,
    )


def _trainer(run: RunDir, options: Options, compute: Compute, *, telemetry: Telemetry, fresh: bool) -> Trainer:
    spec_file = read_spec(run.spec_path)
    manifest = load_manifest(run.manifest_path)
    recipe, clip = options.recipe, spec_file.arch.clip
    items, val_items = videos_of(manifest, "train", path=options.data), manifest.of("val")
    tally = Tally(options.clips, num_videos=len(items) + len(val_items), telemetry=telemetry)
    short_side = short_side_of(spec_file.arch) if options.clips.short_side is None else options.clips.short_side
    clips = replace(options.clips, short_side=short_side)
    train_reader = clips.reader(
        items,
        _with_frames(clip, recipe.train_frames),
        seed=options.seed,
        training=True,
        augment=Augmenter(config=recipe.augment, directed=recipe.augment.directed_classes(manifest.class_names)),
    )
    test_clip = _with_frames(clip, recipe.test_frames)
    accuracy: Callable[[VideoNet], float | None] = _not_measured
    if val_items:
        accuracy = accuracy_of(
            clips.reader(val_items, test_clip, seed=options.seed, training=False),
            batch_size=recipe.batch_size,
            class_names=manifest.class_names,
            compute=compute,
            tally=tally,
        )
    found = start(
        spec_file,
        options.init if fresh else SCRATCH,
        class_names=manifest.class_names,
        seed=options.seed,
        recipe=recipe if fresh else replace(recipe, new_head=False),
        partial=options.init_partial,
    )
    if fresh and options.init != SCRATCH:
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
        ),
        train_batches=endless(
            train_reader,
            seed=options.seed,
            purpose="retrain",
            batch_size=recipe.batch_size,
            compute=compute,
            tally=tally,
            balanced=recipe.balance == "sampling",
        ),
        accuracy=accuracy,
        seed=options.seed,
        amp_dtype=compute.amp_dtype,
        class_weights_K=None if recipe.balance != "loss" else _class_weights(items, manifest.num_classes),
    )


def _class_weights(items: Sequence[VideoItem], num_classes: int) -> Tensor:
    return balancing_weights([label for item in items for label in item.labels], num_classes)


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
                "best": {"top1": card.val_top1, "epoch": card.epoch},
                "macs": cost(card.arch, card.variant, num_classes=len(card.class_names)).macs,
                "model": str(run.model_path),
            }
        )
        return
    val = "no validation split" if card.val_top1 is None else f"val top-1 {card.val_top1:.3f} after epoch {card.epoch}"
    console.show(f"{summary.steps} steps, {val}\nmodel   {run.model_path}\nreport  {run.report_path}")
