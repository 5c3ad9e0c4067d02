"""Search spaces: named categorical decisions, and how their choices become a spec.

A population of N genotypes over D decisions is an int8 array `indices_ND` of choice numbers; decisions of layers beyond
the chosen depth are inactive and hold 0 there. A single genotype is a mapping from the names of the active decisions to
their choices.
"""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from search_spaces.clip_choices import NUM_FRAMES, RATE_FPS, RESOLUTION, ClipChoices
from search_spaces.decisions import Decision, decisions_of, depth_conditions
from search_spaces.errors import SpaceError, SpecError, shown
from search_spaces.membership import choice_of
from search_spaces.rounding import round_width
from search_spaces.spec import (
    FIRST_BLOCK,
    MAX_BLOCKS,
    MAX_CHANNELS,
    MAX_LAYERS_PER_BLOCK,
    ArchSpec,
    BlockSpec,
    ClipGeometry,
    LayerSpec,
    layer_name,
    parse_kernel,
)
from search_spaces.spec_json import Choice, fingerprint
from search_spaces.strict_json import digest, essence
from search_spaces.variant import Variant

Genotype = Mapping[str, Choice]
Indices = NDArray[np.int8]

MAX_CHOICES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChoices:
    """What a block may be.

    Attributes:
        base_width: Channels before the multiplier.
        depths: Numbers of layers to choose from, consecutive and rising.
        stride: Spatial stride of the first layer.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    base_width: int
    depths: tuple[int, ...]
    stride: int

    def __post_init__(self) -> None:
        low, high = (self.depths[0], self.depths[-1]) if self.depths else (0, 0)
        if not 1 <= low <= high <= MAX_LAYERS_PER_BLOCK or self.depths != tuple(range(low, high + 1)):
            raise SpaceError(
                f"must be consecutive numbers from 1 to {MAX_LAYERS_PER_BLOCK}, but got {shown(self.depths)}",
                where="depths",
            )
        if not 1 <= self.base_width <= MAX_CHANNELS:
            raise SpaceError(f"must be in [1, {MAX_CHANNELS}], but got {self.base_width}", where="base_width")
        if self.stride not in (1, 2):
            raise SpaceError(f"must be 1 or 2, but got {self.stride}", where="stride")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An architecture of a space: its genotype, its spec, and how it is built."""

    genotype: Genotype
    spec: ArchSpec
    variant: Variant

    @property
    def fingerprint(self) -> str:
        """Fingerprint of spec and variant."""
        return fingerprint(self.spec, self.variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """A MoViNet-like space (paper 3.1 and Table 1), as data.

    Attributes:
        clip: What its networks look at; with `clip_choices`, one of these.
        kernels: Names of the depthwise kernels each layer chooses from.
        expansions: Multipliers of the block's width for the bottleneck's inner width.
        width_multipliers: Of each block's and the head's base width; the stem has none.
        se: Choices for squeeze-and-excitation per layer.
        expansion_of: Whether `expansions` multiply the base width or the chosen width (movinet.md 2.2).
        clip_choices: What a clip may be where it is decided too; None leaves it at `clip`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    name: str
    clip: ClipGeometry
    stem_width: int
    blocks: tuple[BlockChoices, ...]
    head_width: int
    dense_width: int
    kernels: tuple[str, ...]
    expansions: tuple[float, ...]
    width_multipliers: tuple[float, ...]
    se: tuple[bool, ...]
    expansion_of: Literal["base", "chosen"] = "base"
    clip_choices: ClipChoices | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.blocks) <= MAX_BLOCKS:
            raise SpaceError(f"must be 1 to {MAX_BLOCKS} blocks, but got {len(self.blocks)}", where="blocks")
        lists: dict[str, tuple[Choice, ...]] = {
            "kernels": self.kernels,
            "expansions": self.expansions,
            "width_multipliers": self.width_multipliers,
            "se": self.se,
        }
        for name, choices in lists.items():
            if not 1 <= len(set(choices)) == len(choices) <= MAX_CHOICES:
                raise SpaceError(f"must be 1 to {MAX_CHOICES} different choices, but got {shown(choices)}", where=name)
        for name, multipliers in (("expansions", self.expansions), ("width_multipliers", self.width_multipliers)):
            if not all(0 < multiplier <= MAX_CHANNELS for multiplier in multipliers):
                raise SpaceError(
                    f"must be above 0 and at most {MAX_CHANNELS}, but got {shown(multipliers)}", where=name
                )
            # 2 and 2.0 are equal here and must be equal in a file, whose text the hash is of
            object.__setattr__(self, name, tuple(map(float, multipliers)))
        if not 1 <= self.head_width <= MAX_CHANNELS:
            raise SpaceError(f"must be in [1, {MAX_CHANNELS}], but got {self.head_width}", where="head_width")
        if self.clip not in self.clips:
            raise SpaceError(f"must be one of its clip_choices, but got {shown(self.clip)}", where="clip")
        try:
            for kernel in self.kernels:
                parse_kernel(kernel)
        except SpecError as error:
            raise SpaceError(error.message, where="kernels") from error
        try:
            self.largest_widths()
        except SpecError as error:
            raise SpaceError(error.message, where=error.where) from error

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All decisions, block by block: depth, width, then kernel, expansion and SE of every layer; head; clip."""
        return decisions_of(self)

    @property
    def clips(self) -> tuple[ClipGeometry, ...]:
        """Every clip that its networks may look at; the only one where the clip is not decided."""
        return (self.clip,) if self.clip_choices is None else self.clip_choices.clips()

    @property
    def hash(self) -> str:
        """SHA-256, 64 hexadecimal digits, of everything but the name that is not at its default."""
        content = {name: value for name, value in essence(self).items() if name != "name"}
        return digest(content)

    @property
    def size(self) -> int:
        """Number of genotypes, exactly; choices of inactive decisions do not count."""
        per_layer = len(self.kernels) * len(self.expansions) * len(self.se)
        size = len(self.width_multipliers) * len(self.clips)
        for block in self.blocks:
            size *= len(self.width_multipliers) * sum(per_layer**depth for depth in block.depths)
        return size

    def active(self, indices_ND: Indices) -> NDArray[np.bool_]:
        """Which decisions count, for each genotype: (N, D)."""
        depth_column_D, last_without_D = depth_conditions(self)
        return np.asarray(indices_ND[:, depth_column_D] > last_without_D)

    def sample_indices(self, rng: np.random.Generator, num: int) -> Indices:
        """`num` genotypes, every decision uniform and independent; inactive ones hold 0: (num, D)."""
        counts_D = np.array([len(decision.choices) for decision in self.decisions])
        draws_ND = rng.random((num, len(counts_D)), dtype=np.float32)
        return self.canonical((draws_ND * counts_D).astype(np.int8))

    def canonical(self, indices_ND: Indices) -> Indices:
        """The same genotypes with 0 at inactive decisions, so that equal networks compare equal."""
        return np.where(self.active(indices_ND), indices_ND, np.int8(0)).astype(np.int8)

    def clip_numbers(self, indices_ND: Indices) -> NDArray[np.intp]:
        """Which of `clips` each genotype looks at, (N,)."""
        numbers_N = np.zeros(len(indices_ND), dtype=np.intp)
        if self.clip_choices is not None:
            counts = [len(choices) for choices in self.clip_choices.by_name().values()]
            for count, column_N in zip(counts, indices_ND[:, -len(counts) :].T, strict=True):
                numbers_N = numbers_N * count + column_N
        return numbers_N

    def sample(self, rng: np.random.Generator) -> Genotype:
        """One genotype, uniform over the choices of every decision."""
        return self.genotype(self.sample_indices(rng, 1)[0])

    def genotype(self, indices_D: Indices) -> Genotype:
        """The mapping of one row of indices, active decisions only."""
        active_D = self.active(indices_D[None])[0]
        return {
            decision.name: decision.choices[int(index)]
            for decision, index, active in zip(self.decisions, indices_D, active_D, strict=True)
            if active
        }

    def indices(self, genotype: Genotype) -> Indices:
        """The row of one genotype, (D,).

        Raises:
            SpaceError: An unknown or missing decision, a choice that the decision does not have, or a decision of
                a layer beyond the chosen depth.
        """
        indices_D = np.zeros(len(self.decisions), dtype=np.int8)
        names = {decision.name: column for column, decision in enumerate(self.decisions)}
        for name, choice in genotype.items():
            if name not in names:
                close = difflib.get_close_matches(name, names, n=3)
                hint = f"; did you mean {', '.join(close)}?" if close else ""
                raise SpaceError(f"a genotype must name decisions of space {self.name}, but got {name!r}{hint}")
            indices_D[names[name]] = _choice_index(self.decisions[names[name]], choice)
        active = {name for name, on in zip(names, self.active(indices_D[None])[0], strict=True) if on}
        if missing := active - set(genotype):
            raise SpaceError(f"a genotype must choose for every active decision, but {sorted(missing)[0]!r} is missing")
        if extra := set(genotype) - active:
            raise SpaceError(f"a genotype must leave out inactive decisions, but got {sorted(extra)[0]!r}")
        return indices_D

    def check_fits(self, variant: Variant) -> None:
        """Refuse a variant that not every network of the space can be built in.

        Raises:
            SpecError: A temporal shift beside kernels with extent in time.
        """
        if not variant.temporal_shift:
            return
        for kernel in self.kernels:
            if parse_kernel(kernel)[0] > 1:
                raise SpecError(
                    f"must have no extent in time where the variant has a temporal shift, but got {kernel}",
                    where="kernels",
                )

    def decode(self, genotype: Genotype, variant: Variant) -> Candidate:
        """The architecture of a genotype.

        Raises:
            SpaceError: As `indices`.
            SpecError: As `check_fits`.
        """
        self.check_fits(variant)
        self.indices(genotype)
        blocks = []
        for number, block in enumerate(self.blocks):
            prefix = f"block{number + FIRST_BLOCK}"
            width = round_width(block.base_width * _number(genotype[f"{prefix}.width"]))
            layers = [self._layer(genotype, number, layer, width) for layer in range(int(genotype[f"{prefix}.depth"]))]
            blocks.append(BlockSpec(layers=tuple(layers)))
        spec = ArchSpec(
            clip=self._clip(genotype),
            stem_width=self.stem_width,
            blocks=tuple(blocks),
            head_width=round_width(self.head_width * _number(genotype["head.width"])),
            dense_width=self.dense_width,
        )
        return Candidate(genotype=dict(genotype), spec=spec, variant=variant)

    def encode(self, spec: ArchSpec) -> Genotype | None:
        """A genotype that decodes to `spec`, the first in the order of choices; None where the space has none."""
        if len(spec.blocks) != len(self.blocks):
            return None
        genotype: dict[str, Choice] = {}
        for decision in self.decisions:
            if decision.layer is not None and decision.layer >= len(spec.blocks[decision.block].layers):
                continue
            choice = choice_of(self, decision, spec)
            if choice is None:
                return None
            genotype[decision.name] = choice
        return genotype if self.decode(genotype, Variant()).spec == spec else None

    def contains(self, spec: ArchSpec) -> bool:
        """Whether some genotype decodes to `spec`."""
        return self.encode(spec) is not None

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Every genotype that differs in one decision; layers that a greater depth adds copy the last one's choices."""
        self.indices(genotype)
        for decision in self.decisions:
            if decision.name not in genotype:
                continue
            for choice in decision.choices:
                if choice != genotype[decision.name]:
                    yield self.replace(genotype, decision, choice)

    def replace(self, genotype: Genotype, decision: Decision, choice: Choice) -> Genotype:
        """`genotype` with one decision changed, whole again where the depth changed."""
        changed = {**genotype, decision.name: choice}
        if decision.group != "depth":
            return changed
        last = layer_name(decision.block, int(genotype[decision.name]) - 1)
        result: dict[str, Choice] = {}
        for other in self.decisions:
            if other.block != decision.block or other.layer is None:
                if other.name in changed:
                    result[other.name] = changed[other.name]
            elif other.layer < int(choice):
                result[other.name] = changed.get(other.name, changed[f"{last}.{other.group}"])
        return result

    def _clip(self, genotype: Genotype) -> ClipGeometry:
        if self.clip_choices is None:
            return self.clip
        return ClipGeometry(
            num_frames=int(genotype[NUM_FRAMES]),
            resolution=int(genotype[RESOLUTION]),
            rate_fps=float(genotype[RATE_FPS]),
        )

    def _layer(self, genotype: Genotype, block: int, layer: int, width: int) -> LayerSpec:
        prefix = layer_name(block, layer)
        base = self.blocks[block].base_width if self.expansion_of == "base" else width
        return LayerSpec(
            kernel=parse_kernel(str(genotype[f"{prefix}.kernel"])),
            width=width,
            expansion=round_width(base * _number(genotype[f"{prefix}.expansion"])),
            stride=self.blocks[block].stride if layer == 0 else 1,
            se=bool(genotype[f"{prefix}.se"]),
        )

    def largest_widths(self) -> ArchSpec:
        """The spec with every width, expansion and depth at its largest; what a supernet allocates."""
        blocks = []
        for block in self.blocks:
            width = round_width(block.base_width * max(self.width_multipliers))
            base = block.base_width if self.expansion_of == "base" else width
            layer = LayerSpec(
                kernel=parse_kernel(self.kernels[0]),
                width=width,
                expansion=round_width(base * max(self.expansions)),
                se=any(self.se),
            )
            first = replace(layer, stride=block.stride)
            blocks.append(BlockSpec(layers=(first, *(layer,) * (block.depths[-1] - 1))))
        return ArchSpec(
            clip=self.clip,
            stem_width=self.stem_width,
            blocks=tuple(blocks),
            head_width=round_width(self.head_width * max(self.width_multipliers)),
            dense_width=self.dense_width,
        )


def _choice_index(decision: Decision, choice: Choice) -> int:
    for index, known in enumerate(decision.choices):
        if known == choice and isinstance(known, bool) == isinstance(choice, bool):
            return index
    raise SpaceError(f"must be one of {list(decision.choices)}, but got {shown(choice)}", where=decision.name)


def _number(choice: Choice) -> float:
    return float(choice)


def size_log10(space: SearchSpace) -> float:
    """Logarithm of the number of genotypes; sizes pass the range of a float."""
    size, digits = space.size, 0
    while size > 1 << 1000:
        size, digits = size // 10**300, digits + 300
    return math.log10(size) + digits


def population(space: SearchSpace, genotypes: Sequence[Genotype]) -> Indices:
    """Rows of several genotypes, (N, D); errors as `SearchSpace.indices`."""
    return np.stack([space.indices(genotype) for genotype in genotypes])
