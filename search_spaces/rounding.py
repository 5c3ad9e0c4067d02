"""The two ways a channel count is rounded; spaces, cost and networks share them."""

import math

DIVISOR = 8
SE_RATIO = 0.25


def round_width(width: float) -> int:
    """Nearest multiple of 8, halves up, at least 8 (design decision 3)."""
    return max(DIVISOR, math.floor(width / DIVISOR + 0.5) * DIVISOR)


def se_hidden_width(channels: int) -> int:
    """Hidden width of squeeze-and-excitation: a quarter, rounded to 8, never below 90 % of it (movinet.md 1.6)."""
    wanted = SE_RATIO * channels
    rounded = round_width(wanted)
    return rounded + DIVISOR if rounded < 0.9 * wanted else rounded
