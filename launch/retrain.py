"""`movinas retrain`: train the network of a spec, from scratch or from weights."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from launch import console
from launch.clips import ClipConfig, Tally, endless, manifest_text, once, short_side_of, videos_of
from launch.compute import Amp, Compute, environment_of, resolved, set_up
from launch.options import to_yaml
from launch.plan import Plan, make_plan, show_plan, try_net
from launch.run_report import write_report
from launch.runs import absolute_init, held_new, model_folder, variant_of
from launch.specs import find_spec, find_variant
from results.checkpoint import load_newest
from results.run_dir import RunDir, create_run, open_run
from results.stopwatch import Stopwatch
from results.summary import summarise_retrain
from results.telemetry import Telemetry
from retrain.embeddings import check_objective
from retrain.evaluate import clip_logits, predict, report_of
from retrain.fit import Trainer
from retrain.model_file import ModelCard, load_model, read_card
from retrain.recipe import Recipe
from search_spaces.cost import cost
from search_spaces.errors import UsageError, WeightsError
from search_spaces.randomness import derive_seed
from search_spaces.space_json import read_space
from search_spaces.spec import ClipGeometry
from search_spaces.spec_json import SpecFile, fingerprint, make_spec_file, read_spec
from search_spaces.strict_json import pretty
from supernet.evaluator import WEIGHTS
from supernet.extract import extract
from supernet.supernet import Supernet
from supernet.tensors import from_bytes, load_exactly
from supernet.video_net import VideoNet
from video.clips import ClipBatch, ClipReader
from video.manifest import Manifest, load_manifest

POSITIONALS = ("spec",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train the network of a spec on your own videos; the classes come from the manifest.

    Attributes:
        spec: Spec file, or published:A0 to published:A5.
        data: Manifest; trains on its train split, measures on val.
        out: Run folder to make.
        variant: base, paper-stream, released-stream, or a JSON file; None takes the one of the spec file.
        init: scratch, supernet:RUN for the shared weights of a search, retrain:RUN for those of a retraining of the
            same network, or weights:FILE for a safetensors file.
        recipe: Epochs, batch size, rates, clip lengths.
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
    init: str = "scratch"
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


def initial_net(spec_file: SpecFile, init: str, *, class_names: tuple[str, ...], seed: int, recipe: Recipe) -> VideoNet:
    """The network that training starts from, as the recipe has it drop things.

    Raises:
        UsageError: `init` is not written as it must be.
        WeightsError: The weights are of another network or other classes.
    """
    source, _, name = init.partition(":")
    if init != "scratch" and not (source in ("supernet", "retrain", "weights") and name):
        raise UsageError(f"init must be scratch, supernet:RUN, retrain:RUN or weights:FILE, but got {init!r}")
    net = VideoNet(
        spec_file.arch,
        spec_file.variant,
        num_classes=len(class_names),
        seed=derive_seed(seed, "network"),
        rezero=recipe.rezero_init,
        dropout=recipe.dropout,
        drop_path=recipe.stochastic_depth,
    )
    if source == "weights":
        try:
            load_exactly(net, from_bytes(Path(name).read_bytes()), source=name)
        except OSError as error:
            raise WeightsError(f"must be a readable file, but got {error.strerror}", path=name) from error
        except WeightsError as error:
            raise error.at(path=name) from error
    elif source == "supernet":
        shared = _net_of_supernet(open_run(Path(name), kind="search"), spec_file, class_names=class_names)
        load_exactly(net, shared.state_dict(), source=name)
    elif source == "retrain":
        load_exactly(net, load_model(model_folder(Path(name)))[0].state_dict(), source=name)
    return net


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
    spec_file = find_spec(options.spec)
    if options.variant is not None:
        variant = find_variant(options.variant, arch=spec_file.arch)
        spec_file = make_spec_file(
            spec_file.arch, variant, genotype=spec_file.genotype, provenance=spec_file.provenance
        )
    check_objective(options.recipe, spec_file.arch, spec_file.variant, clip=spec_file.arch.clip)
    manifest = load_manifest(options.data)
    videos_of(manifest, "train", path=options.data)
    initial_net(spec_file, options.init, class_names=manifest.class_names, seed=options.seed, recipe=options.recipe)
    return spec_file, manifest


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
    train_reader = clips.reader(items, _with_frames(clip, recipe.train_frames), seed=options.seed, training=True)
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
    net = initial_net(
        spec_file,
        options.init if fresh else "scratch",
        class_names=manifest.class_names,
        seed=options.seed,
        recipe=recipe,
    )
    return Trainer(
        net.to(compute.device),
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
        ),
        accuracy=accuracy,
        seed=options.seed,
        amp_dtype=compute.amp_dtype,
    )


def _not_measured(net: VideoNet) -> None:
    """Accuracy where there is no validation split."""


def _with_frames(clip: ClipGeometry, num_frames: int | None) -> ClipGeometry:
    return clip if num_frames is None else replace(clip, num_frames=num_frames)


def _net_of_supernet(run: RunDir, spec_file: SpecFile, *, class_names: tuple[str, ...]) -> VideoNet:
    space, variant = read_space(run.space_path), variant_of(run)
    searched = load_manifest(run.manifest_path).class_names
    checkpoint = load_newest(run.checkpoints_path, set_aside=False)
    if checkpoint is None:
        raise WeightsError("a search must have a checkpoint to start from, but has none", path=run.path)
    if searched != class_names:
        raise WeightsError(
            f"a supernet must have been trained on the classes at hand, but it knows {len(searched)} classes from "
            f"{searched[0]!r} on and the manifest {len(class_names)} from {class_names[0]!r} on",
            path=run.path,
        )
    if spec_file.variant not in space.variants(variant) or not space.contains(spec_file.arch):
        raise WeightsError(
            f"a spec must lie in the space of the search, {space.name}, in its variant, but it does not", path=run.path
        )
    supernet = Supernet(space, variant, num_classes=len(class_names))
    load_exactly(supernet, from_bytes(checkpoint.blobs[WEIGHTS]), source=str(run.checkpoints_path))
    return extract(supernet, spec_file.arch, spec_file.variant)


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
