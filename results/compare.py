"""Several runs side by side: searches with what they found, retrainings with what they started from, and strategies."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from results.architectures import Decoder, shown_network
from results.config import manifest_digest, read_config
from results.history import HistoryReader, SearchHistory
from results.run_dir import Kind, RunDir, is_locked, open_run
from results.summary import Point, SearchSummary, Status, summarise_history, summarise_retrain
from results.telemetry import TelemetryReader
from search_spaces import strict_json
from search_spaces.errors import MovinasError, RunFolderError
from search_spaces.spec_json import fingerprint, read_spec

_MAX_TEST_BYTES = 1 << 26
_NO_DIFFERENCE = (
    *("space", "target", "max", "search.strategy", "seed", "out", "plan", "json", "device", "threads", "workers"),
    *("clips.cache_dir", "clips.cache_bytes", "search.checkpoint_every"),
)
"""Options that stand elsewhere in a comparison, or that change no result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run; None or empty for what it does not have, or not yet.

    Attributes:
        name: Of its folder, after that of the sweep it belongs to.
        done: Steps of a search, epochs of a retraining, of `total`.
        fingerprint: Of the architecture that a search selected, or holds likeliest so far, or of what is trained.
        ratio: Its cost / target.
        seconds_left: Estimate from recent steps.
        quality: Of the selected architecture in the final comparison, in [0, 1]; before that None.
        random_quality: Mean of random architectures of equal cost there; so `gain` is what the search is above it.
        recent_quality: Mean over the last tenth of the steps of a search.
        entropy: Of a search, mean over its groups of decisions, in [0, 1].
        macs: Of a clip; `state_bytes` of a stream's whole state in fp32.
        val_accuracy: Best of a retraining on its validation split; `test_accuracy` of the latest evaluation.
        settings: What a search was made with, apart from space, target, strategy and seed; see `settings_of`.
        trends: As in `SearchSummary`.
    """

    name: str
    path: str
    kind: Kind
    status: Status
    done: int
    total: int | None
    seconds_left: float | None = None
    space: str | None = None
    target: str | None = None
    strategy: str | None = None
    seed: int | None = None
    fingerprint: str | None = None
    ratio: float | None = None
    quality: float | None = None
    random_quality: float | None = None
    gain: float | None = None
    recent_quality: float | None = None
    entropy: float | None = None
    macs: int | None = None
    state_bytes: int | None = None
    val_accuracy: float | None = None
    test_accuracy: float | None = None
    metric: str | None = None
    warnings: Sequence[str] = ()
    damages: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    trends: Mapping[str, Sequence[Point]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainedPair:
    """An architecture as a search's supernet scored it, and as it did once it was trained by itself.

    Attributes:
        fingerprint: In the search's variant; the retraining may have built it in another.
        quality: In the search's final comparison, in [0, 1].
    """

    search: str
    retraining: str
    fingerprint: str
    origin: str
    quality: float
    val_accuracy: float | None
    test_accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyRow:
    """Finished searches that differ in their seeds alone.

    Attributes:
        settings: Those that other rows have otherwise.
        quality: Mean over the searches, `quality_std` the sample standard deviation, None of one alone; likewise
            `gain` over random architectures of equal cost.
        off_target: Mean |cost / target - 1| of the selected.
    """

    space: str
    target: str
    strategy: str
    num_searches: int
    quality: float
    quality_std: float | None
    gain: float
    gain_std: float | None
    off_target: float
    settings: Mapping[str, str]

    @property
    def settings_text(self) -> str:
        """The settings in one line."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Runs side by side, in the order they were given in."""

    rows: Sequence[RunRow]
    pairs: Sequence[RetrainedPair]
    strategies: Sequence[StrategyRow]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        rows = [
            {name: value for name, value in asdict(row).items() if name not in ("trends", "settings")}
            for row in self.rows
        ]
        return {
            "runs": rows,
            "retrained": [asdict(pair) for pair in self.pairs],
            "strategies": [asdict(each) for each in self.strategies],
        }


class ComparisonReader:
    """Reads runs, and later what they have grown by; sweeps as their members.

    Args:
        folders: Runs and sweeps.
    """

    def __init__(self, folders: Sequence[RunDir]) -> None:
        self._folders = folders
        self._readers: dict[Path, tuple[HistoryReader, TelemetryReader]] = {}
        self._settings: dict[Path, Mapping[str, str]] = {}

    def read(self) -> Comparison:
        """The comparison up to now.

        Raises:
            JournalError: A run has no journal.
        """
        runs = [pair for folder in self._folders for pair in members_of(folder)]
        rows, compared, trained = [], {}, {}
        for name, run in runs:
            if run.kind == "search":
                row, history, decoder = self._search(name, run)
                compared[name] = (history, decoder)
            else:
                row = _retraining(name, run)
                trained[name] = (row, run)
            rows.append(row)
        pairs = [pair for row, run in trained.values() for pair in _pairs(row, run, compared)]
        return Comparison(rows=rows, pairs=pairs, strategies=_strategies(rows))

    def _search(self, name: str, run: RunDir) -> tuple[RunRow, SearchHistory, Decoder | None]:
        running = is_locked(run)
        journal, telemetry = self._readers.setdefault(
            run.path, (HistoryReader(run.journal_path, lenient=True), TelemetryReader(run.telemetry_path))
        )
        history = journal.read()
        summary = summarise_history(history, telemetry.read(), running=running)
        try:
            decoder = None if history.start is None else Decoder.of(run, history.start)
            network = None if decoder is None else shown_network(decoder, history)
        except MovinasError:  # of another space than the folder holds: the numbers still compare
            decoder = network = None
        row = _search_row(name, run, summary, space=history.start.space if history.start else None)
        if history.result is not None and run.path not in self._settings:
            self._settings[run.path] = settings_of(run)
        row = replace(row, settings=self._settings.get(run.path, {}))
        if decoder is not None and network is not None:
            row = replace(
                row,
                fingerprint=network.fingerprint,
                macs=decoder.macs(network),
                state_bytes=decoder.state_bytes(network),
            )
        return row, history, decoder


def compare(folders: Sequence[RunDir]) -> Comparison:
    """Runs and sweeps side by side, once; as `ComparisonReader`."""
    return ComparisonReader(folders).read()


def members_of(folder: RunDir) -> list[tuple[str, RunDir]]:
    """A run itself, or the members of a sweep that have begun, with the names to call them."""
    name = folder.path.resolve().name
    if folder.kind in ("search", "retrain"):
        return [(name, folder)]
    found = []
    for path in sorted(folder.members_path.glob("*")):
        try:
            member = open_run(path)
        except RunFolderError:
            continue
        found.append((f"{name}/{path.name}", member))
    return found


def _search_row(name: str, run: RunDir, summary: SearchSummary, *, space: str | None) -> RunRow:
    found = summary.found
    quality, random = found.quality if found else None, summary.random_quality
    shown = found or summary.argmax
    return RunRow(
        name=name,
        path=str(run.path),
        kind=run.kind,
        status=summary.status,
        done=summary.steps_done,
        total=summary.steps_total,
        seconds_left=summary.seconds_left if summary.status == "running" else None,
        space=space,
        target=", at most ".join([summary.target, *summary.limits]) if summary.target else None,
        strategy=summary.strategy,
        seed=summary.seed,
        fingerprint=shown.fingerprint if shown else None,
        ratio=shown.ratio if shown else None,
        quality=quality,
        random_quality=random,
        gain=None if quality is None or random is None else quality - random,
        recent_quality=summary.quality,
        entropy=float(np.mean(list(summary.entropy.values()))) if summary.entropy else None,
        warnings=summary.warnings,
        damages=summary.damages,
        trends=summary.trends,
    )


def settings_of(run: RunDir) -> Mapping[str, str]:
    """Options of a search that make a difference, groups as `group.name`, and of its data the hash of the manifest."""
    settings = dict(_flat(read_config(run)))
    for name in _NO_DIFFERENCE:
        settings.pop(name, None)
    digest = manifest_digest(run)
    if "data" in settings and digest is not None:
        settings["data"] = f"{Path(settings['data']).name} {digest[:8]}"
    return settings


def _flat(options: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{group}{name}.")
        else:
            yield f"{group}{name}", str(value)


def _retraining(name: str, run: RunDir) -> RunRow:
    summary = summarise_retrain(run, lenient=True)
    try:
        spec_file = read_spec(run.spec_path)
    except MovinasError:
        spec_file = None
    return RunRow(
        name=name,
        path=str(run.path),
        kind=run.kind,
        status=summary.status,
        done=summary.epochs,
        total=summary.epochs_total,
        seconds_left=summary.seconds_left if summary.status == "running" else None,
        fingerprint=None if spec_file is None else spec_file.fingerprint,
        val_accuracy=summary.best_top1,
        test_accuracy=_test_accuracy(run),
        metric=summary.metric,
        warnings=summary.warnings,
        damages=summary.damages,
    )


def _test_accuracy(run: RunDir) -> float | None:
    try:
        report = strict_json.load(run.test_path, max_bytes=_MAX_TEST_BYTES)
    except MovinasError:
        return None
    values = [report.get("mean_average_precision"), report.get("top1")] if isinstance(report, dict) else []
    return next((float(value) for value in values if isinstance(value, int | float)), None)


def _pairs(
    row: RunRow, run: RunDir, compared: Mapping[str, tuple[SearchHistory, Decoder | None]]
) -> list[RetrainedPair]:
    try:
        arch = read_spec(run.spec_path).arch
    except MovinasError:
        return []
    found = []
    for search, (history, decoder) in compared.items():
        if decoder is None:
            continue
        own = fingerprint(arch, decoder.variant)
        candidate = next((each for each in history.candidates if each.fingerprint == own), None)
        if candidate is not None:
            found.append(
                RetrainedPair(
                    search=search,
                    retraining=row.name,
                    fingerprint=own,
                    origin=candidate.origin,
                    quality=candidate.quality,
                    val_accuracy=row.val_accuracy,
                    test_accuracy=row.test_accuracy,
                )
            )
    return found


def _strategies(rows: Sequence[RunRow]) -> list[StrategyRow]:
    groups: dict[tuple[object, ...], list[RunRow]] = {}
    for row in rows:
        if row.quality is not None and row.gain is not None and row.space and row.target and row.strategy:
            key = (row.space, row.target, row.strategy, *sorted(row.settings.items()))
            groups.setdefault(key, []).append(row)
    every = [own[0].settings for own in groups.values()]
    names = sorted({name for settings in every for name in settings})
    differing = [name for name in names if len({settings.get(name) for settings in every}) > 1]
    found = []
    for own in groups.values():
        first = own[0]
        qualities = [row.quality for row in own if row.quality is not None]
        gains = [row.gain for row in own if row.gain is not None]
        found.append(
            StrategyRow(
                space=first.space or "",
                target=first.target or "",
                strategy=first.strategy or "",
                settings={name: first.settings[name] for name in differing if name in first.settings},
                num_searches=len(own),
                quality=float(np.mean(qualities)),
                quality_std=_std(qualities),
                gain=float(np.mean(gains)),
                gain_std=_std(gains),
                off_target=float(np.mean([abs((row.ratio or 0.0) - 1.0) for row in own])),
            )
        )
    return found


def _std(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
