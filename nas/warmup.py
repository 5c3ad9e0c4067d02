"""Warm-up of shared weights: kernels averaged, layers run at their largest (tunas.md 2, design decision 6).

The weight step runs a widened copy of what was sampled; what is measured and rewarded is the sample itself, so that
log-probabilities are always those of architectures that were really drawn.
"""

from dataclasses import dataclass

import numpy as np

from search_spaces.errors import UsageError
from search_spaces.space import Genotype, SearchSpace
from search_spaces.spec import layer_name


@dataclass(frozen=True, kw_only=True)
class WarmupConfig:
    """Shares of the steps over which the probability of warm-up falls from 1 to 0, in [0, 1].

    Attributes:
        op_fraction: For running all kernels of a layer.
        filter_fraction: For running a layer at its greatest width, a block at its greatest depth.
    """

    op_fraction: float = 0.25
    filter_fraction: float = 0.25

    def __post_init__(self) -> None:
        for name in ("op_fraction", "filter_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"warmup.{name} must be in [0, 1], but got {getattr(self, name)}")


def warmup_probability(step: int, *, num_steps: int, fraction: float) -> float:
    """Falls linearly from 1 in step 0 to 0 after `fraction` of the steps."""
    return max(0.0, 1.0 - step / (fraction * num_steps)) if fraction > 0 else 0.0


def widen(
    space: SearchSpace,
    genotype: Genotype,
    rng: np.random.Generator,
    *,
    op_probability: float,
    filter_probability: float,
) -> tuple[Genotype, frozenset[str]]:
    """What the weight step runs instead of a sampled genotype.

    Each decision of depth, width or expansion takes its largest choice with `filter_probability`, independently; layers
    that a greater depth adds copy the last one's choices. Each layer then runs all its kernels with `op_probability`.

    Returns:
        The genotype to run, and the names of the layers that run all their kernels.
    """
    draws_D = rng.random((2, len(space.decisions)))
    mixed = set()
    for decision, draw in zip(space.decisions, draws_D[0], strict=True):
        if decision.name not in genotype:
            continue
        if decision.group in ("depth", "width", "expansion") and draw < filter_probability:
            genotype = space.replace(genotype, decision, max(decision.choices))
    for decision, draw in zip(space.decisions, draws_D[1], strict=True):
        if decision.group == "kernel" and decision.name in genotype and draw < op_probability:
            assert decision.layer is not None
            mixed.add(layer_name(decision.block, decision.layer))
    return genotype, frozenset(mixed)
