"""`movinas cost`: what specs cost, by arithmetic; `--verify` counts on the built network."""

from dataclasses import dataclass

from launch import console
from launch.specs import check_classes, find_spec, find_variant
from search_spaces.cost import Cost, cost
from search_spaces.errors import SpecError
from search_spaces.spec_json import fingerprint

POSITIONALS = ("specs",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Cost of specs for one clip.

    Attributes:
        specs: Spec files, or published:A0 to published:A5.
        variant: base, or a JSON file; None takes the one of the spec file.
        classes: Outputs of the classifier.
        verify: Build each network, count MACs with fvcore and parameters, and compare.
        json: Print one JSON document.
    """

    specs: tuple[str, ...]
    variant: str | None = None
    classes: int = 600
    verify: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        check_classes(self.classes)


def run(options: Options) -> int:
    """Print the costs; with `verify`, fail where the count differs."""
    documents = []
    for name in options.specs:
        found = find_spec(name)
        variant = found.variant if options.variant is None else find_variant(options.variant)
        costs = cost(found.arch, variant, num_classes=options.classes)
        document: dict[str, object] = {
            "name": name,
            "fingerprint": fingerprint(found.arch, variant),
            **_document(costs),
        }
        if options.verify:
            from supernet.count import count_macs_and_params  # noqa: PLC0415 -- torch is not needed without

            macs, params = count_macs_and_params(found.arch, variant, num_classes=options.classes)
            if (macs, params) != (costs.macs, costs.params):
                raise SpecError(
                    f"arithmetic must equal the built network's {macs} MACs and {params} parameters, "
                    f"but got {costs.macs} and {costs.params}",
                    where=name,
                )
            document["verified"] = True
        documents.append(document)
    if options.json:
        console.show_json(documents)
        return 0
    title = f"Cost of one clip, {options.classes} classes{', counted by fvcore too' if options.verify else ''}"
    columns = ("name", "MACs", "paper GFLOPs", "parameters", "peak activations MiB", "stream state MiB")
    rows = [
        (
            document["name"],
            f"{document['macs']:,}",
            f"{document['paper_gflops']:.3f}",
            f"{document['params']:,}",
            f"{_mib(document['peak_activation_bytes'])}",
            f"{_mib(document['stream_state_bytes'])}",
        )
        for document in documents
    ]
    console.show_table(title, columns, rows)
    return 0


def _document(costs: Cost) -> dict[str, object]:
    return {
        "macs": costs.macs,
        "paper_gflops": costs.paper_gflops,
        "params": costs.params,
        "stream_buffer_bytes": costs.stream_buffer_bytes,
        "stream_state_bytes": costs.stream_state_bytes,
        "peak_activation_bytes": costs.peak_activation_bytes,
    }


def _mib(num_bytes: object) -> str:
    assert isinstance(num_bytes, int)
    return f"{num_bytes / 2**20:.2f}"
