"""The published networks MoViNet-A0 to A5, as specs (paper, Tables 17-22, in the official implementation's form)."""

import functools
import json
from importlib.resources import files

from search_spaces.errors import SpecError
from search_spaces.spec import ArchSpec, BlockSpec, ClipGeometry, LayerSpec

PREFIX = "published:"
NAMES = ("A0", "A1", "A2", "A3", "A4", "A5")
BLOCK_STRIDES = (2, 2, 2, 1, 2)
DENSE_WIDTH = 2048


@functools.cache
def published(name: str) -> ArchSpec:
    """The spec of `A0` to `A5`.

    Raises:
        SpecError: No such network.
    """
    if name not in NAMES:
        raise SpecError(f"a published network must be one of {', '.join(NAMES)}, but got {name!r}")
    document = json.loads(files("search_spaces").joinpath("published.json").read_text("utf-8"))[name]
    blocks = tuple(_block(rows, stride) for rows, stride in zip(document["blocks"], BLOCK_STRIDES, strict=True))
    return ArchSpec(
        clip=ClipGeometry(
            num_frames=document["frames"],
            resolution=document["resolution"],
            rate_fps=float(document["rate_fps"]),
        ),
        stem_width=document["stem"],
        blocks=blocks,
        head_width=document["head"],
        dense_width=DENSE_WIDTH,
    )


def _block(rows: list[tuple[int, int, int, int]], stride: int) -> BlockSpec:
    return BlockSpec(
        layers=tuple(
            LayerSpec(kernel=(time, space, space), width=width, expansion=expansion, stride=stride if first else 1)
            for first, (time, space, width, expansion) in ((index == 0, row) for index, row in enumerate(rows))
        )
    )
