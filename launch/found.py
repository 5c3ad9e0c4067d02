"""What a finished search found, as spec files and as rows for people."""

from collections.abc import Mapping
from dataclasses import replace

from launch.runs import variant_of
from results.history import read_history
from results.records import CandidateRecord, ResultRecord, StartRecord
from results.run_dir import RunDir
from results.summary import Architecture, SearchSummary
from search_spaces.cost import cost, part_costs
from search_spaces.errors import RunFolderError
from search_spaces.space_json import read_space
from search_spaces.spec import ArchSpec, kernel_name, layer_name
from search_spaces.spec_json import Provenance, SpecFile, make_spec_file
from search_spaces.target import parse_target
from search_spaces.variant import Variant
from video.manifest import load_manifest


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


def layer_rows(spec: ArchSpec, variant: Variant, *, num_classes: int) -> list[Mapping[str, str | int]]:
    """One row per part of a network: kernel, channels, stride, SE, MACs, parameters."""
    parts = part_costs(spec, variant, num_classes=num_classes)
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


def with_macs(run: RunDir, summary: SearchSummary) -> SearchSummary:
    """The summary of a search with the multiply-adds of its architectures, whatever its target counts.

    A step records no genotype of the likeliest architecture, so that this becomes the one of the latest recorded
    policy, at most a hundredth of the search earlier; at the end they are the same.
    """
    history = read_history(run.journal_path)
    if history.start is None or not history.policies:
        return replace(summary, argmax=None)
    space, variant = read_space(run.space_path), variant_of(run)
    num_classes = load_manifest(run.manifest_path).num_classes
    target = parse_target(history.start.target, folder=run.path)
    limits = [parse_target(limit, folder=run.path) for limit in history.start.limits]
    genotypes = {candidate.fingerprint: candidate.genotype for candidate in history.candidates}

    def counted(architecture: Architecture) -> Architecture:
        if (genotype := genotypes.get(architecture.fingerprint)) is None:
            return architecture
        candidate = space.decode(genotype, variant)
        return replace(architecture, macs=cost(candidate.spec, candidate.variant, num_classes=num_classes).macs)

    likeliest = space.decode(history.policies[-1].argmax, variant)
    genotypes[likeliest.fingerprint] = likeliest.genotype
    value = target.cost(likeliest.spec, likeliest.variant, num_classes=num_classes)
    argmax = Architecture(
        fingerprint=likeliest.fingerprint,
        cost=value,
        ratio=value / target.value,
        limit_ratios=tuple(
            limit.cost(likeliest.spec, likeliest.variant, num_classes=num_classes) / limit.value for limit in limits
        ),
    )
    return replace(
        summary,
        argmax=counted(argmax),
        found=counted(summary.found) if summary.found else None,
        best=[counted(architecture) for architecture in summary.best],
    )


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
