"""`movinas sweep seeds`: the same search from several seeds, and how far the results are apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from launch import family
from launch.clips import ClipConfig
from launch.compute import Amp
from launch.executors import ExecutorName
from launch.initial import SCRATCH
from nas.loop import SearchConfig
from search_spaces.errors import UsageError
from supernet.evaluator import WeightConfig

SHORT, REPEATED = family.SHORT, family.REPEATED


@dataclass(frozen=True, kw_only=True)
class Options:
    """Search for one target from several seeds, and see how much of the result is chance.

    Attributes:
        space: nano, a0 to a5, phi:<number>, or a JSON file.
        target: Cost to land on, such as macs=12M/clip.
        seeds: How many; the searches have the seeds seed, seed + 1, ...
        seed: The first one.
        data: Manifest, as of a search.
        max: Cost never to exceed, such as state=64KiB@fp16; may be given several times.
        preset: paper: the constants of the paper and TuNAS, scaled to batch and data, where no option says otherwise.
        out: Family folder to make.
        clip_choices: Makes the clip decisions of the spaces, such as frames=25:50,resolution=172:224,rate_fps=5.
        conv_choices: Makes the form of convolutions longer than one frame a decision of the spaces, as 3d:3d_2plus1d.
        variant: base, paper-stream, released-stream, or a JSON file.
        proxy: Clips of the searches where they differ from the space's, such as frames=16,resolution=112.
        init: What the shared weights start from, as of a search.
        held_out: Share of the training videos that rewards come from, in (0, 1).
        compare_clips: Held-out clips, at most, of the final comparison of each search.
        search: Strategy, steps, reward, controller, warm-up, selection.
        weights: Training of the shared weights.
        clips: Reading of the videos.
        device: auto, cpu, cuda, ...
        threads: Of torch in each search.
        workers: Processes of each search that read clips.
        amp: Autocast of the networks.
        executor: inline, ray, or tune.
        parallel: Searches at once, on Ray.
        gpus: Of each search, on Ray; a share below 1 or a whole number.
        ray_address: host:port of a running cluster, or auto; None starts one on this machine.
        max_failures: How often a search is tried again that lost its worker or broke.
        plan: Print steps, memory, disk and an estimate of time, and stop.
        json: Print one JSON document at the end.
    """

    space: str
    target: str
    data: Path
    out: Path
    seeds: int = 3
    seed: int = 0
    clip_choices: str | None = None
    conv_choices: str | None = None
    max: tuple[str, ...] = ()
    preset: str | None = None
    variant: str = "base"
    proxy: str | None = None
    init: str = SCRATCH
    held_out: float = 0.3
    compare_clips: int = 512
    search: SearchConfig = field(default_factory=SearchConfig)
    weights: WeightConfig = field(default_factory=WeightConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)
    device: str = "auto"
    threads: int = 1
    workers: int = 0
    amp: Amp = "off"
    executor: ExecutorName = "inline"
    parallel: int = 1
    gpus: float = 0.0
    ray_address: str | None = None
    max_failures: int = 3
    plan: bool = False
    json: bool = False


def run(options: Options) -> int:
    """As `movinas sweep targets` with one space and one target."""
    return family.run(_family(options))


def defaults_of(options: Options) -> Mapping[str, object]:
    """As of a search."""
    return family.defaults_of(_family(options))


def _family(options: Options) -> family.Options:
    if options.seeds < 1:
        raise UsageError(f"seeds must be at least 1, but got {options.seeds}")
    shared = {each.name for each in fields(family.Options)} & {each.name for each in fields(Options)}
    values = {name: getattr(options, name) for name in shared - {"seeds"}}
    return family.Options(
        **values,
        spaces=(options.space,),
        targets=(options.target,),
        seeds=tuple(range(options.seed, options.seed + options.seeds)),
    )
