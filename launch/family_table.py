"""What a family of searches comes to: a table of its members, and the joint fronts of all they compared."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from launch import console
from launch.found import found_spec
from launch.runs import variant_of
from launch.sweeps import done_records, failures, write_files
from results.architectures import STATE_VARIANT, Decoder, streaming_variant
from results.cost_axes import published_costs
from results.cost_figures import on_front
from results.history import read_history
from results.records import MemberRecord, ResultRecord
from results.run_dir import RunDir, open_run
from results.sweep_report import write_family_report
from search_spaces.cost import cost
from search_spaces.space_json import read_space
from search_spaces.spec import ArchSpec
from search_spaces.spec_json import write_spec
from search_spaces.strict_json import pretty
from search_spaces.variant import Variant
from video.manifest import load_manifest


def member_record(run: RunDir, result: ResultRecord, *, name: str) -> MemberRecord:
    """What the family's journal keeps of a finished search."""
    start = read_history(run.journal_path).start
    assert start is not None  # a result stands behind it
    found = found_spec(run)
    macs, state_bytes = _costs(found.arch, found.variant, num_classes=len(start.class_names))
    return MemberRecord(
        name=name,
        space=start.space,
        target=start.target,
        seed=start.seed,
        found=result.found,
        found_ratio=result.found_ratio,
        found_quality=result.found_quality,
        found_macs=macs,
        found_state_bytes=state_bytes,
        argmax_ratio=result.argmax_ratio,
        random_quality=result.random_quality_mean,
    )


def document(folder: RunDir, names: Sequence[str]) -> dict[str, Any]:
    """The family so far.

    Args:
        folder: Of the family.
        names: Of all its members.

    Returns:
        `members` that finished, in order; `points`, all architectures they compared, with the two joint fronts marked;
        `published` networks of their clips; `missing` and `failed` members.
    """
    done = done_records(folder, MemberRecord)
    records = [done[name] for name in names if name in done]
    points = [point for record in records for point in _points(folder, record)]
    for cost_name, mark in (("macs", "on_macs_front"), ("state_bytes", "on_state_front")):
        front = on_front([(point["quality"], point[cost_name], point["origin"]) for point in points])
        for point, on in zip(points, front, strict=True):
            point[mark] = on
    variant = variant_of(folder)
    return {
        "run": str(folder.path),
        "state_variant": "searched" if variant.streams else STATE_VARIANT,
        "members": [_row(record) for record in records],
        "spread": _spread(records),
        "points": points,
        "published": {name: costs for record in records for name, costs in _published(folder, record).items()},
        "missing": [name for name in names if name not in done],
        "failed": failures(folder, done),
    }


def write(folder: RunDir, found: Mapping[str, Any]) -> None:
    """Write `table.json`, `table.csv`, `front.json`, the found specs and `report.html`.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    members, points = found["members"], found["points"]
    for name in (member["name"] for member in members):
        write_spec(found_spec(open_run(folder.members_path / name, kind="search")), folder.specs_path)
    fronts = {
        mark: sorted((point for point in points if point[mark]), key=lambda point: (point["macs"], point["member"]))
        for mark in ("on_macs_front", "on_state_front")
    }
    content = {name: found[name] for name in ("state_variant", "members", "spread", "missing")}
    texts = {"table.json": pretty(content), "table.csv": _csv(members), "front.json": pretty(fronts)}
    write_files(folder, texts)
    write_family_report(folder, found)


def show(folder: RunDir, found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the members and where the fronts lie."""
    if as_json:
        console.show_json(found)
        return
    console.show_table(
        "Held-out quality of each search's own supernet",
        ("search", "cost/target", "argmax", "MACs", "state", "quality", "random", "fingerprint"),
        [
            (
                each["name"],
                f"{each['ratio']:.3f}",
                f"{each['argmax_ratio']:.3f}",
                console.count(each["macs"]),
                console.count(each["state_bytes"]),
                f"{each['quality']:.3f}",
                f"{each['random_quality']:.3f}",
                each["fingerprint"][:16],
            )
            for each in found["members"]
        ],
    )
    for each in found["spread"]:
        console.show(
            f"{each['space']} {each['target']}: quality {each['quality_mean']:.3f} +- {each['quality_std']:.3f} "
            f"over {each['num_seeds']} seeds, random {each['random_quality_mean']:.3f}"
        )
    points = found["points"]
    console.show(
        f"of {len(points)} compared architectures, {sum(point['on_macs_front'] for point in points)} are on the joint "
        f"front of quality and MACs, {sum(point['on_state_front'] for point in points)} on that of quality and state "
        f"({found['state_variant']})"
    )
    if found["missing"]:
        console.show(f"{len(found['missing'])} searches are missing, {len(found['failed'])} of them failed")
    console.show(f"family  {folder.path}\nspecs   {folder.specs_path}\nreport  {folder.report_path}")


def _points(folder: RunDir, record: MemberRecord) -> list[dict[str, Any]]:
    run = open_run(folder.members_path / record.name, kind="search")
    space, variant = read_space(run.space_path), variant_of(run)
    num_classes = load_manifest(run.manifest_path).num_classes
    points = []
    for candidate in read_history(run.journal_path).candidates:
        spec = space.decode(candidate.genotype, variant).spec
        macs, state_bytes = _costs(spec, variant, num_classes=num_classes)
        points.append(
            {
                "member": record.name,
                "origin": candidate.origin,
                "fingerprint": candidate.fingerprint,
                "found": candidate.fingerprint == record.found and candidate.origin not in ("random", "unlimited"),
                "macs": macs,
                "state_bytes": state_bytes,
                "quality": candidate.quality,
            }
        )
    return points


def _costs(spec: ArchSpec, variant: Variant, *, num_classes: int) -> tuple[int, int]:
    state = cost(spec, streaming_variant(spec, variant), num_classes=num_classes).stream_state_bytes
    return cost(spec, variant, num_classes=num_classes).macs, state


def _published(folder: RunDir, record: MemberRecord) -> dict[str, dict[str, int]]:
    run = open_run(folder.members_path / record.name, kind="search")
    start = read_history(run.journal_path).start
    assert start is not None  # the search has a result
    known = published_costs(Decoder.of(run, start))
    return {name: {"macs": macs, "state_bytes": state} for name, (macs, state) in known.items()}


def _row(record: MemberRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "space": record.space,
        "target": record.target,
        "seed": record.seed,
        "fingerprint": record.found,
        "ratio": record.found_ratio,
        "argmax_ratio": record.argmax_ratio,
        "macs": record.found_macs,
        "state_bytes": record.found_state_bytes,
        "quality": record.found_quality,
        "random_quality": record.random_quality,
    }


def _spread(records: Sequence[MemberRecord]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation of the quality per space and target that has several seeds."""
    groups: dict[tuple[str, str], list[MemberRecord]] = {}
    for record in records:
        groups.setdefault((record.space, record.target), []).append(record)
    return [
        {
            "space": space,
            "target": target,
            "num_seeds": len(own),
            "quality_mean": float(np.mean([record.found_quality for record in own])),
            "quality_std": float(np.std([record.found_quality for record in own], ddof=1)),
            "random_quality_mean": float(np.mean([record.random_quality for record in own])),
        }
        for (space, target), own in groups.items()
        if len(own) > 1
    ]


def _csv(members: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    if members:
        writer = csv.DictWriter(text, list(members[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(members)
    return text.getvalue()
