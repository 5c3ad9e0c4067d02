import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.rounding import round_width, se_hidden_width


@pytest.mark.parametrize(
    ("width", "rounded"),
    [(0.1, 8), (4, 8), (8, 8), (11.999, 8), (12, 16), (18, 16), (20, 24), (36, 40), (60, 64), (150, 152), (640, 640)],
)
def test_width_is_the_nearest_multiple_of_8_halves_up_at_least_8(width, rounded):
    assert round_width(width) == rounded


def test_there_is_no_90_percent_rule_for_widths():
    # TensorFlow's make_divisible gives 24 and 32 here
    assert [round_width(width) for width in (19, 27)] == [16, 24]


@settings(max_examples=200)
@given(st.floats(1e-6, 1e6))
def test_width_is_within_4_or_the_floor(width):
    rounded = round_width(width)
    assert rounded % 8 == 0
    assert rounded == 8 if width < 8 else -4 <= width - rounded < 4


@pytest.mark.parametrize(
    ("channels", "hidden"),
    # movinet.md 1.6: make_divisible(channels / 4, 8); a quarter of 76 is 19, and 16 would be below 90 % of it
    [(1, 8), (24, 8), (35, 8), (36, 16), (40, 16), (76, 24), (80, 24), (112, 32), (184, 48), (344, 88), (384, 96)],
)
def test_hidden_width_of_squeeze_and_excitation(channels, hidden):
    assert se_hidden_width(channels) == hidden


@settings(max_examples=200)
@given(st.integers(1, 1 << 14))
def test_hidden_width_is_the_least_multiple_that_rounding_and_90_percent_allow(channels):
    wanted = channels / 4
    hidden = se_hidden_width(channels)
    assert hidden >= max(8, 0.9 * wanted)
    nearest = max(8, 8 * math.floor((wanted + 4) / 8))
    assert hidden == (nearest if nearest >= 0.9 * wanted else nearest + 8)
