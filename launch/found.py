"""What a finished search found, as spec files."""

from launch.runs import variant_of
from results.history import read_history
from results.records import CandidateRecord, ResultRecord, StartRecord
from results.run_dir import RunDir
from search_spaces.errors import RunFolderError
from search_spaces.space_json import read_space
from search_spaces.spec_json import Provenance, SpecFile, make_spec_file


def best_specs(run: RunDir, *, top: int, tolerance: float) -> list[SpecFile]:
    """The selected architecture first, then the search's other ones inside the budget, best quality first.

    Args:
        run: A finished search.
        top: How many at most.
        tolerance: Largest |cost / target - 1|.

    Raises:
        RunFolderError: The search has not finished.
    """
    start, candidates, result = _finished(run)
    compared = [
        record
        for record in candidates
        if record.origin not in ("random", "unlimited")
        and (record.fingerprint == result.found or abs(record.ratio - 1.0) <= tolerance)
        and max(record.limit_ratios, default=0.0) <= 1.0
    ]
    compared.sort(key=lambda record: (record.fingerprint != result.found, -record.quality))
    return [_spec_file(run, record, start) for record in compared[:top]]


def found_spec(run: RunDir) -> SpecFile:
    """The selected architecture of a finished search; errors as `best_specs`."""
    return best_specs(run, top=1, tolerance=0.0)[0]


def random_spec(run: RunDir) -> SpecFile:
    """The first of the random architectures that a finished search compared: equal cost, drawn without looking.

    Raises:
        RunFolderError: The search has not finished.
    """
    start, candidates, _ = _finished(run)
    return _spec_file(run, next(record for record in candidates if record.origin == "random"), start)


def _finished(run: RunDir) -> tuple[StartRecord, list[CandidateRecord], ResultRecord]:
    history = read_history(run.journal_path)
    if history.start is None or history.result is None:
        raise RunFolderError("must be a finished search (movinas resume goes on with one)", path=run.path)
    return history.start, list(history.candidates), history.result


def _spec_file(run: RunDir, record: CandidateRecord, start: StartRecord) -> SpecFile:
    candidate = read_space(run.space_path).decode(record.genotype, variant_of(run))
    return make_spec_file(
        candidate.spec,
        candidate.variant,
        genotype=record.genotype,
        provenance=Provenance(
            space=start.space,
            space_hash=start.space_hash,
            run=run.path.resolve().name,
            seed=start.seed,
            step=start.steps,
            target=start.target,
            origin=record.origin,
        ),
        metrics={
            "cost": record.cost,
            "cost_ratio": record.ratio,
            **{f"limit_ratio {limit}": ratio for limit, ratio in zip(start.limits, record.limit_ratios, strict=True)},
            "heldout_quality": record.quality,
            "heldout_clips": float(record.num_clips),
        },
    )
