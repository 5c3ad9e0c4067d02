"""Numbers as people read them at a glance on a terminal: bars, courses, tables, and numbers themselves."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from rich import box
from rich.table import Table

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 48
"""Characters of a course."""


def number(value: float | None, *, digits: int = 3) -> str:
    """With so many decimals; nothing for None."""
    return "" if value is None else f"{value:.{digits}f}"


def bar(share: float) -> str:
    """One character, the fuller the nearer to 1."""
    return BARS[min(7, max(0, int(8 * share)))]


def certainty(share: float) -> str:
    """A probability as bar and percentage."""
    return f"{bar(share)}{share:4.0%}"


def course(values: Sequence[float], *, width: int = WIDTH, span: tuple[float, float] | None = None) -> str:
    """Values in their order, averaged to at most `width` characters.

    Args:
        values: Evenly spread over time.
        width: At most so many characters.
        span: What the lowest and the highest bar stand for; without it the least and the greatest of the averages.
    """
    num = min(width, len(values))
    if not num:
        return ""
    ends = [round(index * len(values) / num) for index in range(num + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(ends)]
    low, high = span or (min(means), max(means))
    return "".join(bar((value - low) / (high - low)) if high > low else BARS[0] for value in means)


def extent(values: Sequence[float]) -> str:
    """From the least value to the greatest; nothing where there is none."""
    return f"{number(min(values))} to {number(max(values))}" if values else ""


def strip(shares: Iterable[tuple[str, float]], *, width: int = 40) -> str:
    """Shares of a whole as `train 62 % ██████ ...`, small ones without a bar."""
    return "  ".join(f"{name} {share:.1%} {'█' * round(share * width)}".rstrip() for name, share in shares)


def progress(share: float, *, width: int = 60) -> str:
    """How much of a work is done."""
    full = min(width, int(share * width))
    return f"{'━' * full}{'╌' * (width - full)} {min(1.0, share):.0%}"


def table() -> Table:
    """An empty table without a frame, for as many rows as a screen can hold."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 1))
