"""The named search spaces: the MoViNet base space of the paper, and `nano` for CPUs and tests."""

import difflib
from pathlib import Path

from search_spaces.errors import SpaceError
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

SPACES: dict[str, SearchSpace] = {"a2": A2, "nano": NANO}


def find_space(name: str) -> SearchSpace:
    """The space of a name, or of a JSON file.

    Raises:
        SpaceError: Neither a known name nor a readable space file.
    """
    if name in SPACES:
        return SPACES[name]
    if name.endswith(".json"):
        return read_space(Path(name))
    close = difflib.get_close_matches(name, SPACES, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise SpaceError(f"a space must be one of {', '.join(SPACES)} or a JSON file, but got {name!r}{hint}")
