"""One look at a run, to be printed or drawn anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

BAD_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What there is to see now.

    Attributes:
        document: As data.
        screen: For a terminal.
        ended: Whether nothing works on it any more.
        damages: What could not be read.
    """

    document: Mapping[str, Any]
    screen: RenderableType
    ended: bool
    damages: Sequence[str] = ()


def warning_lines(warnings: Sequence[str]) -> list[RenderableType]:
    """What looks wrong, marked by more than a colour."""
    return [Text(f"! {warning}", style="yellow") for warning in warnings]


def bad_video_lines(ids: Sequence[str]) -> list[RenderableType]:
    """How many videos could not be decoded, and the first of them."""
    if not ids:
        return [Text("bad videos: 0")]
    more = f" and {len(ids) - BAD_SHOWN} more (--json names them all)" if len(ids) > BAD_SHOWN else ""
    return [Text(f"{len(ids)} videos could not be decoded: {', '.join(ids[:BAD_SHOWN])}{more}")]
