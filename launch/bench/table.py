"""`movinas bench table`: times of every part of a space's networks on this machine; `--check` how far they carry."""

import datetime
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from launch import console
from launch.bench.agreement import agreement, kendall_tau
from launch.bench.cover import cover, entries_of
from launch.bench.latency import Timed, check_device, combined, interleaved, this_device
from launch.bench.visits import Visits
from launch.specs import check_classes, find_variant
from search_spaces.cost import cost
from search_spaces.errors import UsageError
from search_spaces.latency_table import Device, LatencyTable, Measurement, Unit, read_table, write_table
from search_spaces.movinet import find_space
from search_spaces.randomness import generator
from search_spaces.space import Candidate, SearchSpace
from search_spaces.variant import Variant

POSITIONALS = ("name",)
NUM_TRIALS = 5
"""Networks that `--plan` times."""
CHECK_ROUNDS = 10


@dataclass(frozen=True, kw_only=True)
class Options:
    """Times of every part of a space's networks on this machine: a table whose sums are latencies to search for.

    Attributes:
        name: a0 to a5, phi:<number>, nano, or a JSON file.
        out: Table to write; a measurement that was interrupted goes on when it is called again.
        check: Table to check against whole networks that it was not made from, in place of measuring one.
        variant: base, paper-stream, released-stream, or a JSON file.
        per: frame times single frames of a stream; clip times the space's clip in one call.
        classes: Outputs of the classifier; a search wants as many as its data has.
        threads: Of torch.
        rounds: Networks, at least, that every entry stands in; the median over them counts.
        calls: Of a network, undisturbed ones, of which the median counts.
        networks: Random ones that `--check` times.
        seed: Of the networks that are timed.
        plan: Print how many entries and networks there are and an estimate of the time, and stop.
        json: Print one JSON document.
    """

    name: str
    out: Path | None = None
    check: Path | None = None
    variant: str = "paper-stream"
    per: Unit = "frame"
    classes: int = 600
    threads: int = 1
    rounds: int = 3
    calls: int = 7
    networks: int = 30
    seed: int = 0
    plan: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        check_classes(self.classes)
        if min(self.threads, self.rounds, self.calls) < 1 or self.networks < 2:
            raise UsageError(
                "threads, rounds and calls must be at least 1, and networks at least 2, "
                f"but got {self.threads}, {self.rounds}, {self.calls} and {self.networks}"
            )
        if [self.out is not None, self.check is not None, self.plan].count(True) != 1:
            raise UsageError("one of --out, --check and --plan must be given")


def run(options: Options) -> int:
    """Measure, check, or plan."""
    space = find_space(options.name)
    if len(space.clips) > 1 or space.conv_choices is not None:
        raise UsageError("a space with a latency table must have one clip and decide on no form of convolutions")
    if options.check is not None:
        return _check(options, space, options.check)
    variant = find_variant(options.variant)
    if options.per == "frame" and not variant.streams:
        raise UsageError(f"a table per frame must be of a variant that streams, but got {options.variant}")
    device = this_device(threads=options.threads)
    if options.out is None:
        return _plan(options, space, variant)
    return _measure(options, space, variant, device, options.out)


def _plan(options: Options, space: SearchSpace, variant: Variant) -> int:
    networks = cover(space, variant, rounds=options.rounds, seed=options.seed)
    start = time.perf_counter()
    for candidate in networks[:NUM_TRIALS]:
        Timed(candidate, per=options.per, num_classes=options.classes).visit(calls=options.calls)
    seconds = (time.perf_counter() - start) / min(NUM_TRIALS, len(networks)) * len(networks)
    document = {"entries": len(entries_of(space)) + 1, "networks": len(networks), "seconds": seconds}
    if options.json:
        console.show_json(document)
    else:
        console.show(
            f"{document['entries']:,} entries, each in {options.rounds} or more of {len(networks):,} networks that are "
            f"timed; about {console.duration(seconds)} on this machine"
        )
    return 0


def _measure(options: Options, space: SearchSpace, variant: Variant, device: Device, path: Path) -> int:
    networks = cover(space, variant, rounds=options.rounds, seed=options.seed)
    settings = ("per", "classes", "rounds", "calls", "seed")
    visits = Visits(
        path.with_name(f".{path.name}.partial"),
        of={
            "space_hash": space.hash,
            "variant": asdict(variant),
            "device": asdict(device),
            **{name: getattr(options, name) for name in settings},
        },
    )
    progress = console.Progress("latency table", total=len(networks), done=len(visits.done))
    for number in range(len(visits.done), len(networks)):
        net = Timed(networks[number], per=options.per, num_classes=options.classes)
        visits.append(net.visit(calls=options.calls))
        progress.update(number + 1)
    seconds, spread = combined(networks, visits.done)
    table = LatencyTable(
        space=space.name,
        space_hash=space.hash,
        variant=variant,
        num_classes=options.classes,
        clip=space.clip,
        per=options.per,
        device=device,
        measurement=Measurement(
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            command=_command(options),
            networks=len(networks),
            rounds=options.rounds,
            calls=options.calls,
            seed=options.seed,
            spread=spread,
        ),
        seconds=dict(sorted(seconds.items())),
    )
    write_table(table, path)
    visits.remove()
    document = {"path": str(path), "entries": len(seconds), "networks": len(networks), "spread": spread}
    if options.json:
        console.show_json(document)
    else:
        console.show(
            f"{path}: {len(seconds):,} entries from {len(networks):,} networks; between the networks that it stood in, "
            f"an entry spreads by {spread:.0%} (median)"
        )
    return 0


def _command(options: Options) -> str:
    words = ["movinas", "bench", "table", options.name]
    for name in ("out", "variant", "per", "classes", "threads", "rounds", "calls", "seed"):
        words += [f"--{name}", str(getattr(options, name))]
    return shlex.join(words)


def _check(options: Options, space: SearchSpace, path: Path) -> int:
    table = read_table(path)
    table.check_of(space.hash, table.variant, num_classes=table.num_classes)
    check_device(table.device, wanted=this_device(threads=table.device.threads))
    candidates = _unused(space, table, num=options.networks, seed=options.seed)
    nets = []
    for number, candidate in enumerate(candidates):
        console.log(f"build network {number + 1} of {len(candidates)}")
        nets.append(Timed(candidate, per=table.per, num_classes=table.num_classes))
    measured_RN = interleaved(nets, calls=table.measurement.calls, rounds=CHECK_ROUNDS)
    measured_N = np.median(measured_RN, axis=0)
    predicted_N = np.array(
        [table.latency_s(each.spec, each.variant, num_classes=table.num_classes) for each in candidates]
    )
    macs_N = np.array([_macs(each, table) for each in candidates], dtype=np.float64)
    found = agreement(predicted_N, measured_N)
    document: dict[str, Any] = {
        "table": str(path),
        "per": table.per,
        **asdict(found),
        "tau_of_macs": kendall_tau(macs_N, measured_N),
        "tau_of_retest": kendall_tau(np.median(measured_RN[::2], axis=0), np.median(measured_RN[1::2], axis=0)),
        "spread": float(np.median((measured_RN.max(axis=0) - measured_RN.min(axis=0)) / measured_N)),
        "networks": [
            {"fingerprint": each.fingerprint, "macs": int(macs), "predicted_s": predicted, "measured_s": measured}
            for each, macs, predicted, measured in zip(candidates, macs_N, predicted_N, measured_N, strict=True)
        ],
    }
    _show_check(document, as_json=options.json)
    return 0


def _unused(space: SearchSpace, table: LatencyTable, *, num: int, seed: int) -> list[Candidate]:
    """Different random networks that the table was not made from."""
    measurement = table.measurement
    used = {each.fingerprint for each in cover(space, table.variant, rounds=measurement.rounds, seed=measurement.seed)}
    rng = generator(seed, "latency check")
    if space.size < 2 * (len(used) + num):
        raise UsageError(f"a space must have many more networks than the {num} to check, but has {space.size}")
    found: dict[str, Candidate] = {}
    while len(found) < num:
        candidate = space.decode(space.sample(rng), table.variant)
        if candidate.fingerprint not in used:
            found[candidate.fingerprint] = candidate
    return list(found.values())


def _macs(candidate: Candidate, table: LatencyTable) -> int:
    clip = replace(table.clip, num_frames=1) if table.per == "frame" else table.clip
    return cost(candidate.spec, candidate.variant, num_classes=table.num_classes, clip=clip).macs


def _show_check(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.show_json(document)
        return
    console.show_table(
        f"{document['n']} random networks that the table was not made from, ms per {document['per']}",
        ("network", "MACs", "sum of the table", "measured", "off by"),
        _rows(document["networks"]),
    )
    low, high = document["mape_interval"]
    console.show(
        f"MAPE {document['mape']:.2%} (95 % of resamples in {low:.2%} to {high:.2%}), bias {document['bias']:+.2%}"
    )
    low, high = document["tau_interval"]
    console.show(
        f"Kendall tau {document['tau']:.3f} ({low:.3f} to {high:.3f}, n = {document['n']}); of MACs "
        f"{document['tau_of_macs']:.3f}; of the measurements of every other round with the rest, "
        f"{document['tau_of_retest']:.3f}. A time spreads by {document['spread']:.1%} over {CHECK_ROUNDS} rounds."
    )


def _rows(networks: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            each["fingerprint"][:16],
            f"{each['macs']:,}",
            f"{1000 * each['predicted_s']:.3f}",
            f"{1000 * each['measured_s']:.3f}",
            f"{each['predicted_s'] / each['measured_s'] - 1:+.1%}",
        )
        for each in sorted(networks, key=lambda each: each["measured_s"])
    ]
