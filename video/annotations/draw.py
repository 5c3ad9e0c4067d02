"""Which videos go to train, val and test: a seeded, stratified draw that keeps groups whole.

Letters: N units (a group, or a video that belongs to none), K classes, 3 splits.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from video.manifest import SPLITS, Split

Ratios = tuple[float, float, float]
"""Shares of train, val and test; they add up to 1."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A video whose split is to be drawn: its class names and, if it has one, its group."""

    classes: tuple[str, ...]
    group: str | None = None


def check_ratios(ratios: Ratios) -> None:
    """Refuse shares that are none.

    Raises:
        UsageError: Negative ones, none for train, or a sum that is not 1.
    """
    if len(ratios) != len(SPLITS) or not ratios[0] > 0 or min(ratios) < 0 or not abs(sum(ratios) - 1.0) <= 1e-6:
        raise UsageError(
            "the shares of train, val and test must be at least 0, more than 0 for train, and add up to 1, "
            f"but got {ratios}"
        )


def draw_splits(videos: Sequence[Candidate], ratios: Ratios, *, seed: int) -> list[Split]:
    """A split for each video.

    Videos of one class each that belong to no group are drawn class by class: every class is shuffled by (`seed`, its
    name) and divided by `ratios`, each split that has a share getting at least one video of a class that has enough.
    Otherwise whole groups are dealt out, those of the rarest classes first, each to the split that lacks most of its
    classes.
    """
    if all(video.group is None and len(video.classes) == 1 for video in videos):
        return _drawn_by_class([video.classes[0] for video in videos], ratios, seed=seed)
    return _dealt(videos, ratios, seed=seed)


def split_counts(num_videos: int, ratios: Ratios) -> tuple[int, int, int]:
    """How many of the videos of a class go to train, val and test: largest remainders, none left empty if possible.

    The counts add up to `num_videos`. Splits without a share get none. A split with a share that the remainders leave
    empty takes one video from the largest, as long as that has more than one.
    """
    quotas = [num_videos * ratio for ratio in ratios]
    counts = [int(quota + 1e-9) for quota in quotas]
    by_remainder = sorted(range(len(SPLITS)), key=lambda index: (counts[index] - quotas[index], index))
    for index in by_remainder[: num_videos - sum(counts)]:
        counts[index] += 1
    for index, ratio in enumerate(ratios):
        largest = max(range(len(SPLITS)), key=counts.__getitem__)
        if ratio > 0 and counts[index] == 0 and counts[largest] > 1:
            counts[largest] -= 1
            counts[index] += 1
    train, val, test = counts
    return train, val, test


def _drawn_by_class(classes: Sequence[str], ratios: Ratios, *, seed: int) -> list[Split]:
    of_class: dict[str, list[int]] = {}
    for index, name in enumerate(classes):
        of_class.setdefault(name, []).append(index)
    splits: list[Split] = ["train"] * len(classes)
    for name, members in of_class.items():
        order = generator(seed, "split", name).permutation(len(members))
        counts = split_counts(len(members), ratios)
        drawn = [split for split, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
        for position, split in zip(order, drawn, strict=True):
            splits[members[int(position)]] = split
    return splits


def _dealt(videos: Sequence[Candidate], ratios: Ratios, *, seed: int) -> list[Split]:
    """Whole units, after the iterative stratification of Sechidis et al., ECML 2011 (section 3), with groups."""
    units: dict[Hashable, list[int]] = {}
    for index, video in enumerate(videos):
        units.setdefault(index if video.group is None else video.group, []).append(index)
    number_of = {name: number for number, name in enumerate(sorted({name for v in videos for name in v.classes}))}
    members = [units[key] for key in units]
    counts_NK = [_class_counts([videos[index] for index in unit], number_of) for unit in members]
    totals_K = np.zeros(max(1, len(number_of)))
    for counts in counts_NK:
        for label, count in counts.items():
            totals_K[label] += count
    shares = np.array(ratios)
    wanted_3K = shares[:, None] * totals_K
    wanted_3 = shares * len(videos)
    chance = generator(seed, "split").permutation(len(members))
    rarest = [min((totals_K[label] for label in counts), default=np.inf) for counts in counts_NK]
    order = sorted(range(len(members)), key=lambda unit: (rarest[unit], -len(members[unit]), chance[unit]))
    splits: list[Split] = ["train"] * len(videos)
    for unit in order:
        labels = list(counts_NK[unit])
        weight_K = np.array([counts_NK[unit][label] / totals_K[label] for label in labels])
        lack_3 = (wanted_3K[:, labels] * weight_K).sum(axis=1) if labels else np.zeros(3)
        best = _neediest(lack_3, wanted_3, ratios)
        wanted_3[best] -= len(members[unit])
        for label, count in counts_NK[unit].items():
            wanted_3K[best, label] -= count
        for index in members[unit]:
            splits[index] = SPLITS[best]
    return splits


def _neediest(lack_3: NDArray[np.float64], wanted_3: NDArray[np.float64], ratios: Ratios) -> int:
    """The split that lacks most; among those that lack equally much, the one that wants most videos of any class."""
    with_share = [index for index in range(len(SPLITS)) if ratios[index] > 0]
    return max(with_share, key=lambda index: (round(float(lack_3[index]), 9), float(wanted_3[index])))


def _class_counts(videos: Sequence[Candidate], number_of: dict[str, int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for video in videos:
        for name in video.classes:
            counts[number_of[name]] = counts.get(number_of[name], 0) + 1
    return counts
