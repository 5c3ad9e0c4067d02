"""The published networks MoViNet-A0 to A5, as specs (paper, Tables 17-22, in the official implementation's form)."""

import functools
import json
from dataclasses import replace
from importlib.resources import files

from search_spaces.errors import SpecError
from search_spaces.spec import ArchSpec, BlockSpec, ClipGeometry, LayerSpec
from search_spaces.variant import VARIANTS, Variant

PREFIX = "published:"
NAMES = ("A0", "A1", "A2", "A3", "A4", "A5")
BLOCK_STRIDES = (2, 2, 2, 1, 2)
DENSE_WIDTH = 2048
POSITIONAL_ENCODING = ("A3", "A4", "A5")
"""Whose released streams have positional encoding, and below, hard-swish in the head (movinet.md 1.4 and 4)."""
HARD_SWISH_HEAD = ("A1", "A4")


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


def released_stream(name: str) -> Variant:
    """The preset `released-stream` as the released network of this name has it."""
    return replace(
        VARIANTS["released-stream"],
        positional_encoding=name in POSITIONAL_ENCODING,
        head_activation="hard_swish" if name in HARD_SWISH_HEAD else "swish",
    )


def _block(rows: list[tuple[int, int, int, int]], stride: int) -> BlockSpec:
    return BlockSpec(
        layers=tuple(
            LayerSpec(kernel=(time, space, space), width=width, expansion=expansion, stride=stride if first else 1)
            for first, (time, space, width, expansion) in ((index == 0, row) for index, row in enumerate(rows))
        )
    )
