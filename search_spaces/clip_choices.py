"""The clip as decisions of a space: frames, resolution and frame rate, each chosen for itself (beyond the paper)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

from pydantic import ConfigDict

from search_spaces.errors import SpaceError, SpecError, shown
from search_spaces.spec import ClipGeometry

CLIP = "clip"
NUM_FRAMES, RESOLUTION, RATE_FPS = f"{CLIP}.num_frames", f"{CLIP}.resolution", f"{CLIP}.rate_fps"
"""Names of the decisions, in their order."""
MAX_CLIPS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipChoices:
    """What a clip may be; every combination counts, at most 64 of them.

    Attributes:
        num_frames: Frames per clip.
        resolutions: Height and width, pixels.
        rates_fps: Frames per second of video.

    Raises:
        SpaceError: An empty list, a choice twice, one out of the range of a clip, or too many combinations.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    num_frames: tuple[int, ...]
    resolutions: tuple[int, ...]
    rates_fps: tuple[float, ...]

    def __post_init__(self) -> None:
        # 2 and 2.0 are equal here and must be equal in a file, whose text the hash is of
        object.__setattr__(self, "rates_fps", tuple(map(float, self.rates_fps)))
        lists: dict[str, tuple[float, ...]] = {
            "num_frames": self.num_frames,
            "resolutions": self.resolutions,
            "rates_fps": self.rates_fps,
        }
        for name, choices in lists.items():
            if not 1 <= len(set(choices)) == len(choices):
                raise SpaceError(f"must be at least one choice, and each once, but got {shown(choices)}", where=name)
        if (number := len(self.num_frames) * len(self.resolutions) * len(self.rates_fps)) > MAX_CLIPS:
            raise SpaceError(f"there must be at most {MAX_CLIPS} combinations of a clip's choices, but got {number}")
        try:
            self.clips()
        except SpecError as error:
            raise SpaceError(f"every choice {error.message}", where=error.where) from error

    def clips(self) -> tuple[ClipGeometry, ...]:
        """Every combination, in the order of the choices, the last list fastest."""
        return tuple(
            ClipGeometry(num_frames=num_frames, resolution=resolution, rate_fps=rate_fps)
            for num_frames, resolution, rate_fps in product(self.num_frames, self.resolutions, self.rates_fps)
        )

    def by_name(self) -> Mapping[str, tuple[int, ...] | tuple[float, ...]]:
        """The choices of each decision, by its name and in order."""
        return {NUM_FRAMES: self.num_frames, RESOLUTION: self.resolutions, RATE_FPS: self.rates_fps}
