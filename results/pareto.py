"""Which of several candidates no other beats in everything.

Legend: N candidates, K objectives.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(values_NK: ArrayLike) -> NDArray[np.bool_]:
    """Mask of the Pareto front, where **larger is better** in every column; negate costs.

    A candidate is dominated if another is at least as good in every objective and better in one. Equal candidates do
    not dominate each other, so all of them stay.

    Args:
        values_NK: One row per candidate, one column per objective, shape (N, K), K >= 1.

    Returns:
        Shape (N,), true where nothing dominates.

    Raises:
        ValueError: The shape is another, or a value is NaN.
    """
    values_NK = np.asarray(values_NK, dtype=np.float64)
    if values_NK.ndim != 2 or values_NK.shape[1] == 0:
        raise ValueError(f"values must have shape (N, K) with K >= 1, but got {values_NK.shape}")
    if np.isnan(values_NK).any():
        raise ValueError("values must not be NaN, but got some")
    # falling in the first objective, then the others: whatever dominates a row stands before it
    order_N = np.lexsort(values_NK.T[::-1])[::-1]
    mask_N = np.zeros(len(values_NK), dtype=np.bool_)
    front_MK = np.empty((0, values_NK.shape[1]))
    for index in order_N:
        row_K = values_NK[index]
        dominated = ((front_MK >= row_K).all(axis=1) & (front_MK > row_K).any(axis=1)).any()
        if not dominated:
            mask_N[index] = True
            front_MK = np.concatenate((front_MK, row_K[None]))
    return mask_N
