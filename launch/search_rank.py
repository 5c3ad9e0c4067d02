"""What each rank of a search does: it alone, or several processes together."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from launch import console
from launch.clips import Tally, hold_out, videos_of
from launch.compute import Compute, environment_of, set_up
from launch.initial import SCRATCH, Source, read_source, start_from, summary, teacher_of
from launch.memory_watch import MemoryWatch
from launch.rank_job import follow, held_by_writer, local_rank, newest_checkpoint
from launch.search_clips import SearchClips, clip_geometry
from launch.search_options import Options
from launch.search_problem import new_supernet, problem_of
from nas.loop import run_search
from nas.problem import Problem
from results.checkpoint import Checkpoint
from results.diagnosis import learned_from_noise
from results.history import read_history
from results.records import Record, ResultRecord, StartRecord, StepRecord
from results.run_dir import RunDir
from results.stopwatch import Stopwatch
from results.telemetry import Telemetry
from search_spaces.errors import WeightsError
from supernet.distributed import Ranks
from supernet.evaluator import SupernetEvaluator
from supernet.tensors import from_bytes, load_exactly, to_bytes
from video.manifest import Manifest, load_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every rank knows of a search; the first has it from the run folder, which the others need not see.

    Attributes:
        options: Resolved.
        problem: What is searched for.
        manifest: The videos.
        checkpoint: Where to go on; None begins.
        source: Trained weights that the search begins with, or whose answers it learns from, where it still needs them.
    """

    options: Options
    problem: Problem
    manifest: Manifest
    checkpoint: Checkpoint | None
    source: Source | None

    def follow(self, ranks: Ranks) -> None:
        """See `launch.rank_job.Job`."""
        for _ in _records(self, ranks, run=None):
            pass


def search_as_rank(task: tuple[Path, Options], ranks: Ranks) -> None:
    """What each rank does that was started to search in a run folder that another process holds."""
    if not ranks.is_first:
        follow(ranks)
        return
    folder, options = task
    with held_by_writer(folder, "search") as run:
        lead(run, options, ranks)


def lead(run: RunDir, options: Options, ranks: Ranks) -> None:
    """Search as the first rank, from the newest checkpoint of the run on."""
    job = ranks.from_first(lambda: _job(run, options))
    num_steps = options.search.steps
    progress = console.Progress("search", total=num_steps, done=job.checkpoint.number if job.checkpoint else 0)
    rate = None
    for record in _records(job, ranks, run=run):
        if isinstance(record, StepRecord):
            if rate == 0 and record.learning_rate > 0:
                for warning in learned_from_noise(read_history(run.journal_path)):
                    console.log(f"note: {warning}")
            rate = record.learning_rate
            progress.update(record.step + 1, _progress_text(record))
            if record.step + 1 == num_steps:
                console.log("compare the likeliest architectures, and random ones, on more held-out clips")


def _job(run: RunDir, options: Options) -> Job:
    checkpoint = newest_checkpoint(run)
    source = read_source(options.init) if checkpoint is None or options.search.distill.weight else None
    if source is not None and checkpoint is not None:
        _require_same(source, run)
    return Job(
        options=options,
        problem=problem_of(run, options),
        manifest=load_manifest(run.manifest_path),
        checkpoint=checkpoint,
        source=source,
    )


def _records(job: Job, ranks: Ranks, *, run: RunDir | None) -> Iterator[Record]:
    """Search, and yield every record; the rank that is given the run folder writes there."""
    options, problem, checkpoint = job.options, job.problem, job.checkpoint
    compute, stopwatch = set_up(options, local_rank=local_rank(ranks)), Stopwatch()
    telemetry = None if run is None else Telemetry(run.telemetry_path)
    if telemetry is not None:
        environment = environment_of(compute.num_threads, ranks=ranks.size)
        telemetry.append("resume" if checkpoint else "start", environment=environment)
    items = videos_of(job.manifest, "train", path=options.data)
    kept, held = hold_out(items, fraction=options.held_out, seed=options.seed)
    tally = Tally(options.clips, num_videos=len(items), telemetry=telemetry, ranks=ranks)
    clips = SearchClips(
        kept,
        held,
        config=options.clips,
        weights=options.weights,
        compare_clips=options.compare_clips,
        seed=options.seed,
        geometries={clip: clip_geometry(options.proxy, clip) for clip in problem.space.clips},
        compute=compute,
        num_ahead=options.search.architectures_per_step // ranks.size,
        tally=tally,
        ranks=ranks,
    )
    evaluator = _evaluator(job, clips, compute, ranks=ranks, stopwatch=stopwatch, telemetry=telemetry)
    start = _start_record(job, num_kept=len(kept), num_held=len(held))
    memory = None if telemetry is None else MemoryWatch(telemetry, compute.device)
    for record in run_search(
        problem, options.search, evaluator, start=start, run=run, checkpoint=checkpoint, stopwatch=stopwatch
    ):
        if isinstance(record, ResultRecord) or (isinstance(record, StepRecord) and _exchange_due(record, options)):
            tally.exchange()
        if memory is not None and isinstance(record, StepRecord):
            memory.look()
        yield record


def _evaluator(
    job: Job,
    clips: SearchClips,
    compute: Compute,
    *,
    ranks: Ranks,
    stopwatch: Stopwatch,
    telemetry: Telemetry | None,
) -> SupernetEvaluator:
    """The shared weights, as every rank has them at the beginning, and whoever trains and measures them."""
    options, source, class_names = job.options, job.source, job.manifest.class_names
    supernet = new_supernet(options, job.problem)
    fresh = job.checkpoint is None
    if source is not None and fresh and telemetry is not None:
        found = start_from(source, supernet, class_names=class_names)
        console.log(summary(source, found))
        telemetry.append("init", **asdict(found))
    if fresh and ranks.size > 1:
        weights = ranks.from_first(lambda: to_bytes(supernet.state_dict()))
        load_exactly(supernet, from_bytes(weights), source="the first rank")
    teacher = teacher_of(source, options.search.distill, class_names=class_names)
    supernet.to(compute.device)
    if teacher is not None:
        teacher.net.to(compute.device)
    return SupernetEvaluator(
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
        ranks=ranks,
    )


def _start_record(job: Job, *, num_kept: int, num_held: int) -> StartRecord:
    options, problem = job.options, job.problem
    return StartRecord(
        space=problem.space.name,
        space_hash=problem.space.hash,
        target=problem.target.text,
        target_cost=problem.target.value,
        steps=options.search.steps,
        seed=options.seed,
        decisions={decision.name: decision.choices for decision in problem.space.decisions},
        class_names=job.manifest.class_names,
        num_train_videos=num_kept,
        num_heldout_videos=num_held,
        limits=tuple(limit.text for limit in problem.limits),
        strategy=options.search.strategy,
        init=SCRATCH if job.source is None else job.source.identity,
    )


def _exchange_due(record: StepRecord, options: Options) -> bool:
    """Whether ranks tell each other of bad videos after a step: as often as the first saves what it knows."""
    return (record.step + 1) % options.search.checkpoint_every == 0


def _require_same(source: Source, run: RunDir) -> None:
    start = read_history(run.journal_path).start
    if start is not None and start.init != source.identity:
        raise WeightsError(
            f"the network that a search learns from must stay as it was, {start.init}, but is now {source.identity}",
            path=source.init.partition(":")[2],
        )


def _progress_text(record: StepRecord) -> str:
    quality = float(np.mean([trial.quality for trial in record.trials]))
    ratio = float(np.mean([trial.ratio for trial in record.trials]))
    return (
        f"loss {record.train_loss:.3f}  quality {quality:.3f}  cost/target {ratio:.3f}  "
        f"argmax {record.argmax_ratio:.3f}"
    )
