"""Augmentation of training clips: one draw per clip, the same for all of its frames.

Crops, flips and policies work on bytes where clips are read: in the processes that decode, which hand over no more
pixels than without them. Mixing clips needs a batch and soft targets, and is done on the device (`video.mixing`).

Letters: T frames, H and W pixels, R pixels of height and width of a clip, 3 colours.
"""

import fnmatch
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

import numpy as np
import torch
import torch.nn.functional as F

from search_spaces.errors import UsageError
from video.operations import Clip
from video.policies import MAX_MAGNITUDE, Policy, autoaugment, randaugment
from video.sampling import Place, crop_at, crop_clip

SOURCE_FPS: Final = 25.0
"""Of which published frame rates are every second to fifth frame; the unit of `random_stride`."""
MAX_TRIES: Final = 10
"""How often a crop is drawn that does not fit, before the largest central one of an allowed shape is taken."""


# no slots: the command line reads the defaults of nested configurations through vars()
@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What is done to training clips.

    Attributes:
        crop_area: Least and greatest area of a random resized crop, as shares of the picture's, in (0, 1]; None cuts a
            square of the clip's resolution at a random place. Published: 0.08 and 1.
        crop_aspect: Least and greatest width of such a crop relative to its height. Published: 0.5 and 2.
        flip: Mirror half of the clips left to right, but those of directed classes.
        directed: Patterns of the names of classes that are another one in the mirror, such as `*left*`; upper and lower
            case are the same.
        policy: randaugment, autoaugment (the policy found on ImageNet), or none.
        num_operations: Of RandAugment.
        magnitude: Of RandAugment's operations, in [0, 10].
        random_stride: By how many frames of 25 a second the time between two frames of a clip may be longer or shorter,
            both inclusive; at least one such frame remains. Published: 1 for clip networks, 0 for streams below A4.
        mixup: Parameter of the symmetric beta distribution of the share of one of two clips that are blended; 0 for
            none.
        cutmix: That of the area that one clip keeps where a rectangle of another is pasted into all of its frames; 0
            for none. With both, each clip is mixed in one of the two ways.
    """

    crop_area: tuple[float, float] | None = None
    crop_aspect: tuple[float, float] = (0.5, 2.0)
    flip: bool = False
    directed: tuple[str, ...] = ("*left*", "*right*", "*clockwise*")
    policy: Policy = "none"
    num_operations: int = 2
    magnitude: float = 5.0
    random_stride: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.crop_area is not None and not (
            len(self.crop_area) == 2 and 0 < self.crop_area[0] <= self.crop_area[1] <= 1
        ):
            raise UsageError(f"augment.crop_area must be two shares in (0, 1], ascending, but got {self.crop_area}")
        if len(self.crop_aspect) != 2 or not 0 < self.crop_aspect[0] <= self.crop_aspect[1] < math.inf:
            raise UsageError(f"augment.crop_aspect must be two positive numbers, ascending, but got {self.crop_aspect}")
        if self.policy not in get_args(Policy):
            raise UsageError(f"augment.policy must be one of {', '.join(get_args(Policy))}, but got {self.policy!r}")
        if self.num_operations < 1 or self.random_stride < 0 or not 0 <= self.magnitude <= MAX_MAGNITUDE:
            raise UsageError(
                f"augment.num_operations must be at least 1, augment.random_stride at least 0 and augment.magnitude in "
                f"[0, {MAX_MAGNITUDE:g}], but got {self}"
            )
        if not (0 <= self.mixup < math.inf and 0 <= self.cutmix < math.inf):
            raise UsageError(f"augment.mixup and augment.cutmix must be at least 0, but got {self}")

    def directed_classes(self, class_names: Sequence[str]) -> frozenset[int]:
        """Numbers of the classes that are never mirrored."""
        patterns = [pattern.lower() for pattern in self.directed]
        return frozenset(
            number
            for number, name in enumerate(class_names)
            if any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in patterns)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CropRectangle:
    """A rectangle of a picture whose top left pixel is (`top`, `left`)."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmenter:
    """Does to a clip what a configuration says.

    Attributes:
        config: What is done.
        directed: Classes that are never mirrored.
    """

    config: AugmentConfig
    directed: frozenset[int]

    def stretched(self, place: Place, generator: np.random.Generator, *, rate_fps: float) -> Place:
        """The place with a drawn time between frames, relative to that of `rate_fps`."""
        stride = max(1, round(SOURCE_FPS / rate_fps))
        least = max(1, stride - self.config.random_stride)
        drawn = int(generator.integers(least, stride + self.config.random_stride, endpoint=True))
        return replace(place, stretch=drawn / stride)

    def clip(
        self,
        frames_THWC: Clip,
        generator: np.random.Generator,
        *,
        place: Place,
        resolution: int,
        labels: Collection[int],
    ) -> Clip:
        """A clip [T, R, R, 3] from whole pictures [T, H, W, 3], H and W at least R.

        Args:
            frames_THWC: Uint8; left as they are.
            generator: Of this clip alone; what is drawn depends on it, the configuration, and H and W.
            place: Where the crop lies, if its size is not drawn.
            resolution: R.
            labels: Classes of the video.
        """
        height, width = frames_THWC.shape[1:3]
        config = self.config
        if config.crop_area is None:
            frames_THWC = crop_clip(frames_THWC, crop_at(height, width, resolution, place=place))
        else:
            box = draw_crop(height, width, generator, area=config.crop_area, aspect=config.crop_aspect)
            frames_THWC = resized_crop(frames_THWC, box, resolution=resolution)
        mirrored = generator.random() < 0.5
        if config.flip and mirrored and self.directed.isdisjoint(labels):
            frames_THWC = frames_THWC[:, :, ::-1]
        if config.policy == "randaugment":
            frames_THWC = randaugment(
                frames_THWC, generator, num_operations=config.num_operations, magnitude=config.magnitude
            )
        elif config.policy == "autoaugment":
            frames_THWC = autoaugment(frames_THWC, generator)
        return np.ascontiguousarray(frames_THWC)


def draw_crop(
    height: int,
    width: int,
    generator: np.random.Generator,
    *,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> CropRectangle:
    """A rectangle within a picture: its area uniform, its aspect ratio uniform in the logarithm, its place uniform.

    Where ten of them do not fit, the largest in the middle whose aspect ratio is allowed (Szegedy et al., 2015).
    """
    for _ in range(MAX_TRIES):
        wanted = generator.uniform(*area) * height * width
        ratio = math.exp(generator.uniform(*np.log(aspect)))
        rows, columns = round(math.sqrt(wanted / ratio)), round(math.sqrt(wanted * ratio))
        if 1 <= rows <= height and 1 <= columns <= width:
            top, left = (int(generator.integers(room, endpoint=True)) for room in (height - rows, width - columns))
            return CropRectangle(top=top, left=left, height=rows, width=columns)
    ratio = min(max(width / height, aspect[0]), aspect[1])
    rows = min(height, max(1, round(width / ratio)))
    columns = min(width, max(1, round(height * ratio)))
    return CropRectangle(top=(height - rows) // 2, left=(width - columns) // 2, height=rows, width=columns)


def resized_crop(frames_THWC: Clip, box: CropRectangle, *, resolution: int) -> Clip:
    """The same rectangle of every frame, scaled to [T, R, R, 3], bilinear with antialiasing."""
    cut_THWC = np.ascontiguousarray(frames_THWC[:, box.top : box.top + box.height, box.left : box.left + box.width])
    cut_TCHW = torch.from_numpy(cut_THWC).permute(0, 3, 1, 2)  # channels-last, for which torch scales bytes fast
    scaled_TCHW = F.interpolate(cut_TCHW, size=(resolution, resolution), mode="bilinear", antialias=True)
    return np.ascontiguousarray(scaled_TCHW.permute(0, 2, 3, 1).numpy())
