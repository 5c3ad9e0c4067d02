"""The micro space: so small that every architecture at its target's cost can be trained by itself.

Four layers in three blocks decide on a kernel (two that see one frame, two that see several) and an expansion each:
4,096 architectures, of which 132 cost within 1 % of the target. Which layers look across time, and how much width that
leaves for them, is all there is to find.
"""

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from launch.study.common import Size
from nas.problem import Problem
from search_spaces.space import BlockChoices, Indices, SearchSpace
from search_spaces.spec import ClipGeometry
from search_spaces.spec_json import Choice
from search_spaces.target import parse_target
from search_spaces.variant import Variant

MICRO = SearchSpace(
    name="micro",
    clip=ClipGeometry(num_frames=8, resolution=48, rate_fps=8.0),
    stem_width=8,
    blocks=(
        BlockChoices(base_width=16, depths=(1,), stride=2),
        BlockChoices(base_width=24, depths=(1,), stride=2),
        BlockChoices(base_width=32, depths=(2,), stride=2),
    ),
    head_width=64,
    dense_width=128,
    kernels=("1x3x3", "1x5x5", "3x3x3", "5x1x1"),
    expansions=(1.5, 3.0),
    width_multipliers=(1.0,),
    se=(False,),
)
CLIPS = {"cpu": MICRO.clip, "gpu": ClipGeometry(num_frames=16, resolution=112, rate_fps=16.0)}
TARGETS = {"cpu": "macs=6.1M/clip", "gpu": "macs=65M/clip"}
"""Their architectures inside the budget are those of the ground truth."""
TOLERANCE = 0.01
NUM_CLASSES = 8


def space(size: Size) -> SearchSpace:
    """The micro space for clips of a study's size."""
    return replace(MICRO, clip=CLIPS[size])


def problem(size: Size, *, target: str | None = None, seed: int = 0) -> Problem:
    """The micro space with its target or another one, for the generated motions."""
    return Problem(
        space=space(size),
        variant=Variant(),
        target=parse_target(target or TARGETS[size]),
        num_classes=NUM_CLASSES,
        seed=seed,
    )


def architectures(size: Size) -> Indices:
    """Every architecture within `TOLERANCE` of the target, in a fixed order, (N, D)."""
    counts = [len(decision.choices) for decision in MICRO.decisions]
    rows_ND = np.array(list(itertools.product(*map(range, counts))), dtype=np.int8)
    return np.asarray(rows_ND[problem(size).inside(rows_ND, tolerance=TOLERANCE)])


def genotype_text(genotype: Mapping[str, Choice]) -> str:
    """Kernels and expansions of a genotype of the micro space, layer by layer, such as `3x3x3/1.5`."""
    kernels = [value for name, value in genotype.items() if name.endswith(".kernel")]
    expansions = [value for name, value in genotype.items() if name.endswith(".expansion")]
    return " ".join(f"{kernel}/{expansion:g}" for kernel, expansion in zip(kernels, expansions, strict=True))
