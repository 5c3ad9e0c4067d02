"""The published MoViNets: A0 to A5 as specs (Tables 17-22, in the form of the official implementation), and A6."""

import functools
import json
from dataclasses import replace
from importlib.resources import files

from search_spaces.ensemble import EnsembleMember, EnsembleSpec
from search_spaces.errors import SpecError
from search_spaces.spec import ArchSpec, BlockSpec, ClipGeometry, LayerSpec
from search_spaces.variant import VARIANTS, Variant

PREFIX = "published:"
NAMES = ("A0", "A1", "A2", "A3", "A4", "A5")
ENSEMBLES = {"A6": ("A4", "A5")}
"""Networks whose logits are averaged, each at its own full frame rate (paper, B)."""
BLOCK_STRIDES = (2, 2, 2, 1, 2)
DENSE_WIDTH = 2048
POSITIONAL_ENCODING = ("A3", "A4", "A5")
"""Whose released streams have positional encoding, and below, hard-swish in the head (movinet.md 1.4 and 4)."""
HARD_SWISH_HEAD = ("A1", "A4")

MIN_SIZES = {"A0": 192, "A1": 192, "A2": 256, "A3": 288, "A4": 320, "A5": 368}
"""Pixels to which a video's shorter side is scaled for a test, before the centre is cut out (movinet.md 4)."""


@functools.cache
def published(name: str) -> ArchSpec:
    """The spec of `A0` to `A5`.

    Raises:
        SpecError: No such network.
    """
    if name not in NAMES:
        ensemble = f", the ensemble of {' and '.join(ENSEMBLES[name])}" if name in ENSEMBLES else ""
        raise SpecError(f"a published network must be one of {', '.join(NAMES)}, but got {name!r}{ensemble}")
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


def published_ensemble(name: str, variant: Variant) -> EnsembleSpec:
    """The ensemble `A6`, every member in `variant`.

    Raises:
        SpecError: No such ensemble.
    """
    if name not in ENSEMBLES:
        raise SpecError(f"a published ensemble must be one of {', '.join(ENSEMBLES)}, but got {name!r}")
    return EnsembleSpec(
        members=tuple(EnsembleMember(arch=published(member), variant=variant) for member in ENSEMBLES[name])
    )


def name_of(arch: ArchSpec) -> str | None:
    """Which published network has this architecture, whatever clip it looks at; None where none has."""
    return next((name for name in NAMES if replace(arch, clip=published(name).clip) == published(name)), None)


def min_size(arch: ArchSpec) -> int | None:
    """The minimum size of a published network at its own resolution, for clips of any length; None for all else."""
    name = name_of(arch)
    return MIN_SIZES[name] if name and published(name).clip.resolution == arch.clip.resolution else None


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
