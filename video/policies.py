"""Which operations a clip goes through: RandAugment and AutoAugment, drawn once per clip."""

from typing import Final, Literal

import numpy as np

from video.operations import BLENDS, MOVES, OPERATIONS, Clip

Policy = Literal["none", "randaugment", "autoaugment"]
MAX_MAGNITUDE: Final = 10.0
"""At which RandAugment's operations have their largest magnitude."""
LAST_LEVEL: Final = 9
"""AutoAugment divides every range of magnitudes into levels 0 to 9."""
RANDAUGMENT: Final = tuple(name for name in OPERATIONS if name != "invert")
"""The 14 operations of RandAugment (Cubuk et al., 2020)."""

Step = tuple[str, float, int]
"""An operation, the probability with which it is done, and its level."""
AUTOAUGMENT: Final[tuple[tuple[Step, Step], ...]] = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("color", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)
"""The 25 pairs found on ImageNet (Cubuk et al., 2019, Table 9), which the official MoViNets are trained with."""


def randaugment(frames_THWC: Clip, generator: np.random.Generator, *, num_operations: int, magnitude: float) -> Clip:
    """Some of the 14 operations, drawn with repetition, in directions that are drawn, all of one magnitude.

    Args:
        frames_THWC: A clip, uint8 [T, H, W, 3].
        generator: What is drawn comes from here: two numbers per operation.
        num_operations: How many, N.
        magnitude: M, in [0, 10].
    """
    for _ in range(num_operations):
        name = RANDAUGMENT[int(generator.integers(len(RANDAUGMENT)))]
        direction = _direction(generator)
        amount = magnitude / MAX_MAGNITUDE
        frames_THWC = OPERATIONS[name](frames_THWC, amount * direction if name in BLENDS | MOVES else amount)
    return frames_THWC


def autoaugment(frames_THWC: Clip, generator: np.random.Generator) -> Clip:
    """One of the 25 pairs of operations, each of which is done or not.

    Levels divide the range of a factor, [0.1, 1.9], from end to end; moves have a direction that is drawn.
    """
    for name, probability, level in AUTOAUGMENT[int(generator.integers(len(AUTOAUGMENT)))]:
        done, direction = generator.random() < probability, _direction(generator)
        if done:
            amount = level / LAST_LEVEL
            if name in BLENDS:
                amount = 2.0 * amount - 1.0
            frames_THWC = OPERATIONS[name](frames_THWC, amount * direction if name in MOVES else amount)
    return frames_THWC


def _direction(generator: np.random.Generator) -> float:
    return 1.0 if generator.random() < 0.5 else -1.0
