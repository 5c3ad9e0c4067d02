"""Names on the command line, as the things they stand for."""

import difflib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from search_spaces.clip_choices import ClipChoices
from search_spaces.ensemble_json import EnsembleFile, make_ensemble_file, read_spec_or_ensemble
from search_spaces.errors import SpecError, UsageError, shown
from search_spaces.published import ENSEMBLES, NAMES, PREFIX, name_of, published, published_ensemble, released_stream
from search_spaces.space import SearchSpace
from search_spaces.spec import ArchSpec
from search_spaces.spec_json import SpecFile, make_spec_file, read_spec
from search_spaces.typed_json import read_document, validate
from search_spaces.variant import VARIANTS, Variant

MAX_CLASSES = 1_000_000
_CLIP_PARTS: dict[str, Callable[[str], float]] = {"frames": int, "resolution": int, "rate_fps": float}


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


def with_clip_choices(space: SearchSpace, text: str | None) -> SearchSpace:
    """The space with its clip decided too: frames=25:50,resolution=172:224,rate_fps=5; None leaves it as it is.

    What is not named keeps the one value of the space's clip. The clip that the space is shown with is its own, or
    where that is none of the choices, the first of them.

    Raises:
        UsageError: Not written so.
        SpaceError: No choices for a clip.
    """
    if text is None:
        return space
    found: dict[str, tuple[float, ...]] = {}
    for part in text.split(","):
        name, _, values = part.partition("=")
        try:
            if name not in _CLIP_PARTS or name in found:
                raise ValueError(f"{name!r} must be one of {', '.join(_CLIP_PARTS)}, once each")
            found[name] = tuple(map(_CLIP_PARTS[name], values.split(":")))
        except ValueError as error:
            raise UsageError(
                "clip_choices must be written as frames=25:50,resolution=172:224,rate_fps=5, but got "
                f"{shown(text)}: {error}"
            ) from error
    choices = ClipChoices(
        num_frames=tuple(map(int, found.get("frames", (space.clip.num_frames,)))),
        resolutions=tuple(map(int, found.get("resolution", (space.clip.resolution,)))),
        rates_fps=found.get("rate_fps", (space.clip.rate_fps,)),
    )
    clip = space.clip if space.clip in choices.clips() else choices.clips()[0]
    return replace(space, clip=clip, clip_choices=choices)


def check_classes(classes: int) -> None:
    """Refuse a number of classes that no classifier has.

    Raises:
        UsageError: Not from 1 to 1,000,000.
    """
    if not 1 <= classes <= MAX_CLASSES:
        raise UsageError(f"classes must be in [1, {MAX_CLASSES}], but got {classes}")
