"""The categorical decisions of a space, by name and in order."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from search_spaces.spec import FIRST_BLOCK, layer_name
from search_spaces.spec_json import Choice

if TYPE_CHECKING:
    from search_spaces.space import SearchSpace

Group = Literal["depth", "width", "kernel", "expansion", "se", "clip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One categorical decision.

    Attributes:
        name: Such as `block3.layer2.kernel`.
        block: Index of the block it belongs to, from 0; the number of blocks for the head, one more for the clip.
        layer: Index of the layer within the block, from 0; None for a decision of the whole block, head or clip.
    """

    name: str
    group: Group
    choices: tuple[Choice, ...]
    block: int
    layer: int | None


@functools.lru_cache(maxsize=64)
def decisions_of(space: "SearchSpace") -> tuple[Decision, ...]:
    """All decisions of a space, in order."""
    decisions = []
    for number, block in enumerate(space.blocks):
        prefix = f"block{number + FIRST_BLOCK}"
        whole: list[tuple[Group, tuple[Choice, ...]]] = [
            ("depth", block.depths),
            ("width", space.width_multipliers),
        ]
        for group, choices in whole:
            decisions.append(Decision(name=f"{prefix}.{group}", group=group, choices=choices, block=number, layer=None))
        per_layer: list[tuple[Group, tuple[Choice, ...]]] = [
            ("kernel", space.kernels),
            ("expansion", space.expansions),
            ("se", space.se),
        ]
        for layer in range(block.depths[-1]):
            for group, choices in per_layer:
                name = f"{layer_name(number, layer)}.{group}"
                decisions.append(Decision(name=name, group=group, choices=choices, block=number, layer=layer))
    head = Decision(
        name="head.width", group="width", choices=space.width_multipliers, block=len(space.blocks), layer=None
    )
    clip = space.clip_choices.by_name() if space.clip_choices else {}
    return (
        *decisions,
        head,
        *(
            Decision(name=name, group="clip", choices=choices, block=len(space.blocks) + 1, layer=None)
            for name, choices in clip.items()
        ),
    )


@functools.lru_cache(maxsize=64)
def depth_conditions(space: "SearchSpace") -> tuple[NDArray[np.intp], NDArray[np.int8]]:
    """For each decision: a column, and the greatest index there with which the decision does not count.

    The column is that of the block's depth for a decision of a layer, the decision's own, always above -1, for others.
    """
    decisions = decisions_of(space)
    columns = {decision.name: column for column, decision in enumerate(decisions)}
    depth_columns, last_without = [], []
    for column, decision in enumerate(decisions):
        of_layer = decision.layer is not None
        depth_columns.append(columns[f"block{decision.block + FIRST_BLOCK}.depth"] if of_layer else column)
        last_without.append(-1 if decision.layer is None else decision.layer - space.blocks[decision.block].depths[0])
    return np.array(depth_columns, dtype=np.intp), np.array(last_without, dtype=np.int8)
