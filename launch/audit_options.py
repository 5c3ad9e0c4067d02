"""Options of an audit, and what it reads of a search."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from launch import search
from launch.compute import Amp
from launch.executors import ExecutorOptions
from launch.runs import options_of, variant_of
from results.run_dir import RunDir
from retrain.recipe import Recipe
from search_spaces.space import SearchSpace
from search_spaces.space_json import read_space
from search_spaces.variant import Variant

Geometry = Literal["search", "space"]


@dataclass(frozen=True, kw_only=True)
class Options(ExecutorOptions):
    """Audit a finished search: train architectures stand-alone, and compare their order with the shared weights'.

    Attributes:
        run: Finished search.
        out: Folder to make; None takes the search's name and `-audit`, beside it.
        architectures: How many, of all bands together.
        bands: Ranges of cost that random architectures fall into equally often; 1 for the whole space.
        edges: The ends of bands in cost/target, such as [0.5,0.97,1.03,2]; they take the place of `bands`.
        within_limits: Whether the architectures keep the limits of the search.
        seeds: Trainings of each architecture, from seeds seed, seed + 1, ...; two or more show the ceiling.
        geometry: Clips of the trainings: search takes those of the search, space those that the space is for.
        recipe: Training of each architecture; its last epoch counts.
        seed: Of the sample, the bootstrap and the first training.
        device: auto, cpu, cuda, ...
        amp: Autocast of the trainings; shared weights are scored as the search did.
        plan: Print what is to be trained, memory, disk and an estimate of time, and stop.
        json: Print one JSON document at the end.
    """

    run: Path
    out: Path | None = None
    architectures: int = 24
    bands: int = 4
    edges: tuple[float, ...] = ()
    within_limits: bool = True
    seeds: int = 2
    geometry: Geometry = "search"
    recipe: Recipe = field(default_factory=lambda: Recipe(evaluations=1))
    seed: int = 0
    device: str = "auto"
    amp: Amp = "off"
    plan: bool = False
    json: bool = False

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Of the trainings of each architecture."""
        return tuple(range(self.seed, self.seed + self.seeds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is read of a search, or of the copy that an audit keeps."""

    folder: RunDir
    options: search.Options
    space: SearchSpace
    variant: Variant

    @classmethod
    def of(cls, folder: RunDir) -> Self:
        """Read them; errors are those of a configuration, space and variant."""
        options = options_of(folder, search.Options)
        return cls(folder=folder, options=options, space=read_space(folder.space_path), variant=variant_of(folder))
