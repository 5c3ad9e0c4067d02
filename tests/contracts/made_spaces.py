"""Small search spaces, every genotype of a space one by one, and hypothesis strategies for spaces and specs."""

import functools
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import strategies as st

from search_spaces.clip_choices import ClipChoices
from search_spaces.space import BlockChoices, Genotype, SearchSpace, population
from search_spaces.spec import ArchSpec, BlockSpec, ClipGeometry, LayerSpec
from search_spaces.temporal_head import TemporalHead
from search_spaces.variant import Variant

TINY = SearchSpace(
    name="tiny",
    clip=ClipGeometry(num_frames=4, resolution=30, rate_fps=4.0),
    stem_width=8,
    blocks=(
        BlockChoices(base_width=16, depths=(1, 2), stride=2),
        BlockChoices(base_width=32, depths=(2, 3), stride=1),
    ),
    head_width=64,
    dense_width=32,
    kernels=("1x3x3", "5x1x1"),
    expansions=(1.5, 3.0),
    width_multipliers=(0.75, 1.25),
    se=(True,),
)
"""2 widths of the head; 2 widths times (4 + 16) and (16 + 64) stacks of layers in the blocks."""
TINY_SIZE = 2 * (2 * (4 + 16)) * (2 * (16 + 64))
TINY_CHOSEN = replace(TINY, expansion_of="chosen")
TINY_CLIPS = replace(
    TINY,
    name="tiny-clips",
    blocks=(BlockChoices(base_width=16, depths=(1, 2), stride=2),),
    clip_choices=ClipChoices(num_frames=(2, 4), resolutions=(24, 30), rates_fps=(2.0, 4.0)),
)
"""One block, and eight clips."""
TINY_CONVS = replace(TINY_CLIPS, name="tiny-convs", conv_choices=("3d", "3d_2plus1d"))
"""The same, with the form of convolutions decided too."""

_KERNELS = ("1x1x1", "1x3x3", "3x1x1", "3x3x3", "5x1x1", "1x7x7")
_EXPANSIONS = (0.25, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
_MULTIPLIERS = (0.25, 0.5, 0.75, 1.0, 1.25, 2.0)


def every_genotype(space: SearchSpace) -> Iterator[Genotype]:
    """Written without the space's own sampling and activity: depth first, then as many layers."""
    blocks = [list(_every_block(space, number)) for number in range(len(space.blocks))]
    for head, *chosen in product(space.width_multipliers, *blocks):
        layers = {name: value for block in chosen for name, value in block.items()}
        for conv, clip in product(_every_conv(space), _every_clip(space)):
            yield {**layers, "head.width": head, **conv, **clip}


@functools.cache
def every_row(space: SearchSpace) -> np.ndarray:
    """All genotypes of a space as rows, (N, D)."""
    return population(space, list(every_genotype(space)))


def _every_conv(space: SearchSpace) -> Iterator[Genotype]:
    yield from ({"conv": conv} for conv in space.conv_choices) if space.conv_choices else ({},)


def _every_clip(space: SearchSpace) -> Iterator[Genotype]:
    if space.clip_choices is None:
        yield {}
        return
    choices = space.clip_choices
    for num_frames, resolution, rate_fps in product(choices.num_frames, choices.resolutions, choices.rates_fps):
        yield {"clip.num_frames": num_frames, "clip.resolution": resolution, "clip.rate_fps": rate_fps}


def _every_block(space: SearchSpace, number: int) -> Iterator[Genotype]:
    prefix = f"block{number + 2}"
    per_layer = list(product(space.kernels, space.expansions, space.se))
    for depth, width in product(space.blocks[number].depths, space.width_multipliers):
        for layers in product(per_layer, repeat=depth):
            genotype = {f"{prefix}.depth": depth, f"{prefix}.width": width}
            for layer, (kernel, expansion, se) in enumerate(layers, start=1):
                genotype[f"{prefix}.layer{layer}.kernel"] = kernel
                genotype[f"{prefix}.layer{layer}.expansion"] = expansion
                genotype[f"{prefix}.layer{layer}.se"] = se
            yield genotype


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    blocks = []
    for _ in range(draw(st.integers(1, 3))):
        low = draw(st.integers(1, 2))
        blocks.append(
            BlockChoices(
                base_width=draw(st.integers(1, 60)),
                depths=tuple(range(low, low + draw(st.integers(1, 3)))),
                stride=draw(st.sampled_from((1, 2))),
            )
        )
    choices = draw(st.none() | clip_choices())
    return SearchSpace(
        name="drawn",
        clip=draw(clips() if choices is None else st.sampled_from(choices.clips())),
        clip_choices=choices,
        conv_choices=draw(st.none() | st.permutations(("3d", "3d_2plus1d")).map(tuple)),
        stem_width=draw(st.integers(1, 24)),
        blocks=tuple(blocks),
        head_width=draw(st.integers(1, 80)),
        dense_width=draw(st.integers(1, 40)),
        kernels=draw(_some(_KERNELS)),
        expansions=draw(_some(_EXPANSIONS)),
        width_multipliers=draw(_some(_MULTIPLIERS)),
        se=draw(st.sampled_from(((True,), (False,), (True, False), (False, True)))),
        expansion_of=draw(st.sampled_from(("base", "chosen"))),
    )


@st.composite
def spaces_and_indices(draw: st.DrawFn) -> tuple[SearchSpace, np.ndarray]:
    """A space and 1 to 8 canonical rows, (N, D)."""
    space = draw(spaces())
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    return space, space.sample_indices(rng, draw(st.integers(1, 8)))


def clips() -> st.SearchStrategy[ClipGeometry]:
    return st.builds(
        ClipGeometry,
        num_frames=st.integers(1, 9),
        resolution=st.integers(8, 41),
        rate_fps=st.sampled_from((0.5, 5.0, 12.0, 1000.0)),
    )


def clip_choices() -> st.SearchStrategy[ClipChoices]:
    def few(values: st.SearchStrategy) -> st.SearchStrategy[tuple]:
        return st.lists(values, min_size=1, max_size=2, unique=True).map(tuple)

    return st.builds(
        ClipChoices,
        num_frames=few(st.integers(1, 9)),
        resolutions=few(st.integers(8, 41)),
        rates_fps=few(st.sampled_from((0.5, 5.0, 12.0))),
    )


def layers() -> st.SearchStrategy[LayerSpec]:
    extents = st.sampled_from((1, 3, 5, 7))
    return st.builds(
        LayerSpec,
        kernel=st.tuples(extents, extents, extents),
        width=st.integers(1, 70),
        expansion=st.integers(1, 150),
        stride=st.sampled_from((1, 2)),
        se=st.booleans(),
    )


def specs() -> st.SearchStrategy[ArchSpec]:
    """Specs of any widths, whatever space they are from."""
    blocks = st.lists(layers(), min_size=1, max_size=3).map(lambda found: BlockSpec(layers=tuple(found)))
    return st.builds(
        ArchSpec,
        clip=clips(),
        stem_width=st.integers(1, 40),
        blocks=st.lists(blocks, min_size=1, max_size=3).map(tuple),
        head_width=st.integers(1, 90),
        dense_width=st.integers(1, 70),
    )


def _some(values: tuple) -> st.SearchStrategy[tuple]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True).map(tuple)


def frame_wise(spec: ArchSpec) -> ArchSpec:
    """The same spec with every kernel cut to one frame."""
    return replace(
        spec,
        blocks=tuple(
            BlockSpec(
                layers=tuple(replace(layer, kernel=(1, layer.kernel[1], layer.kernel[2])) for layer in block.layers)
            )
            for block in spec.blocks
        ),
    )


@st.composite
def temporal_heads(draw: st.DrawFn, *, windowed: bool) -> TemporalHead:
    heads = draw(st.integers(1, 3))
    return TemporalHead(
        embed_dim=2 * heads * draw(st.integers(1, 5)),
        depth=draw(st.integers(1, 2)),
        heads=heads,
        mlp_dim=draw(st.integers(1, 20)),
        window=draw(st.integers(1, 7)) if windowed or draw(st.booleans()) else None,
    )


@st.composite
def variants(draw: st.DrawFn, *, streaming: bool | None = None, temporal_shift: bool = False) -> Variant:
    """Any valid variant; `streaming` asks for one that streams, or for one that does not."""
    causal = draw(st.booleans()) if streaming is None else streaming
    se = draw(st.sampled_from(("none", "2d", "3d", "2plus3d")))
    over_time = se in ("3d", "2plus3d")
    cumulative = over_time and (draw(st.booleans()) if streaming is None else streaming)
    per_frame = se in ("2d", "2plus3d") or cumulative
    streams = causal and (cumulative or not over_time)
    memory = draw(st.sampled_from(("all", "window", "decay"))) if streams else "all"
    return Variant(
        conv=draw(st.sampled_from(("3d", "3d_2plus1d", "2plus1d"))),
        causal=causal,
        temporal_shift=temporal_shift,
        se=se,
        se_pool="cumulative" if cumulative else "global",
        positional_encoding=per_frame and draw(st.booleans()),
        pool_window=draw(st.integers(1, 7)) if memory == "window" else None,
        pool_decay=draw(st.floats(0.1, 0.99)) if memory == "decay" else None,
        activation=draw(st.sampled_from(("swish", "hard_swish"))),
        gate=draw(st.sampled_from(("sigmoid", "hard_sigmoid", "legacy_hard_sigmoid"))),
        head_activation=draw(st.sampled_from(("swish", "hard_swish"))),
        temporal_head=draw(temporal_heads(windowed=streams)) if draw(st.integers(0, 2)) == 2 else None,
    )
