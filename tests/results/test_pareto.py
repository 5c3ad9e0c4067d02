import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from results.pareto import non_dominated

values = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(-3, 3))


def by_definition(rows):
    def dominates(a, b):
        return bool(np.all(a >= b) and np.any(a > b))

    return [not any(dominates(other, row) for other in rows) for row in rows]


@given(values)
def test_agrees_with_the_definition(rows):
    assert non_dominated(rows).tolist() == by_definition(rows)


@given(values)
def test_order_does_not_matter(rows):
    assert non_dominated(rows[::-1]).tolist() == non_dominated(rows)[::-1].tolist()


def test_larger_is_better_and_equals_stay():
    quality_and_saved = [(0.5, -10.0), (0.6, -20.0), (0.5, -20.0), (0.6, -20.0), (0.4, -5.0)]
    assert non_dominated(quality_and_saved).tolist() == [True, True, False, True, True]
    assert non_dominated([(1.0,), (3.0,), (2.0,), (3.0,)]).tolist() == [False, True, False, True]
    assert non_dominated([(float("inf"), 0.0), (0.0, 1.0)]).tolist() == [True, True]


def test_no_candidates():
    assert non_dominated(np.empty((0, 2))).tolist() == []


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"values must have shape \(N, K\) with K >= 1, but got \(3,\)"):
        non_dominated([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"but got \(2, 0\)"):
        non_dominated(np.empty((2, 0)))
    with pytest.raises(ValueError, match="values must not be NaN, but got some"):
        non_dominated([(1.0, float("nan"))])
