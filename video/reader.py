"""One clip of one video, as a function of (seed, epoch, video, view).

Letters: T frames, R pixels of height and width, 3 colours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError, VideoError
from search_spaces.randomness import generator
from search_spaces.spec import ClipGeometry
from video.augment import Augmenter
from video.cache import FrameCache, cache_key
from video.decode import Frames, VideoFile, decode_all, frames_at, open_video, picture_size, segment_duration_s
from video.keys import SampleKey
from video.manifest import VideoItem
from video.sampling import Place, clip_times, crop_at, crop_clip, draw_place, span_times

MAX_ENTRY_BYTES: Final = 1 << 27
"""A segment whose frames take more is not cached: they would have to be in memory at once."""


def usual_short_side(resolution: int) -> int:
    """Pixels of the shorter side of a picture that crops of `resolution` pixels are cut from: 8/7, as 256 to 224."""
    return round(resolution * 8 / 7)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """One clip.

    Attributes:
        frames_THWC: uint8 [T, R, R, 3].
        labels: Class numbers of the video that is shown.
        bad_ids: Videos that could not be decoded; if there are any, the clip shows another video of the class.
    """

    frames_THWC: NDArray[np.uint8]
    labels: tuple[int, ...]
    bad_ids: tuple[str, ...] = ()


@final
class ClipReader:
    """Reads clips of a list of videos; it holds no state that changes, and may be sent to other processes.

    Args:
        items: The videos, with one label each unless there is `num_classes`.
        geometry: Frames, resolution and frame rate of the clips.
        seed: Of the places in training, and of the order in which substitutes are tried.
        short_side: Pixels of the shorter side of the picture before the crop, at least the resolution; the usual ones
            if not given.
        cache: Where decoded segments are kept, or None. The pixels are the same with and without.
        training: Whether a video that cannot be decoded is replaced by another of its class. Otherwise it is an error.
        augment: What is done to clips without a view, or None.
        num_classes: How many classes there are where a video may have several labels; batches then hold all of them.

    Raises:
        UsageError: No items, an item with several labels, or a shorter side below the resolution.
    """

    def __init__(
        self,
        items: Sequence[VideoItem],
        *,
        geometry: ClipGeometry,
        seed: int,
        short_side: int | None = None,
        cache: FrameCache | None = None,
        training: bool,
        augment: Augmenter | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.items = tuple(items)
        self.num_classes = num_classes
        self.geometry = geometry
        self.training = training
        self.short_side = usual_short_side(geometry.resolution) if short_side is None else short_side
        self._seed = seed
        self._cache = cache
        self._augment = augment
        self._check()

    def read(self, key: SampleKey) -> Clip:
        """The clip of `key`.

        Raises:
            UsageError: No such item.
            VideoError: The video cannot be decoded and `training` is false, or no video of its class can.
        """
        item = self._item(key.index)
        place = self._place(item, key)
        bad_ids: list[str] = []
        for candidate in self._candidates(item, key):
            try:
                pictures_THWC = self._pictures(candidate, place)
            except VideoError:
                if not self.training:
                    raise
                bad_ids.append(candidate.id)
            else:
                frames_THWC = self._cut(pictures_THWC, place, item, key, labels=candidate.labels)
                return Clip(frames_THWC=frames_THWC, labels=candidate.labels, bad_ids=tuple(bad_ids))
        raise VideoError(
            f"a class must have at least one video that can be decoded, but got none of {len(bad_ids)}",
            path=item.path,
            where=f"class {', '.join(map(str, item.labels)) or 'none'}",
        )

    def _check(self) -> None:
        if not self.items:
            raise UsageError("a reader must have at least one video, but got none")
        several = next((item for item in self.items if len(item.labels) != 1), None)
        if several is not None and self.num_classes is None:
            raise UsageError(
                f"single-label needed: a video must have one label, but got {several.id!r} "
                f"with labels {list(several.labels)}"
            )
        if self.short_side < self.geometry.resolution:
            raise UsageError(
                "short_side must be at least the resolution, but got "
                f"short_side={self.short_side}, resolution={self.geometry.resolution}"
            )

    def _item(self, index: int) -> VideoItem:
        if index >= len(self.items):
            raise UsageError(f"index must be below {len(self.items)}, the number of videos, but got index={index}")
        return self.items[index]

    def _place(self, item: VideoItem, key: SampleKey) -> Place:
        if key.view is not None:
            return key.view.place
        place = draw_place(generator(self._seed, "clip", key.epoch, item.id))
        if self._augment is None:
            return place
        draws = generator(self._seed, "stride", key.epoch, item.id)
        return self._augment.stretched(place, draws, rate_fps=self.geometry.rate_fps)

    def _candidates(self, item: VideoItem, key: SampleKey) -> Iterator[VideoItem]:
        """The video itself and, once that has failed, all others of its class in an order drawn for it.

        Of several labels, those with the same ones come first, then those that share any.
        """
        yield item
        labels = set(item.labels)
        others = [other for other in self.items if other.id != item.id]
        same = [other for other in others if set(other.labels) == labels]
        alike = [other for other in others if set(other.labels) & labels and set(other.labels) != labels]
        for purpose, group in (("substitute", same), ("alike", alike)):
            order = generator(self._seed, purpose, key.epoch, item.id).permutation(len(group))
            yield from (group[index] for index in order)

    def _cut(
        self,
        pictures_THWC: NDArray[np.uint8],
        place: Place,
        item: VideoItem,
        key: SampleKey,
        *,
        labels: tuple[int, ...],
    ) -> NDArray[np.uint8]:
        resolution = self.geometry.resolution
        if self._augment is None or key.view is not None:
            height, width = pictures_THWC.shape[1:3]
            return crop_clip(pictures_THWC, crop_at(height, width, resolution, place=place))
        draws = generator(self._seed, "augment", key.epoch, item.id)
        return self._augment.clip(pictures_THWC, draws, place=place, resolution=resolution, labels=labels)

    def _pictures(self, item: VideoItem, place: Place) -> NDArray[np.uint8]:
        """The whole picture at the clip's times, [T, H, W, 3]."""
        frames_THWC = self._cached(item, place)
        return self._decoded(item, place) if frames_THWC is None else frames_THWC

    def _cached(self, item: VideoItem, place: Place) -> NDArray[np.uint8] | None:
        """Those pictures, if the segment is in the cache."""
        frames = None if self._cache is None else self._cache.get(self._cache_key(item))
        return None if frames is None else frames.at(self._times(frames.duration_s, place))

    def _decoded(self, item: VideoItem, place: Place) -> NDArray[np.uint8]:
        """Those pictures from the file; the segment goes into the cache where it is admitted."""
        start_s = item.start_s or 0.0
        with open_video(item.path) as video:
            duration_s = segment_duration_s(video, start_s=start_s, end_s=item.end_s)
            times_s = self._times(duration_s, place)
            frames = self._admitted(video, item, duration_s=duration_s)
            if frames is not None:
                return frames.at(times_s)
            return frames_at(video, times_s, short_side=self.short_side, start_s=start_s, end_s=item.end_s)

    def _admitted(self, video: VideoFile, item: VideoItem, *, duration_s: float) -> Frames | None:
        """The whole segment, now in the cache; None if it does not fit there or is damaged somewhere.

        A clip may lie before the damage, and a cache must not change what can be read.
        """
        height, width = picture_size(*video.stored_size, short_side=self.short_side)
        num_bytes = int(duration_s * video.rate_fps + 1) * height * width * 3
        if self._cache is None or num_bytes > MAX_ENTRY_BYTES or not self._cache.has_room(num_bytes):
            return None
        try:
            frames = decode_all(
                item.path,
                short_side=self.short_side,
                start_s=item.start_s or 0.0,
                end_s=item.end_s,
                max_bytes=MAX_ENTRY_BYTES,
            )
        except VideoError:
            return None
        self._cache.put(self._cache_key(item), frames)
        return frames

    def _cache_key(self, item: VideoItem) -> str:
        return cache_key(item.path, short_side=self.short_side, start_s=item.start_s or 0.0, end_s=item.end_s)

    def _times(self, duration_s: float, place: Place) -> NDArray[np.float64]:
        geometry = self.geometry
        if place.span != "clip":
            return span_times(
                duration_s,
                num_frames=geometry.num_frames,
                rate_fps=geometry.rate_fps,
                offset_frames=place.offset_frames,
                tiles=place.span == "tiles",
            )
        return clip_times(
            duration_s,
            num_frames=geometry.num_frames,
            rate_fps=geometry.rate_fps / place.stretch,
            position=place.time,
            offset_frames=place.offset_frames,
        )
