"""Names on the command line, as the things they stand for."""

import difflib
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from search_spaces.ensemble_json import EnsembleFile, make_ensemble_file, read_spec_or_ensemble
from search_spaces.errors import SpecError, UsageError, shown
from search_spaces.published import ENSEMBLES, NAMES, PREFIX, name_of, published, published_ensemble, released_stream
from search_spaces.spec import ArchSpec
from search_spaces.spec_json import SpecFile, make_spec_file, read_spec
from search_spaces.typed_json import read_document, validate
from search_spaces.variant import VARIANTS, Variant

MAX_CLASSES = 1_000_000


def find_spec(name: str) -> SpecFile:
    """The spec of a file, or of `published:A0` to `published:A5`.

    Raises:
        SpecError: Unknown, unreadable, or not what a spec must be.
    """
    if name.startswith(PREFIX):
        return make_spec_file(published(name.removeprefix(PREFIX)), Variant())
    return read_spec(Path(name))


def find_spec_or_ensemble(name: str, *, variant: str | None = None) -> SpecFile | EnsembleFile:
    """The spec or ensemble of a file, or of `published:A0` to `published:A6`.

    Args:
        name: What was asked for.
        variant: Name or file of the variant it is wanted in, of all members alike; None leaves it as it is.

    Raises:
        SpecError: Unknown, unreadable, or neither; as `find_variant`.
    """
    ensemble_name = name.removeprefix(PREFIX)
    found: SpecFile | EnsembleFile
    if not name.startswith(PREFIX):
        found = read_spec_or_ensemble(Path(name))
    elif ensemble_name in ENSEMBLES:
        found = make_ensemble_file(published_ensemble(ensemble_name, Variant()))
    elif ensemble_name in NAMES:
        found = find_spec(name)
    else:
        known = ", ".join((*NAMES, *ENSEMBLES))
        raise SpecError(f"a published network or ensemble must be one of {known}, but got {shown(ensemble_name)}")
    if variant is None:
        return found
    if isinstance(found, EnsembleFile):  # without its models, which are of networks as they were
        members = tuple(
            replace(member, variant=find_variant(variant, arch=member.arch)) for member in found.ensemble.members
        )
        return make_ensemble_file(replace(found.ensemble, members=members), provenance=found.provenance)
    return make_spec_file(found.arch, find_variant(variant, arch=found.arch), provenance=found.provenance)


def find_variant(name: str, *, arch: ArchSpec | None = None) -> Variant:
    """The variant of a name, or of a JSON file with its switches.

    Args:
        name: What was asked for.
        arch: What it is for; `released-stream` is of a published network as that one was released, whatever its clip.

    Raises:
        SpecError: Unknown, unreadable, or with an unknown switch or value.
    """
    if name == "released-stream":
        released = None if arch is None else name_of(arch)
        return VARIANTS[name] if released is None else released_stream(released)
    if name in VARIANTS:
        return VARIANTS[name]
    if not name.endswith(".json"):
        close = difflib.get_close_matches(name, VARIANTS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise SpecError(f"a variant must be one of {', '.join(VARIANTS)} or a JSON file, but got {name!r}{hint}")
    path = Path(name)
    return validate(TypeAdapter(Variant), read_document(path), path=path)


def check_classes(classes: int) -> None:
    """Refuse a number of classes that no classifier has.

    Raises:
        UsageError: Not from 1 to 1,000,000.
    """
    if not 1 <= classes <= MAX_CLASSES:
        raise UsageError(f"classes must be in [1, {MAX_CLASSES}], but got {classes}")
