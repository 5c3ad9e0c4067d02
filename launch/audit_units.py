"""The units of work of an audit: an architecture scored with shared weights, or trained stand-alone from one seed."""

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from launch import members, retrain, sweeps
from launch.audit_options import Options, Search
from launch.runs import variant_of
from launch.search_clips import clip_geometry
from launch.shared_weights import Statistics, scores_with
from nas.executor import Unit
from results.audit import Sample, Sampled
from results.records import AuditRecord, Measurement, SharedRecord
from results.run_dir import RunDir
from results.summary import summarise_retrain
from search_spaces.space import Genotype
from search_spaces.space_json import read_space
from search_spaces.spec_json import SpecFile, make_spec_file, write_spec


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringTask:
    """What a worker needs to score one architecture with the shared weights, which lie in `folder`."""

    name: str
    folder: Path
    genotype: Genotype
    threads: int
    workers: int
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """What a worker needs to train one architecture; the folder of `training` is its own."""

    name: str
    fingerprint: str
    training: retrain.Options


Task = ScoringTask | TrainingTask


def compute(task: Task) -> SharedRecord | AuditRecord:
    """The unit of work; of both kinds, so that one cluster of workers computes them all."""
    return score(task) if isinstance(task, ScoringTask) else train(task)


def score(task: ScoringTask) -> SharedRecord:
    """Score one architecture with the shared weights, both ways."""
    copy = RunDir(path=task.folder, kind="search")
    candidate = read_space(copy.space_path).decode(task.genotype, variant_of(copy))

    def measured(statistics: Statistics) -> Measurement:
        (found,) = scores_with(
            copy,
            [candidate],
            statistics=statistics,
            threads=task.threads,
            workers=task.workers,
            device=task.device,
        )
        return found

    batch, recalibrated = measured("batch"), measured("recalibrated")
    return SharedRecord(
        name=task.name,
        fingerprint=candidate.fingerprint,
        batch=batch.quality,
        recalibrated=recalibrated.quality,
        num_clips=batch.num_clips,
    )


def train(task: TrainingTask) -> AuditRecord:
    """Train one architecture in its run folder, or find it trained there."""
    run, _ = members.trained(task.training)
    top1 = summarise_retrain(run).top1
    sweeps.drop_checkpoints(run.path)
    assert top1 is not None  # the scored videos are its val split, and the last epoch is always measured
    return AuditRecord(name=task.name, fingerprint=task.fingerprint, seed=task.training.seed, top1=top1)


def scoring_units(copy: RunDir, options: Options, sample: Sample, done: Container[str]) -> list[Unit[Task]]:
    """Those that the journal lacks; `copy` is what the audit keeps of the search."""
    return [
        Unit(
            name=name,
            task=ScoringTask(
                name=name,
                folder=copy.path,
                genotype=sampled.genotype,
                threads=options.threads,
                workers=options.workers,
                device=options.device,
            ),
        )
        for sampled in sample.architectures
        if (name := scoring_name(sampled)) not in done
    ]


def training_units(
    folder: RunDir, searched: Search, options: Options, sample: Sample, done: Container[str]
) -> Iterator[Unit[Task]]:
    """Those that the journal lacks, seed by seed: stopped early, all architectures have been trained as often."""
    for seed in options.all_seeds:
        for sampled in sample.architectures:
            if (name := training_name(sampled, seed)) in done:
                continue
            spec_path = write_spec(spec_file_of(options, searched, sampled), folder.specs_path)
            training = training_of(options, searched, data=folder.manifest_path, out=folder.members_path / name)
            training = replace(training, spec=str(spec_path), seed=seed)
            yield Unit(name=name, task=TrainingTask(name=name, fingerprint=sampled.fingerprint, training=training))


def spec_file_of(options: Options, searched: Search, sampled: Sampled) -> SpecFile:
    """The network that is trained, for the clips that were asked for."""
    candidate = searched.space.decode(sampled.genotype, searched.variant)
    clip = candidate.spec.clip
    if options.geometry == "search":
        clip = clip_geometry(searched.options.proxy, clip)
    return make_spec_file(replace(candidate.spec, clip=clip), candidate.variant)


def training_of(options: Options, searched: Search, *, data: Path, out: Path) -> retrain.Options:
    """All of a training but its spec and seed."""
    return retrain.Options(
        spec="",
        data=data,
        out=out,
        recipe=options.recipe,
        clips=searched.options.clips,
        device=options.device,
        threads=options.threads,
        workers=options.workers,
        amp=options.amp,
    )


def scoring_name(sampled: Sampled) -> str:
    """Of the unit that scores an architecture."""
    return f"{sampled.name}-shared"


def training_name(sampled: Sampled, seed: int) -> str:
    """Of the unit that trains it, and of its run folder."""
    return f"{sampled.name}-seed{seed}"
