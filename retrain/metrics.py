"""Figures of a test from scores and labels: ranks, per-class accuracy, confusion, mean average precision.

Letters: N videos, K classes, H heads.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from video.label_space import LabelSpace

TOP = 5

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]


def ranked(scores_NK: Scores) -> NDArray[np.int64]:
    """Classes of each video, likeliest first, (N, K); of a tie the lower number."""
    return np.argsort(-scores_NK, axis=1, kind="stable")


def first_hits(scores_NK: Scores, truth_NK: Flags, space: LabelSpace) -> tuple[Flags, Flags]:
    """Of each video, whether a true answer comes first, and whether one is among the first five; both (N,).

    With heads an answer is a class of each, as likely as the product of their probabilities: an action that is a verb
    and a noun (EPIC-Kitchens). The five likeliest are among the combinations of each head's five likeliest.
    """
    if not space.heads:
        hits_NK = np.take_along_axis(truth_NK, ranked(scores_NK)[:, :TOP], axis=1)
        return hits_NK[:, 0], np.logical_or.reduce(hits_NK, axis=1)
    chances_NX, right_NX = np.ones((len(scores_NK), 1)), np.ones((len(scores_NK), 1), dtype=np.bool_)
    for part in space.parts.values():
        order_N5 = ranked(scores_NK[:, part])[:, :TOP]
        chances_N5 = np.take_along_axis(scores_NK[:, part], order_N5, axis=1)
        right_N5 = np.take_along_axis(truth_NK[:, part], order_N5, axis=1)
        chances_NX = (chances_NX[:, :, None] * chances_N5[:, None]).reshape(len(scores_NK), -1)
        right_NX = (right_NX[:, :, None] & right_N5[:, None]).reshape(len(scores_NK), -1)
    hits_NX = np.take_along_axis(right_NX, ranked(chances_NX)[:, :TOP], axis=1)
    return hits_NX[:, 0], np.logical_or.reduce(hits_NX, axis=1)


def confusion_of(scores_NK: Scores, labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts, rows true class, columns likeliest class, (K, K)."""
    num_classes = scores_NK.shape[1]
    confusion_KK = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(confusion_KK, (labels_N, ranked(scores_NK)[:, 0]), 1)
    return confusion_KK


def recalls(confusion_KK: NDArray[np.int64], class_names: Sequence[str]) -> dict[str, float]:
    """Share of the videos of each class that was given it; classes without videos are left out."""
    return {
        name: float(row_K[number] / row_K.sum())
        for number, (name, row_K) in enumerate(zip(class_names, confusion_KK, strict=True))
        if row_K.sum()
    }


def average_precision(scores_N: Scores, truth_N: Flags) -> float | None:
    """Mean over the true videos of the precision at their score, not interpolated; None without a true one.

    Equal scores come at once, so that the order of videos does not matter.
    """
    num_true = int(truth_N.sum())
    if not num_true:
        return None
    order = np.argsort(-scores_N, kind="stable")
    found_N = np.cumsum(truth_N[order])
    is_last_N = np.append(np.diff(scores_N[order]) != 0, True)
    found, seen = found_N[is_last_N], np.flatnonzero(is_last_N) + 1
    return float((np.diff(found, prepend=0) * (found / seen)).sum() / num_true)


def average_precisions(scores_NK: Scores, truth_NK: Flags, class_names: Sequence[str]) -> dict[str, float]:
    """Average precision of every class that a video has; their mean is the mean average precision."""
    found = {
        name: average_precision(scores_NK[:, number], truth_NK[:, number]) for number, name in enumerate(class_names)
    }
    return {name: value for name, value in found.items() if value is not None}
