"""What RandAugment and AutoAugment do to pictures, done to a whole clip with the same numbers for every frame.

An operation is a function of the pixels of a frame that all frames of a clip share: where it depends on their
statistics (autocontrast, equalize, contrast), on those of all frames together, so that the light does not flicker.
Pillow does the arithmetic of pixels, on the frames one under the other as one picture; that of neighbouring pixels, on
each frame.

Letters: T frames, H and W pixels, 3 colours. Amounts: in [0, 1] how much, or in [-1, 1] where there are two directions.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

Clip = NDArray[np.uint8]
"""Frames [T, H, W, 3]."""
Operation = Callable[[Clip, float], Clip]

FILL: Final = 128
"""Grey level of what comes in from outside the picture."""
MAX_ANGLE_DEG: Final = 30.0
MAX_SHEAR: Final = 0.3
MAX_SHIFT: Final = 150 / 331
"""Largest magnitudes of AutoAugment (Cubuk et al., 2019, Table 6), the shift as a share of a side."""
MAX_BLEND: Final = 0.9
"""Factors of colour, contrast, brightness and sharpness lie in [0.1, 1.9] (the same table)."""
FEWEST_BITS: Final = 4


def _identity(frames_THWC: Clip, amount: float) -> Clip:
    del amount
    return frames_THWC


def _of_pixels(change: Callable[[Image.Image, float], Image.Image]) -> Operation:
    """An operation on all frames as one picture, in which no pixel depends on its neighbours."""

    def operation(frames_THWC: Clip, amount: float) -> Clip:
        num_frames, height, width, _ = frames_THWC.shape
        tall = Image.fromarray(np.ascontiguousarray(frames_THWC).reshape(num_frames * height, width, 3))
        return np.asarray(change(tall, amount)).reshape(frames_THWC.shape)

    return operation


def _sharpness(frames_THWC: Clip, amount: float) -> Clip:
    factor = 1.0 + MAX_BLEND * amount
    pictures = [ImageEnhance.Sharpness(Image.fromarray(frame_HWC)).enhance(factor) for frame_HWC in frames_THWC]
    return np.stack([np.asarray(picture) for picture in pictures])


def _moved(matrix: Callable[[float], NDArray[np.float64]]) -> Operation:
    """An operation that takes every pixel from elsewhere: the nearest to where a 2 x 3 matrix maps its place.

    Places are (x, y, 1), in half sides from the centre of the picture, so that (1, 1) is its lower right corner.
    """

    def operation(frames_THWC: Clip, amount: float) -> Clip:
        _, height, width, _ = frames_THWC.shape
        halves_2 = np.array([width, height]) / 2
        y_HW, x_HW = np.mgrid[:height, :width] + 0.5
        places_3HW = np.stack([x_HW - halves_2[0], y_HW - halves_2[1], np.ones_like(x_HW)])
        matrix_23 = matrix(amount) * np.array([[1.0, 1.0, width], [1.0, 1.0, height]])
        sources_2HW = np.tensordot(matrix_23, places_3HW, axes=1) + halves_2[:, None, None]
        column_HW, row_HW = np.floor(sources_2HW).astype(np.int64)
        inside_HW = (column_HW >= 0) & (column_HW < width) & (row_HW >= 0) & (row_HW < height)
        index_HW = np.where(inside_HW, row_HW * width + column_HW, 0).ravel()
        moved_TNC = np.take(frames_THWC.reshape(len(frames_THWC), height * width, 3), index_HW, axis=1)
        moved_TNC[:, ~inside_HW.ravel()] = FILL
        return moved_TNC.reshape(frames_THWC.shape)

    return operation


def _rotation(amount: float) -> NDArray[np.float64]:
    angle = math.radians(MAX_ANGLE_DEG * amount)
    return np.array([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])


OPERATIONS: Final[Mapping[str, Operation]] = {
    "identity": _identity,
    "autocontrast": _of_pixels(lambda picture, _: ImageOps.autocontrast(picture)),
    "equalize": _of_pixels(lambda picture, _: ImageOps.equalize(picture)),
    "invert": _of_pixels(lambda picture, _: ImageOps.invert(picture)),
    "posterize": _of_pixels(lambda picture, amount: ImageOps.posterize(picture, 8 - round((8 - FEWEST_BITS) * amount))),
    "solarize": _of_pixels(lambda picture, amount: ImageOps.solarize(picture, round(256 * (1.0 - amount)))),
    "color": _of_pixels(lambda picture, amount: ImageEnhance.Color(picture).enhance(1.0 + MAX_BLEND * amount)),
    "contrast": _of_pixels(lambda picture, amount: ImageEnhance.Contrast(picture).enhance(1.0 + MAX_BLEND * amount)),
    "brightness": _of_pixels(
        lambda picture, amount: ImageEnhance.Brightness(picture).enhance(1.0 + MAX_BLEND * amount)
    ),
    "sharpness": _sharpness,
    "rotate": _moved(_rotation),
    "shear_x": _moved(lambda amount: np.array([[1.0, MAX_SHEAR * amount, 0.0], [0.0, 1.0, 0.0]])),
    "shear_y": _moved(lambda amount: np.array([[1.0, 0.0, 0.0], [MAX_SHEAR * amount, 1.0, 0.0]])),
    "translate_x": _moved(lambda amount: np.array([[1.0, 0.0, MAX_SHIFT * amount], [0.0, 1.0, 0.0]])),
    "translate_y": _moved(lambda amount: np.array([[1.0, 0.0, 0.0], [0.0, 1.0, MAX_SHIFT * amount]])),
}
BLENDS: Final = frozenset({"color", "contrast", "brightness", "sharpness"})
"""Operations with two directions and nothing in the middle: towards less and towards more."""
MOVES: Final = frozenset({"rotate", "shear_x", "shear_y", "translate_x", "translate_y"})
"""Operations with two directions that mirror each other."""
