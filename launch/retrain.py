"""`movinas retrain`: train the network of a spec, from scratch or from weights."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, replace

from launch import console
from launch.clips import manifest_text, videos_of
from launch.compute import environment_of, set_up
from launch.options import to_yaml
from launch.plan import Plan, make_plan, show_plan, try_net
from launch.rank_job import follow
from launch.rank_start import are_elsewhere, resolved_on_ranks, start_ranks
from launch.ranks import local_number, torchrun_ranks
from launch.retrain_init import start
from launch.retrain_options import (
    POSITIONALS,
    SHORT,
    Options,
    check_division,
    defaults_of,
    preset_lines,
    require_same_division,
    spec_of,
)
from launch.retrain_rank import class_weights, train, train_as_rank, with_frames
from launch.run_report import write_report
from launch.runs import absolute_init, held_new, options_of, require_same, tell_differences
from results.run_dir import RunDir, create_run, lock, open_run
from results.summary import summarise_retrain
from retrain.embeddings import check_objective
from retrain.model_file import ModelCard, read_card
from retrain.presets import check_preset
from search_spaces.cost import cost
from search_spaces.spec_json import SpecFile
from search_spaces.strict_json import pretty
from supernet.distributed import ALONE, Ranks
from supernet.video_net import VideoNet
from video.manifest import Manifest, load_manifest

__all__ = [
    "POSITIONALS",
    "SHORT",
    "Options",
    "check",
    "check_spec",
    "defaults_of",
    "execute",
    "plan",
    "retrain",
    "run",
    "show_result",
]
ASIDE = (
    *("spec", "data", "variant", "out", "plan", "json", "resume"),
    *("device", "threads", "workers", "executor", "gpus", "ray_address", "max_failures"),
    *("ranks", "recipe.accumulation"),  # whose product must not: `require_same_division`
    *("clips.cache_dir", "clips.cache_bytes"),
)
"""Options that may differ where a run goes on: who computes, and files of which the run keeps a copy."""


def run(options: Options) -> int:
    """Train and say how well it went."""
    speaks = local_number("RANK", 0) == 0  # of the processes of torchrun, the first
    if options.preset is not None and speaks:
        for line in preset_lines(options):
            console.log(f"preset {options.preset}: {line}")
    if options.plan:
        return show_plan(plan(options, *check(options)), as_json=options.json) if speaks else 0
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
    kept = resolved_on_ranks(kept, ranks, check=check_division)
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
    if options.recipe.accumulation > 1:
        size, number = options.recipe.batch_size, options.recipe.accumulation
        console.log(f"a step's {size} clips come in {number} micro-batches on each of {options.ranks} ranks")
    if are_elsewhere(options, ranks):
        folder = run.path.resolve()
        start_ranks(train_as_rank, (folder, options), options, folder=folder)
    else:
        train(run, options, ranks)
    write_report(run)
    return read_card(run.model_path)


def check(options: Options) -> tuple[SpecFile, Manifest]:
    """Find whatever can be wrong before the first step; nothing is written. Errors are those of spec and manifest."""
    check_division(options)
    check_preset(options.preset)
    spec_file = spec_of(options)
    return spec_file, check_spec(options, spec_file)


def check_spec(options: Options, spec_file: SpecFile) -> Manifest:
    """The rest of `check`, once it is known what is trained."""
    check_objective(options.recipe, spec_file.arch, spec_file.variant, clip=spec_file.arch.clip)
    manifest = load_manifest(options.data)
    class_weights(options.recipe, videos_of(manifest, "train", path=options.data), manifest.label_space)
    start(
        spec_file,
        options.init,
        class_names=manifest.class_names,
        seed=options.seed,
        recipe=options.recipe,
        partial=options.init_partial,
    )
    return manifest


def plan(options: Options, spec_file: SpecFile, manifest: Manifest) -> Plan:
    """What the training will take, from trial steps here."""
    compute = set_up(options)
    recipe, num_videos = options.recipe, len(manifest.of("train"))
    micro_batch = recipe.batch_size // (options.ranks * recipe.accumulation)
    net = VideoNet(spec_file.arch, spec_file.variant, num_classes=manifest.num_classes)
    clip = with_frames(spec_file.arch.clip, recipe.train_frames)
    piece = with_frames(clip, recipe.subclip_frames)  # of which a clip's activations are kept at a time
    pieces = clip.num_frames / piece.num_frames
    trial = try_net(net, batch_size=micro_batch, clip=piece, compute=compute)
    num_steps = recipe.num_steps(num_videos)
    num_evaluations = sum(recipe.evaluation_due(epoch) for epoch in range(recipe.epochs))
    num_forwards = recipe.calibration_batches * recipe.accumulation + len(manifest.of("val")) / (
        micro_batch * options.ranks
    )
    return make_plan(
        steps=num_steps,
        parts_s={
            "training": num_steps * recipe.accumulation * pieces * trial.train_s,
            "evaluations": num_evaluations * num_forwards * pieces * trial.forward_s,
        },
        trial=trial,
        num_params=sum(parameter.numel() for parameter in net.parameters()),
        journal_bytes=200 * recipe.epochs,
        num_kept=recipe.epochs // recipe.keep_every if recipe.keep_every else 0,
        ranks=options.ranks,
    )


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
