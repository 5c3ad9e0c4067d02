"""`movinas cost`: what specs cost, by arithmetic or by measured times; `--verify` counts on the built network."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launch import console
from launch.specs import check_classes, find_spec_or_ensemble
from search_spaces.cost import BYTES, Cost, DataType, cost, streams_per_gb
from search_spaces.ensemble import EnsembleCost, ensemble_cost
from search_spaces.ensemble_json import EnsembleFile
from search_spaces.errors import LatencyTableError, SpecError, UsageError
from search_spaces.latency_table import LatencyTable, read_table
from search_spaces.spec import ArchSpec
from search_spaces.spec_json import fingerprint
from search_spaces.stream_state import state_entries
from search_spaces.variant import Variant

POSITIONALS = ("specs",)
STREAM = "released-stream"
TYPE_NAMES: dict[DataType, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Cost of specs for one clip, and of a stream where they stream; of an ensemble, in all and of each member.

    Attributes:
        specs: Spec files, ensemble files, or published:A0 to published:A6.
        variant: base, paper-stream, released-stream, or a JSON file; None takes the one of the spec file.
        stream: Short for --variant released-stream.
        classes: Outputs of the classifier.
        dtype: Type of activations and stream buffers; sums over time are fp32 in any case. Streams per GB counts one
            state per stream: while a step runs, its old and new state are held at once, besides activations.
        entries: List every entry of the streams' state; the JSON document always does.
        table: Latency table (bench table) to look the networks' time up in.
        verify: Build each network, count MACs with fvcore and parameters, and compare.
        json: Print one JSON document.
    """

    specs: tuple[str, ...]
    variant: str | None = None
    stream: bool = False
    classes: int = 600
    dtype: DataType = "fp32"
    entries: bool = False
    table: Path | None = None
    verify: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        check_classes(self.classes)
        if self.stream and self.variant is not None:
            raise UsageError(f"--stream is short for --variant {STREAM}: only one can be given, but got both")


def run(options: Options) -> int:
    """Print the costs; with `verify`, fail where the count differs."""
    table = None if options.table is None else read_table(options.table)
    documents = [_document(name, options, table) for name in options.specs]
    if options.json:
        console.show_json(documents)
        return 0
    rows = []
    for document in documents:
        rows.append(document)
        rows += [
            {**member, "name": f"  members[{number}]"} for number, member in enumerate(document.get("members", ()))
        ]
    _show_clips(rows, options)
    streams = [row for row in rows if row["stream_state_bytes"]]
    if streams:
        _show_streams(streams, options)
    if table is not None:
        _show_latencies([row for row in rows if "latency_s" in row], table)
    if options.entries:
        for row in streams:
            _show_entries(row)
    return 0


def _document(name: str, options: Options, table: LatencyTable | None) -> Document:
    found = find_spec_or_ensemble(name, variant=STREAM if options.stream else options.variant)
    if isinstance(found, EnsembleFile):
        return {"name": name, "fingerprint": found.fingerprint, **_of_ensemble(name, found, options, table)}
    return {"name": name, **_of_network(name, found.arch, found.variant, options, table)}


def _of_ensemble(name: str, found: EnsembleFile, options: Options, table: LatencyTable | None) -> Document:
    members = [
        {
            "offset_frames": member.offset_frames,
            **_of_network(f"{name}: members[{number}]", member.arch, member.variant, options, table),
        }
        for number, member in enumerate(found.ensemble.members)
    ]
    costs = ensemble_cost(_cost(member.arch, member.variant, options) for member in found.ensemble.members)
    return {**_figures(costs, options), "members": members}


def _of_network(where: str, arch: ArchSpec, variant: Variant, options: Options, table: LatencyTable | None) -> Document:
    costs = _cost(arch, variant, options)
    if options.verify:
        _verify(where, arch, variant, costs, classes=options.classes)
    return {
        "fingerprint": fingerprint(arch, variant),
        **_figures(costs, options),
        "stream_entries": _entries(arch, variant, options.dtype),
        "verified": options.verify,
        **({} if table is None else _latency(where, arch, variant, options, table)),
    }


def _latency(where: str, arch: ArchSpec, variant: Variant, options: Options, table: LatencyTable) -> Document:
    try:
        seconds = table.latency_s(arch, variant, num_classes=options.classes)
    except LatencyTableError as error:
        raise error.at(path=options.table, where=where) from error
    return {"latency_s": seconds, "latency_per": table.per}


def _cost(arch: ArchSpec, variant: Variant, options: Options) -> Cost:
    return cost(arch, variant, num_classes=options.classes, dtype=options.dtype)


def _figures(costs: Cost | EnsembleCost, options: Options) -> Document:
    return {"dtype": options.dtype, **asdict(costs), "streams_per_gb": streams_per_gb(costs.stream_state_bytes)}


def _verify(where: str, arch: ArchSpec, variant: Variant, costs: Cost, *, classes: int) -> None:
    from supernet.count import count_macs_and_params  # noqa: PLC0415 -- torch is not needed without

    macs, params = count_macs_and_params(arch, variant, num_classes=classes)
    if (macs, params) != (costs.macs, costs.params):
        raise SpecError(
            f"arithmetic must equal the built network's {macs} MACs and {params} parameters, "
            f"but got {costs.macs} and {costs.params}",
            where=where,
        )


def _entries(arch: ArchSpec, variant: Variant, dtype: DataType) -> list[Document]:
    size = arch.clip.resolution
    return [
        {
            "name": name,
            "shape": entry.shape,
            "dtype": TYPE_NAMES[dtype] if entry.type == "network" else entry.type,
            "bytes": entry.num_bytes(bytes_per_element=BYTES[dtype]),
        }
        for name, entry in state_entries(arch, variant, height=size, width=size).items()
    ]


def _show_clips(rows: Sequence[Document], options: Options) -> None:
    console.show_table(
        f"Cost of one clip, {options.classes} classes{', counted by fvcore too' if options.verify else ''}",
        ("name", "MACs", "paper GFLOPs", "parameters", f"peak activations MiB, {options.dtype}"),
        [
            (
                row["name"],
                f"{row['macs']:,}",
                f"{row['paper_gflops']:.3f}",
                f"{row['params']:,}",
                _mib(row["peak_activation_bytes"]),
            )
            for row in rows
        ],
    )


def _show_streams(rows: Sequence[Document], options: Options) -> None:
    console.show_table(
        f"One stream, frame by frame, {options.dtype}; streams per GB counts one state per stream in 10^9 bytes, while "
        "a step holds its old and new state at once, besides activations",
        ("name", "MACs per frame", "peak activations MiB", "stream buffers MiB", "state MiB", "streams per GB"),
        [
            (
                row["name"],
                f"{row['macs_per_frame']:,}" if "macs_per_frame" in row else "",
                _mib(row["step_peak_activation_bytes"]) if "step_peak_activation_bytes" in row else "",
                _mib(row["stream_buffer_bytes"]),
                _mib(row["stream_state_bytes"]),
                f"{row['streams_per_gb']:,}",
            )
            for row in rows
        ],
    )


def _show_latencies(rows: Sequence[Document], table: LatencyTable) -> None:
    device = table.device
    console.show_table(
        f"Latency by the table of {table.measurement.date}: {device.processor}, {device.threads} threads",
        ("name", f"ms per {table.per}"),
        [(row["name"], f"{1000 * row['latency_s']:.3f}") for row in rows],
    )


def _show_entries(row: Document) -> None:
    columns = ("name", "shape", "dtype", "bytes")
    entries = [[entry[column] for column in columns] for entry in row.get("stream_entries", ())]
    if entries:
        console.show_table(f"State of a stream of {row['name'].strip()}", columns, entries)


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.2f}"
