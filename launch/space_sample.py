"""`movinas space sample`: random architectures of a space, as spec files."""

from dataclasses import dataclass
from pathlib import Path

from launch import console
from launch.specs import find_variant, with_clip_choices
from search_spaces.cost import cost
from search_spaces.errors import UsageError
from search_spaces.movinet import find_space
from search_spaces.randomness import generator
from search_spaces.spec_json import Provenance, make_spec_file, write_spec

POSITIONALS = ("name",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Random architectures of a space, every decision uniform.

    Attributes:
        name: a0 to a5, phi:<number>, nano, or a JSON file.
        out: Folder for the spec files.
        num: How many; also -n.
        clip_choices: Makes the clip decisions of the space, such as frames=25:50,resolution=172:224,rate_fps=5.
        variant: base, paper-stream, released-stream, or a JSON file.
        seed: Of the draws.
        json: Print one JSON document.
    """

    name: str
    out: Path
    num: int = 1
    clip_choices: str | None = None
    variant: str = "base"
    seed: int = 0
    json: bool = False


SHORT = {"num": "-n"}


def run(options: Options) -> int:
    """Write the spec files and list them."""
    if options.num < 1:
        raise UsageError(f"num must be at least 1, but got {options.num}")
    space = with_clip_choices(find_space(options.name), options.clip_choices)
    variant = find_variant(options.variant)
    rng = generator(options.seed, "space sample")
    provenance = Provenance(space=space.name, space_hash=space.hash, seed=options.seed, origin="random")
    documents = []
    for indices_D in space.sample_indices(rng, options.num):
        candidate = space.decode(space.genotype(indices_D), variant)
        macs = cost(candidate.spec, variant).macs
        spec_file = make_spec_file(
            candidate.spec, variant, genotype=candidate.genotype, provenance=provenance, metrics={"macs": float(macs)}
        )
        path = write_spec(spec_file, options.out)
        documents.append({"path": str(path), "fingerprint": spec_file.fingerprint, "macs": macs})
    if options.json:
        console.show_json(documents)
    else:
        for document in documents:
            console.show(f"{document['path']}  {document['macs']:,} MACs")
    return 0
