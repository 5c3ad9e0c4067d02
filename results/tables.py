"""Runs as tidy tables for pandas: one row per observation, one column per variable; `docs/results.md` lists them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from results.architectures import Decoder
from results.compare import compare
from results.decisions import split
from results.genotypes import choice_numbers, packed
from results.history import SearchHistory, read_history
from results.journal import read_journal
from results.records import EpochRecord
from results.run_dir import RunDir, open_run
from results.telemetry import read_telemetry
from search_spaces.errors import MovinasError
from search_spaces.space import MAX_CHOICES


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTables:
    """A search.

    Attributes:
        trials: An architecture sampled in a step and measured, in order.
        steps: A step.
        decisions: An active decision of a trial, and what was chosen.
        probabilities: A choice of a decision in a recorded policy.
        candidates: An architecture of the final comparison.
        timings: A phase of a step.
    """

    trials: pd.DataFrame
    steps: pd.DataFrame
    decisions: pd.DataFrame
    probabilities: pd.DataFrame
    candidates: pd.DataFrame
    timings: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainTables:
    """A retraining.

    Attributes:
        epochs: An epoch.
        timings: A phase of a step.
    """

    epochs: pd.DataFrame
    timings: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepTables:
    """A family of searches, a sweep or an ensemble.

    Attributes:
        members: A run, as `results.compare.RunRow` has it, without course, warnings and damages.
        records: What the sweep's own journal holds of each member that has finished.
    """

    members: pd.DataFrame
    records: pd.DataFrame


Tables = SearchTables | RetrainTables | SweepTables


def load(path: Path | str) -> Tables:
    """The tables of a run or sweep, whether it has finished or not.

    Raises:
        RunFolderError: There is no run.
        JournalError: Its journal is missing or damaged.
    """
    run = open_run(Path(path))
    if run.kind == "search":
        return load_search(run)
    if run.kind == "retrain":
        epochs = [record for record in read_journal(run.journal_path) if isinstance(record, EpochRecord)]
        return RetrainTables(epochs=pd.DataFrame([asdict(epoch) for epoch in epochs]), timings=_timings(run))
    rows = [
        {name: value for name, value in row.items() if name not in ("warnings", "damages")}
        for row in compare([run]).to_json()["runs"]
    ]
    return SweepTables(
        members=pd.DataFrame(rows),
        records=pd.json_normalize([asdict(record) for record in read_journal(run.journal_path)]),
    )


def load_search(run: RunDir) -> SearchTables:
    """The tables of a search; see `load`."""
    history = read_history(run.journal_path, architectures=True)
    return SearchTables(
        trials=_trials(run, history),
        steps=_steps(history),
        decisions=_decisions(history),
        probabilities=_probabilities(history),
        candidates=_candidates(run, history),
        timings=_timings(run),
    )


def _trials(run: RunDir, history: SearchHistory) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "step": history.trials["step"].astype(np.int64),
        "fingerprint": [each.fingerprint for each in history.architectures],
        **{name: history.trials[name] for name in ("cost", "ratio", "quality", "reward")},
        **_limits(history, [each.limit_ratios for each in history.architectures]),
        **_costs(run, history, [each.genotype for each in history.architectures]),
    }
    return pd.DataFrame(columns).rename_axis("trial").reset_index()


def _steps(history: SearchHistory) -> pd.DataFrame:
    entropy = {f"entropy_{group}": values for group, values in history.entropy.items()}
    table = pd.DataFrame({**history.columns, **entropy})
    return table.astype({"step": np.int64})


def _decisions(history: SearchHistory) -> pd.DataFrame:
    decisions = history.start.decisions if history.start else {}
    texts = [packed(each.genotype, decisions) for each in history.architectures]
    numbers_ND = choice_numbers(texts, decisions)
    trial_M, column_M = np.nonzero(numbers_ND >= 0)
    names = sorted(decisions)
    choices = sorted({str(choice) for own in decisions.values() for choice in own})
    codes_DC = np.zeros((len(names), MAX_CHOICES), dtype=np.int64)
    for column, name in enumerate(names):
        for number, choice in enumerate(decisions[name]):
            codes_DC[column, number] = choices.index(str(choice))
    return pd.DataFrame(
        {
            "trial": trial_M,
            "step": history.trials["step"].astype(np.int64)[trial_M],
            "decision": pd.Categorical.from_codes(column_M, categories=names),
            "choice": pd.Categorical.from_codes(codes_DC[column_M, numbers_ND[trial_M, column_M]], categories=choices),
        }
    )


def _probabilities(history: SearchHistory) -> pd.DataFrame:
    decisions = history.start.decisions if history.start else {}
    rows = [
        (policy.step, name, *split(name), str(choice), chance, policy.argmax.get(name) == choice)
        for policy in history.policies
        for name, chances in policy.probabilities.items()
        for choice, chance in zip(decisions.get(name, ()), chances, strict=False)
    ]
    columns = ["step", "decision", "place", "attribute", "choice", "probability", "likeliest"]
    return pd.DataFrame(rows, columns=columns)


def _candidates(run: RunDir, history: SearchHistory) -> pd.DataFrame:
    found = history.result.found if history.result else None
    columns: dict[str, Any] = {
        name: [getattr(each, name) for each in history.candidates]
        for name in ("origin", "fingerprint", "cost", "ratio", "quality", "num_clips")
    }
    columns |= _limits(history, [each.limit_ratios for each in history.candidates])
    columns |= _costs(run, history, [each.genotype for each in history.candidates])
    columns["selected"] = [each.fingerprint == found for each in history.candidates]
    return pd.DataFrame(columns)


def _limits(history: SearchHistory, ratios: Sequence[tuple[float, ...]]) -> dict[str, list[float]]:
    limits = history.start.limits if history.start else ()
    return {f"limit_ratio {limit}": [each[number] for each in ratios] for number, limit in enumerate(limits)}


def _costs(
    run: RunDir, history: SearchHistory, genotypes: Sequence[str | Mapping[str, str | float | int | bool]]
) -> dict[str, Any]:
    """MACs and bytes of state; without them where the folder does not hold its space."""
    if history.start is None or not genotypes:
        return {}
    try:
        macs_N, state_bytes_N = Decoder.of(run, history.start).population_costs(genotypes)
    except MovinasError:
        return {}
    return {"macs": macs_N, "state_bytes": state_bytes_N}


def _timings(run: RunDir) -> pd.DataFrame:
    rows = [
        (event["t"], event.get("step"), phase, seconds)
        for event in read_telemetry(run.telemetry_path)
        if event["kind"] == "phase_times" and isinstance(event.get("seconds"), dict)
        for phase, seconds in event["seconds"].items()
        if isinstance(seconds, int | float)
    ]
    return pd.DataFrame(rows, columns=["t", "step", "phase", "seconds"])
