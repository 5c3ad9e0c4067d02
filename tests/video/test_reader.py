import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from encoded_videos import Recipe, frame_numbers, packet_position, write_recipe

from search_spaces.errors import UsageError, VideoError
from search_spaces.spec import ClipGeometry
from video import reader as reader_module
from video.augment import AugmentConfig, Augmenter
from video.cache import FrameCache
from video.clips import read_batch
from video.keys import SampleKey
from video.manifest import VideoItem
from video.reader import ClipReader
from video.sampling import View, views

GEOMETRY = ClipGeometry(num_frames=4, resolution=24, rate_fps=10.0)
NAMES = ("mp4", "mkv-b-frames", "mp4-uneven", "avi", "mp4-one-key", "mkv-odd")
VIEW = View()


@pytest.fixture
def items(recipe_file) -> list[VideoItem]:
    return [
        VideoItem(id=name, path=recipe_file(name), labels=(index % 2,), split="train")
        for index, name in enumerate(NAMES)
    ]


def make(items, **options) -> ClipReader:
    return ClipReader(items, **{"geometry": GEOMETRY, "seed": 5, "training": True} | options)


def break_video(item: VideoItem, folder: Path) -> VideoItem:
    path = folder / f"{item.id}.broken.mp4"
    path.write_text("broken")
    return replace(item, path=path)


def test_a_clip_is_a_function_of_seed_epoch_item_and_view(items):
    reader = make(items)
    keys = [SampleKey(index=index, epoch=epoch) for epoch in range(3) for index in range(len(items))]
    first = [reader.read(key) for key in keys]
    second = [make(items).read(key) for key in reversed(keys)][::-1]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.frames_THWC, b.frames_THWC)
    assert first[0].frames_THWC.shape == (4, 24, 24, 3)
    assert first[0].frames_THWC.dtype == np.uint8
    assert [clip.labels for clip in first[:4]] == [(0,), (1,), (0,), (1,)]
    epochs = [first[epoch * len(items)].frames_THWC for epoch in range(3)]
    assert not np.array_equal(epochs[0], epochs[1]) or not np.array_equal(epochs[0], epochs[2])


def test_other_videos_in_the_list_do_not_matter(items):
    alone = make(items[2:3]).read(SampleKey(index=0, epoch=4))
    among = make(items).read(SampleKey(index=2, epoch=4))
    np.testing.assert_array_equal(alone.frames_THWC, among.frames_THWC)


def test_a_view_shows_the_place_it_names(items):
    reader = make(items, training=False)
    starts = [frame_numbers(reader.read(SampleKey(index=0, view=view)).frames_THWC) for view in views(3, 1)]
    assert starts[0] == [0, 2, 5, 7]
    assert starts[1] == [7, 9, 12, 14]
    assert starts[2] == [14, 16, 19, 21]


@pytest.mark.parametrize("max_bytes", [0, 1 << 24])
def test_clips_at_half_the_rate_take_the_frames_of_the_full_rate_alternately(items, tmp_path, max_bytes):
    cache = FrameCache(tmp_path, max_bytes) if max_bytes else None
    full = ClipGeometry(num_frames=8, resolution=24, rate_fps=25.0)  # the rate of the file
    half = ClipGeometry(num_frames=4, resolution=24, rate_fps=12.5)
    for view in views(3, 1):
        whole = frame_numbers(make(items, geometry=full).read(SampleKey(index=0, view=view)).frames_THWC)
        assert whole == list(range(whole[0], whole[0] + 8))
        for offset_frames, frames in ((0.0, whole[0::2]), (0.5, whole[1::2])):
            key = SampleKey(index=0, view=replace(view, offset_frames=offset_frames))
            clip = make(items, geometry=half, cache=cache).read(key)
            assert frame_numbers(clip.frames_THWC) == frames


def test_a_short_video_holds_its_last_frame(items):
    reader = make(items, geometry=ClipGeometry(num_frames=12, resolution=24, rate_fps=10.0))
    assert frame_numbers(reader.read(SampleKey(index=0, epoch=9)).frames_THWC)[-3:] == [22, 23, 23]


def test_a_segment_is_a_video_of_its_own(items):
    item = replace(items[0], start_s=0.4, end_s=0.6)
    for view in views(3, 1):
        assert frame_numbers(make([item]).read(SampleKey(index=0, view=view)).frames_THWC) == [10, 12, 14, 14]


@pytest.mark.parametrize("max_bytes", [1 << 24, 40_000, 0])
def test_a_cache_does_not_change_the_pixels(items, tmp_path, max_bytes):
    items = [*items, replace(items[1], id="segment", start_s=0.3, end_s=0.8)]
    plain, cached = make(items), make(items, cache=FrameCache(tmp_path, max_bytes))
    keys = [SampleKey(index=index, epoch=epoch) for epoch in range(4) for index in range(len(items))]
    keys += [SampleKey(index=index, view=view) for view in views(2, 3) for index in range(len(items))]
    for key in keys:
        np.testing.assert_array_equal(cached.read(key).frames_THWC, plain.read(key).frames_THWC)
    entries = list(tmp_path.iterdir())
    assert len(entries) == {1 << 24: len(items), 40_000: 0, 0: 0}[max_bytes] or 0 < len(entries) < len(items)


def test_a_cached_video_is_not_opened(items, tmp_path, monkeypatch):
    reader = make(items, cache=FrameCache(tmp_path, 1 << 24))
    expected = reader.read(SampleKey(index=0, epoch=1))

    def fail(path: Path) -> None:
        raise AssertionError(f"opened {path}")

    monkeypatch.setattr(reader_module, "open_video", fail)
    np.testing.assert_array_equal(reader.read(SampleKey(index=0, epoch=1)).frames_THWC, expected.frames_THWC)


def test_a_segment_too_large_for_memory_is_not_cached(items, tmp_path, monkeypatch):
    monkeypatch.setattr(reader_module, "MAX_ENTRY_BYTES", 1000)
    make(items, cache=FrameCache(tmp_path, 1 << 24)).read(SampleKey(index=0))
    assert list(tmp_path.iterdir()) == []


def test_a_clip_before_the_damage_is_read_with_a_cache_too(tmp_path):
    path = write_recipe(
        tmp_path / "cut.mp4",
        Recipe(options={"g": "6", "bf": "0"}, container_options={"movflags": "faststart"}, num_frames=28),
    )
    path.write_bytes(path.read_bytes()[: packet_position(path, 18)])
    item = VideoItem(id="cut", path=path, labels=(0,), split="test")
    early, late = (SampleKey(index=0, view=view) for view in views(2, 1))
    for cache in (None, FrameCache(tmp_path / "cache", 1 << 24)):
        reader = make([item], training=False, cache=cache)
        assert frame_numbers(reader.read(early).frames_THWC) == [0, 2, 5, 7]
        with pytest.raises(VideoError, match=r"cut\.mp4: must have frames up to"):
            reader.read(late)


def test_training_substitutes_another_video_of_the_class(items, tmp_path):
    broken = [break_video(items[0], tmp_path), *items[1:]]
    clips = [make(broken).read(SampleKey(index=0, epoch=epoch)) for epoch in range(12)]
    again = [make(broken).read(SampleKey(index=0, epoch=epoch)) for epoch in range(12)]
    for a, b in zip(clips, again, strict=True):
        np.testing.assert_array_equal(a.frames_THWC, b.frames_THWC)
    assert {clip.bad_ids for clip in clips} == {("mp4",)}
    assert {clip.labels for clip in clips} == {(0,)}
    two = [break_video(items[0], tmp_path), items[1], break_video(items[2], tmp_path), *items[3:]]
    assert {frozenset(make(two).read(SampleKey(index=0, epoch=epoch)).bad_ids) for epoch in range(12)} == {
        frozenset({"mp4"}),
        frozenset({"mp4", "mp4-uneven"}),
    }


def test_a_class_without_a_good_video_is_an_error(items, tmp_path):
    broken = [break_video(item, tmp_path) if item.labels == (0,) else item for item in items]
    message = r"mp4\.broken\.mp4: class 0: a class must have at least one video that can be decoded, but got none of 3"
    with pytest.raises(VideoError, match=message):
        make(broken).read(SampleKey(index=0))


def test_a_test_never_substitutes(items, tmp_path):
    broken = [break_video(items[0], tmp_path), *items[1:]]
    with pytest.raises(VideoError, match=r"mp4\.broken\.mp4: must be a readable video, but got InvalidDataError"):
        make(broken, training=False).read(SampleKey(index=0, view=VIEW))


def test_a_reader_may_be_sent_to_another_process(items, tmp_path):
    reader = make(items, cache=FrameCache(tmp_path, 1 << 24))
    copy = pickle.loads(pickle.dumps(reader))
    key = SampleKey(index=3, epoch=2)
    np.testing.assert_array_equal(copy.read(key).frames_THWC, reader.read(key).frames_THWC)


def test_a_reader_checks_what_it_is_made_of(items):
    with pytest.raises(UsageError, match="a reader must have at least one video, but got none"):
        make([])
    with pytest.raises(UsageError, match=r"single-label needed: .* one label, but got 'mp4' with labels \[0, 1\]"):
        make([replace(items[0], labels=(0, 1))])
    with pytest.raises(UsageError, match="short_side must be at least the resolution, but got short_side=23, res"):
        make(items, short_side=23)
    with pytest.raises(UsageError, match="index must be below 6, the number of videos, but got index=6"):
        make(items).read(SampleKey(index=6))
    assert make(items).short_side == 27


def test_real_clips_with_and_without_a_cache(real_clips, tmp_path):
    items = [VideoItem(id=path.name, path=path, labels=(0,), split="train") for path in real_clips]
    geometry = ClipGeometry(num_frames=8, resolution=48, rate_fps=8.0)
    plain = make(items, geometry=geometry)
    cached = make(items, geometry=geometry, cache=FrameCache(tmp_path, 1 << 26))
    for epoch in range(2):
        for index in range(len(items)):
            key = SampleKey(index=index, epoch=epoch)
            np.testing.assert_array_equal(cached.read(key).frames_THWC, plain.read(key).frames_THWC)


AUGMENT = Augmenter(
    config=AugmentConfig(crop_area=(0.1, 1.0), flip=True, policy="randaugment", random_stride=1),
    directed=frozenset({1}),
)


def test_augmented_clips_are_a_function_of_seed_epoch_and_item(items):
    keys = [SampleKey(index=index, epoch=epoch) for epoch in range(3) for index in range(len(items))]
    first = [make(items, augment=AUGMENT).read(key).frames_THWC for key in keys]
    again = [make(items, augment=AUGMENT).read(key).frames_THWC for key in reversed(keys)][::-1]
    plain = [make(items).read(key).frames_THWC for key in keys]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert sum(np.array_equal(a, b) for a, b in zip(first, plain, strict=True)) < len(keys) / 2
    assert len({frames.tobytes() for frames in first}) == len(keys)


def test_augmented_clips_are_the_same_from_the_cache(items, tmp_path):
    cached = make(items, augment=AUGMENT, cache=FrameCache(tmp_path / "cache", 1 << 28))
    for _ in range(2):
        for index in range(len(items)):
            key = SampleKey(index=index, epoch=1)
            np.testing.assert_array_equal(
                cached.read(key).frames_THWC, make(items, augment=AUGMENT).read(key).frames_THWC
            )


def test_the_clips_of_a_test_are_not_augmented(items):
    for view in views(2, 3):
        key = SampleKey(index=1, view=view)
        augmented = make(items, augment=AUGMENT).read(key)
        np.testing.assert_array_equal(augmented.frames_THWC, make(items).read(key).frames_THWC)


def test_a_stretched_clip_has_frames_further_apart(items):
    """Frames of 25 a second, asked for at 25 / 3 a second, so 2, 3 or 4 of them apart."""
    geometry = ClipGeometry(num_frames=4, resolution=24, rate_fps=25 / 3)
    augment = Augmenter(config=AugmentConfig(random_stride=1), directed=frozenset())
    reader = make(items[:1], geometry=geometry, augment=augment)
    steps = set()
    for epoch in range(30):
        numbers = frame_numbers(reader.read(SampleKey(index=0, epoch=epoch)).frames_THWC)
        steps.add(tuple(np.diff(numbers)))
    assert steps == {(2, 2, 2), (3, 3, 3), (4, 4, 4)}


def test_every_epoch_has_a_crop_of_its_own(items):
    augment = Augmenter(config=AugmentConfig(crop_area=(0.1, 1.0)), directed=frozenset())
    reader = make(items[:1], augment=augment)
    dark = [reader.read(SampleKey(index=0, epoch=epoch)).frames_THWC[0] < 8 for epoch in range(20)]
    assert len({mask.tobytes() for mask in dark}) > 5  # where the dark corner comes to lie


def test_clips_of_several_labels_hold_all_of_them(items):
    """True classes of each clip as one row, none where a video has none."""
    several = [replace(items[0], labels=(2, 0)), replace(items[1], labels=()), replace(items[2], labels=(1,))]
    with pytest.raises(UsageError, match=r"single-label needed: .* but got 'mp4' with labels \[2, 0\]"):
        make(several)
    batch = read_batch(make(several, num_classes=3), [SampleKey(index=index) for index in (0, 1, 2)])
    assert batch.labels_B.tolist() == [[True, False, True], [False, False, False], [False, True, False]]


def test_a_substitute_of_several_labels_shares_one_and_brings_its_own(items, tmp_path):
    labels = [(0, 1), (2,), (1, 2), (0, 1), (0,), ()]
    several = [replace(item, labels=each) for item, each in zip(items, labels, strict=True)]
    same = [break_video(several[0], tmp_path), *several[1:]]
    clips = [make(same, num_classes=3).read(SampleKey(index=0, epoch=epoch)) for epoch in range(6)]
    assert {(clip.labels, clip.bad_ids) for clip in clips} == {((0, 1), ("mp4",))}
    alike = [*same[:3], break_video(several[3], tmp_path), *several[4:]]
    clips = [make(alike, num_classes=3).read(SampleKey(index=0, epoch=epoch)) for epoch in range(12)]
    assert {clip.labels for clip in clips} == {(1, 2), (0,)}
    alone = [break_video(several[0], tmp_path), several[1], several[5]]
    with pytest.raises(VideoError, match=r"class 0, 1: a class must have at least one video that can be decoded"):
        make(alone, num_classes=3).read(SampleKey(index=0))


def test_a_whole_video_is_as_long_as_it_is(items):
    """24 frames at 25 per second, so 0.96 s: nine at 10 per second, and two clips of four side by side."""
    reader = make(items[:1], training=False)
    (whole,), (tiles,) = views(1, 1, span="whole"), views(1, 1, span="tiles")
    clip = reader.read(SampleKey(index=0, view=whole))
    assert frame_numbers(clip.frames_THWC) == [0, 2, 5, 7, 10, 12, 15, 17, 20]
    clip = reader.read(SampleKey(index=0, view=tiles))
    assert frame_numbers(clip.frames_THWC) == [0, 2, 5, 7, 14, 16, 19, 21]
    assert read_batch(reader, [SampleKey(index=0, view=whole)]).frames_BTHWC.shape == (1, 9, 24, 24, 3)
    with pytest.raises(UsageError, match=r"clips of a batch must be equally long, but got \[4, 9\] frames"):
        read_batch(reader, [SampleKey(index=0, view=view) for view in (whole, View())])
