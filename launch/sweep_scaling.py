"""`movinas sweep scaling`: which coefficients scale a space best, by training random architectures (paper, A.1)."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from launch import console, members, retrain, scaling_table, sweeps
from launch.clips import ClipConfig, manifest_text, require_single_label, videos_of
from launch.compute import Amp, environment_of, resolve_device
from launch.executors import ExecutorOptions, check_executor
from launch.options import to_yaml
from launch.runs import options_of, variant_of
from launch.specs import find_variant
from nas.executor import Unit
from nas.scaling_sweep import (
    ScalingTrial,
    all_candidates,
    candidate_name,
    median_macs_per_frame,
    random_candidates,
    space_of,
    trials_of,
)
from results.records import ScalingRecord
from results.run_dir import RunDir, create_run
from retrain.recipe import Recipe
from search_spaces.cost import cost
from search_spaces.errors import UsageError
from search_spaces.movinet import find_space
from search_spaces.scaling import Coefficients
from search_spaces.space import SearchSpace
from search_spaces.space_json import read_space, space_document
from search_spaces.spec_json import make_spec_file, write_spec
from search_spaces.strict_json import pretty
from search_spaces.variant import Variant
from video.manifest import Manifest, load_manifest

SHORT = {"ray_address": "--ray-address"}
Sampler = Literal["random", "all", "tpe"]


@dataclass(frozen=True, kw_only=True)
class Options(ExecutorOptions):
    """Find the coefficients that scale a search space best: train random architectures of many scaled spaces.

    Attributes:
        space: Base space: a2 as in the paper, nano, or a JSON file.
        data: Manifest; trains on its train split, measures on val.
        out: Sweep folder to make.
        variant: base, paper-stream, released-stream, or a JSON file.
        tolerance: How far depth * width^2 * resolution^2 * frame_rate of a candidate may be from 4, as a share.
        sampler: random candidates, all of them in rising order, or those that Optuna's TPE suggests after what it saw.
        candidates: How many; of all, the first so many, None for every one.
        architectures: Drawn from each scaled space.
        top: Candidates that the final coefficients are the average of.
        recipe: Training of each architecture.
        clips: Reading of the videos.
        seed: Of everything that is drawn.
        device: auto, cpu, cuda, ...
        amp: Autocast of the networks.
        plan: Print what is to be trained, memory, disk and an estimate of time, and stop.
        json: Print one JSON document at the end.
    """

    data: Path
    out: Path
    space: str = "a2"
    variant: str = "base"
    tolerance: float = 0.05
    sampler: Sampler = "random"
    candidates: int | None = 20
    architectures: int = 3
    top: int = 5
    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=10, evaluations=1))
    clips: ClipConfig = field(default_factory=ClipConfig)
    seed: int = 0
    device: str = "auto"
    amp: Amp = "off"
    plan: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTask:
    """What a worker needs to train one architecture; the folder of `training` is its own."""

    trial: ScalingTrial
    training: retrain.Options
    fingerprint: str
    macs_per_frame: float


def run(options: Options) -> int:
    """Check everything, make the sweep's folder, train, and say which coefficients did best."""
    base, variant, manifest = _check(options)
    if options.plan:
        return _plan(options, base, variant, manifest)
    options = replace(options, data=options.data.resolve(), out=options.out.resolve())
    folder = create_run(
        options.out,
        kind="scaling",
        files={
            "config.yaml": to_yaml(options),
            "env.json": pretty(environment_of(options.threads)),
            "space.json": pretty(space_document(base)),
            "variant.json": pretty(asdict(variant)),
            "manifest.jsonl": manifest_text(manifest),
        },
    )
    with sweeps.held_new(folder):
        execute(folder, options)
        return end(folder, as_json=options.json)


def execute(folder: RunDir, options: Options) -> None:
    """Train whatever the journal lacks; the caller holds the folder's lock."""
    folder = replace(folder, path=folder.path.resolve())
    base, variant = read_space(folder.space_path), variant_of(folder)
    num_classes = load_manifest(folder.manifest_path).num_classes
    done = sweeps.done_records(folder, ScalingRecord)
    _warn_of_equal_spaces(base, _first_candidates(options))

    def units() -> Iterator[Unit[TrialTask]]:
        for trial in _trials(options, folder, done):
            if trial.name not in done:
                task = _task(folder, options, trial, base, variant, num_classes=num_classes)
                yield Unit(name=trial.name, task=task)

    sweeps.carry_out(folder, options, train, units(), done=done, label="trained", total=_num_trials(options))


def end(folder: RunDir, *, as_json: bool) -> int:
    """Write table and report of what the journal holds, print them, and refuse a sweep that lacks something.

    Raises:
        SweepError: A training has no result.
    """
    document = table(folder)
    scaling_table.write(folder, document)
    scaling_table.show(folder, document, as_json=as_json)
    sweeps.require_complete(folder, missing=document["missing"], failed=document["failed"])
    return 0


def table(folder: RunDir) -> dict[str, Any]:
    """The sweep so far, as `movinas inspect --json` prints it; see `scaling_table.document`."""
    options = options_of(folder, Options)
    planned = _begun(options, folder) if options.sampler == "tpe" else _first_candidates(options)
    return scaling_table.document(
        folder,
        planned,
        num_planned=_num_trials(options) // options.architectures,
        num_architectures=options.architectures,
        top=options.top,
    )


def train(task: TrialTask) -> ScalingRecord:
    """Train one architecture in its run folder, or find it trained there; the unit of work."""
    run, card = members.trained(task.training)
    sweeps.drop_checkpoints(run.path)
    assert card.val_top1 is not None  # a validation split was checked for
    return ScalingRecord(
        name=task.trial.name,
        coefficients=task.trial.coefficients,
        fingerprint=task.fingerprint,
        macs_per_frame=task.macs_per_frame,
        top1=card.val_top1,
    )


def _check(options: Options) -> tuple[SearchSpace, Variant, Manifest]:
    if options.sampler not in ("random", "all", "tpe"):
        raise UsageError(f"sampler must be random, all or tpe, but got {options.sampler!r}")
    if options.candidates is None and options.sampler != "all":
        raise UsageError(f"candidates must be a number where the sampler is {options.sampler}, but got None")
    if min(options.architectures, options.top, 1 if options.candidates is None else options.candidates) < 1:
        raise UsageError(
            "candidates, architectures and top must be at least 1, but got "
            f"{options.candidates}, {options.architectures} and {options.top}"
        )
    check_executor(options)
    if options.ray_address is None:
        resolve_device(options.device)
    base, variant, manifest = find_space(options.space), find_variant(options.variant), load_manifest(options.data)
    base.check_fits(variant)
    require_single_label(manifest, path=options.data)
    videos_of(manifest, "train", path=options.data)
    videos_of(manifest, "val", path=options.data)
    for coefficients in all_candidates(options.tolerance, num=options.candidates or 1):
        space_of(base, coefficients)
    return base, variant, manifest


def _first_candidates(options: Options) -> tuple[Coefficients, ...]:
    """The candidates that are known before anything is trained; of a TPE sampler, any."""
    if options.sampler == "all":
        return all_candidates(options.tolerance)[: options.candidates]
    assert options.candidates is not None
    return random_candidates(options.tolerance, num=options.candidates, seed=options.seed)


def _trials(options: Options, folder: RunDir, done: Mapping[str, ScalingRecord]) -> Iterator[ScalingTrial]:
    chosen: Iterator[Coefficients] = iter(_first_candidates(options))
    if options.sampler == "tpe":
        # Optuna takes a second to import, which nobody else must pay
        from launch.optuna_sampler import suggested  # noqa: PLC0415

        assert options.candidates is not None
        chosen = suggested(
            all_candidates(options.tolerance),
            num=options.candidates,
            num_architectures=options.architectures,
            seed=options.seed,
            done=done,
            begun=_begun(options, folder),
        )
    for coefficients in chosen:
        yield from trials_of(coefficients, num_architectures=options.architectures)


def _num_trials(options: Options) -> int:
    return len(_first_candidates(options)) * options.architectures


def _task(
    folder: RunDir, options: Options, trial: ScalingTrial, base: SearchSpace, variant: Variant, *, num_classes: int
) -> TrialTask:
    candidate = trial.draw(base, variant, seed=options.seed)
    spec_file = make_spec_file(candidate.spec, variant, genotype=candidate.genotype)
    spec_path = write_spec(spec_file, folder.specs_path)
    macs = cost(candidate.spec, variant, num_classes=num_classes).macs
    return TrialTask(
        trial=trial,
        training=retrain.Options(
            spec=str(spec_path),
            data=folder.manifest_path,
            out=folder.members_path / trial.name,
            recipe=options.recipe,
            clips=options.clips,
            seed=options.seed,
            device=options.device,
            threads=options.threads,
            workers=options.workers,
            amp=options.amp,
        ),
        fingerprint=spec_file.fingerprint,
        macs_per_frame=macs / candidate.spec.clip.num_frames,
    )


def _begun(options: Options, folder: RunDir) -> tuple[Coefficients, ...]:
    """The candidates that a TPE sampler had trained from, by their members' folders."""
    names = {path.name.rpartition("-")[0] for path in folder.members_path.glob("d*")}
    return tuple(each for each in all_candidates(options.tolerance) if candidate_name(each) in names)


def _plan(options: Options, base: SearchSpace, variant: Variant, manifest: Manifest) -> int:
    trials = [
        trial
        for coefficients in _first_candidates(options)
        for trial in trials_of(coefficients, num_architectures=options.architectures)
    ]
    timed = [trials[index] for index in sorted({0, len(trials) // 2, len(trials) - 1})]
    plans = []
    for trial in timed:
        spec_file = make_spec_file(trial.draw(base, variant, seed=options.seed).spec, variant)
        training = retrain.Options(
            spec="",
            data=options.data,
            out=options.out,
            recipe=options.recipe,
            device=options.device,
            threads=options.threads,
            workers=options.workers,
            amp=options.amp,
        )
        plans.append(retrain.plan(training, spec_file, manifest))
    spaces = [space_of(base, coefficients) for coefficients in _first_candidates(options)]
    macs = median_macs_per_frame(base, variant, num_classes=manifest.num_classes)
    seconds = float(np.mean([plan.seconds for plan in plans]))
    document = {
        "trainings": len(trials),
        "steps_each": plans[0].steps,
        "estimated_s": seconds * len(trials) / options.parallel,
        "peak_memory_bytes": max(plan.peak_bytes for plan in plans) * options.parallel,
        "disk_bytes": 4 * sum(plan.num_params for plan in plans) // len(plans) * len(trials)
        + options.parallel * max(plan.disk_bytes for plan in plans),
        "base_macs_per_frame": macs,
        "different_spaces": len({space.hash for space in spaces}),
        "candidates": len(spaces),
    }
    if options.json:
        console.show_json(document)
        return 0
    console.show_table(
        f"Plan, from trial steps of {len(timed)} architectures on random clips",
        ("trainings", "steps each", "time", "peak memory", "disk"),
        [
            (
                len(trials),
                plans[0].steps,
                console.duration(float(document["estimated_s"])),
                f"{document['peak_memory_bytes'] / 2**30:.2f} GiB",
                f"{document['disk_bytes'] / 2**20:.1f} MiB",
            )
        ],
    )
    console.show(
        f"base space {base.name}: a median of {console.count(macs)} MACs per frame; the paper began at 300 M\n"
        f"{len(spaces)} candidates make {document['different_spaces']} different spaces"
    )
    return 0


def _warn_of_equal_spaces(base: SearchSpace, chosen: tuple[Coefficients, ...]) -> None:
    num_different = len({space_of(base, coefficients).hash for coefficients in chosen})
    if num_different < len(chosen):
        console.log(
            f"{len(chosen)} candidates make {num_different} different spaces, for rounding swallows the others' "
            f"differences; a base space with wider blocks and larger clips than {base.name} tells them apart"
        )
