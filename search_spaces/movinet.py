"""The named search spaces: the paper's base space, its scaled ones, and `nano` for CPUs and tests."""

import difflib
from pathlib import Path

from search_spaces.errors import SpaceError, shown
from search_spaces.published import NAMES, published
from search_spaces.scaling import PUBLISHED_COEFFICIENTS, scaled_space
from search_spaces.space import BlockChoices, SearchSpace
from search_spaces.space_json import read_space
from search_spaces.spec import ClipGeometry

KERNELS = ("1x3x3", "1x5x5", "1x7x7", "5x1x1", "7x1x1", "3x3x3", "5x3x3")
"""Paper 3.1; larger ones were left out there too."""
EXPANSIONS = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
WIDTH_MULTIPLIERS = (0.75, 1.0, 1.25)

A2 = SearchSpace(
    name="a2",
    clip=ClipGeometry(num_frames=50, resolution=224, rate_fps=5.0),
    stem_width=16,
    blocks=tuple(
        BlockChoices(base_width=width, depths=tuple(range(1, 11)), stride=stride)
        for width, stride in ((24, 2), (48, 2), (96, 2), (96, 1), (192, 2))
    ),
    head_width=512,
    dense_width=2048,
    kernels=KERNELS,
    expansions=EXPANSIONS,
    width_multipliers=WIDTH_MULTIPLIERS,
    se=(True, False),
)
"""The paper's base space (3.1, Table 1), from which MoViNet-A2 was found."""

NANO = SearchSpace(
    name="nano",
    clip=ClipGeometry(num_frames=8, resolution=48, rate_fps=8.0),
    stem_width=8,
    blocks=tuple(
        BlockChoices(base_width=width, depths=tuple(range(1, deepest + 1)), stride=2)
        for width, deepest in ((24, 2), (32, 3), (48, 3))
    ),
    head_width=96,
    dense_width=256,
    kernels=KERNELS,
    expansions=EXPANSIONS,
    width_multipliers=WIDTH_MULTIPLIERS,
    se=(True, False),
)
"""The same decisions on few, narrow blocks whose widths stay distinct after rounding; one second of video at 8 fps."""

PHIS = {"a0": -2, "a1": -1, "a2": 0, "a3": 1, "a4": 2, "a5": 3}
"""Of the spaces that the published networks of the same names were found in (paper, A.1)."""
PHI_PREFIX = "phi:"
SPACES: dict[str, SearchSpace] = {
    **{
        name: scaled_space(A2, PUBLISHED_COEFFICIENTS, phi=phi, name=name, clip=published(network).clip)
        for (name, phi), network in zip(PHIS.items(), NAMES, strict=True)
    },
    "nano": NANO,
}


def space_at(phi: float) -> SearchSpace:
    """The base space at any phi, with the clip that the published coefficients give.

    Raises:
        SpaceError: As `scaled_space`.
    """
    return scaled_space(A2, PUBLISHED_COEFFICIENTS, phi=phi, name=f"{PHI_PREFIX}{phi:g}")


def phi_of(name: str) -> float | None:
    """The phi of a space that `find_space` finds by this name; None for one that is not scaled from the base space."""
    if name.startswith(PHI_PREFIX):
        return _phi(name.removeprefix(PHI_PREFIX))
    return PHIS.get(name)


def find_space(name: str) -> SearchSpace:
    """The space of a name, of `phi:` and a number, or of a JSON file.

    `a0` to `a5` look at clips as the networks of these names were published, which do not follow the coefficients;
    `phi:1` is `a3` with the clip that does.

    Raises:
        SpaceError: Neither a known name, nor a phi in range, nor a readable space file.
    """
    if name in SPACES:
        return SPACES[name]
    if name.startswith(PHI_PREFIX):
        return space_at(_phi(name.removeprefix(PHI_PREFIX)))
    if name.endswith(".json"):
        return read_space(Path(name))
    close = difflib.get_close_matches(name, SPACES, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    known = ", ".join((*SPACES, f"{PHI_PREFIX}<number>"))
    raise SpaceError(f"a space must be one of {known} or a JSON file, but got {name!r}{hint}")


def _phi(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SpaceError(f"phi must be a number, such as {PHI_PREFIX}1.5, but got {shown(text)}") from None
