"""Rewards of quality and cost (tunas.md 1.3).

Q is quality in [0, 1], ratio is cost / target, limit ratios are cost / limit for every cost that has a limit, and beta
is negative. A limit is one-sided: a cost within it gives and takes nothing.

    absolute   Q + beta (|ratio - 1| + sum of max(0, limit ratio - 1))
    mnas       Q ratio^beta            times the product of min(1, limit ratio^beta)
    mnas_hard  Q min(1, ratio^beta)    times the same product
"""

import math
from collections.abc import Sequence
from typing import Literal, Protocol

RewardName = Literal["absolute", "mnas", "mnas_hard"]


class Reward(Protocol):
    """Quality, cost / target, beta and costs / limits, to the reward."""

    def __call__(self, quality: float, ratio: float, beta: float, limit_ratios: Sequence[float] = (), /) -> float:
        """See the table of this file."""
        ...


def absolute(quality: float, ratio: float, beta: float, limit_ratios: Sequence[float] = ()) -> float:
    """Pulls the cost to the target from both sides (TuNAS)."""
    overshoot = sum(max(0.0, limit_ratio - 1.0) for limit_ratio in limit_ratios)
    return quality + beta * (abs(ratio - 1.0) + overshoot)


def mnas(quality: float, ratio: float, beta: float, limit_ratios: Sequence[float] = ()) -> float:
    """Trades cost for quality, and does not land on the target (MnasNet, soft)."""
    return quality * float(ratio**beta) * _within(limit_ratios, beta)


def mnas_hard(quality: float, ratio: float, beta: float, limit_ratios: Sequence[float] = ()) -> float:
    """No reward for being below the target (MnasNet, hard)."""
    return quality * min(float(ratio**beta), 1.0) * _within(limit_ratios, beta)


def _within(limit_ratios: Sequence[float], beta: float) -> float:
    return math.prod(float(max(1.0, limit_ratio) ** beta) for limit_ratio in limit_ratios)


REWARDS: dict[RewardName, Reward] = {"absolute": absolute, "mnas": mnas, "mnas_hard": mnas_hard}
