"""Predictions, and what became of them: differences, each of a pair that shares seed and data, held against zero."""

import math
from collections.abc import Sequence
from typing import Literal

from launch import console
from launch.study.common import Document, Interval, interval

Side = Literal["above", "below"]
CAME_TRUE, DID_NOT = "came true", "did not come true"


def differences(mine: Sequence[float | None], others: Sequence[float | None]) -> list[float]:
    """Mine minus the other's, pair by pair; pairs of which one is unknown are left out."""
    pairs = zip(mine, others, strict=True)
    return [one - other for one, other in pairs if one is not None and other is not None]


def verdict(found: Interval, side: Side, *, also: bool = True) -> str:
    """What a mean difference says of the prediction that it lies on that side of zero.

    Args:
        found: Of the differences.
        side: As predicted.
        also: Whether whatever else was predicted holds; it counts where the difference is as predicted.
    """
    if not (found.low > 0 or found.high < 0):  # NaN where there are not two
        return f"not told apart from zero at n={found.num}"
    as_predicted = (found.low > 0) == (side == "above")
    if as_predicted and not also:
        return f"{DID_NOT}: on that side of zero, but not by as much"
    return CAME_TRUE if as_predicted else DID_NOT


def judged(prediction: str, values: Sequence[float], side: Side, *, also: bool = True) -> Document:
    """A prediction with its differences and its verdict, in plain data."""
    found = interval(values)
    return {
        "prediction": prediction,
        "predicted": f"{side} zero",
        "difference": plain(found, values),
        "verdict": verdict(found, side, also=also),
    }


def plain(found: Interval, values: Sequence[float]) -> Document:
    """An interval and what it is of, for JSON, which knows no NaN."""
    ends = {"mean": found.mean, "low": found.low, "high": found.high}
    known = {name: None if math.isnan(value) else value for name, value in ends.items()}
    return {**known, "num": found.num, "values": list(values)}


def show_judged(rows: Sequence[Document]) -> None:
    """The table of predictions that a study ends with."""
    console.show_table(
        "Predictions, by the mean difference [95 % interval]",
        ("prediction", "predicted", "difference", "verdict"),
        [(row["prediction"], row["predicted"], interval(row["difference"]["values"]), row["verdict"]) for row in rows],
    )
