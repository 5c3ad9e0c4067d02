"""Options of a search, and what a preset makes of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from launch.clips import ClipConfig, hold_out, require_single_label, videos_of
from launch.compute import Amp
from launch.initial import SCRATCH
from launch.presets import Preset, check_preset, paper
from launch.rank_start import RankExecutor, check_ranks
from nas.loop import SearchConfig
from search_spaces.errors import UsageError
from supernet.evaluator import WeightConfig
from video.manifest import load_manifest

REPEATED = ("max",)
SHORT = {"ray_address": "--ray-address"}


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """What the searches of a family have in common.

    Attributes:
        data: Manifest; its train split is used, partly held out for rewards; val and test are not looked at.
        max: Cost never to exceed, such as state=64KiB@fp16; may be given several times.
        preset: paper: the constants of the paper and TuNAS, scaled to batch and data, where no option says otherwise.
        clip_choices: Makes the clip decisions of the space, such as frames=25:50,resolution=172:224,rate_fps=5; every
            architecture is then trained and measured on clips of its own.
        conv_choices: Makes the form of convolutions longer than one frame a decision of the space, as 3d:3d_2plus1d.
        variant: base, paper-stream, released-stream, or a JSON file.
        proxy: Clips of the search where they differ from the space's, such as frames=16,resolution=112; costs stay
            those of the space.
        init: What the shared weights start from: scratch, weights:FILE for the model.safetensors of a network beside
            its model.json (or their folder), retrain:RUN for that of a retraining, supernet:RUN for those of a search.
        held_out: Share of the training videos that rewards come from, in (0, 1).
        compare_clips: Held-out clips, at most, of the final comparison.
        search: Strategy, steps, reward, controller, warm-up, selection.
        weights: Training of the shared weights.
        clips: Reading of the videos.
        device: auto, cpu, cuda, ...
        amp: Autocast of the network.
        plan: Print steps, memory, disk and an estimate of time, and stop.
        json: Print one JSON document at the end.
    """

    data: Path
    max: tuple[str, ...] = ()
    preset: str | None = None
    clip_choices: str | None = None
    conv_choices: str | None = None
    variant: str = "base"
    proxy: str | None = None
    init: str = SCRATCH
    held_out: float = 0.3
    compare_clips: int = 512
    search: SearchConfig = field(default_factory=SearchConfig)
    weights: WeightConfig = field(default_factory=WeightConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)
    device: str = "auto"
    amp: Amp = "off"
    plan: bool = False
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Options(SharedOptions):
    """Search a space for a network at a cost target, on your own videos.

    Attributes:
        space: a0 to a5, phi:<number>, nano, or a JSON file.
        target: Cost to land on, such as macs=12M/clip, or latency=10ms/frame@table.json (bench table).
        out: Run folder to make.
        seed: Of everything that is drawn.
        threads: Of torch; 0 takes all cores.
        workers: Processes that read clips, for weights and for rewards each; -1 chooses, 0 reads in this one.
        ranks: Processes that search together, each with its share of every step's architectures, and threads and
            workers of its own. torchrun starts them itself.
        executor: Who runs the ranks: inline on this machine, or ray for workers of Ray Train.
        gpus: Of each rank on Ray, 0 or 1.
        ray_address: host:port of a running cluster, or auto; None starts one.
        max_failures: How often the ranks on Ray are begun again, from the newest checkpoint, after the loss of one.
    """

    space: str
    target: str
    out: Path
    seed: int = 0
    threads: int = 0
    workers: int = -1
    ranks: int = 1
    executor: RankExecutor = "inline"
    gpus: int = 0
    ray_address: str | None = None
    max_failures: int = 3


def check_division(options: Options) -> None:
    """Refuse ranks that do not divide a step, or options of ranks that do not go together.

    Raises:
        UsageError: They do not.
    """
    check_ranks(options)
    if options.search.architectures_per_step % options.ranks:
        raise UsageError(
            "search.architectures_per_step must be a multiple of ranks, of which each runs as many, but got "
            f"{options.search.architectures_per_step} for {options.ranks} ranks"
        )


def preset_of(options: Options) -> Preset:
    """The preset that the options name, for their data and batch; they hold what it is scaled by.

    Raises:
        UsageError: An unknown preset.
        ManifestError: The manifest does not read, or has too few videos.
    """
    check_preset(options.preset)
    manifest = load_manifest(options.data)
    require_single_label(manifest, path=options.data)
    items = videos_of(manifest, "train", path=options.data)
    kept, held = hold_out(items, fraction=options.held_out, seed=options.seed)
    return paper(
        num_train_videos=len(kept),
        num_held_out=len(held),
        batch_size=options.weights.batch_size,
        architectures_per_step=options.search.architectures_per_step,
        steps=options.search.steps,
        bf16=options.amp == "bf16",
    )


def preset_lines(options: Options) -> Iterator[str]:
    """The arithmetic of the preset, and what was given in place of it."""
    preset = preset_of(options)
    given = {name: attrgetter(name)(options) for name in preset.values}
    yield from preset.arithmetic
    for name, value in given.items():
        if value != preset.values[name]:
            yield f"{name} is {value}, as given"


def defaults_of(options: Options) -> Mapping[str, object]:
    """What options are where nobody gave them, by dotted names; it may follow from what was given."""
    return {} if options.preset is None else preset_of(options).values
