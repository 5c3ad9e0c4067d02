"""The architectures that a search measured, as a study of Optuna: its Pareto, history and importance views open it.

Three objectives: quality up, MACs of a clip down, bytes of a stream's state down. Decisions are categorical parameters;
those that an architecture does not make, for its blocks are shallower or for there is one choice, are left out of its
trial.
"""

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from results.architectures import Decoder
from results.decisions import Choice
from results.genotypes import unpack
from results.history import SearchHistory, read_history
from results.run_dir import RunDir
from search_spaces.errors import RunFolderError

OBJECTIVES = ("quality", "MACs", "state bytes")
SQLITE = (".db", ".sqlite", ".sqlite3")
"""Suffixes of a file that becomes a database; any other becomes a journal of Optuna."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    genotype: Mapping[str, Choice]
    fingerprint: str
    quality: float
    ratio: float
    where: str
    step: int


def write_study(run: RunDir, path: Path, *, most: int) -> int:
    """Write a study named after the run, of the final comparison and, before it, the latest architectures sampled.

    Each architecture is one trial, as it was measured last: the supernet learns all the time, so that qualities of
    different steps compare only roughly, and those of the final comparison exactly.

    Args:
        run: A search, finished or not.
        path: New file; a database where its suffix is one of `SQLITE`, or else a journal of Optuna.
        most: Trials, at most.

    Returns:
        How many trials there are.

    Raises:
        JournalError: The search's journal is missing or damaged.
        RunFolderError: The search has measured nothing yet, or the file exists or cannot be written.
    """
    history = read_history(run.journal_path, architectures=True)
    if history.start is None or not (history.architectures or history.candidates):
        raise RunFolderError("must be a search that has measured an architecture, but got none", path=run.path)
    if path.exists():
        raise RunFolderError("must not exist yet, but it does", path=path)
    decoder = Decoder.of(run, history.start)
    measured = list(_measured(history))[-most:]
    macs_N, state_bytes_N = decoder.population_costs([each.genotype for each in measured])
    trials = [
        _trial(decoder, each, macs=int(macs), state_bytes=int(state))
        for each, macs, state in zip(measured, macs_N, state_bytes_N, strict=True)
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            _write(Path(folder) / path.name, trials, name=run.path.resolve().name)
            (Path(folder) / path.name).replace(path)
    except OSError as error:
        raise RunFolderError(f"must be a file that can be written, but got {error.strerror}", path=path) from error
    return len(trials)


def open_storage(path: Path) -> optuna.storages.BaseStorage:
    """The storage in a file of `write_study`."""
    if path.suffix in SQLITE:
        return optuna.storages.RDBStorage(f"sqlite:///{path}")
    return optuna.storages.JournalStorage(JournalFileBackend(str(path)))


def _write(path: Path, trials: list[FrozenTrial], *, name: str) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=open_storage(path), study_name=name, directions=["maximize", "minimize", "minimize"]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # names are for the views alone
            study.set_metric_names(list(OBJECTIVES))
        study.add_trials(trials)
    finally:
        optuna.logging.set_verbosity(before)


def _measured(history: SearchHistory) -> Iterator[_Measured]:
    """Each architecture once, as it was measured last, in the order of these measurements."""
    assert history.start is not None
    latest = {each.fingerprint: number for number, each in enumerate(history.architectures)}
    compared = {each.fingerprint for each in history.candidates}
    for number in sorted(number for fingerprint, number in latest.items() if fingerprint not in compared):
        each, step = history.architectures[number], int(history.trials["step"][number])
        yield _Measured(
            genotype=unpack(each.genotype, history.start.decisions),
            fingerprint=each.fingerprint,
            quality=float(history.trials["quality"][number]),
            ratio=float(history.trials["ratio"][number]),
            where="search",
            step=step,
        )
    for candidate in history.candidates:
        yield _Measured(
            genotype=candidate.genotype,
            fingerprint=candidate.fingerprint,
            quality=candidate.quality,
            ratio=candidate.ratio,
            where=f"final comparison, {candidate.origin}",
            step=history.start.steps,
        )


def _trial(decoder: Decoder, measured: _Measured, *, macs: int, state_bytes: int) -> FrozenTrial:
    made = [name for name in measured.genotype if len(decoder.decisions[name]) > 1]
    return create_trial(
        state=TrialState.COMPLETE,
        values=[measured.quality, float(macs), float(state_bytes)],
        params={name: measured.genotype[name] for name in made},
        distributions={name: CategoricalDistribution(decoder.decisions[name]) for name in made},
        user_attrs={
            "fingerprint": measured.fingerprint,
            "cost / target": measured.ratio,
            "measured in": measured.where,
            "step": measured.step,
        },
    )
