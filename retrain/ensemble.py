"""Trained networks that answer together: the mean of their logits for each view of a video (paper, 3.3)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from retrain.evaluate import ClipLogits
from retrain.model_file import ModelCard, load_model
from search_spaces.ensemble import EnsembleSpec
from search_spaces.ensemble_json import read_ensemble
from search_spaces.errors import SpecError, shown
from search_spaces.spec_json import fingerprint
from supernet.video_net import VideoNet
from video.label_space import LabelSpace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedMember:
    """A trained network and the clip it looks at.

    Attributes:
        net: In evaluation mode.
        card: What it expects of a clip; a clip's length in a test is the card's, not the architecture's.
        offset_frames: How much later its clip lies, in frames of its own rate.
    """

    net: VideoNet
    card: ModelCard
    offset_frames: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ensemble:
    """Trained networks with the same classes, at least one."""

    members: tuple[TrainedMember, ...]

    def __post_init__(self) -> None:
        for number, member in enumerate(self.members):
            if member.card.label_space != self.label_space:
                raise SpecError(
                    f"must have the classes of the first member, {shown(self.class_names)}, "
                    f"but got {shown(member.card.class_names)}"
                    + (", with other heads" if member.card.class_names == self.class_names else ""),
                    where=f"members[{number}]",
                )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self.members[0].card.class_names

    @property
    def label_space(self) -> LabelSpace:
        """What the outputs mean."""
        return self.members[0].card.label_space


def assemble(ensemble: EnsembleSpec, folders: Sequence[Path], *, path: Path | None = None) -> Ensemble:
    """The trained networks of an ensemble.

    Args:
        ensemble: Says of which network each member is.
        folders: Model folder of each member, in their order.
        path: Where the ensemble comes from, for errors.

    Raises:
        SpecError: Not one folder per member, a card that is missing or damaged, a network of another architecture or
            variant than the member's, or other classes than the first member's.
        WeightsError: Weights are missing, damaged, or of another network.
    """
    if len(folders) != len(ensemble.members):
        raise SpecError(f"must be one model per member, {len(ensemble.members)}, but got {len(folders)}", path=path)
    members: list[TrainedMember] = []
    for number, (member, folder) in enumerate(zip(ensemble.members, folders, strict=True)):
        net, card = load_model(folder)
        if card.fingerprint != (wanted := fingerprint(member.arch, member.variant)):
            raise SpecError(f"must be of members[{number}], {wanted}, but got {card.fingerprint}", path=folder)
        members.append(TrainedMember(net=net, card=card, offset_frames=member.offset_frames))
    try:
        return Ensemble(members=tuple(members))
    except SpecError as error:
        raise error.at(path=path) from error


def load_ensemble(path: Path) -> Ensemble:
    """The trained networks of an ensemble file.

    Raises:
        SpecError: Not an ensemble file, one that names no models, or as `assemble`.
        WeightsError: As `assemble`.
    """
    ensemble_file = read_ensemble(path)
    if ensemble_file.models is None:
        raise SpecError(
            "must name the folder of each member's trained network, but names none; "
            f"train them and run: movinas ensemble {path} RUN ... --out DIR",
            path=path,
            where="models",
        )
    return assemble(ensemble_file.ensemble, [path.parent / model for model in ensemble_file.models], path=path)


def mean_logits(members: Sequence[Iterable[ClipLogits]]) -> Iterator[ClipLogits]:
    """The mean over members, batch by batch, for the videos of which every member could read the same clips.

    Args:
        members: What each of them says of the same views of the same videos, in the same order and batches.
    """
    for parts in zip(*members, strict=True):
        counts = [Counter(part.indices) for part in parts]
        kept = {index for index, count in counts[0].items() if all(other[index] == count for other in counts)}
        rows_M = [[row for row, index in enumerate(part.indices) if index in kept] for part in parts]
        if not kept:
            continue
        yield ClipLogits(
            indices=tuple(parts[0].indices[row] for row in rows_M[0]),
            labels_B=parts[0].labels_B[rows_M[0]],
            share=parts[0].share,
            logits_BK=torch.stack([part.logits_BK[rows] for part, rows in zip(parts, rows_M, strict=True)]).mean(dim=0),
        )
