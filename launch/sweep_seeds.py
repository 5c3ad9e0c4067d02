"""`movinas sweep seeds`: the same search from several seeds, and how far the results are apart."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from launch import family, search
from launch.executors import ExecutorOptions
from search_spaces.errors import UsageError

SHORT, REPEATED = family.SHORT, family.REPEATED


@dataclass(frozen=True, kw_only=True)
class Options(ExecutorOptions, search.SharedOptions):
    """Search for one target from several seeds, and see how much of the result is chance.

    Attributes:
        space: a0 to a5, phi:<number>, nano, or a JSON file.
        target: Cost to land on, such as macs=12M/clip.
        seeds: How many; the searches have the seeds seed, seed + 1, ...
        seed: The first one.
        out: Family folder to make.
    """

    space: str
    target: str
    out: Path
    seeds: int = 3
    seed: int = 0


def run(options: Options) -> int:
    """As `movinas sweep targets` with one space and one target."""
    return family.run(_family(options))


def defaults_of(options: Options) -> Mapping[str, object]:
    """As of a search."""
    return family.defaults_of(_family(options))


def _family(options: Options) -> family.Options:
    if options.seeds < 1:
        raise UsageError(f"seeds must be at least 1, but got {options.seeds}")
    shared = [each.name for base in (ExecutorOptions, search.SharedOptions) for each in fields(base)]
    return family.Options(
        **{name: getattr(options, name) for name in shared},
        out=options.out,
        spaces=(options.space,),
        targets=(options.target,),
        seeds=tuple(range(options.seed, options.seed + options.seeds)),
    )
