"""Costs of whole populations: the integers of `prices.py`, looked up instead of computed.

A network's cost is a sum over its layers, or for the peak of its activations their maximum, and a layer's cost depends
on few decisions: its own, its block's width, and for a block's first layer the width of the block before. One small
table per layer therefore holds every case. Where the clip or the form of convolutions is decided too, everything of it
that the metric depends on has tables of its own; the frame rate changes no cost of a clip.
"""

import functools
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from search_spaces.cost import DataType
from search_spaces.errors import SpaceError
from search_spaces.forms import Form
from search_spaces.latency_table import LatencyTable
from search_spaces.prices import Arithmetic, Metric, Prices
from search_spaces.rounding import round_width
from search_spaces.space import Indices, SearchSpace
from search_spaces.spec import FIRST_BLOCK, STEM_STRIDE, ClipGeometry, LayerSpec, parse_kernel, same_size
from search_spaces.variant import Variant

Integers = NDArray[np.int64]
CHUNK = 4096
MAX_ENTRIES = 1 << 20
"""Costs that the tables of a space may hold in all: seconds of arithmetic. Those of the published spaces hold 5,040."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTables:
    """Tables of one block.

    Attributes:
        first: Cost of the first layer, (previous width, width, layer code).
        rest: Cost of any later layer, (width, layer code).
        columns: Columns of depth and width, then per layer those of kernel, expansion and SE.
    """

    first: Integers
    rest: Integers
    depths: tuple[int, ...]
    depth_column: int
    width_column: int
    layer_columns: tuple[int, ...]


class FormTable:
    """Costs of genotypes of one space under one metric, all for the same clip in the same variant; as `CostTable`.

    Attributes:
        stem: Cost of the stem; `blocks` tables of the layers.
        head: Cost of the head, (width of the last block, width); `head_column` that of its decision.
    """

    def __init__(self, space: SearchSpace, prices: Prices, *, resolution: int, joined: np.ufunc = np.add) -> None:
        self._space, self._prices, self._resolution, self._joined = space, prices, resolution, joined
        self._num_layer_codes = len(space.kernels) * len(space.expansions) * len(space.se)
        self.stem = prices.stem(space.stem_width)
        self.blocks, size = self._build_blocks()
        self.head = self._build_head(size)
        self.head_column = [decision.name for decision in space.decisions].index("head.width")

    def costs(self, indices_ND: Indices) -> Integers:
        """In chunks that stay in the processor's cache."""
        result_N = np.empty(len(indices_ND), dtype=np.int64)
        for start in range(0, len(indices_ND), CHUNK):
            chunk_DN = np.ascontiguousarray(indices_ND[start : start + CHUNK].T)
            result_N[start : start + CHUNK] = self._chunk_costs(chunk_DN)
        return result_N

    def bounds(self) -> tuple[int, int]:
        """By dynamic programming over the blocks' widths."""
        num_widths = len(self._space.width_multipliers)
        low_W = high_W = np.full(1, self.stem, dtype=np.int64)
        for block in self.blocks:
            rest_W = block.rest.reshape(num_widths, -1)
            lows_PW = self._joined(block.first.min(axis=2), self._several(rest_W.min(1), block.depths[0] - 1))
            highs_PW = self._joined(block.first.max(axis=2), self._several(rest_W.max(1), block.depths[-1] - 1))
            low_W = self._joined(low_W[:, None], lows_PW).min(axis=0)
            high_W = self._joined(high_W[:, None], highs_PW).max(axis=0)
        low, high = self._joined(low_W, self.head.min(1)), self._joined(high_W, self.head.max(1))
        return int(low.min()), int(high.max())

    def _several(self, each_W: Integers, num: int) -> Integers:
        """Cost of `num` equal layers."""
        return each_W * (num if self._joined is np.add else min(num, 1))

    def _chunk_costs(self, chunk_DN: Indices) -> Integers:
        total_N = np.full(chunk_DN.shape[1], self.stem, dtype=np.int64)
        previous_N = np.zeros(chunk_DN.shape[1], dtype=np.int32)
        num_expansions, num_se = len(self._space.expansions), len(self._space.se)
        num_widths = len(self._space.width_multipliers)
        for block in self.blocks:
            width_N = chunk_DN[block.width_column].astype(np.int32)
            depth_N = chunk_DN[block.depth_column] + block.depths[0]
            first, rest = block.first.ravel(), block.rest.ravel()
            offset_N = width_N * np.int32(self._num_layer_codes)
            for layer, column in enumerate(block.layer_columns):
                code_N = chunk_DN[column].astype(np.int32)
                code_N *= num_expansions
                code_N += chunk_DN[column + 1]
                code_N *= num_se
                code_N += chunk_DN[column + 2]
                code_N += offset_N
                if layer == 0:
                    code_N += previous_N * np.int32(num_widths * self._num_layer_codes)
                    part_N = first.take(code_N)
                elif layer < block.depths[0]:
                    part_N = rest.take(code_N)
                else:
                    part_N = rest.take(code_N) * (depth_N > layer)
                self._joined(total_N, part_N, out=total_N)
            previous_N = width_N
        return np.asarray(self._joined(total_N, self.head[previous_N, chunk_DN[self.head_column]]))

    def _build_blocks(self) -> tuple[tuple[BlockTables, ...], int]:
        columns = {decision.name: column for column, decision in enumerate(self._space.decisions)}
        size = same_size(self._resolution, STEM_STRIDE)
        previous: tuple[int, ...] = (self._space.stem_width,)
        blocks = []
        for number, block in enumerate(self._space.blocks):
            prefix = f"block{number + FIRST_BLOCK}"
            widths = self._widths(block.base_width)
            after = same_size(size, block.stride)
            first = [
                [self._layer_codes(block.base_width, width, source, size, block.stride) for width in widths]
                for source in previous
            ]
            rest = [self._layer_codes(block.base_width, width, width, after, 1) for width in widths]
            blocks.append(
                BlockTables(
                    first=np.array(first, dtype=np.int64),
                    rest=np.array(rest, dtype=np.int64),
                    depths=block.depths,
                    depth_column=columns[f"{prefix}.depth"],
                    width_column=columns[f"{prefix}.width"],
                    layer_columns=tuple(
                        columns[f"{prefix}.layer{layer + 1}.kernel"] for layer in range(block.depths[-1])
                    ),
                )
            )
            previous, size = widths, after
        return tuple(blocks), size

    def _layer_codes(self, base_width: int, width: int, in_width: int, in_size: int, stride: int) -> list[int]:
        base = base_width if self._space.expansion_of == "base" else width
        values = []
        kernels = [parse_kernel(name) for name in self._space.kernels]
        for kernel, expansion, se in product(kernels, self._space.expansions, self._space.se):
            layer = LayerSpec(
                kernel=kernel,
                width=width,
                expansion=round_width(base * expansion),
                stride=stride,
                se=se,
            )
            values.append(self._prices.layer(layer, in_width=in_width, in_size=in_size))
        return values

    def _build_head(self, size: int) -> Integers:
        space, prices = self._space, self._prices
        sources = self._widths(space.blocks[-1].base_width)
        widths = self._widths(space.head_width)
        return np.array(
            [
                [prices.head(width, in_width=source, in_size=size, dense_width=space.dense_width) for width in widths]
                for source in sources
            ],
            dtype=np.int64,
        )

    def _widths(self, base_width: int) -> tuple[int, ...]:
        return tuple(round_width(base_width * multiplier) for multiplier in self._space.width_multipliers)


class CostTable:
    """Costs of genotypes of one space under one metric.

    Args:
        space: The space.
        variant: How its networks are built.
        metric: What is summed, or, of `peak_activation_bytes`, the greatest; `paper_half_macs` are twice the paper's
            FLOPs.
        num_classes: Outputs of the classifier.
        clip: Clip geometry of all genotypes alike; None takes the space's, or of each genotype the one it decides on.
        num_frames: Of a call, where the network does not see its clip at once; None takes the clip's.
        dtype: Type of stream buffers and activations.
        latency: Measured times, in whose nanoseconds costs then are; `metric`, `clip`, `num_frames` and `dtype` count
            for nothing.

    Attributes:
        forms: Every clip and variant that is costed; `tables` the tables for each.

    Raises:
        SpecError: The space's networks cannot be built in this variant.
        SpaceError: So many choices that the tables would not fit.
        LatencyTableError: The times are of another space, variant, number of classes or clip.
    """

    def __init__(
        self,
        space: SearchSpace,
        variant: Variant,
        *,
        metric: Metric,
        num_classes: int,
        clip: ClipGeometry | None = None,
        num_frames: int | None = None,
        dtype: DataType = "fp32",
        latency: LatencyTable | None = None,
    ) -> None:
        space.check_fits(variant)
        self._space = space
        self.forms = tuple(Form(clip or form.clip, form.variant) for form in space.forms(variant))
        _check_entries(space, num_forms=len(self.forms))
        if latency is not None:
            for form in self.forms:
                latency.check_of(space.hash, form.variant, num_classes=num_classes)
                latency.check_clip(form.clip)
            self.tables = (FormTable(space, latency, resolution=latency.clip.resolution),) * len(self.forms)
            return
        joined = np.maximum if metric == "peak_activation_bytes" else np.add
        tables: dict[tuple[object, ...], FormTable] = {}
        found = []
        for each, built in self.forms:
            called = each if num_frames is None else replace(each, num_frames=num_frames)
            case = _case(metric, Form(called, built))
            if case not in tables:
                prices = Arithmetic(variant=built, metric=metric, num_classes=num_classes, clip=called, dtype=dtype)
                tables[case] = FormTable(space, prices, resolution=each.resolution, joined=joined)
            found.append(tables[case])
        self.tables = tuple(found)

    def costs(self, indices_ND: Indices) -> Integers:
        """Exact cost of each genotype, (N,); rows must be canonical (inactive decisions 0)."""
        if len(self.tables) == 1:
            return self.tables[0].costs(indices_ND)
        numbers_N = self._space.form_numbers(indices_ND)
        result_N = np.empty(len(indices_ND), dtype=np.int64)
        for number in np.unique(numbers_N):
            result_N[numbers_N == number] = self.tables[number].costs(indices_ND[numbers_N == number])
        return result_N

    def bounds(self) -> tuple[int, int]:
        """Least and greatest cost in the space, exactly."""
        lows, highs = zip(*self.bounds_by_form(), strict=True)
        return min(lows), max(highs)

    def bounds_by_form(self) -> tuple[tuple[int, int], ...]:
        """Least and greatest cost for each of `forms`."""
        found = {table: table.bounds() for table in set(self.tables)}
        return tuple(found[table] for table in self.tables)


def _check_entries(space: SearchSpace, *, num_forms: int) -> None:
    num_widths, num_codes = len(space.width_multipliers), len(space.kernels) * len(space.expansions) * len(space.se)
    found = len(space.blocks) * num_widths * (num_widths + 1) * num_codes * num_forms
    if found > MAX_ENTRIES:
        raise SpaceError(
            f"a space must have at most {MAX_ENTRIES:,} costs of single layers to tell apart (blocks x widths^2 x "
            f"kernels x expansions x se x forms), but space {space.name} has {found:,}"
        )


def _case(metric: Metric, form: Form) -> tuple[object, ...]:
    """What of a form a cost depends on."""
    if metric == "params":
        return (form.variant,)
    size = form.clip.resolution
    return (form.variant, size) if metric.startswith("stream") else (form.variant, size, form.clip.num_frames)


@functools.lru_cache(maxsize=64)
def cost_table(
    space: SearchSpace,
    variant: Variant,
    *,
    metric: Metric,
    num_classes: int,
    clip: ClipGeometry | None = None,
    num_frames: int | None = None,
    dtype: DataType = "fp32",
    latency: LatencyTable | None = None,
) -> CostTable:
    """The table of these arguments, built once."""
    return CostTable(
        space,
        variant,
        metric=metric,
        num_classes=num_classes,
        clip=clip,
        num_frames=num_frames,
        dtype=dtype,
        latency=latency,
    )
