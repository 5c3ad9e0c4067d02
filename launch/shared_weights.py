"""Architectures scored with the shared weights of a finished search, as the search scored them or recalibrated."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal

import torch

from launch import search
from launch.clips import Tally, hold_out, videos_of
from launch.compute import Compute, set_up
from launch.runs import load_supernet, options_of
from launch.search_clips import SearchClips, clip_geometry
from results.history import read_history
from results.records import Measurement
from results.run_dir import RunDir
from results.stopwatch import Stopwatch
from search_spaces.errors import RunFolderError
from search_spaces.space import Candidate, SearchSpace
from supernet.calibrate import calibrate
from supernet.evaluator import Quality, SupernetEvaluator, total_quality
from supernet.extract import extract
from supernet.inputs import network_input
from supernet.supernet import Supernet
from supernet.video_net import VideoNet
from video.clips import ClipBatch
from video.manifest import VideoItem, load_manifest

Statistics = Literal["batch", "recalibrated"]
"""What batch norm divides by: the statistics of the clips that are scored, as in a search, or running ones of the
extracted network, computed anew over training clips, as in a deployed network."""

CALIBRATION_BATCHES = 8
"""Training batches of the search that running statistics are the mean over."""
NETS_AT_ONCE = 32
"""Extracted networks in memory, which share one reading of the clips."""


def shared_scores(
    folder: RunDir,
    candidates: Sequence[Candidate],
    *,
    statistics: Statistics,
    threads: int = 1,
    workers: int = 0,
    device: str = "auto",
    items: Sequence[VideoItem] | None = None,
) -> list[Measurement]:
    """Quality of each candidate with the shared weights of a finished search, all on the same held-out clips.

    The clips are those of the search's own final comparison, which no weight was trained on (the policy saw some of
    them as rewards), and the quality is what its rewards were. Nothing of the folder is changed.

    Args:
        folder: Of a finished search.
        candidates: Of its space.
        statistics: Of batch norm; with `batch` what the search's journal says of a candidate comes out again.
        threads: Of torch, in this process from now on.
        workers: Processes that read clips.
        device: auto, cpu, cuda, ...
        items: Videos to score on, such as those of the test split; None takes the search's held-out ones.

    Raises:
        RunFolderError: The search has not finished.
        SpaceError: A candidate is not of its space.
        WeightsError: The shared weights are missing or damaged.
    """
    require_finished(folder)
    return scores_with(
        folder, candidates, statistics=statistics, threads=threads, workers=workers, device=device, items=items
    )


def require_finished(folder: RunDir) -> None:
    """Refuse a search that has not finished.

    Raises:
        RunFolderError: It has not.
    """
    if read_history(folder.journal_path).result is None:
        raise RunFolderError("must be a finished search (movinas resume goes on with one)", path=folder.path)


def scores_with(
    folder: RunDir,
    candidates: Sequence[Candidate],
    *,
    statistics: Statistics,
    threads: int,
    workers: int,
    device: str,
    items: Sequence[VideoItem] | None = None,
) -> list[Measurement]:
    """As `shared_scores`, of a folder that need hold no more of a search than its configuration and a checkpoint."""
    options = options_of(folder, search.Options)
    compute = set_up(replace(options, threads=threads, workers=workers, device=device))
    supernet = load_supernet(folder).to(compute.device)
    for candidate in candidates:
        supernet.space.indices(candidate.genotype)
    clips = _clips_of(folder, options, supernet.space, compute, items=items)
    if statistics == "recalibrated":
        return _recalibrated(supernet, candidates, clips, quality=options.weights.quality, compute=compute)
    evaluator = SupernetEvaluator(
        supernet,
        options.weights,
        num_steps=options.search.steps,
        train_batches=clips.train,
        reward_batches=clips.reward,
        compare_batches=clips.compare,
        stopwatch=Stopwatch(),
        amp_dtype=compute.amp_dtype,
        subclip_frames=options.search.subclip_frames,
    )
    return list(evaluator.compare(candidates))


def _clips_of(
    folder: RunDir,
    options: search.Options,
    space: SearchSpace,
    compute: Compute,
    *,
    items: Sequence[VideoItem] | None,
) -> SearchClips:
    train_items = videos_of(load_manifest(folder.manifest_path), "train", path=options.data)
    kept, held = hold_out(train_items, fraction=options.held_out, seed=options.seed)
    return SearchClips(
        kept,
        held if items is None else items,
        config=options.clips,
        weights=options.weights,
        compare_clips=options.compare_clips,
        seed=options.seed,
        geometries={clip: clip_geometry(options.proxy, clip) for clip in space.clips},
        compute=compute,
        num_ahead=1,
        tally=Tally(options.clips, num_videos=len(train_items)),
    )


def _recalibrated(
    supernet: Supernet, candidates: Sequence[Candidate], clips: SearchClips, *, quality: Quality, compute: Compute
) -> list[Measurement]:
    found: dict[int, Measurement] = {}
    for clip in dict.fromkeys(candidate.spec.clip for candidate in candidates):
        numbers = [number for number, candidate in enumerate(candidates) if candidate.spec.clip == clip]
        calibration = list(islice(clips.train(0, clip), CALIBRATION_BATCHES))
        for first in range(0, len(numbers), NETS_AT_ONCE):
            part = numbers[first : first + NETS_AT_ONCE]
            nets = [extract(supernet, candidates[number].spec, candidates[number].variant) for number in part]
            measured = _measured(nets, calibration, clips.compare(clip), quality=quality, compute=compute)
            found.update(zip(part, measured, strict=True))
    return [found[number] for number in range(len(candidates))]


@torch.no_grad()
def _measured(
    nets: Sequence[VideoNet],
    calibration: Sequence[ClipBatch],
    batches: Iterator[ClipBatch],
    *,
    quality: Quality,
    compute: Compute,
) -> list[Measurement]:
    """Networks for clips of one geometry, calibrated on the same batches and scored on the same others."""
    totals, num_clips = [0.0] * len(nets), 0
    with torch.autocast(compute.device.type, dtype=compute.amp_dtype, enabled=compute.amp_dtype is not None):
        for net in nets:
            calibrate(net.to(compute.device), calibration, device=compute.device)
            net.eval()
        for batch in batches:
            clips_BCTHW, labels_B = network_input(batch, compute.device)
            num_clips += len(batch.indices)
            for number, net in enumerate(nets):
                totals[number] += float(total_quality(net(clips_BCTHW), labels_B, quality=quality))
    return [Measurement(quality=total / num_clips, num_clips=num_clips) for total in totals]
