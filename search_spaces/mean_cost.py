"""The mean cost of architectures drawn from a policy, exactly, and how it changes with every probability.

Decisions are drawn independently, and a cost is a sum of terms each of which depends on a few of them
(`cost_table.py`). Its mean is therefore linear in the probabilities of each decision, and so is found without drawing
anything.

Letters: D decisions, C choices of the decision with most of them, P and W widths of the block before and of the block,
K kernels, E expansions, S choices of squeeze-and-excitation; x any axes.
"""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search_spaces.clip_choices import ClipChoices
from search_spaces.cost_table import ClipTable, CostTable
from search_spaces.space import SearchSpace

Floats = NDArray[np.float64]
LayerChances = tuple[Floats, Floats, Floats]
"""Probabilities of a layer's kernels, expansions, and squeeze-and-excitation."""


def uniform_chances(space: SearchSpace) -> Floats:
    """Probabilities of the uniform policy, (D, C)."""
    counts_D = np.array([len(decision.choices) for decision in space.decisions])
    return np.where(np.arange(counts_D.max()) < counts_D[:, None], 1 / counts_D[:, None], 0.0)


def mean_cost(
    space: SearchSpace, table: CostTable, chance_DC: Floats, units: Sequence[float] | None = None
) -> tuple[float, Floats]:
    """Mean cost, and its gradient by the probabilities.

    Two choices of a decision differ in the gradient by what the mean would change by, were one of them always taken in
    place of the other.

    Args:
        space: Whose decisions are drawn.
        table: Costs of the space.
        chance_DC: Probability of each choice of each decision, (D, C); 0 where a decision has no such choice.
        units: What the costs for each of the table's clips are multiplied by; None for 1.

    Returns:
        The mean, and its partial derivatives (D, C).
    """
    units = [1.0] * len(table.clips) if units is None else units
    weights = [1.0] if len(table.clips) == 1 else _clip_chances(space, chance_DC)
    found = {each: _of_one_clip(space, each, chance_DC) for each in set(table.tables)}
    means = [unit * found[each][0] for each, unit in zip(table.tables, units, strict=True)]
    gradient_DC = sum(
        (weight * unit * found[each][1] for each, unit, weight in zip(table.tables, units, weights, strict=True)),
        start=np.zeros_like(chance_DC),
    )
    if space.clip_choices is not None and len(table.clips) > 1:
        _add_clip_gradient(space.clip_choices, gradient_DC, chance_DC, np.array(means))
    return float(np.dot(weights, means)), gradient_DC


def _of_one_clip(space: SearchSpace, table: ClipTable, chance_DC: Floats) -> tuple[float, Floats]:
    mean, gradient_DC = float(table.stem), np.zeros_like(chance_DC)
    previous_P, previous_column = np.ones(1), None
    num_widths = len(space.width_multipliers)
    for block in table.blocks:
        width_W = chance_DC[block.width_column, :num_widths]
        first_PWKES, rest_WKES = _shaped(space, block.first), _shaped(space, block.rest)
        own = _own_chances(space, chance_DC, block.layer_columns[0])
        costs_PW = _layer_costs(first_PWKES, own)
        mean += float(previous_P @ costs_PW @ width_W)
        gradient_DC[block.width_column, :num_widths] += previous_P @ costs_PW
        if previous_column is not None:
            gradient_DC[previous_column, :num_widths] += costs_PW @ width_W
        first_KES = np.tensordot(np.outer(previous_P, width_W), first_PWKES, axes=2)
        _add_layer_gradient(gradient_DC, block.layer_columns[0], first_KES, own)
        rest_KES = np.tensordot(width_W, rest_WKES, axes=1)
        for layer, column in enumerate(block.layer_columns[1:], start=1):
            deep_enough = np.flatnonzero(np.array(block.depths) > layer)
            activity = float(chance_DC[block.depth_column, deep_enough].sum())
            own = _own_chances(space, chance_DC, column)
            costs_W = _layer_costs(rest_WKES, own)
            mean += activity * float(costs_W @ width_W)
            gradient_DC[block.depth_column, deep_enough] += costs_W @ width_W
            gradient_DC[block.width_column, :num_widths] += activity * costs_W
            _add_layer_gradient(gradient_DC, column, activity * rest_KES, own)
        previous_P, previous_column = width_W, block.width_column
    head_W = chance_DC[table.head_column, :num_widths]
    gradient_DC[table.head_column, :num_widths] += previous_P @ table.head
    gradient_DC[previous_column, :num_widths] += table.head @ head_W
    return mean + float(previous_P @ table.head @ head_W), gradient_DC


def _shaped(space: SearchSpace, costs: NDArray[np.int64]) -> Floats:
    """With an axis for each decision of a layer in place of that of the layer codes."""
    return costs.reshape(*costs.shape[:-1], len(space.kernels), len(space.expansions), len(space.se)).astype(np.float64)


def _own_chances(space: SearchSpace, chance_DC: Floats, column: int) -> LayerChances:
    counts = len(space.kernels), len(space.expansions), len(space.se)
    kernel_K, expansion_E, se_S = (chance_DC[column + offset, :count] for offset, count in enumerate(counts))
    return kernel_K, expansion_E, se_S


def _layer_costs(costs_xKES: Floats, own: LayerChances) -> Floats:
    """Mean cost of a layer for each pair of widths, or each width."""
    kernel_K, expansion_E, se_S = own
    return np.asarray(((costs_xKES @ se_S) @ expansion_E) @ kernel_K)


def _add_layer_gradient(gradient_DC: Floats, column: int, costs_KES: Floats, own: LayerChances) -> None:
    kernel_K, expansion_E, se_S = own
    by_kernel_ES = np.tensordot(kernel_K, costs_KES, axes=1)
    gradient_DC[column, : len(kernel_K)] += (costs_KES @ se_S) @ expansion_E
    gradient_DC[column + 1, : len(expansion_E)] += by_kernel_ES @ se_S
    gradient_DC[column + 2, : len(se_S)] += expansion_E @ by_kernel_ES


def _clip_chances(space: SearchSpace, chance_DC: Floats) -> Floats:
    assert space.clip_choices is not None
    counts = [len(choices) for choices in space.clip_choices.by_name().values()]
    rows = [row_C[:count] for row_C, count in zip(chance_DC[-len(counts) :], counts, strict=True)]
    return np.asarray(functools.reduce(np.multiply.outer, rows)).ravel()


def _add_clip_gradient(choices: ClipChoices, gradient_DC: Floats, chance_DC: Floats, means: Floats) -> None:
    counts = [len(each) for each in choices.by_name().values()]
    for position, count in enumerate(counts):
        rest = means.reshape(counts)
        for other in reversed(range(len(counts))):  # from the last axis on, so that the others keep their places
            if other != position:
                rest = np.tensordot(rest, chance_DC[other - len(counts), : counts[other]], axes=(other, 0))
        gradient_DC[position - len(counts), :count] += rest
