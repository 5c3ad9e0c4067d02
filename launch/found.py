"""What a finished search found, as spec files and as rows for people."""

from collections.abc import Mapping

from results.journal import read_journal
from results.records import CandidateRecord, ResultRecord, StartRecord
from results.run_dir import RunDir
from search_spaces.cost import part_costs
from search_spaces.errors import RunFolderError
from search_spaces.space_json import read_space
from search_spaces.spec import ArchSpec, kernel_name, layer_name
from search_spaces.spec_json import Provenance, SpecFile, make_spec_file
from search_spaces.variant import Variant


def best_specs(run: RunDir, *, top: int, tolerance: float, variant: Variant | None = None) -> list[SpecFile]:
    """The selected architecture first, then the other ones of the policy at the target's cost, best quality first.

    Args:
        run: A finished search.
        top: How many at most.
        tolerance: Largest |cost / target - 1|.
        variant: How they are built; None is the base variant.

    Raises:
        RunFolderError: The search has not finished.
    """
    records = read_journal(run.journal_path)
    result = next((record for record in records if isinstance(record, ResultRecord)), None)
    start = next((record for record in records if isinstance(record, StartRecord)), None)
    if result is None or start is None:
        raise RunFolderError("must be a finished search (movinas resume goes on with one)", path=run.path)
    compared = [
        record
        for record in records
        if isinstance(record, CandidateRecord)
        and (record.fingerprint == result.found or abs(record.ratio - 1.0) <= tolerance)
        and record.origin != "random"
    ]
    compared.sort(key=lambda record: (record.fingerprint != result.found, -record.quality))
    return [_spec_file(run, record, start, variant or Variant()) for record in compared[:top]]


def found_spec(run: RunDir, *, variant: Variant | None = None) -> SpecFile:
    """The selected architecture of a finished search; errors as `best_specs`."""
    return best_specs(run, top=1, tolerance=0.0, variant=variant)[0]


def random_spec(run: RunDir, *, variant: Variant | None = None) -> SpecFile:
    """The first of the random architectures that a finished search compared: equal cost, drawn without looking.

    Raises:
        RunFolderError: The search has not finished.
    """
    records = read_journal(run.journal_path)
    start = next((record for record in records if isinstance(record, StartRecord)), None)
    drawn = next(
        (record for record in records if isinstance(record, CandidateRecord) and record.origin == "random"), None
    )
    if start is None or drawn is None:
        raise RunFolderError("must be a finished search (movinas resume goes on with one)", path=run.path)
    return _spec_file(run, drawn, start, variant or Variant())


def layer_rows(spec: ArchSpec, *, num_classes: int) -> list[Mapping[str, str | int]]:
    """One row per part of a network: kernel, channels, stride, SE, MACs, parameters."""
    parts = part_costs(spec, num_classes=num_classes)
    layers = {
        layer_name(number, position): layer
        for number, block in enumerate(spec.blocks)
        for position, layer in enumerate(block.layers)
    }
    rows: list[Mapping[str, str | int]] = []
    for name, part in parts.items():
        layer = layers.get(name)
        rows.append(
            {
                "part": name,
                "kernel": kernel_name(layer.kernel) if layer else "1x3x3" if name == "stem" else "1x1x1",
                "width": layer.width if layer else spec.stem_width if name == "stem" else spec.head_width,
                "expansion": layer.expansion if layer else "",
                "stride": layer.stride if layer else 2 if name == "stem" else 1,
                "SE": ("yes" if layer.se else "no") if layer else "",
                "MACs": part.macs,
                "parameters": part.params,
            }
        )
    return rows


def _spec_file(run: RunDir, record: CandidateRecord, start: StartRecord, variant: Variant) -> SpecFile:
    space = read_space(run.space_path)
    candidate = space.decode(record.genotype, variant)
    return make_spec_file(
        candidate.spec,
        variant,
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
            "heldout_quality": record.quality,
            "heldout_clips": float(record.num_clips),
        },
    )
