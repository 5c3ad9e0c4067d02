"""`movinas export`: the best architectures of a search, as spec files."""

from dataclasses import dataclass
from pathlib import Path

from launch import console
from launch.found import best_specs
from launch.runs import options_of
from launch.search import Options as SearchOptions
from results.run_dir import open_run
from search_spaces.cost import cost
from search_spaces.errors import UsageError
from search_spaces.spec_json import write_spec
from video.manifest import load_manifest

POSITIONALS = ("run",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write the selected architecture, and the next best ones, as spec files.

    Attributes:
        run: Run folder of a finished search.
        out: Folder for the spec files.
        top: How many at most.
        json: Print one JSON document.
    """

    run: Path
    out: Path
    top: int = 1
    json: bool = False


def run(options: Options) -> int:
    """Write the spec files and list them."""
    if options.top < 1:
        raise UsageError(f"top must be at least 1, but got {options.top}")
    folder = open_run(options.run, kind="search")
    tolerance = options_of(folder, SearchOptions).search.selection.tolerance
    num_classes = load_manifest(folder.manifest_path).num_classes
    documents = []
    for spec_file in best_specs(folder, top=options.top, tolerance=tolerance):
        path = write_spec(spec_file, options.out)
        documents.append(
            {
                "path": str(path),
                "fingerprint": spec_file.fingerprint,
                "macs": cost(spec_file.arch, spec_file.variant, num_classes=num_classes).macs,
                "ratio": spec_file.metrics["cost_ratio"],
                "quality": spec_file.metrics["heldout_quality"],
            }
        )
    if options.json:
        console.show_json(documents)
    else:
        console.show_table(
            f"{len(documents)} architectures in {options.out}",
            ("file", "MACs", "cost/target", "held-out quality"),
            [
                (
                    f"{document['fingerprint']}.json",
                    f"{document['macs']:,}",
                    f"{document['ratio']:.3f}",
                    f"{document['quality']:.3f}",
                )
                for document in documents
            ],
        )
    return 0
