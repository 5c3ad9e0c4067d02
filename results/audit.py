"""What an audit of a search is about and came to, as values and as the files of its folder.

An audit trains architectures of a search's space one by one and asks whether the shared weights ranked them alike.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter

from results.estimate import RankCorrelation
from search_spaces.spec_json import Choice
from search_spaces.strict_json import pretty
from search_spaces.typed_json import check_header, read_document, validate

SAMPLE_FILE = "sample.json"
"""Of an audit's folder, from its beginning."""
OUTCOME_FILE = "audit.json"
"""Of an audit's folder, at its end."""
SAMPLE = "audit sample"
AUDIT = "audit"
SCHEMA = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A range of costs.

    Attributes:
        low: Of cost / target, `high` likewise; both ends belong to it.
    """

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.3f} to {self.high:.3f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """One architecture of an audit.

    Attributes:
        name: Such as `band2-07`, of the second band.
        band: From 1.
        cost: In the target's unit; `ratio` is cost / target.
    """

    name: str
    band: int
    genotype: Mapping[str, Choice]
    fingerprint: str
    cost: float
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What an audit compares.

    Attributes:
        target: Of the search, as written.
        limits: Of the search, that all architectures keep; none where the audit lifted them.
        bands: By rising cost.
    """

    space: str
    target: str
    limits: tuple[str, ...]
    bands: tuple[Band, ...]
    architectures: tuple[Sampled, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One architecture and its scores so far.

    Attributes:
        batch: Quality with shared weights and batch statistics, in [0, 1]; `recalibrated` with running statistics of
            the extracted network.
        top1s: Accuracy of each stand-alone training, one per seed, in [0, 1].
    """

    sampled: Sampled
    batch: float | None
    recalibrated: float | None
    top1s: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far shared weights agree with stand-alone training, over architectures that have all their scores.

    Attributes:
        band: Which they are of; None for all bands together.
        batch: Shared weights with batch statistics against the mean accuracy over the seeds; `recalibrated` with
            running statistics.
        batch_one: The same against one training, the mean over the seeds; `recalibrated_one` likewise.
        ceiling: One training against another one of the same architectures, the mean over pairs of seeds: what
            `batch_one` and `recalibrated_one` cannot be expected to exceed.
    """

    band: int | None
    batch: RankCorrelation
    recalibrated: RankCorrelation
    batch_one: RankCorrelation
    recalibrated_one: RankCorrelation
    ceiling: RankCorrelation


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What an audit has come to.

    Attributes:
        seeds: Of the stand-alone trainings.
        quality: What shared weights are scored by: accuracy, or probability of the true class.
        num_clips: Held-out clips that everything is scored on, None before the first score.
        agreements: Over all bands first, then band by band.
        missing: Units without a result.
    """

    space: str
    target: str
    limits: tuple[str, ...]
    bands: tuple[Band, ...]
    seeds: tuple[int, ...]
    quality: str
    num_clips: int | None
    architectures: tuple[Audited, ...]
    agreements: tuple[Agreement, ...]
    missing: tuple[str, ...]


def audit_path(search: Path) -> Path:
    """Where the audit of a search lies unless it was put elsewhere."""
    path = search.resolve()
    return path.with_name(f"{path.name}-audit")


def sample_text(sample: Sample) -> str:
    """The file of a sample."""
    return pretty({"kind": SAMPLE, "schema": SCHEMA, **asdict(sample)})


def read_sample(path: Path) -> Sample:
    """The sample in a file.

    Raises:
        SpecError: Missing, malformed, or not a sample.
    """
    return _read(path, Sample, kind=SAMPLE)


def audit_text(audit: Audit) -> str:
    """The file of an audit's outcome."""
    return pretty({"kind": AUDIT, "schema": SCHEMA, **asdict(audit)})


def read_audit(path: Path) -> Audit:
    """The outcome in a file; errors as `read_sample`."""
    return _read(path, Audit, kind=AUDIT)


def _read(path: Path, of: type[T], *, kind: str) -> T:
    document: dict[str, Any] = check_header(read_document(path), kind=kind, schema=SCHEMA, path=path)
    content = {name: value for name, value in document.items() if name not in ("kind", "schema")}
    # pydantic takes no config beside a dataclass itself, but a tuple of one hands its config down
    adapter = TypeAdapter(tuple[of], config=ConfigDict(extra="forbid", allow_inf_nan=False))  # type: ignore[valid-type]
    (found,) = validate(adapter, [content], path=path)
    return found
