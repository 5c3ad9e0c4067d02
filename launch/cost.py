"""`movinas cost`: what specs cost, by arithmetic; `--verify` counts on the built network."""

from dataclasses import asdict, dataclass
from typing import Any

from launch import console
from launch.specs import check_classes, find_spec_or_ensemble
from search_spaces.cost import Cost, cost
from search_spaces.ensemble import ensemble_cost
from search_spaces.ensemble_json import EnsembleFile
from search_spaces.errors import SpecError
from search_spaces.spec import ArchSpec
from search_spaces.spec_json import fingerprint
from search_spaces.variant import Variant

POSITIONALS = ("specs",)

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Cost of specs for one clip; of an ensemble, the sum over its members' clips, and each member's.

    Attributes:
        specs: Spec files, ensemble files, or published:A0 to published:A6.
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
    documents = [_document(name, options) for name in options.specs]
    if options.json:
        console.show_json(documents)
        return 0
    title = f"Cost of one clip, {options.classes} classes{', counted by fvcore too' if options.verify else ''}"
    columns = ("name", "MACs", "paper GFLOPs", "parameters", "peak activations MiB", "stream state MiB")
    rows = []
    for document in documents:
        rows.append(_row(document["name"], document))
        rows += [_row(f"  members[{number}]", member) for number, member in enumerate(document.get("members", ()))]
    console.show_table(title, columns, rows)
    return 0


def _document(name: str, options: Options) -> Document:
    found = find_spec_or_ensemble(name, variant=options.variant)
    if isinstance(found, EnsembleFile):
        return _of_ensemble(name, found, options)
    return {"name": name, **_of_network(name, found.arch, found.variant, options)[1]}


def _of_ensemble(name: str, found: EnsembleFile, options: Options) -> Document:
    costs, members = [], []
    for number, member in enumerate(found.ensemble.members):
        where = f"{name}: members[{number}]"
        member_cost, document = _of_network(where, member.arch, member.variant, options)
        costs.append(member_cost)
        members.append({"offset_frames": member.offset_frames, **document})
    return {"name": name, "fingerprint": found.fingerprint, **asdict(ensemble_cost(costs)), "members": members}


def _of_network(where: str, arch: ArchSpec, variant: Variant, options: Options) -> tuple[Cost, Document]:
    costs = cost(arch, variant, num_classes=options.classes)
    document = {"fingerprint": fingerprint(arch, variant), **asdict(costs)}
    if options.verify:
        from supernet.count import count_macs_and_params  # noqa: PLC0415 -- torch is not needed without

        macs, params = count_macs_and_params(arch, variant, num_classes=options.classes)
        if (macs, params) != (costs.macs, costs.params):
            raise SpecError(
                f"arithmetic must equal the built network's {macs} MACs and {params} parameters, "
                f"but got {costs.macs} and {costs.params}",
                where=where,
            )
        document["verified"] = True
    return costs, document


def _row(name: str, document: Document) -> tuple[str, ...]:
    return (
        name,
        f"{document['macs']:,}",
        f"{document['paper_gflops']:.3f}",
        f"{document['params']:,}",
        f"{document['peak_activation_bytes'] / 2**20:.2f}",
        f"{document['stream_state_bytes'] / 2**20:.2f}",
    )
