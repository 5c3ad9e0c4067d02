import numpy as np
import pytest

from results import figures


def test_the_moving_average_is_unbiased_and_smooth():
    np.testing.assert_allclose(figures.ema(np.full(30, 3.0), 10), 3.0)
    values = np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(figures.ema(values, 2), [1.0, 0.5 / 1.5, 0.25 / 1.75])
    assert (figures.ema_window(1), figures.ema_window(400), figures.ema_window(10**6)) == (5, 20, 100)


def test_long_traces_are_thinned_between_their_ends():
    assert figures.thin(3, 5) == [0, 1, 2]
    assert figures.thin(0) == []
    kept = figures.thin(100_001)
    assert len(kept) == figures.MAX_POINTS
    assert (kept[0], kept[-1]) == (0, 100_000)
    assert kept == sorted(set(kept))


def test_without_numbers_of_its_own_a_figure_has_those_of_its_traces():
    data = [{"name": "a", "x": [1, 2], "y": [3, 4]}, {"x": [5], "y": [None]}, {"name": "map", "z": [[1]]}]
    figure = figures.Figure(name="one", data=data, layout={}, height_px=1)
    assert figure.numbers() == {"trace": ["a", "a", ""], "x": [1, 2, 5], "y": [3, 4, None]}
    own = figures.Figure(name="one", data=data, layout={}, height_px=1, columns={"step": [1]})
    assert own.numbers() == {"step": [1]}


def test_numbers_are_short_and_finite():
    assert figures.numbers([1 / 3, float("nan"), float("inf"), 2.0]) == [0.333333, None, None, 2.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [("<b>&", "&lt;b&gt;&amp;"), (True, "yes"), (False, "no"), (1, "1"), (1.0, "1.0"), ("1x3x3", "1x3x3")],
)
def test_labels(value, text):
    assert figures.label(value) == text
