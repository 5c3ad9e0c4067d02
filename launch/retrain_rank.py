"""What each rank of a retraining does: it alone, or several processes together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from launch import console
from launch.clips import Tally, endless, once, short_side_of, videos_of
from launch.compute import Compute, environment_of, set_up
from launch.rank_job import follow, held_by_writer, local_rank, newest_checkpoint
from launch.retrain_init import SCRATCH, describe, start
from launch.retrain_options import Options
from results.checkpoint import Checkpoint
from results.run_dir import RunDir
from results.stopwatch import Stopwatch
from results.telemetry import Telemetry
from retrain.evaluate import clip_logits, predict, report_of
from retrain.fit import Trainer
from retrain.losses import balancing_weights
from retrain.model_file import ModelCard
from retrain.recipe import Recipe
from search_spaces.spec import ClipGeometry
from search_spaces.spec_json import SpecFile, fingerprint, read_spec
from supernet.distributed import ALONE, Ranks
from supernet.tensors import from_bytes, load_exactly, to_bytes
from supernet.video_net import VideoNet
from video.augment import Augmenter
from video.clips import ClipBatch, ClipReader
from video.label_space import LabelSpace
from video.manifest import Manifest, VideoItem, load_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every rank knows of a training; the first has it from the run folder, which the others need not see."""

    options: Options
    spec_file: SpecFile
    manifest: Manifest
    checkpoint: Checkpoint | None

    def follow(self, ranks: Ranks) -> None:
        """See `launch.rank_job.Job`."""
        compute = set_up(self.options, local_rank=local_rank(ranks))
        trainer = _trainer(self, compute, ranks=ranks, telemetry=None)
        for _ in trainer.fit(None, self.checkpoint, Stopwatch()):
            pass


def train_as_rank(task: tuple[Path, Options], ranks: Ranks) -> None:
    """What each rank does that was started to train in a run folder that another process holds."""
    if not ranks.is_first:
        follow(ranks)
        return
    folder, options = task
    with held_by_writer(folder, "retrain") as run:
        train(run, options, ranks)


def train(run: RunDir, options: Options, ranks: Ranks) -> None:
    """Train as the first rank, from the newest checkpoint of the run on."""
    telemetry = Telemetry(run.telemetry_path)

    def job() -> Job:
        return Job(
            options=options,
            spec_file=read_spec(run.spec_path),
            manifest=load_manifest(run.manifest_path),
            checkpoint=newest_checkpoint(run),
        )

    shared = ranks.from_first(job)
    checkpoint = shared.checkpoint
    compute = set_up(options, local_rank=local_rank(ranks))
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
        with_frames(clip, recipe.train_frames),
        seed=options.seed,
        training=True,
        augment=Augmenter(config=recipe.augment, directed=recipe.augment.directed_classes(manifest.class_names)),
        space=space,
    )
    test_clip = with_frames(clip, recipe.test_frames)
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
        class_weights_K=class_weights(recipe, items, space),
    )


def class_weights(recipe: Recipe, items: Sequence[VideoItem], space: LabelSpace) -> Tensor | None:
    """How much a clip of each class counts in the loss, (K,); None where all count alike.

    Raises:
        UsageError: The recipe balances the loss, and videos have several labels.
    """
    return balancing_weights([item.labels for item in items], space) if recipe.balance == "loss" else None


def _not_measured(net: VideoNet) -> None:
    """Accuracy where there is no validation split."""


def with_frames(clip: ClipGeometry, num_frames: int | None) -> ClipGeometry:
    """A clip of so many frames; None leaves it."""
    return clip if num_frames is None else replace(clip, num_frames=num_frames)
