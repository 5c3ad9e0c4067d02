"""Options of a retraining, and what a preset makes of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from launch.clips import ClipConfig, videos_of
from launch.compute import TrainingAmp, memory_bytes, resolve_device
from launch.rank_start import RankExecutor, check_ranks, moved
from launch.ranks import local_number
from launch.retrain_init import SCRATCH
from launch.specs import find_spec, find_variant
from retrain.presets import RecipePreset, check_preset, preset, schedule_lines, variant_of_preset
from retrain.recipe import Recipe
from search_spaces.errors import UsageError
from search_spaces.floors import kept_bytes, operators
from search_spaces.spec_json import SpecFile, make_spec_file
from video.manifest import load_manifest

POSITIONALS = ("spec",)
SHORT = {"ray_address": "--ray-address"}
MEMORY_SHARE = 0.5
"""Of the memory, for the activations of training."""


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """What the trainings of an ensemble's networks have in common.

    Attributes:
        data: Manifest; trains on its train split, measures on val.
        init: scratch, supernet:RUN for the shared weights of a search, retrain:RUN for those of a retraining of the
            same network, or weights:FILE for a safetensors file, or the folder of a network, imported or ours.
        init_partial: Take from `init` what fits by name and shape, and name the rest; otherwise all must fit.
        recipe: Epochs, batch size, optimizer, rates, augmentation, clip lengths.
        clips: Reading of the videos.
        device: auto, cpu, cuda, ...
        amp: Autocast of the network: off, bf16, or fp16 with a scaled loss.
    """

    data: Path
    init: str = SCRATCH
    init_partial: bool = False
    recipe: Recipe = field(default_factory=Recipe)
    clips: ClipConfig = field(default_factory=ClipConfig)
    device: str = "auto"
    amp: TrainingAmp = "off"


@dataclass(frozen=True, kw_only=True)
class Options(SharedOptions):
    """Train the network of a spec on your own videos; the classes come from the manifest.

    Attributes:
        spec: Spec file, or published:A0 to published:A5.
        out: Run folder to make.
        variant: base, paper-stream, released-stream, or a JSON file; None takes the one of the spec file.
        preset: paper, released, small (few videos), or finetune (on from trained weights, with a new classifier), where
            no option says otherwise; scaled to batch and data.
        seed: Of everything that is drawn.
        threads: Of torch; 0 takes all cores.
        workers: Processes that read clips; -1 chooses, 0 reads in this one.
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
    out: Path
    variant: str | None = None
    preset: str | None = None
    seed: int = 0
    threads: int = 0
    workers: int = -1
    ranks: int = 1
    executor: RankExecutor = "inline"
    gpus: int = 0
    ray_address: str | None = None
    max_failures: int = 3
    resume: Literal["never", "auto"] = "never"
    plan: bool = False
    json: bool = False


def check_division(options: Options) -> None:
    """Refuse ranks that do not divide a batch, or options of ranks that do not go together.

    Raises:
        UsageError: They do not.
    """
    parts, size = options.ranks * options.recipe.accumulation, options.recipe.batch_size
    if options.ranks < 1 or size % parts:
        raise UsageError(
            "recipe.batch_size must be a multiple of ranks x recipe.accumulation, both at least 1, but got "
            f"{size} for {options.ranks} x {options.recipe.accumulation}"
        )
    check_ranks(options)


def require_same_division(before: Options, now: Options) -> None:
    """Refuse to go on with a training on ranks that would divide its batches in another way.

    Raises:
        UsageError: The micro-batches of a step are others, or with synchronised norms those that norm together.
    """
    parts = [options.ranks * options.recipe.accumulation for options in (before, now)]
    if parts[0] != parts[1]:
        raise UsageError(
            "a run goes on with as many micro-batches per step, but ranks x recipe.accumulation was "
            f"{before.ranks} x {before.recipe.accumulation} and is now {now.ranks} x {now.recipe.accumulation}"
        )
    if now.recipe.sync_batch_norm and before.ranks != now.ranks:
        raise UsageError(
            "a run with recipe.sync_batch_norm goes on with as many ranks, but there were "
            f"{before.ranks} and are now {now.ranks}"
        )


def on_other_ranks(options: Options, size: int) -> Options:
    """The options of a training that goes on, on so many ranks, with the same micro-batches.

    Raises:
        UsageError: So many ranks cannot divide them.
    """
    accumulation = max(1, options.ranks * options.recipe.accumulation // size)
    changed = replace(moved(options, size), recipe=replace(options.recipe, accumulation=accumulation))
    require_same_division(options, changed)
    return changed


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
    return {**({} if found is None else found.values), "recipe.accumulation": fitting_accumulation(options)}


def fitting_accumulation(options: Options) -> int:
    """The fewest micro-batches whose activations fit into a part of the memory that there is; 1 where all do.

    They are those that the arithmetic says the backward pass needs, and half as much again; the micro-batches have at
    least two clips each. What a network of this kind takes at its peak is `movinas bench memory`. Ranks are those of
    torchrun, where it runs; on Ray it is 1, for the memory of its nodes is not known here.
    """
    if options.executor == "ray":
        return 1
    spec_file, recipe = spec_of(options), options.recipe
    per_rank = recipe.batch_size // max(1, local_number("WORLD_SIZE", options.ranks))
    frames = recipe.subclip_frames or recipe.train_frames or spec_file.arch.clip.num_frames
    found = operators(
        spec_file.arch,
        spec_file.variant,
        num_classes=load_manifest(options.data).num_classes,
        clip=replace(spec_file.arch.clip, num_frames=frames),
    )
    wanted = 1.5 * kept_bytes(found, dtype="fp32" if options.amp == "off" else "fp16")
    device = resolve_device(options.device)
    sharing = max(1, local_number("LOCAL_WORLD_SIZE", options.ranks)) if device == "cpu" else 1
    room = MEMORY_SHARE * memory_bytes(device) / sharing
    numbers = [number for number in range(1, per_rank // 2 + 1) if per_rank % number == 0] or [1]
    return next((number for number in numbers if wanted * per_rank / number <= room), numbers[-1])


def preset_lines(options: Options) -> Iterator[str]:
    """The arithmetic of the preset, and what was given in place of it."""
    found = preset_of(options)
    assert found is not None
    yield from found.lines(options)
    yield from schedule_lines(options.recipe, len(load_manifest(options.data).of("train")))
