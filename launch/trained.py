"""Trained networks, and what they say of videos together: what evaluations and predictions share."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from launch.clips import ClipConfig, Tally, once, parse_views
from launch.compute import Compute
from launch.runs import model_folder, require_streams
from results.run_dir import open_run
from retrain.ensemble import Ensemble, TrainedMember, load_ensemble, mean_logits
from retrain.evaluate import Predictions, clip_logits, predict
from retrain.model_file import ModelCard, is_model_folder, load_model
from search_spaces.errors import UsageError
from search_spaces.spec import ClipGeometry
from video.clips import ClipBatch, View
from video.frame_stream import Look
from video.label_space import LabelSpace
from video.manifest import VideoItem


def is_ensemble_file(trained: Path) -> bool:
    """Whether a path names an ensemble file, and not a folder."""
    return trained.suffix == ".json"


def load_trained(trained: Path) -> Ensemble:
    """The networks of an ensemble file or of the folder of one that was trained, or the one of a folder or retraining.

    Raises:
        RunFolderError: Not such a folder.
        SpecError: Not such a file, or one that names no models or others than its members'.
        WeightsError: Weights are missing or damaged.
    """
    if is_ensemble_file(trained):
        return load_ensemble(trained)
    if not is_model_folder(trained) and (folder := open_run(trained)).kind == "ensemble":
        return load_ensemble(folder.ensemble_path)
    net, card = load_model(model_folder(trained))
    return Ensemble(members=(TrainedMember(net=net, card=card),))


def predictions_of(
    ensemble: Ensemble,
    items: Sequence[VideoItem],
    config: ClipConfig,
    compute: Compute,
    *,
    views: str,
    batch_size: int,
    stream: bool = False,
) -> Predictions:
    """What trained networks say of videos together; none of the videos is ever replaced.

    Raises:
        SpecError: A network that does not stream, where it has to go frame by frame.
        UsageError: Views that are not written as they must be, or clips side by side of members that differ in length.
    """
    wanted = parse_views(views)
    span = wanted[0].span
    durations_s = {member.card.num_frames / member.card.rate_fps for member in ensemble.members}
    if span == "tiles" and len(durations_s) > 1:
        raise UsageError(
            "views tiles must be of networks whose clips last equally long, but got "
            f"{', '.join(f'{duration_s:g} s' for duration_s in sorted(durations_s))}"
        )
    share = shared(compute, ensemble)
    members = [
        clip_logits(
            member.net.to(compute.device),
            clips_of(member, items, config, wanted, batch_size=batch_size if span == "clip" else 1, compute=share),
            device=compute.device,
            amp_dtype=compute.amp_dtype,
            frame_by_frame=stream,
            tile_frames=member.card.num_frames if span == "tiles" else None,
        )
        for member in ensemble.members
    ]
    return predict(mean_logits(members), num_videos=len(items), space=ensemble.label_space, num_views=len(wanted))


def shared(compute: Compute, ensemble: Ensemble) -> Compute:
    """What each member gets of the processes that read."""
    return replace(compute, num_workers=-(-compute.num_workers // len(ensemble.members)))


def clips_of(
    member: TrainedMember,
    items: Sequence[VideoItem],
    config: ClipConfig,
    wanted: Sequence[View],
    *,
    batch_size: int,
    compute: Compute,
) -> Iterator[ClipBatch]:
    """The clips of one member, scaled and cut as its card says."""
    clips = replace(config, short_side=member.card.short_side, max_bad_fraction=1.0)
    batches = once(
        clips.reader(items, clip_of(member.card), seed=0, training=False, space=member.card.label_space),
        batch_size=batch_size,
        compute=compute,
        tally=Tally(clips, num_videos=len(items)),
        wanted=[replace(view, offset_frames=member.offset_frames) for view in wanted],
    )
    return batches()


def clip_of(card: ModelCard) -> ClipGeometry:
    """The clips a network is tested on."""
    return ClipGeometry(num_frames=card.num_frames, resolution=card.resolution, rate_fps=card.rate_fps)


def require_all_stream(ensemble: Ensemble, *, path: Path) -> None:
    """Refuse networks of which one does not stream, before anything is decoded.

    Raises:
        SpecError: One does not; the error says which.
    """
    for number, member in enumerate(ensemble.members):
        require_streams(member.card, path=path, where=f"members[{number}]" if len(ensemble.members) > 1 else None)


def look_of(member: TrainedMember) -> Look:
    """How a network takes the frames of a stream in."""
    card = member.card
    return Look(
        rate_fps=card.rate_fps,
        short_side=card.short_side,
        resolution=card.resolution,
        offset_frames=member.offset_frames,
    )


def likeliest(chances_K: NDArray[np.float64], space: LabelSpace, *, top: int) -> list[dict[str, str | float]]:
    """The likeliest classes with their probabilities, those of one head after those of another."""
    return [
        {"class": space.class_names[part.start + k], "probability": float(chances_K[part][k])}
        for part in space.parts.values()
        for k in np.argsort(-chances_K[part], kind="stable")[:top]
    ]
