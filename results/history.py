"""A search's journal as columns: one number per step, which is what summaries and plots are made of."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.journal import iter_journal
from results.records import CandidateRecord, PolicyRecord, Record, ResultRecord, StartRecord, StepRecord

Column = NDArray[np.float64]

COMPUTE_PHASES = frozenset({"train", "measure"})
"""Phases that run the network: training forward and backward, measuring forward; all others are overhead."""

MAX_POLICIES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHistory:
    """What a search has done so far; S steps.

    Attributes:
        columns: Name to one value per step, shape (S,): `step`, `train_loss`, `learning_rate`, `baseline`, and means
            over the step's trials: `quality`, `reward`, `ratio`.
        entropy: Group of decisions to its normalised entropy after each step, NaN where it was not recorded.
        last: The latest step.
        policies: Evenly thinned to at most 256, the first and the latest among them.
    """

    start: StartRecord | None
    columns: Mapping[str, Column]
    entropy: Mapping[str, Column]
    last: StepRecord | None
    policies: Sequence[PolicyRecord]
    candidates: Sequence[CandidateRecord]
    result: ResultRecord | None

    @property
    def num_steps(self) -> int:
        """Steps done."""
        return len(self.columns["step"])


@dataclass(slots=True, kw_only=True)
class _Reader:
    start: StartRecord | None = None
    columns: "dict[str, array[float]]" = field(default_factory=dict)
    entropy: "dict[str, array[float]]" = field(default_factory=dict)
    last: StepRecord | None = None
    policies: list[PolicyRecord] = field(default_factory=list)
    num_policies: int = 0
    stride: int = 1
    latest_policy: PolicyRecord | None = None
    candidates: list[CandidateRecord] = field(default_factory=list)
    result: ResultRecord | None = None

    def add(self, record: Record) -> None:
        match record:
            case StepRecord():
                self._add_step(record)
            case PolicyRecord():
                self._add_policy(record)
            case CandidateRecord():
                self.candidates.append(record)
            case StartRecord():
                self.start = record
            case ResultRecord():
                self.result = record

    def _add_step(self, record: StepRecord) -> None:
        num_before = len(self.columns["step"]) if self.columns else 0
        for name, value in _row(record).items():
            self.columns.setdefault(name, array("d")).append(value)
        for group in {*record.entropy, *self.entropy}:
            column = self.entropy.setdefault(group, array("d", [float("nan")] * num_before))
            column.append(record.entropy.get(group, float("nan")))
        self.last = record

    def _add_policy(self, record: PolicyRecord) -> None:
        if self.num_policies % self.stride == 0:
            self.policies.append(record)
        self.num_policies += 1
        self.latest_policy = record
        if len(self.policies) == MAX_POLICIES:
            self.policies = self.policies[::2]
            self.stride *= 2

    def thinned_policies(self) -> list[PolicyRecord]:
        if self.latest_policy is None or self.latest_policy is self.policies[-1]:
            return self.policies
        return [*self.policies, self.latest_policy]


def read_history(journal_path: Path) -> SearchHistory:
    """Read a search's journal, in memory that does not grow with the number of trials.

    Raises:
        JournalError: The journal is missing or damaged.
    """
    reader = _Reader()
    for record in iter_journal(journal_path):
        reader.add(record)
    names = ("step", "train_loss", "learning_rate", "baseline", "quality", "reward", "ratio")
    return SearchHistory(
        start=reader.start,
        columns={name: np.array(reader.columns.get(name, ()), dtype=np.float64) for name in names},
        entropy={name: np.array(column) for name, column in sorted(reader.entropy.items())},
        last=reader.last,
        policies=reader.thinned_policies(),
        candidates=reader.candidates,
        result=reader.result,
    )


def phase_shares(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Share of wall-clock time per phase, largest first, from the telemetry's `phase_times`."""
    totals: dict[str, float] = {}
    for _, seconds in _phase_times(events):
        for phase, value in seconds.items():
            totals[phase] = totals.get(phase, 0.0) + value
    whole = sum(totals.values())
    falling = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    return {phase: value / whole for phase, value in falling} if whole > 0 else {}


def overhead_share(shares: Mapping[str, float]) -> float | None:
    """Share of wall-clock time in which the network does not run; None before anything was timed."""
    return sum(share for phase, share in shares.items() if phase not in COMPUTE_PHASES) if shares else None


def seconds_per_step(events: Iterable[Mapping[str, Any]], *, num_recent: int = 50) -> float | None:
    """Mean over the last events since the latest start or resume; None before anything was timed."""
    recent = _phase_times(events)[-num_recent:]
    steps = [step for step, _ in recent]
    first = max((index for index, (a, b) in enumerate(pairwise(steps), start=1) if b <= a), default=0)
    totals = [sum(seconds.values()) for _, seconds in recent[first:]]
    if len(totals) < 2:
        return totals[0] if totals else None
    return sum(totals[1:]) / (steps[-1] - steps[first])


def bad_videos(events: Iterable[Mapping[str, Any]]) -> set[str]:
    """Identities of the videos that could not be read."""
    lists = (event.get("ids") for event in events if event["kind"] == "bad_videos")
    return {str(video) for ids in lists if isinstance(ids, list) for video in ids}


def _row(record: StepRecord) -> dict[str, float]:
    count = max(1, len(record.trials))
    return {
        "step": record.step,
        "train_loss": record.train_loss,
        "learning_rate": record.learning_rate,
        "baseline": record.baseline,
        "quality": sum(trial.quality for trial in record.trials) / count,
        "reward": sum(trial.reward for trial in record.trials) / count,
        "ratio": sum(trial.ratio for trial in record.trials) / count,
    }


def _phase_times(events: Iterable[Mapping[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    result = []
    for event in events:
        step, seconds = event.get("step"), event.get("seconds")
        if event["kind"] == "phase_times" and isinstance(step, int) and isinstance(seconds, dict):
            timed = {str(name): float(value) for name, value in seconds.items() if isinstance(value, int | float)}
            result.append((step, timed))
    return result
