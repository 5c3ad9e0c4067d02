import itertools
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from search_spaces.errors import TooManyBadVideosError, UsageError, VideoError
from search_spaces.spec import ClipGeometry
from video import clips as clips_module
from video.cache import FrameCache
from video.clips import BadVideos, ClipBatch, ClipReader, SampleKey, read_batch, read_batches, training_keys
from video.manifest import VideoItem
from video.sampling import View, views

GEOMETRY = ClipGeometry(num_frames=3, resolution=16, rate_fps=8.0)
NAMES = ("mp4", "mkv-b-frames", "mp4-uneven", "avi")


@pytest.fixture
def items(recipe_file) -> list[VideoItem]:
    return [
        VideoItem(id=name, path=recipe_file(name), labels=(index % 2,), split="train")
        for index, name in enumerate(NAMES)
    ]


def make(items, *, training=True, cache=None) -> ClipReader:
    return ClipReader(items, geometry=GEOMETRY, seed=1, training=training, cache=cache)


def break_video(item: VideoItem, folder: Path) -> VideoItem:
    path = folder / "broken.mp4"
    path.write_text("broken")
    return replace(item, path=path)


def batches(num_batches: int, size: int = 3) -> list[tuple[SampleKey, ...]]:
    return [training_keys(4, 2, position=size * step, count=size) for step in range(num_batches)]


def assert_same(first: ClipBatch, second: ClipBatch) -> None:
    assert torch.equal(first.frames_BTHWC, second.frames_BTHWC)
    assert torch.equal(first.labels_B, second.labels_B)
    for name in ("indices", "num_substituted", "num_failed", "bad_ids"):
        assert getattr(first, name) == getattr(second, name)


@pytest.fixture
def no_workers_left():
    yield
    for _ in range(50):
        if not multiprocessing.active_children():
            return
        time.sleep(0.1)
    raise AssertionError(f"workers are left: {multiprocessing.active_children()}")


def test_a_batch_is_stacked_in_order(items):
    reader = make(items)
    keys = training_keys(4, 0, position=0, count=4)
    batch = read_batch(reader, keys)
    assert batch.frames_BTHWC.shape == (4, 3, 16, 16, 3)
    assert batch.frames_BTHWC.dtype == torch.uint8
    assert batch.labels_B.tolist() == [key.index % 2 for key in keys]
    assert batch.indices == tuple(key.index for key in keys)
    for key, frames_THWC in zip(keys, batch.frames_BTHWC, strict=True):
        np.testing.assert_array_equal(frames_THWC.numpy(), reader.read(key).frames_THWC)


@pytest.mark.usefixtures("no_workers_left")
def test_the_number_of_workers_does_not_matter(items, tmp_path):
    broken = [break_video(items[0], tmp_path), *items[1:]]
    expected = list(read_batches(make(broken), batches(5), num_workers=0))
    assert sum(batch.num_substituted for batch in expected) > 0
    cache = FrameCache(tmp_path / "cache", 1 << 24)
    for num_workers, use in ((1, None), (2, None), (2, cache)):
        got = list(read_batches(make(broken, cache=use), batches(5), num_workers=num_workers))
        for first, second in zip(got, expected, strict=True):
            assert_same(first, second)


@pytest.mark.usefixtures("no_workers_left")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_endless_stream_is_read_as_far_as_wanted(items, num_workers):
    asked = []

    def endless():
        for step in itertools.count():
            asked.append(step)
            yield training_keys(4, 2, position=2 * step, count=2)

    stream = read_batches(make(items), endless(), num_workers=num_workers)
    got = list(itertools.islice(stream, 6))
    assert [batch.indices for batch in got] == [
        tuple(key.index for key in keys) for keys in itertools.islice(endless(), 6)
    ]
    assert asked[5] == 5
    stream.close()


@pytest.mark.usefixtures("no_workers_left")
def test_workers_read_as_far_ahead_as_is_wanted_at_a_time(items):
    asked = []
    stream = read_batches(make(items), ahead_of(asked), num_workers=2, num_ahead=5)
    next(stream)
    assert len(asked) == 7  # six under way for two workers, and one for that which was taken
    stream.close()


def ahead_of(asked):
    for step in itertools.count():
        asked.append(step)
        yield training_keys(4, 2, position=2 * step, count=2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_for_a_cuda_device_are_in_page_locked_memory(items, num_workers):
    reader = make(items)
    expected = list(read_batches(reader, batches(3), num_workers=0))
    got = list(read_batches(reader, batches(3), num_workers=num_workers, pinned=True))
    for first, second in zip(got, expected, strict=True):
        assert_same(first, second)
        assert first.frames_BTHWC.is_pinned() == first.labels_B.is_pinned() == (num_workers > 0)


@pytest.mark.usefixtures("no_workers_left")
def test_global_random_numbers_are_left_alone(items):
    before = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())
    list(read_batches(make(items), batches(2), num_workers=1))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]


@pytest.mark.usefixtures("no_workers_left")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_a_worker_arrives_as_it_is(items, tmp_path, num_workers):
    broken = [break_video(items[0], tmp_path)]
    message = "class 0: a class must have at least one video that can be decoded, but got none of 1"
    with pytest.raises(VideoError, match=message) as caught:
        list(read_batches(make(broken), [(SampleKey(index=0),)], num_workers=num_workers))
    assert "\n" not in str(caught.value)
    assert caught.value.path == broken[0].path
    with pytest.raises(UsageError, match="index must be below 1, the number of videos, but got index=7"):
        list(read_batches(make(broken), [(SampleKey(index=7),)], num_workers=num_workers))


@pytest.mark.usefixtures("no_workers_left")
def test_a_killed_worker_is_an_error_of_ours(items):
    stream = read_batches(make(items), itertools.cycle(batches(1)), num_workers=1)
    next(stream)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(VideoError, match=r"a process that reads videos must not die, but one did, .* \(\w+Error: "):
        list(itertools.islice(stream, 20))


def leave_a_stream_open(items):
    """Whoever holds it as the process ends: a cycle of references, or a traceback."""
    stream = read_batches(make(items), itertools.cycle(batches(1)), num_workers=1)
    next(stream)
    vars(clips_module)["held"] = stream


def test_a_process_that_leaves_a_stream_open_ends_with_its_workers(items):
    process = multiprocessing.get_context("spawn").Process(target=leave_a_stream_open, args=(items,))
    process.start()
    process.join(60)
    left = process.is_alive()
    process.kill()
    assert not left


def test_a_test_leaves_out_what_it_cannot_decode(items, tmp_path):
    broken = [items[0], break_video(items[1], tmp_path), *items[2:]]
    keys = list(clips_module.test_keys(4, views(2, 1)))
    batch = read_batch(make(broken, training=False), keys)
    assert batch.indices == (0, 0, 2, 2, 3, 3)
    assert batch.labels_B.tolist() == [0, 0, 0, 0, 1, 1]
    assert (batch.num_failed, batch.num_substituted, batch.bad_ids) == (2, 0, ("mkv-b-frames",))
    whole = read_batch(make(items, training=False), keys)
    assert torch.equal(batch.frames_BTHWC, whole.frames_BTHWC[[0, 1, 4, 5, 6, 7]])


def test_a_batch_may_end_up_empty(items, tmp_path):
    broken = [break_video(items[0], tmp_path)]
    batch = read_batch(make(broken, training=False), [SampleKey(index=0, view=View())])
    assert batch.frames_BTHWC.shape == (0, 3, 16, 16, 3)
    assert (batch.indices, batch.num_failed) == ((), 1)


def test_training_counts_its_substitutes(items, tmp_path):
    broken = [break_video(items[0], tmp_path), *items[1:]]
    batch = read_batch(make(broken), [SampleKey(index=index) for index in (0, 1, 0)])
    assert (batch.num_substituted, batch.num_failed, batch.bad_ids) == (2, 0, ("mp4",))
    assert batch.indices == (0, 1, 0)
    assert batch.labels_B.tolist() == [0, 1, 0]


def test_bad_videos_are_counted_once_and_end_the_run_beyond_the_limit():
    tally = BadVideos(num_videos=200, max_fraction=0.01)
    tally.add(batch_of("b", "a"))
    tally.add(batch_of("a"))
    assert tally.ids == ("a", "b")
    message = r"at most 1\.00% of 200 videos may be unreadable, but got 3: a, b, c; `movinas data check` finds all$"
    with pytest.raises(TooManyBadVideosError, match=message):
        tally.add(batch_of("c"))
    with pytest.raises(TooManyBadVideosError, match=r"but got 4: a, b, c, \.\.\.; `movinas data check` finds all$"):
        tally.add(batch_of("d"))
    BadVideos(num_videos=1, max_fraction=0.0).add(batch_of())


def test_values_check_themselves(items):
    with pytest.raises(UsageError, match=r"frames must be uint8 \[1, T, H, W, 3\], one clip per index, but got torch"):
        replace(batch_of(), frames_BTHWC=torch.zeros(1, 1, 1, 1, 3))
    with pytest.raises(UsageError, match=r"one per index, or bool \[1, K\], but got torch\.int32 \(1,\)"):
        replace(batch_of(), labels_B=torch.zeros(1, dtype=torch.int32))
    with pytest.raises(UsageError, match="a share in \\[0, 1\\] that may be bad, but got num_videos=1, max_fraction=2"):
        BadVideos(num_videos=1, max_fraction=2)
    with pytest.raises(
        UsageError, match="num_workers must be at least 0 and num_ahead at least 1, but got num_workers=-1"
    ):
        read_batches(make(items), [], num_workers=-1)
    with pytest.raises(UsageError, match="num_ahead at least 1, but got num_workers=0, num_ahead=0"):
        read_batches(make(items), [], num_workers=0, num_ahead=0)
    with pytest.raises(UsageError, match="a batch must have at least one key, but got none"):
        read_batch(make(items), [])


def batch_of(*bad_ids: str) -> ClipBatch:
    return ClipBatch(
        frames_BTHWC=torch.zeros(1, 1, 1, 1, 3, dtype=torch.uint8),
        labels_B=torch.zeros(1, dtype=torch.int64),
        indices=(0,),
        bad_ids=bad_ids,
    )
