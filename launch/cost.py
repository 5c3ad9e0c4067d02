"""`movinas cost`: what specs cost, by arithmetic; `--verify` counts on the built network."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from launch import console
from launch.specs import check_classes, find_spec, find_variant
from search_spaces.cost import BYTES, Cost, DataType, cost
from search_spaces.errors import SpecError, UsageError
from search_spaces.spec import ArchSpec
from search_spaces.spec_json import fingerprint
from search_spaces.stream_state import state_entries
from search_spaces.variant import Variant

POSITIONALS = ("specs",)
STREAM = "released-stream"
TYPE_NAMES: dict[DataType, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Cost of specs for one clip, and of a stream where they stream.

    Attributes:
        specs: Spec files, or published:A0 to published:A5.
        variant: base, paper-stream, released-stream, or a JSON file; None takes the one of the spec file.
        stream: Short for --variant released-stream.
        classes: Outputs of the classifier.
        dtype: Type of activations and stream buffers; sums over time are fp32 in any case.
        entries: List every entry of the streams' state; the JSON document always does.
        verify: Build each network, count MACs with fvcore and parameters, and compare.
        json: Print one JSON document.
    """

    specs: tuple[str, ...]
    variant: str | None = None
    stream: bool = False
    classes: int = 600
    dtype: DataType = "fp32"
    entries: bool = False
    verify: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        check_classes(self.classes)
        if self.stream and self.variant is not None:
            raise UsageError(f"--stream is short for --variant {STREAM}: only one can be given, but got both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of one spec.

    Attributes:
        entries: Of its stream's state: name, shape without the number of streams, type and bytes.
    """

    name: str
    fingerprint: str
    costs: Cost
    entries: Sequence[Mapping[str, object]]


def run(options: Options) -> int:
    """Print the costs; with `verify`, fail where the count differs."""
    asked = STREAM if options.stream else options.variant
    rows = []
    for name in options.specs:
        found = find_spec(name)
        variant = found.variant if asked is None else find_variant(asked, spec=name)
        rows.append(_row(name, found.arch, variant, options))
    if options.json:
        console.show_json([_document(row, options) for row in rows])
        return 0
    _show_clips(rows, options)
    streaming = [row for row in rows if row.costs.streams_per_gb is not None]
    if streaming:
        _show_streams(streaming, options)
    if options.entries:
        for row in streaming:
            _show_entries(row)
    return 0


def _row(name: str, arch: ArchSpec, variant: Variant, options: Options) -> Row:
    costs = cost(arch, variant, num_classes=options.classes, dtype=options.dtype)
    if options.verify:
        _verify(name, arch, variant, costs, classes=options.classes)
    return Row(
        name=name,
        fingerprint=fingerprint(arch, variant),
        costs=costs,
        entries=_entries(arch, variant, options.dtype),
    )


def _document(row: Row, options: Options) -> dict[str, object]:
    return {
        "name": row.name,
        "fingerprint": row.fingerprint,
        "dtype": options.dtype,
        **asdict(row.costs),
        "streams_per_gb": row.costs.streams_per_gb,
        "stream_entries": row.entries,
        "verified": options.verify,
    }


def _verify(name: str, arch: ArchSpec, variant: Variant, costs: Cost, *, classes: int) -> None:
    from supernet.count import count_macs_and_params  # noqa: PLC0415 -- torch is not needed without

    macs, params = count_macs_and_params(arch, variant, num_classes=classes)
    if (macs, params) != (costs.macs, costs.params):
        raise SpecError(
            f"arithmetic must equal the built network's {macs} MACs and {params} parameters, "
            f"but got {costs.macs} and {costs.params}",
            where=name,
        )


def _entries(arch: ArchSpec, variant: Variant, dtype: DataType) -> list[dict[str, object]]:
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


def _show_clips(rows: Sequence[Row], options: Options) -> None:
    console.show_table(
        f"Cost of one clip, {options.classes} classes{', counted by fvcore too' if options.verify else ''}",
        ("name", "MACs", "paper GFLOPs", "parameters", f"peak activations MiB, {options.dtype}"),
        [
            (
                row.name,
                f"{row.costs.macs:,}",
                f"{row.costs.paper_gflops:.3f}",
                f"{row.costs.params:,}",
                _mib(row.costs.peak_activation_bytes),
            )
            for row in rows
        ],
    )


def _show_streams(rows: Sequence[Row], options: Options) -> None:
    console.show_table(
        f"One stream, frame by frame, {options.dtype}; 1 GB is 10^9 bytes",
        ("name", "MACs per frame", "peak activations MiB", "stream buffers MiB", "state MiB", "streams per GB"),
        [
            (
                row.name,
                f"{row.costs.macs_per_frame:,}",
                _mib(row.costs.step_peak_activation_bytes or 0),
                _mib(row.costs.stream_buffer_bytes),
                _mib(row.costs.stream_state_bytes),
                f"{row.costs.streams_per_gb:,}",
            )
            for row in rows
        ],
    )


def _show_entries(row: Row) -> None:
    columns = ("name", "shape", "dtype", "bytes")
    console.show_table(
        f"State of a stream of {row.name}", columns, [[entry[column] for column in columns] for entry in row.entries]
    )


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.2f}"
