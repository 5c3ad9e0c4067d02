"""Where the time of a run went, as sections of its report."""

from collections.abc import Mapping, Sequence
from typing import Any

from results import timing_figures
from results.history import overhead_share, phase_shares
from results.page import Section, percent


def timing_sections(events: Sequence[Mapping[str, Any]]) -> list[Section]:
    """The course of steps, restarts and unreadable videos, and shares of time; nothing before a step was timed."""
    strip, shares = timing_figures.strip(events), phase_shares(events)
    if strip is None:
        return []
    num_resumes = sum(event["kind"] == "resume" for event in events)
    note = (
        f"{percent(overhead_share(shares))} of the time is spent elsewhere than in training and measuring; waiting for "
        f"data takes {percent(shares.get('data', 0.0))}. Restarted {num_resumes:,} times; what the latest checkpoint "
        "does not know is then computed again."
    )
    return [Section(heading="Where the time goes", note=note, figures=[strip, timing_figures.time_shares(shares)])]
