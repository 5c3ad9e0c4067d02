"""A search's journal as columns: one number per step, which is what summaries and plots are made of."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from results.journal import parse_record
from results.journal_reader import JournalReader
from results.records import CandidateRecord, PolicyRecord, ResultRecord, StartRecord, StepRecord
from search_spaces.errors import JournalError

Column = NDArray[np.float64]

COMPUTE_PHASES = frozenset({"train", "measure"})
"""Phases that run the network: training forward and backward, measuring forward; all others are overhead."""

MAX_POLICIES = 256


STEP_COLUMNS = (
    "step",
    "train_loss",
    "op_warmup",
    "filter_warmup",
    "learning_rate",
    "baseline",
    "argmax_cost",
    "argmax_ratio",
    "quality",
    "reward",
    "ratio",
)
"""As `StepRecord` has them; the last three are means over the step's trials."""
TRIAL_COLUMNS = ("step", "cost", "ratio", "quality", "reward")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHistory:
    """What a search has done so far; S steps, N trials.

    Attributes:
        columns: Name in `STEP_COLUMNS` to one value per step, shape (S,).
        trials: Name in `TRIAL_COLUMNS` to one value per trial, shape (N,).
        entropy: Group of decisions to its normalised entropy after each step, NaN where it was not recorded.
        last: The latest step.
        policies: Evenly thinned to at most 256, the first and the latest among them.
        architectures: Of each trial, where they were asked for.
        damages: What is wrong with lines that a lenient reader stepped over.
    """

    start: StartRecord | None
    columns: Mapping[str, Column]
    trials: Mapping[str, Column]
    entropy: Mapping[str, Column]
    last: StepRecord | None
    policies: Sequence[PolicyRecord]
    candidates: Sequence[CandidateRecord]
    result: ResultRecord | None
    architectures: Sequence["Sampled"] = ()
    damages: Sequence[str] = ()

    @property
    def num_steps(self) -> int:
        """Steps done."""
        return len(self.columns["step"])


class Sampled(NamedTuple):
    """The architecture of a trial, as in `TrialRecord`."""

    genotype: str | Mapping[str, str | float | int | bool]
    fingerprint: str
    limit_ratios: tuple[float, ...]


class HistoryReader:
    """Reads a search's journal, and later what it has grown by.

    Of a step its numbers are taken as they stand in the line, which its checksum vouches for: only the latest becomes a
    record.

    Args:
        path: The journal.
        architectures: Keep the architecture of each trial as well.
        lenient: Read what can be read of a damaged or foreign journal.
    """

    def __init__(self, path: Path, *, architectures: bool = False, lenient: bool = False) -> None:
        self._path, self._architectures, self._lenient = path, architectures, lenient
        self._begin()

    def read(self) -> SearchHistory:
        """The history up to now.

        Raises:
            JournalError: The journal is missing or, unless lenient, damaged.
        """
        if not self._journal.continues():
            self._begin()
        for line in self._journal.new_lines():
            try:
                if line.kind == "step":
                    self._add_step(line.record)
                else:
                    self._add(line.kind, line.record)
            except JournalError as error:
                place = error.at(path=self._path, line=self._journal.num_lines)
                self._journal.report(JournalError(place.message, path=place.path, line=place.line, where=place.where))
        return self._history()

    def _begin(self) -> None:
        self._journal = JournalReader(self._path, lenient=self._lenient)
        self._start: StartRecord | None = None
        self._steps: array[float] = array("d")  # row after row
        self._trials: array[float] = array("d")
        self._entropy: dict[str, array[float]] = {}
        self._last_step: bytes | None = None
        self._policies: list[PolicyRecord] = []
        self._num_policies, self._stride = 0, 1
        self._latest_policy: PolicyRecord | None = None
        self._candidates: list[CandidateRecord] = []
        self._result: ResultRecord | None = None
        self._sampled: list[Sampled] = []

    def _add_step(self, text: bytes) -> None:
        try:
            step = from_json(text, allow_inf_nan=False)
            trials, number, count = step["trials"], step["step"], max(1, len(step["trials"]))
            row = array("d", [step[name] for name in STEP_COLUMNS[:-3]])
            row.extend([sum([trial[name] for trial in trials]) / count for name in STEP_COLUMNS[-3:]])
            cells = array("d")
            for trial in trials:
                cells.extend((number, trial["cost"], trial["ratio"], trial["quality"], trial["reward"]))
            entropy = array("d", step["entropy"].values())
            sampled = [self._architecture(trial) for trial in trials] if self._architectures else []
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            parse_record("step", text)  # says what is wrong with it
            raise JournalError(f"a step must hold what steps hold, but got {error}", where="step") from error
        groups = dict(zip(step["entropy"], entropy, strict=True))
        if groups.keys() != self._entropy.keys():
            num_before = len(self._steps) // len(STEP_COLUMNS)
            for group in groups.keys() - self._entropy.keys():
                self._entropy[group] = array("d", [float("nan")]) * num_before
        for group, column in self._entropy.items():
            column.append(groups.get(group, float("nan")))
        self._steps.extend(row)
        self._trials.extend(cells)
        self._sampled += sampled
        self._last_step = text

    @staticmethod
    def _architecture(trial: Mapping[str, Any]) -> Sampled:
        return Sampled(trial["genotype"], str(trial["fingerprint"]), tuple(trial.get("limit_ratios", ())))

    def _add(self, kind: str, text: bytes) -> None:
        match parse_record(kind, text):
            case PolicyRecord() as policy:
                self._add_policy(policy)
            case CandidateRecord() as candidate:
                self._candidates.append(candidate)
            case StartRecord() as start:
                self._start = start
            case ResultRecord() as result:
                self._result = result
            case _ if self._lenient:
                raise JournalError(f"the journal of a search must hold records of one, but got {kind!r}")

    def _add_policy(self, record: PolicyRecord) -> None:
        if self._num_policies % self._stride == 0:
            self._policies.append(record)
        self._num_policies += 1
        self._latest_policy = record
        if len(self._policies) == MAX_POLICIES:
            self._policies = self._policies[::2]
            self._stride *= 2

    def _history(self) -> SearchHistory:
        policies = list(self._policies)
        if self._latest_policy is not None and self._latest_policy is not policies[-1]:
            policies.append(self._latest_policy)
        try:
            last = None if self._last_step is None else parse_record("step", self._last_step)
        except JournalError as error:
            last = None
            self._journal.report(JournalError(error.message, path=self._path, where=error.where))
        assert last is None or isinstance(last, StepRecord)
        return SearchHistory(
            start=self._start,
            columns=_columns(self._steps, STEP_COLUMNS),
            trials=_columns(self._trials, TRIAL_COLUMNS),
            entropy={name: np.array(column) for name, column in sorted(self._entropy.items())},
            last=last,
            policies=policies,
            candidates=tuple(self._candidates),
            result=self._result,
            architectures=tuple(self._sampled),
            damages=tuple(self._journal.damages),
        )


def _columns(rows: "array[float]", names: Sequence[str]) -> dict[str, Column]:
    values_NK = np.array(rows).reshape(-1, len(names))
    return {name: np.ascontiguousarray(values_NK[:, number]) for number, name in enumerate(names)}


def read_history(journal_path: Path, *, architectures: bool = False, lenient: bool = False) -> SearchHistory:
    """Read a search's journal once; see `HistoryReader`.

    Raises:
        JournalError: The journal is missing or, unless lenient, damaged.
    """
    return HistoryReader(journal_path, architectures=architectures, lenient=lenient).read()


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
    recent = _phase_times([event for event in events if event["kind"] == "phase_times"][-num_recent:])
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


def _phase_times(events: Iterable[Mapping[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    result = []
    for event in events:
        step, seconds = event.get("step"), event.get("seconds")
        if event["kind"] == "phase_times" and isinstance(step, int) and isinstance(seconds, dict):
            timed = {str(name): float(value) for name, value in seconds.items() if isinstance(value, int | float)}
            result.append((step, timed))
    return result
