"""`movinas audit`: how far a search's shared weights rank architectures as training them one by one does.

Architectures of the search's space, as many of each band of cost, are trained stand-alone by the retraining pipeline
and scored with the shared weights, and the two orders are compared. What is equal on both sides:

- The training videos: those that the shared weights saw, the train split without what the search held out.
- The scored clips: those of the search's own final comparison, from the middle of held-out videos. No weights on either
  side were trained on them. The search's policy was rewarded on some of them, but these architectures are drawn without
  asking it; and videos of the val split, which the search never scored, would add a difference between two sets of
  clips to the difference that is to be measured.
- Their geometry: that of the search, with its proxy; `geometry space` trains on the clips that the space is for, and
  then the difference that a proxy makes is measured, too.

The folder holds copies of all it needs, shared weights among them, so that the search may move or go.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import get_args

from launch import audit_plan, audit_table, retrain, search, sweeps
from launch.audit_options import Geometry, Options, Search
from launch.audit_units import (
    compute,
    scoring_name,
    scoring_units,
    spec_file_of,
    training_name,
    training_of,
    training_units,
)
from launch.clips import hold_out, manifest_text, videos_of
from launch.compute import environment_of, resolve_device
from launch.executors import check_executor
from launch.options import to_yaml
from launch.plan import Plan
from launch.runs import options_of
from launch.search_clips import compared
from launch.shared_weights import require_finished
from nas.audit import agreements, bands_between, equal_bands, stratified
from nas.problem import Problem
from results.audit import SAMPLE_FILE, Audit, Audited, Sample, audit_path, read_sample, sample_text
from results.checkpoint import load_newest, restoring, save_checkpoint
from results.records import AuditRecord, SharedRecord
from results.run_dir import RunDir, create_run, open_run
from search_spaces.errors import UsageError, WeightsError
from search_spaces.strict_json import pretty
from supernet.evaluator import WEIGHTS
from video.manifest import Manifest, load_manifest

__all__ = ["POSITIONALS", "SHORT", "Options", "end", "execute", "outcome", "run"]
POSITIONALS = ("run",)
SHORT = {"ray_address": "--ray-address"}

COPIED = ("config.yaml", "space.json", "variant.json", "manifest.jsonl")
"""Files of the search that an audit keeps; the shared weights come on top."""


def run(options: Options) -> int:
    """Check everything, make the audit's folder, score and train, and say how far the two agree."""
    searched = Search.of(open_run(options.run, kind="search"))
    sample, manifest = _check(options, searched)
    if options.plan:
        plans = _plans(options, searched, sample, manifest)
        counts = (len(sample.architectures), options.seeds, options.recipe.evaluations)
        return audit_plan.show(plans, *counts, parallel=options.parallel, as_json=options.json)
    path = searched.folder.path.resolve()
    out = audit_path(path) if options.out is None else options.out.resolve()
    options = replace(options, run=path, out=out)
    folder = create_run(
        out,
        kind="audit",
        files={
            "config.yaml": to_yaml(options),
            "env.json": pretty(environment_of(options.threads)),
            "manifest.jsonl": manifest_text(manifest),
            SAMPLE_FILE: sample_text(sample),
            **{f"search/{name}": (path / name).read_text("utf-8") for name in COPIED},
        },
    )
    with sweeps.held_new(folder):
        execute(folder, options)
        return end(folder, as_json=options.json)


def execute(folder: RunDir, options: Options) -> None:
    """Score and train whatever the journal lacks; the caller holds the folder's lock."""
    folder = replace(folder, path=folder.path.resolve())
    sample, copy = read_sample(folder.path / SAMPLE_FILE), _copy_in(folder)
    done: dict[str, SharedRecord | AuditRecord] = {
        **sweeps.done_records(folder, SharedRecord),
        **sweeps.done_records(folder, AuditRecord),
    }
    if scoring := scoring_units(copy, options, sample, done):
        _keep_weights(copy, options.run)
    units = chain(scoring, training_units(folder, Search.of(copy), options, sample, done))
    total = len(sample.architectures) * (1 + options.seeds)
    sweeps.carry_out(folder, options, compute, units, done=done, label="scored and trained", total=total)


def end(folder: RunDir, *, as_json: bool) -> int:
    """Write what the journal comes to, print it, and refuse an audit that lacks something.

    Raises:
        SweepError: A unit has no result.
    """
    audit, failed = outcome(folder)
    audit_table.write(folder, audit, failed)
    audit_table.show(folder, audit, failed, as_json=as_json)
    sweeps.require_complete(folder, missing=audit.missing, failed=dict(failed))
    return 0


def outcome(folder: RunDir) -> tuple[Audit, Mapping[str, str]]:
    """The audit so far, and the latest error of every unit that failed."""
    options, sample = options_of(folder, Options), read_sample(folder.path / SAMPLE_FILE)
    scored, trained = sweeps.done_records(folder, SharedRecord), sweeps.done_records(folder, AuditRecord)
    done: dict[str, SharedRecord | AuditRecord] = {**scored, **trained}
    seeds = options.all_seeds
    architectures = [
        Audited(
            sampled=sampled,
            batch=None if (shared := scored.get(scoring_name(sampled))) is None else shared.batch,
            recalibrated=None if shared is None else shared.recalibrated,
            top1s=tuple(
                None if (record := trained.get(training_name(sampled, seed))) is None else record.top1 for seed in seeds
            ),
        )
        for sampled in sample.architectures
    ]
    names = [scoring_name(sampled) for sampled in sample.architectures]
    names += [training_name(sampled, seed) for seed in seeds for sampled in sample.architectures]
    audit = Audit(
        space=sample.space,
        target=sample.target,
        limits=sample.limits,
        bands=sample.bands,
        seeds=seeds,
        quality=options_of(_copy_in(folder), search.Options).weights.quality,
        num_clips=next((record.num_clips for record in scored.values()), None),
        architectures=tuple(architectures),
        agreements=agreements(architectures, num_bands=len(sample.bands), seed=options.seed),
        missing=tuple(name for name in names if name not in done),
    )
    return audit, sweeps.failures(folder, done)


def _check(options: Options, searched: Search) -> tuple[Sample, Manifest]:
    """What is to be compared, and the videos; nothing is written.

    Raises:
        UsageError: An option, or a band with too few architectures.
        RunFolderError: The search has not finished.
        WeightsError: Its shared weights are gone.
    """
    if options.seeds < 1:
        raise UsageError(f"seeds must be at least 1, but got {options.seeds}")
    if options.geometry not in get_args(Geometry):
        raise UsageError(f"geometry must be search or space, but got {options.geometry!r}")
    check_executor(options)
    if options.ray_address is None:
        resolve_device(options.device)
    require_finished(searched.folder)
    _shared_weights(searched.folder)
    problem = _problem(options, searched)
    bands = bands_between(options.edges) if options.edges else equal_bands(problem, num=options.bands)
    sample = stratified(problem, bands, num=options.architectures, seed=options.seed)
    for sampled in sample.architectures:  # refuses what would not train, before a folder is there
        training = training_of(options, searched, data=searched.folder.manifest_path, out=searched.folder.path)
        retrain.check_spec(training, spec_file_of(options, searched, sampled))
    return sample, _manifest(searched)


def _problem(options: Options, searched: Search) -> Problem:
    problem = search.problem_of(searched.folder, searched.options)
    return problem if options.within_limits else replace(problem, limits=())


def _manifest(searched: Search) -> Manifest:
    """The videos that the search trained on as the train split, those it compared architectures on as the val split."""
    options, manifest = searched.options, load_manifest(searched.folder.manifest_path)
    items = videos_of(manifest, "train", path=searched.folder.manifest_path)
    kept, held = hold_out(items, fraction=options.held_out, seed=options.seed)
    scored = [held[number] for number in compared(held, num=options.compare_clips, seed=options.seed)]
    return replace(manifest, items=(*kept, *(replace(item, split="val") for item in scored)))


def _copy_in(folder: RunDir) -> RunDir:
    """What an audit keeps of the search: its configuration, space, variant, videos and weights."""
    return RunDir(path=folder.path / "search", kind="search")


def _keep_weights(copy: RunDir, searched: Path) -> None:
    """Copy the shared weights, if that has not been done.

    Raises:
        RunFolderError: It has not, and the search is gone.
    """
    if load_newest(copy.checkpoints_path) is None:
        number, weights = _shared_weights(open_run(searched, kind="search"))
        save_checkpoint(copy.checkpoints_path, number, {WEIGHTS: weights}, num_records=0)


def _shared_weights(searched: RunDir) -> tuple[int, bytes]:
    checkpoint = load_newest(searched.checkpoints_path, set_aside=False)
    if checkpoint is None:
        raise WeightsError("a search must have its last checkpoint to be audited, but has none", path=searched.path)
    with restoring(searched.checkpoints_path):
        return checkpoint.number, checkpoint.blobs[WEIGHTS]


def _plans(options: Options, searched: Search, sample: Sample, manifest: Manifest) -> list[Plan]:
    """Of training the cheapest, a middling and the dearest architecture."""
    by_cost = sorted(sample.architectures, key=lambda sampled: sampled.cost)
    chosen = [by_cost[number] for number in sorted({0, len(by_cost) // 2, len(by_cost) - 1})]
    training = training_of(options, searched, data=searched.folder.manifest_path, out=searched.folder.path)
    return [retrain.plan(training, spec_file_of(options, searched, sampled), manifest) for sampled in chosen]
