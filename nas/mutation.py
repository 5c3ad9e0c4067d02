"""Single mutations of whole populations."""

import numpy as np

from search_spaces.space import Indices, SearchSpace


def mutated(space: SearchSpace, indices_ND: Indices, rng: np.random.Generator) -> Indices:
    """A neighbour of each genotype, (N, D): one active decision, drawn uniformly, takes another of its choices.

    Layers that a greater depth adds copy the last one's choices, as `SearchSpace.replace` has it.
    """
    num_choices_D = np.array([len(decision.choices) for decision in space.decisions])
    weights_ND = rng.random(indices_ND.shape)
    weights_ND[~(space.active(indices_ND) & (num_choices_D > 1))] = -1.0
    column_N = weights_ND.argmax(axis=1)
    rows_N = np.arange(len(indices_ND))
    before_N, count_N = indices_ND[rows_N, column_N], num_choices_D[column_N]
    step_N = 1 + (rng.random(len(rows_N)) * (count_N - 1)).astype(np.int64)
    changed_ND = indices_ND.copy()
    changed_ND[rows_N, column_N] = (before_N + step_N) % count_N
    is_depth_D = np.array([decision.group == "depth" for decision in space.decisions])
    for row in np.flatnonzero(is_depth_D[column_N]):
        decision = space.decisions[column_N[row]]
        choice = decision.choices[int(changed_ND[row, column_N[row]])]
        changed_ND[row] = space.indices(space.replace(space.genotype(indices_ND[row]), decision, choice))
    return space.canonical(changed_ND)
