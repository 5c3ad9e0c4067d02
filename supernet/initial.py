"""Initial weights, from a normal cut at two standard deviations, as Keras has it."""

import math

import torch
from torch import Tensor, nn

TRUNCATED_NORMAL_STD = 0.87962566103423978
"""Standard deviation of a unit normal cut at two; He's initialisation divides by it, as Keras does."""


def he_normal(weight: Tensor, *, fan_in: int, generator: torch.Generator) -> None:
    """He's initialisation, variance 2 / fan_in."""
    _cut_normal(weight, math.sqrt(2.0 / fan_in), generator)


def lecun_normal(weight: Tensor, *, fan_in: int, generator: torch.Generator) -> None:
    """LeCun's initialisation, variance 1 / fan_in."""
    _cut_normal(weight, math.sqrt(1.0 / fan_in), generator)


def _cut_normal(weight: Tensor, std: float, generator: torch.Generator) -> None:
    std /= TRUNCATED_NORMAL_STD
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)
