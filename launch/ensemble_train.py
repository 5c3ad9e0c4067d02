"""`movinas ensemble train`: all networks of an ensemble with one command, in one folder that answers as one."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from launch import console, members, retrain, sweeps
from launch.clips import manifest_text, videos_of
from launch.compute import environment_of
from launch.ensemble import ensemble_of
from launch.executors import ExecutorOptions, check_executor
from launch.options import to_yaml
from launch.retrain_options import SharedOptions
from launch.run_report import write_report
from launch.runs import absolute_init
from launch.specs import find_spec_or_ensemble
from nas.executor import Unit
from results.files import replace_file
from results.records import TrainedRecord
from results.run_dir import RunDir, create_run
from retrain.ensemble import assemble
from retrain.presets import RecipePreset, check_preset, preset, schedule_lines, variant_of_preset
from search_spaces.ensemble import EnsembleSpec
from search_spaces.ensemble_json import make_ensemble_file, read_ensemble
from search_spaces.errors import UsageError
from search_spaces.spec_json import Provenance, make_spec_file, write_spec
from search_spaces.strict_json import pretty
from video.manifest import load_manifest

POSITIONALS = ("spec",)
SHORT = {"ray_address": "--ray-address"}


@dataclass(frozen=True, kw_only=True)
class Options(ExecutorOptions, SharedOptions):
    """Train all networks of an ensemble, from seeds seed, seed + 1, ...; evaluate, predict and stream take the folder.

    Attributes:
        spec: Spec file or published:A0 to published:A5, to become two networks at half the frame rate, one of them a
            frame later; or an ensemble file or published:A6, as it is.
        out: Folder to make.
        variant: base, paper-stream, released-stream, or a JSON file; None takes the one of the file.
        preset: paper, released, small or finetune, as of a retraining; what it sets must be the same for all networks.
        seed: Of the first network.
        json: Print one JSON document at the end.
    """

    spec: str
    out: Path
    variant: str | None = None
    preset: str | None = None
    seed: int = 0
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTask:
    """What a worker needs to train one network; the folder of `training` is its own."""

    name: str
    training: retrain.Options
    offset_frames: float


def run(options: Options) -> int:
    """Check everything, make the folder, train what it lacks, and name the trained networks in its ensemble file."""
    ensemble, provenance = _found(options)
    check_executor(options)
    if (found := _preset(options)) is not None:
        num_videos = len(load_manifest(options.data).of("train"))
        for line in (*found.lines(options), *schedule_lines(options.recipe, num_videos)):
            console.log(f"preset {options.preset}: {line}")
    options = replace(options, data=options.data.resolve(), out=options.out.resolve(), init=absolute_init(options.init))
    manifest = None
    for member in ensemble.members:  # refuses what would not train, before a folder is there
        spec_file = make_spec_file(member.arch, member.variant)
        manifest = retrain.check_spec(_training(options, "", out=options.out, seed=options.seed), spec_file)
    assert manifest is not None
    folder = create_run(
        options.out,
        kind="ensemble",
        files={
            "config.yaml": to_yaml(options),
            "env.json": pretty(environment_of(options.threads)),
            "ensemble.json": pretty(asdict(make_ensemble_file(ensemble, provenance=provenance))),
            "manifest.jsonl": manifest_text(manifest),
        },
    )
    with sweeps.held_new(folder):
        execute(folder, options)
        return end(folder, as_json=options.json)


def defaults_of(options: Options) -> Mapping[str, object]:
    """What the preset says of the recipe."""
    found = _preset(options)
    return {} if found is None else found.values


def execute(folder: RunDir, options: Options) -> None:
    """Train whatever the journal lacks; the caller holds the folder's lock."""
    folder = replace(folder, path=folder.path.resolve())
    tasks = _tasks(folder, options)
    done = sweeps.done_records(folder, TrainedRecord)

    def units() -> Iterator[Unit[MemberTask]]:
        for task in tasks:
            if task.name not in done:
                yield Unit(name=task.name, task=task)

    sweeps.carry_out(folder, options, train, units(), done=done, label="trained", total=len(tasks))


def end(folder: RunDir, *, as_json: bool) -> int:
    """Name the trained networks, write the report, print the members, and refuse an ensemble that lacks one.

    Raises:
        SweepError: A training has no result.
    """
    document = table(folder)
    if not document["missing"]:
        ensemble_file = read_ensemble(folder.ensemble_path)
        models = [f"members/{member['name']}/model" for member in document["members"]]
        assemble(ensemble_file.ensemble, [folder.path / model for model in models], path=folder.ensemble_path)
        named = replace(ensemble_file, models=tuple(models))
        replace_file(folder.ensemble_path, pretty(asdict(named)).encode())
    write_report(folder)
    show(folder, document, as_json=as_json)
    sweeps.require_complete(folder, missing=document["missing"], failed=document["failed"])
    return 0


def table(folder: RunDir) -> dict[str, Any]:
    """The members so far, as `movinas inspect --json` prints them."""
    done = sweeps.done_records(folder, TrainedRecord)
    names = [_name(number) for number in range(len(read_ensemble(folder.ensemble_path).ensemble.members))]
    return {
        "run": str(folder.path),
        "ensemble": str(folder.ensemble_path),
        "members": [asdict(done[name]) for name in names if name in done],
        "missing": [name for name in names if name not in done],
        "failed": sweeps.failures(folder, done),
    }


def show(folder: RunDir, document: dict[str, Any], *, as_json: bool) -> None:
    """Print the members."""
    if as_json:
        console.show_json(document)
        return
    console.show_table(
        f"{folder.path}: {len(document['members'])} trained, {len(document['missing'])} missing",
        ("member", "spec", "seed", "offset", "val", "metric"),
        [
            (
                member["name"],
                member["fingerprint"][:12],
                member["seed"],
                f"{member['offset_frames']:g}",
                "" if member["val_top1"] is None else f"{member['val_top1']:.3f}",
                member["metric"],
            )
            for member in document["members"]
        ],
    )


def train(task: MemberTask) -> TrainedRecord:
    """Train one network in its run folder, or find it trained there; the unit of work."""
    _, card = members.trained(task.training)
    return TrainedRecord(
        name=task.name,
        fingerprint=card.fingerprint,
        seed=task.training.seed,
        offset_frames=task.offset_frames,
        val_top1=card.val_top1,
        metric=card.label_space.metric,
    )


def _found(options: Options) -> tuple[EnsembleSpec, Provenance]:
    """The ensemble, in the variant that was asked for, or else that of the preset or its file, and its origin."""
    check_preset(options.preset)
    ensemble, provenance = ensemble_of(find_spec_or_ensemble(options.spec, variant=options.variant))
    if options.variant is None:
        members = [replace(each, variant=variant_of_preset(options.preset, each.variant)) for each in ensemble.members]
        ensemble = EnsembleSpec(members=tuple(members))
    return ensemble, provenance


def _preset(options: Options) -> RecipePreset | None:
    """The preset for the networks, their data and batch; None without one.

    Raises:
        UsageError: It is not the same for all of them.
    """
    ensemble, _ = _found(options)
    if options.preset is None:
        return None
    manifest = load_manifest(options.data)
    first, *others = (
        preset(
            options.preset,
            num_train_videos=len(videos_of(manifest, "train", path=options.data)),
            batch_size=options.recipe.batch_size,
            arch=member.arch,
            variant=member.variant,
            num_classes=manifest.num_classes,
        )
        for member in ensemble.members
    )
    for number, other in enumerate(others, start=1):
        for name, value in first.values.items():
            if other.values[name] != value:
                raise UsageError(
                    f"preset {options.preset} must say the same for all networks of an ensemble, but {name} is {value} "
                    f"for members[0] and {other.values[name]} for members[{number}]; train them one by one, and run: "
                    "movinas ensemble FILE RUN ... --out DIR"
                )
    return first


def _tasks(folder: RunDir, options: Options) -> list[MemberTask]:
    tasks = []
    for number, member in enumerate(read_ensemble(folder.ensemble_path).ensemble.members):
        spec_path = write_spec(make_spec_file(member.arch, member.variant), folder.specs_path)
        out = folder.members_path / _name(number)
        training = replace(
            _training(options, str(spec_path), out=out, seed=options.seed + number), data=folder.manifest_path
        )
        tasks.append(MemberTask(name=_name(number), training=training, offset_frames=member.offset_frames))
    return tasks


def _training(options: Options, spec: str, *, out: Path, seed: int) -> retrain.Options:
    shared = {each.name: getattr(options, each.name) for each in fields(SharedOptions)}
    return retrain.Options(**shared, spec=spec, out=out, seed=seed, threads=options.threads, workers=options.workers)


def _name(number: int) -> str:
    return f"member{number}"
