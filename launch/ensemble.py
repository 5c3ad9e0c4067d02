"""`movinas ensemble`: an ensemble file, of a spec or of networks that were trained."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from launch import console
from launch.runs import model_folder
from launch.specs import find_spec_or_ensemble
from retrain.ensemble import assemble
from search_spaces.cost import cost
from search_spaces.ensemble import EnsembleSpec, ensemble_cost, temporal_ensemble
from search_spaces.ensemble_json import EnsembleFile, make_ensemble_file, write_ensemble
from search_spaces.spec_json import Provenance, SpecFile, make_spec_file, write_spec

POSITIONALS = ("spec", "runs")

Content = TypeVar("Content", SpecFile, EnsembleFile)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write an ensemble file; before its members are trained, their spec files too.

    Attributes:
        spec: Spec file or published:A0 to published:A5, to become two networks at half the frame rate, one of them a
            frame later; or an ensemble file or published:A6, as it is.
        runs: Run folder of the retraining of each member, or its network's folder, in their order: the file will name
            their networks.
        out: Folder for the files; those that it has stay, but for the ensemble's when there are runs.
        variant: base, paper-stream, released-stream, or a JSON file; None takes the one of the file.
        json: Print one JSON document.
    """

    spec: str
    runs: tuple[str, ...] = ()
    out: Path
    variant: str | None = None
    json: bool = False


def run(options: Options) -> int:
    """Write the files and list them."""
    ensemble, provenance = ensemble_of(find_spec_or_ensemble(options.spec, variant=options.variant))
    if options.runs:
        members = [model_folder(Path(name)) for name in options.runs]
        assemble(ensemble, members, path=Path(options.spec))  # refuses what would not run
        models = [os.path.relpath(folder.resolve(), options.out.resolve()) for folder in members]
        path = write_ensemble(make_ensemble_file(ensemble, models=models, provenance=provenance), options.out)
    else:
        path = _write_new(make_ensemble_file(ensemble, provenance=provenance), write_ensemble, options.out)
        spec_files = [make_spec_file(member.arch, member.variant, provenance=provenance) for member in ensemble.members]
        members = [_write_new(spec_file, write_spec, options.out) for spec_file in spec_files]
    macs = ensemble_cost(cost(member.arch, member.variant) for member in ensemble.members).macs
    if options.json:
        console.show_json(
            {"path": str(path), "fingerprint": path.stem, "macs": macs, "members": list(map(str, members))}
        )
        return 0
    console.show(f"{path}  {macs:,} MACs")
    for member, place in zip(ensemble.members, members, strict=True):
        clip = member.arch.clip
        console.show(
            f"  {place}  {clip.num_frames} frames, {clip.resolution} px, {clip.rate_fps:g} fps, "
            f"offset by {member.offset_frames:g} frames"
        )
    return 0


def ensemble_of(found: SpecFile | EnsembleFile) -> tuple[EnsembleSpec, Provenance]:
    """The ensemble of a file, or the temporal ensemble of a spec, and where it comes from.

    Raises:
        SpecError: A spec whose clip has an odd number of frames.
    """
    if isinstance(found, EnsembleFile):
        return found.ensemble, found.provenance
    provenance = Provenance(origin=f"temporal ensemble of {found.fingerprint}")
    return temporal_ensemble(found.arch, found.variant), provenance


def _write_new(content: Content, write: Callable[[Content, Path], Path], folder: Path) -> Path:
    """Write a file, unless it is there: a spec with its metrics, or an ensemble with its models, is worth more."""
    path = folder / f"{content.fingerprint}.json"
    return path if path.exists() else write(content, folder)
