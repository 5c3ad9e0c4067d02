"""From a manifest to streams of clips."""

from itertools import islice, zip_longest
from pathlib import Path

import pytest
import torch

from launch.clips import ClipConfig, Tally, endless, hold_out, manifest_text, once, parse_views, videos_of
from launch.compute import Compute
from results.history import bad_videos
from results.telemetry import Telemetry, read_telemetry
from search_spaces.errors import ManifestError, TooManyBadVideosError, UsageError
from search_spaces.spec import ClipGeometry
from supernet.distributed import ALONE, Ranks
from video.manifest import Manifest, VideoItem, load_manifest

CLIP = ClipGeometry(num_frames=2, resolution=16, rate_fps=8.0)


def item(number, label, group=None):
    return VideoItem(id=f"v{number}", path=Path(f"/v{number}.mp4"), labels=(label,), split="train", group=group)


def test_held_out_videos_are_a_seeded_stratified_share():
    items = [item(number, number % 4) for number in range(80)]
    kept, held = hold_out(items, fraction=0.3, seed=1)
    assert sorted(entry.id for entry in kept + held) == sorted(entry.id for entry in items)
    assert [sum(entry.labels == (label,) for entry in held) for label in range(4)] == [6] * 4
    assert hold_out(items, fraction=0.3, seed=1) == (kept, held)
    assert hold_out(items, fraction=0.3, seed=2) != (kept, held)


def test_videos_of_one_group_stay_together():
    items = [item(number, 0, group=f"g{number % 5}") for number in range(40)]
    kept, held = hold_out(items, fraction=0.4, seed=0)
    assert not {entry.group for entry in kept} & {entry.group for entry in held}
    assert len({entry.group for entry in held}) == 2


def test_a_person_who_shows_several_classes_is_on_one_side():
    items = [item(number, number % 4, group=f"person {number // 8}") for number in range(80)]
    kept, held = hold_out(items, fraction=0.3, seed=0)
    assert sorted(entry.id for entry in kept + held) == sorted(entry.id for entry in items)
    assert not {entry.group for entry in kept} & {entry.group for entry in held}
    assert len({entry.group for entry in held}) == 3
    assert hold_out(items, fraction=0.3, seed=0) == (kept, held)
    with pytest.raises(ManifestError, match="class 4 has them on one side alone"):
        hold_out([*items, item(80, 4, group="person 1")], fraction=0.3, seed=0)


def test_a_class_with_one_video_cannot_be_divided():
    with pytest.raises(ManifestError, match="class 1 has 1 in the train split"):
        hold_out([item(0, 0), item(1, 0), item(2, 1)], fraction=0.3, seed=0)


def test_a_split_without_videos_is_an_error():
    manifest = Manifest(class_names=("a",), items=(item(0, 0),))
    with pytest.raises(ManifestError, match="must have videos of the split test, but has none"):
        videos_of(manifest, "test", path=Path("m.jsonl"))


def test_a_run_keeps_the_manifest_with_absolute_paths(tmp_path, motion_manifest):
    copy = tmp_path / "elsewhere" / "manifest.jsonl"
    copy.parent.mkdir()
    copy.write_text(manifest_text(load_manifest(motion_manifest)))
    assert load_manifest(copy) == load_manifest(motion_manifest)


@pytest.fixture
def reader(motion_manifest, tmp_path):
    items = load_manifest(motion_manifest).of("train")[:10]
    return ClipConfig(cache_dir=tmp_path).reader(items, CLIP, seed=0, training=True)


def compute(num_workers=0):
    return Compute(device=torch.device("cpu"), num_threads=1, num_workers=num_workers, amp_dtype=None)


def streams(reader, tally, *, workers=0):
    return endless(reader, seed=3, purpose="train", batch_size=4, compute=compute(workers), tally=tally)


def test_a_stream_goes_on_at_any_position(reader):
    tally = Tally(ClipConfig(), num_videos=10)
    stream = streams(reader, tally)
    whole = list(islice(stream(0), 6))
    assert [batch.indices for batch in islice(stream(4), 2)] == [batch.indices for batch in whole[4:]]
    assert all((a.frames_BTHWC == b.frames_BTHWC).all() for a, b in zip(islice(stream(4), 2), whole[4:], strict=True))
    seen = [index for batch in whole for index in batch.indices]
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:20]) == list(range(10))


def test_every_view_once(reader):
    batches = once(
        reader, batch_size=4, compute=compute(), tally=Tally(ClipConfig(), num_videos=10), wanted=parse_views("2x3")
    )
    indices = [index for batch in batches() for index in batch.indices]
    assert indices == [index for index in range(10) for _ in range(6)]


def test_ranks_read_the_very_clips_of_one_process_in_micro_batches(reader):
    tally = Tally(ClipConfig(), num_videos=10)

    def some(ranks, accumulation):
        stream = endless(
            reader,
            seed=3,
            purpose="train",
            batch_size=4,
            compute=compute(),
            tally=tally,
            ranks=ranks,
            accumulation=accumulation,
        )
        return list(islice(stream(2), 3 * accumulation))

    alone = some(ALONE, 2)
    for rank in range(2):
        for part, same in zip(some(Ranks(rank=rank, size=2), 1), alone[rank::2], strict=True):
            assert part.indices == same.indices
            assert (part.frames_BTHWC == same.frames_BTHWC).all()


@pytest.mark.parametrize("size", [2, 3, 7])
def test_ranks_measure_every_video_once_in_the_batches_of_one_process(reader, size):
    """Ten videos in batches of two, for any number of ranks, also more than there are batches."""

    def indices(ranks):
        batches = once(reader, batch_size=2, compute=compute(), tally=Tally(ClipConfig(), num_videos=10), ranks=ranks)
        return [batch.indices for batch in batches()]

    parts = [indices(Ranks(rank=rank, size=size)) for rank in range(size)]
    rounds = zip_longest(*parts)
    assert [part for parts in rounds for part in parts if part is not None] == indices(ALONE)


class Told(Ranks):
    """A rank whose others say what they are made to say."""

    def gathered(self, value):
        return [value, ("v7", "v8")]


def test_videos_that_other_ranks_could_not_read_count(tmp_path):
    telemetry = Telemetry(tmp_path / "telemetry.jsonl")
    tally = Tally(ClipConfig(max_bad_fraction=0.2), num_videos=10, telemetry=telemetry, ranks=Told())
    tally.exchange()
    assert [event["ids"] for event in read_telemetry(telemetry.path)] == [["v7", "v8"]]
    with pytest.raises(TooManyBadVideosError, match="but got 2: v7, v8"):
        Tally(ClipConfig(), num_videos=10, ranks=Told()).exchange()


@pytest.mark.parametrize("text", ["3", "ax1", "1x", "-1x1", "0x1"])
def test_views_are_positions_x_crops(text):
    with pytest.raises(UsageError, match="views must be written as positions x crops|num_positions must be in"):
        parse_views(text)


def test_too_many_bad_videos_end_the_run(tmp_path):
    paths = [tmp_path / f"{number}.mp4" for number in range(2)]
    for path in paths:
        path.write_text("no video")
    items = [VideoItem(id=path.name, path=path, labels=(0,), split="test") for path in paths]
    reader = ClipConfig(cache_bytes=0).reader(items, CLIP, seed=0, training=False)
    batches = once(reader, batch_size=2, compute=compute(), tally=Tally(ClipConfig(), num_videos=2))
    with pytest.raises(TooManyBadVideosError, match="at most 1.00% of 2 videos may be unreadable, but got 2"):
        list(batches())


def test_telemetry_names_the_bad_videos_of_a_run_and_of_those_before(tmp_path):
    items = [VideoItem(id=f"v{number}", path=tmp_path / f"{number}", labels=(0,), split="test") for number in range(3)]
    telemetry = Telemetry(tmp_path / "telemetry.jsonl")

    def read(items, max_bad_fraction):
        config = ClipConfig(cache_bytes=0, max_bad_fraction=max_bad_fraction)
        reader = config.reader(items, CLIP, seed=0, training=False)
        tally = Tally(config, num_videos=4, telemetry=telemetry)
        return len(list(once(reader, batch_size=1, compute=compute(), tally=tally)()))

    assert read(items[:1], 0.5) == 1
    assert bad_videos(read_telemetry(telemetry.path)) == {"v0"}
    with pytest.raises(
        TooManyBadVideosError, match="at most 50.00% of 4 videos may be unreadable, but got 3: v0, v1, v2"
    ):
        read(items[1:], 0.5)
    assert bad_videos(read_telemetry(telemetry.path)) == {"v0", "v1", "v2"}
    with pytest.raises(TooManyBadVideosError, match="but got 3"):
        Tally(ClipConfig(max_bad_fraction=0.5), num_videos=4, telemetry=telemetry)


@pytest.mark.parametrize("options", [{"cache_bytes": -1}, {"max_bad_fraction": 1.5}])
def test_numbers_outside_their_range(options):
    with pytest.raises(UsageError, match="cache_bytes must be at least 0 and max_bad_fraction in"):
        ClipConfig(**options)
