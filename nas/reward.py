"""Rewards of quality and cost (tunas.md 1.3). Q is quality in [0, 1], ratio is cost / target, beta is negative."""

from collections.abc import Callable
from typing import Literal

RewardName = Literal["absolute", "mnas", "mnas_hard"]
Reward = Callable[[float, float, float], float]


def absolute(quality: float, ratio: float, beta: float) -> float:
    """Q + beta |ratio - 1|: pulls the cost to the target from both sides (TuNAS)."""
    return quality + beta * abs(ratio - 1.0)


def mnas(quality: float, ratio: float, beta: float) -> float:
    """Q ratio^beta: trades cost for quality, and does not land on the target (MnasNet, soft)."""
    return quality * float(ratio**beta)


def mnas_hard(quality: float, ratio: float, beta: float) -> float:
    """Q min(ratio^beta, 1): no reward for being below the target (MnasNet, hard)."""
    return quality * min(float(ratio**beta), 1.0)


REWARDS: dict[RewardName, Reward] = {"absolute": absolute, "mnas": mnas, "mnas_hard": mnas_hard}
