"""What there is to say about a run, from its journal and telemetry alone, while it runs or after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from results.config import option
from results.decisions import PlaceChoices, place_choices
from results.diagnosis import machine_warnings, memory_share, warnings_of
from results.history import (
    Column,
    SearchHistory,
    bad_videos,
    overhead_share,
    phase_shares,
    read_history,
    seconds_per_step,
)
from results.journal import read_journal
from results.journal_reader import read_leniently
from results.records import CandidateRecord, EpochRecord, Origin
from results.run_dir import RunDir, is_locked
from results.telemetry import read_telemetry

Status = Literal["running", "finished", "stopped"]
Point = tuple[int, float]

_TRENDS = {"quality": "quality", "reward": "reward", "cost_ratio": "ratio"}
_RECENT_SHARE = 0.1
_MAX_POINTS = 200
_MAX_BEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One architecture as a summary names it.

    Attributes:
        cost: In the target's unit; `ratio` is cost / target.
        macs: Multiply-adds of a clip, whatever the target; None where nobody has decoded the genotype. So is
            `state_bytes`, of a stream's whole state in fp32.
        quality: In the final comparison, in [0, 1]; None for one that was not compared.
        limit_ratios: Cost / limit of every limit of the search.
    """

    fingerprint: str
    cost: float
    ratio: float
    macs: int | None = None
    state_bytes: int | None = None
    quality: float | None = None
    origin: Origin | None = None
    limit_ratios: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data, without what is not known."""
        values: dict[str, Any] = {"fingerprint": self.fingerprint, "cost": self.cost, "ratio": self.ratio}
        if self.limit_ratios:
            values["limit_ratios"] = list(self.limit_ratios)
        extra = {
            "macs": self.macs,
            "state_bytes": self.state_bytes,
            "quality": self.quality,
            "origin": self.origin,
        }
        return {**values, **{name: value for name, value in extra.items() if value is not None}}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSummary:
    """Everything that `movinas inspect` says about a search; None or empty for what is not known yet.

    Attributes:
        limits: Costs that were not to be exceeded, as written.
        strategy: Name of what chooses the architectures; `seed` of all that is drawn.
        argmax: The most likely architecture after the latest step, or the best of a population.
        found: The architecture that the search selected at its end.
        best: Of the final comparison, without the random ones, best quality first, at most 10.
        quality: Mean over the last tenth of the steps, at least one; so are `reward` and `cost_ratio` (cost / target).
        trends: For `quality`, `reward` and `cost_ratio` at most 200 points (step, mean).
        entropy: Latest normalised entropy per group of decisions, in [0, 1]; `entropy_trends` as `trends`.
        random_quality: Mean in the final comparison of random architectures inside the budget; `unlimited_quality` of
            those that need not keep the limits.
        seconds_left: Estimate from recent steps; `seconds_per_step` is what it is made of.
        time_shares: Phase to its share of wall-clock time; `overhead_share` is that of all phases but the network's.
        bad_videos: Ids of the videos that could not be decoded, and were replaced by others of their class; sorted.
        num_resumes: How often the search was resumed.
        layers: The most likely architecture of the latest recorded policy, block by block.
        memory_share: Of the memory that there is, the most that was in use; None where nobody looked.
        warnings: What looks wrong, a line each.
        damages: What is wrong with lines of the journal, all else being made of the others.
    """

    status: Status
    steps_done: int
    steps_total: int | None
    target: str | None
    target_cost: float | None
    limits: Sequence[str]
    strategy: str | None
    seed: int | None
    argmax: Architecture | None
    found: Architecture | None
    best: Sequence[Architecture]
    quality: float | None
    reward: float | None
    cost_ratio: float | None
    trends: Mapping[str, Sequence[Point]]
    entropy: Mapping[str, float]
    entropy_trends: Mapping[str, Sequence[Point]]
    baseline: float | None
    random_quality: float | None
    random_quality_best: float | None
    unlimited_quality: float | None
    unlimited_quality_best: float | None
    seconds_left: float | None
    seconds_per_step: float | None
    time_shares: Mapping[str, float]
    overhead_share: float | None
    bad_videos: Sequence[str]
    num_resumes: int
    layers: Sequence[PlaceChoices]
    memory_share: float | None
    warnings: Sequence[str]
    damages: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain data, the document of `movinas inspect --json`."""
        shares = dict(self.time_shares)
        if self.overhead_share is not None:
            shares["other_than_forward_backward"] = self.overhead_share
        return {
            "status": self.status,
            "steps_done": self.steps_done,
            "steps_total": self.steps_total,
            "target": self.target,
            "target_cost": self.target_cost,
            "limits": list(self.limits),
            "strategy": self.strategy,
            "seed": self.seed,
            "argmax": self.argmax.to_json() if self.argmax else None,
            "found": self.found.to_json() if self.found else None,
            "best": [architecture.to_json() for architecture in self.best],
            "quality": self.quality,
            "reward": self.reward,
            "cost_ratio": self.cost_ratio,
            "trends": _trends_json(self.trends),
            "entropy": dict(self.entropy),
            "entropy_trends": _trends_json(self.entropy_trends),
            "baseline": self.baseline,
            "random_quality": self.random_quality,
            "random_quality_best": self.random_quality_best,
            "unlimited_quality": self.unlimited_quality,
            "unlimited_quality_best": self.unlimited_quality_best,
            "seconds_left": self.seconds_left,
            "seconds_per_step": self.seconds_per_step,
            "time_shares": shares,
            "num_bad_videos": len(self.bad_videos),
            "bad_videos": list(self.bad_videos),
            "num_resumes": self.num_resumes,
            "layers": [_place_json(place) for place in self.layers],
            "memory_share": self.memory_share,
            "warnings": list(self.warnings),
            "damages": list(self.damages),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainSummary:
    """Everything that `movinas inspect` says about a retraining.

    Attributes:
        epochs: Epochs done; `loss` and `train_top1` are those of the last one.
        bad_videos: Ids of the videos that could not be decoded, sorted.
        top1: Latest accuracy on the validation split, in [0, 1]; `best_top1` the highest, in `best_epoch`.
        metric: What those two are, as in `EpochRecord`.
        epochs_total: Epochs planned, None where the configuration does not say.
        seconds_left: Estimate from recent steps.
        curves: `loss`, `train_top1` and `top1` as points (epoch, value).
        time_shares, memory_share, warnings, damages: As in `SearchSummary`.
    """

    status: Status
    epochs: int
    steps: int
    loss: float | None
    train_top1: float | None
    top1: float | None
    best_top1: float | None
    best_epoch: int | None
    bad_videos: Sequence[str] = ()
    metric: str = "top-1"
    epochs_total: int | None = None
    seconds_left: float | None = None
    curves: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    time_shares: Mapping[str, float] = field(default_factory=dict)
    memory_share: float | None = None
    warnings: Sequence[str] = ()
    damages: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data, the document of `movinas inspect --json`."""
        return {
            "status": self.status,
            "epochs": self.epochs,
            "steps": self.steps,
            "loss": self.loss,
            "train_top1": self.train_top1,
            "top1": self.top1,
            "best": {"top1": self.best_top1, "epoch": self.best_epoch},
            "num_bad_videos": len(self.bad_videos),
            "bad_videos": list(self.bad_videos),
            "metric": self.metric,
            "epochs_total": self.epochs_total,
            "seconds_left": self.seconds_left,
            "curves": _trends_json(self.curves),
            "time_shares": dict(self.time_shares),
            "memory_share": self.memory_share,
            "warnings": list(self.warnings),
            "damages": list(self.damages),
        }


def summarise_search(run: RunDir) -> SearchSummary:
    """Summarise a search, running or not.

    Raises:
        JournalError: The journal is missing or damaged.
    """
    running = is_locked(run)  # first: a search that ends meanwhile then shows its result
    return summarise_history(read_history(run.journal_path), read_telemetry(run.telemetry_path), running=running)


def summarise_history(history: SearchHistory, events: Sequence[Mapping[str, Any]], *, running: bool) -> SearchSummary:
    """Summarise a search whose journal and telemetry were read before."""
    start, last, result = history.start, history.last, history.result
    shares, pace_s, memory = phase_shares(events), seconds_per_step(events), memory_share(events)
    return SearchSummary(
        status="finished" if result else "running" if running else "stopped",
        steps_done=history.num_steps,
        steps_total=start.steps if start else None,
        target=start.target if start else None,
        target_cost=start.target_cost if start else None,
        limits=start.limits if start else (),
        strategy=start.strategy if start else None,
        seed=start.seed if start else None,
        argmax=_argmax(history),
        found=_found(history),
        best=[_compared(candidate) for candidate in _ranked(history.candidates)[:_MAX_BEST]],
        quality=_recent_mean(history.columns["quality"]),
        reward=_recent_mean(history.columns["reward"]),
        cost_ratio=_recent_mean(history.columns["ratio"]),
        trends={name: _trend(history.columns["step"], history.columns[column]) for name, column in _TRENDS.items()},
        entropy=dict(last.entropy) if last else {},
        entropy_trends={name: _trend(history.columns["step"], column) for name, column in history.entropy.items()},
        baseline=last.baseline if last else None,
        random_quality=result.random_quality_mean if result else None,
        random_quality_best=result.random_quality_best if result else None,
        unlimited_quality=result.unlimited_quality_mean if result else None,
        unlimited_quality_best=result.unlimited_quality_best if result else None,
        seconds_left=_seconds_left(history, pace_s),
        seconds_per_step=pace_s,
        time_shares=shares,
        overhead_share=overhead_share(shares),
        bad_videos=sorted(bad_videos(events)),
        num_resumes=sum(event["kind"] == "resume" for event in events),
        layers=place_choices(history.policies[-1], start.decisions) if start and history.policies else [],
        memory_share=memory,
        warnings=[*warnings_of(history, events), *machine_warnings(shares, memory)],
        damages=history.damages,
    )


def summarise_retrain(run: RunDir, *, lenient: bool = False) -> RetrainSummary:
    """Summarise a retraining, running or not; it is finished once its telemetry ends in `end`.

    Raises:
        JournalError: The journal is missing or, unless lenient, damaged.
    """
    running = is_locked(run)
    records, damages = read_leniently(run.journal_path) if lenient else (read_journal(run.journal_path), [])
    epochs = [record for record in records if isinstance(record, EpochRecord)]
    events = read_telemetry(run.telemetry_path)
    marks = [event["kind"] for event in events]
    marks = [kind for kind in marks if kind in ("start", "resume", "end")]
    evaluated = [(epoch.epoch, epoch.val_top1) for epoch in epochs if epoch.val_top1 is not None]
    best_epoch, best_top1 = max(evaluated, key=lambda item: item[1], default=(None, None))
    last = epochs[-1] if epochs else None
    finished = marks[-1:] == ["end"]
    total, pace_s = option(run, "recipe", "epochs"), seconds_per_step(events)
    total = total if isinstance(total, int) else None
    shares, memory = phase_shares(events), memory_share(events)
    left = None if last is None or total is None else max(0, total - len(epochs)) * last.step / len(epochs)
    return RetrainSummary(
        status="finished" if finished else "running" if running else "stopped",
        epochs=len(epochs),
        steps=last.step if last else 0,
        loss=last.train_loss if last else None,
        train_top1=last.train_top1 if last else None,
        top1=evaluated[-1][1] if evaluated else None,
        best_top1=best_top1,
        best_epoch=best_epoch,
        bad_videos=sorted(bad_videos(events)),
        metric=last.metric if last else "top-1",
        epochs_total=total,
        seconds_left=0.0 if finished else None if left is None or pace_s is None else pace_s * left,
        curves={
            "loss": [(epoch.epoch, epoch.train_loss) for epoch in epochs],
            "train_top1": [(epoch.epoch, epoch.train_top1) for epoch in epochs],
            "top1": evaluated,
        },
        time_shares=shares,
        memory_share=memory,
        warnings=[*(f"damaged: {damage}" for damage in damages), *machine_warnings(shares, memory)],
        damages=damages,
    )


def _argmax(history: SearchHistory) -> Architecture | None:
    last = history.last
    if last is None:
        return None
    return Architecture(
        fingerprint=last.argmax_fingerprint,
        cost=last.argmax_cost,
        ratio=last.argmax_ratio,
        limit_ratios=last.argmax_limit_ratios,
    )


def _found(history: SearchHistory) -> Architecture | None:
    result = history.result
    if result is None:
        return None
    return Architecture(
        fingerprint=result.found,
        cost=result.found_cost,
        ratio=result.found_ratio,
        quality=result.found_quality,
        limit_ratios=result.found_limit_ratios,
    )


def _compared(candidate: CandidateRecord) -> Architecture:
    return Architecture(
        fingerprint=candidate.fingerprint,
        cost=candidate.cost,
        ratio=candidate.ratio,
        quality=candidate.quality,
        origin=candidate.origin,
        limit_ratios=candidate.limit_ratios,
    )


def _ranked(candidates: Sequence[CandidateRecord]) -> list[CandidateRecord]:
    own = (candidate for candidate in candidates if candidate.origin not in ("random", "unlimited"))
    return sorted(own, key=lambda candidate: (-candidate.quality, candidate.cost, candidate.fingerprint))


def _recent_mean(column: Column) -> float | None:
    if not column.size:
        return None
    return float(column[-max(1, round(column.size * _RECENT_SHARE)) :].mean())


def _trend(steps: Column, values: Column) -> list[Point]:
    num_points = min(_MAX_POINTS, steps.size)
    if num_points == 0:
        return []
    bins = zip(np.array_split(steps, num_points), np.array_split(values, num_points), strict=True)
    known = ((steps_of_bin, values_of_bin[~np.isnan(values_of_bin)]) for steps_of_bin, values_of_bin in bins)
    return [(int(steps_of_bin[-1]), float(found.mean())) for steps_of_bin, found in known if found.size]


def _seconds_left(history: SearchHistory, pace_s: float | None) -> float | None:
    if history.result is not None:
        return 0.0
    if history.start is None or pace_s is None:
        return None
    return pace_s * max(0, history.start.steps - history.num_steps)


def _trends_json(trends: Mapping[str, Sequence[Point]]) -> dict[str, list[list[float]]]:
    return {name: [list(point) for point in points] for name, points in trends.items()}


def _place_json(place: PlaceChoices) -> dict[str, Any]:
    return {
        "name": place.name,
        "choices": dict(place.choices),
        "certainty": dict(place.certainty),
        "entropy": dict(place.entropy),
    }
