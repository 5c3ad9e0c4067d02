"""Which coefficients scale a space best (paper, A.1): candidates, the architectures that stand for them, ranking."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from results.records import ScalingRecord
from search_spaces.cost_table import cost_table
from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from search_spaces.scaling import Coefficients, candidates, scaled_space
from search_spaces.space import Candidate, SearchSpace
from search_spaces.variant import Variant

PHI = 1.0
"""At which candidates are compared (paper, A.1)."""
NUM_SAMPLES = 10_000
"""Of a space, for the median of its costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingTrial:
    """One architecture of one candidate.

    Attributes:
        number: Of the architecture among those of its candidate, from 0.
    """

    coefficients: Coefficients
    number: int

    @property
    def name(self) -> str:
        """Such as `d1.20-w1.15-r1.20-f1.40-0`: depth, width, resolution, frame rate, number."""
        return f"{candidate_name(self.coefficients)}-{self.number}"

    def draw(self, base: SearchSpace, variant: Variant, *, seed: int) -> Candidate:
        """The architecture, uniform over the scaled space; errors as `scaled_space`."""
        space = space_of(base, self.coefficients)
        return space.decode(space.sample(generator(seed, "scaling", self.name)), variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateScore:
    """How one candidate did.

    Attributes:
        top1s: Accuracy of each of its architectures, by number.
        macs_per_frame: Mean over them.
    """

    coefficients: Coefficients
    top1s: tuple[float, ...]
    macs_per_frame: float

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return float(np.mean(self.top1s))


def candidate_name(coefficients: Coefficients) -> str:
    """Such as `d1.20-w1.15-r1.20-f1.40`."""
    values = (coefficients.depth, coefficients.width, coefficients.resolution, coefficients.frame_rate)
    return "-".join(f"{letter}{value:.2f}" for letter, value in zip("dwrf", values, strict=True))


def space_of(base: SearchSpace, coefficients: Coefficients) -> SearchSpace:
    """The base space at phi 1; errors as `scaled_space`."""
    return scaled_space(base, coefficients, phi=PHI, name=f"{base.name}-{candidate_name(coefficients)}")


def median_macs_per_frame(space: SearchSpace, variant: Variant, *, num_classes: int) -> float:
    """Of random architectures of a space; the paper began at about 300 M (A.1)."""
    table = cost_table(space, variant, metric="macs", num_classes=num_classes)
    costs_N = table.costs(space.sample_indices(generator(0, "cost statistics"), NUM_SAMPLES))
    return float(np.median(costs_N)) / space.clip.num_frames


def trials_of(coefficients: Coefficients, *, num_architectures: int) -> tuple[ScalingTrial, ...]:
    """The trials of one candidate."""
    return tuple(ScalingTrial(coefficients=coefficients, number=number) for number in range(num_architectures))


def random_candidates(tolerance: float, *, num: int, seed: int) -> tuple[Coefficients, ...]:
    """`num` different candidates, uniform over those within the tolerance, in the order drawn.

    Raises:
        UsageError: There are fewer.
    """
    every = all_candidates(tolerance, num=num)
    order = generator(seed, "scaling candidates").permutation(len(every))
    return tuple(every[int(index)] for index in order[:num])


def all_candidates(tolerance: float, *, num: int = 1) -> tuple[Coefficients, ...]:
    """Every candidate within the tolerance, in rising order.

    Raises:
        UsageError: There are fewer than `num`.
    """
    every = candidates(tolerance)
    if len(every) < num:
        raise UsageError(
            f"as many candidates as asked for must be within the tolerance, but {len(every)} of 4096 are within "
            f"{tolerance:g} and {num} were asked for"
        )
    return every


def scores(records: Iterable[ScalingRecord], *, num_architectures: int) -> list[CandidateScore]:
    """The candidates whose architectures were all trained, best mean accuracy first, equals in rising order."""
    by_name: dict[str, ScalingRecord] = {}
    for record in records:
        by_name.setdefault(record.name, record)
    found = []
    for coefficients in sorted({record.coefficients for record in by_name.values()}):
        names = [trial.name for trial in trials_of(coefficients, num_architectures=num_architectures)]
        own = [by_name[name] for name in names if name in by_name]
        if len(own) == num_architectures:
            found.append(
                CandidateScore(
                    coefficients=coefficients,
                    top1s=tuple(record.top1 for record in own),
                    macs_per_frame=float(np.mean([record.macs_per_frame for record in own])),
                )
            )
    return sorted(found, key=lambda score: -score.mean)


def average(best: Sequence[CandidateScore]) -> Coefficients:
    """The mean of each coefficient over some candidates, at least one: what the sweep ends with (paper, A.1).

    It need not meet the constraint of the candidates; the published average does not.
    """
    rows = [
        (each.coefficients.depth, each.coefficients.width, each.coefficients.resolution, each.coefficients.frame_rate)
        for each in best
    ]
    depth, width, resolution, frame_rate = (float(value) for value in np.mean(rows, axis=0))
    return Coefficients(depth=depth, width=width, resolution=resolution, frame_rate=frame_rate)
