"""Compound scaling of a search space (paper, A.1): depth, base width, resolution and frame rate grow by powers of phi.

The paper asks `depth * width^2 * resolution^2 * frame_rate = 4` of the candidates it tried. What it published, 1.36,
1.18, 1.16 and 1.24, is the average of its five best candidates and multiplies to 3.16: one unit of phi then means 3.16
times the cost, not 4. The constraint therefore belongs to `candidates`; any coefficients in range make a space.
"""

import math
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import ClassVar

from pydantic import ConfigDict

from search_spaces.errors import SpaceError, SpecError, UsageError
from search_spaces.rounding import round_width
from search_spaces.space import BlockChoices, SearchSpace
from search_spaces.spec import ClipGeometry

MIN_COEFFICIENT, MAX_COEFFICIENT = 1.0, 2.0
MAX_PHI = 6.0
TARGET_GROWTH = 4.0
"""Of the cost per unit of phi, asked of candidates (paper, A.1)."""
CANDIDATE_VALUES = (1.05, 1.10, 1.15, 1.20, 1.25, 1.30, 1.35, 1.40)
"""What each coefficient of a candidate may be (paper, A.1)."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Coefficients:
    """By how much one unit of phi multiplies each dimension of a space; each in [1, 2].

    Attributes:
        depth: The numbers of layers of a block (alpha).
        width: Base widths of stem, blocks and head (beta).
        resolution: Height and width of the clip (gamma).
        frame_rate: Frames per second, and so the frames of a clip that lasts as long (delta).

    Raises:
        SpaceError: A coefficient out of range, by name.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    depth: float
    width: float
    resolution: float
    frame_rate: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not MIN_COEFFICIENT <= value <= MAX_COEFFICIENT:  # false for NaN
                raise SpaceError(
                    f"a coefficient must be in [{MIN_COEFFICIENT:g}, {MAX_COEFFICIENT:g}], but got {value}",
                    where=field.name,
                )
            object.__setattr__(self, field.name, float(value))  # 1 and 1.0 are equal and must be written alike

    @property
    def growth(self) -> float:
        """By how much one unit of phi multiplies the cost of a clip, before rounding."""
        return self.depth * self.width**2 * self.resolution**2 * self.frame_rate


PUBLISHED_COEFFICIENTS = Coefficients(depth=1.36, width=1.18, resolution=1.16, frame_rate=1.24)
"""Of MoViNet (paper, A.1); their growth is 3.16."""


def candidates(tolerance: float) -> tuple[Coefficients, ...]:
    """All coefficients from 1.05 to 1.40 in steps of 0.05 whose growth is 4 within the tolerance, in rising order.

    There are 180, 415 and 880 of 8^4 within 0.02, 0.05 and 0.10.

    Args:
        tolerance: Largest |growth / 4 - 1|, in (0, 1).

    Raises:
        UsageError: A tolerance out of range.
    """
    if not 0 < tolerance < 1:
        raise UsageError(f"the tolerance of candidates must be in (0, 1), but got {tolerance}")
    every = (
        Coefficients(depth=depth, width=width, resolution=resolution, frame_rate=frame_rate)
        for depth, width, resolution, frame_rate in product(CANDIDATE_VALUES, repeat=4)
    )
    return tuple(found for found in every if abs(found.growth / TARGET_GROWTH - 1) <= tolerance)


def scaled_space(
    base: SearchSpace, coefficients: Coefficients, *, phi: float, name: str, clip: ClipGeometry | None = None
) -> SearchSpace:
    """The space of a base at phi; at 0 the base itself, by another name.

    Base widths and resolution are rounded to the nearest multiple of 8, depths and frames to the nearest integer,
    halves up; depths stay at least 1, and a block has every depth between its scaled least and greatest (design
    decision 3). The clip's duration stays, so the frame rate is the rounded number of frames over it. Kernels, strides,
    expansions, multipliers and the dense layer are the base's.

    Args:
        base: The space at phi 0.
        coefficients: What a unit of phi multiplies.
        phi: In [-6, 6].
        name: Of the scaled space.
        clip: Clip geometry where it is not derived from the base's.

    Raises:
        SpaceError: phi out of range, or a scaled number beyond what a space may hold.
    """
    if not -MAX_PHI <= phi <= MAX_PHI:
        raise SpaceError(f"phi must be in [{-MAX_PHI:g}, {MAX_PHI:g}], but got {phi}")
    if phi == 0:
        return replace(base, name=name, clip=clip or base.clip)
    depth, width = coefficients.depth**phi, coefficients.width**phi
    try:
        return replace(
            base,
            name=name,
            clip=clip or _scaled_clip(base.clip, coefficients, phi),
            stem_width=round_width(base.stem_width * width),
            blocks=tuple(
                BlockChoices(
                    base_width=round_width(block.base_width * width),
                    depths=tuple(range(_rounded(block.depths[0] * depth), _rounded(block.depths[-1] * depth) + 1)),
                    stride=block.stride,
                )
                for block in base.blocks
            ),
            head_width=round_width(base.head_width * width),
        )
    except (SpaceError, SpecError) as error:
        raise SpaceError(f"at phi {phi:g}, space {base.name} {error.message}", where=error.where) from error


def _scaled_clip(clip: ClipGeometry, coefficients: Coefficients, phi: float) -> ClipGeometry:
    num_frames = _rounded(clip.num_frames * coefficients.frame_rate**phi)
    return ClipGeometry(
        num_frames=num_frames,
        resolution=round_width(clip.resolution * coefficients.resolution**phi),
        rate_fps=clip.rate_fps * num_frames / clip.num_frames,
    )


def _rounded(value: float) -> int:
    """Nearest integer, halves up, at least 1."""
    return max(1, math.floor(value + 0.5))
