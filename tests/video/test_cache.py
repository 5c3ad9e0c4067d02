import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import UsageError, VideoError
from video import cache as cache_module
from video.cache import ENTRY_SUFFIX, ORPHAN_AGE_S, FrameCache, cache_key
from video.frames import Frames

KEY = "a" * 64


def frames(num_frames: int = 4, side: int = 8, *, seed: int = 0) -> Frames:
    draw = np.random.default_rng(seed)
    return Frames(
        times_s=np.cumsum(draw.uniform(0.01, 0.1, num_frames)) - 0.05,
        frames=draw.integers(0, 256, (num_frames, side, side + 1, 3), dtype=np.uint8),
        duration_s=float(draw.uniform(1, 2)),
    )


def entry(root: Path, key: str = KEY) -> Path:
    return root / f"{key}{ENTRY_SUFFIX}"


def put_everywhere(caches: list[FrameCache], key: str, value: Frames) -> list[bool]:
    return [cache.put(f"{key}-{index}", value) for index, cache in enumerate(caches)]


def assert_equal(got: Frames | None, expected: Frames) -> None:
    assert got is not None
    np.testing.assert_array_equal(got.times_s, expected.times_s)
    np.testing.assert_array_equal(got.frames, expected.frames)
    assert got.duration_s == expected.duration_s


@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
def test_what_is_put_is_got_back(tmp_path_factory, num_frames, side, seed):
    cache = FrameCache(tmp_path_factory.mktemp("cache"), 1 << 20)
    value = frames(num_frames, side, seed=seed)
    assert cache.get(KEY) is None
    assert cache.put(KEY, value)
    assert_equal(cache.get(KEY), value)


def test_pixels_are_mapped_and_cannot_be_written(tmp_path):
    cache = FrameCache(tmp_path, 1 << 20)
    cache.put(KEY, frames())
    got = cache.get(KEY)
    assert got is not None
    assert isinstance(got.frames, np.memmap)
    assert not got.frames.flags.writeable
    assert got.at(np.array([0.0])).flags.writeable


def test_processes_share_the_folder(tmp_path):
    first = FrameCache(tmp_path / "deep" / "cache", 1 << 20)
    second = pickle.loads(pickle.dumps(first))
    assert second.max_bytes == first.max_bytes
    first.put(KEY, frames())
    assert_equal(second.get(KEY), frames())
    assert not list((tmp_path / "deep" / "cache").glob("*.tmp"))


def test_a_full_cache_admits_nothing_and_keeps_what_it_has(tmp_path):
    value = frames(10, 40)
    cache = FrameCache(tmp_path, 3 * value.num_bytes)
    admitted = [cache.put(f"{number}", value) for number in range(6)]
    assert admitted == [True, True, False, False, False, False]
    assert not cache.has_room(value.num_bytes)
    assert cache.has_room(100)
    assert_equal(cache.get("0"), value)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= cache.max_bytes
    assert not FrameCache(tmp_path, cache.max_bytes).has_room(value.num_bytes)
    assert not FrameCache(tmp_path, 0).put("x", frames(1, 1))


def test_the_bound_holds_for_many_writers_who_rarely_look(tmp_path, monkeypatch):
    scans = []
    scan = FrameCache._scan
    monkeypatch.setattr(FrameCache, "_scan", lambda self: (scans.append(1), scan(self)))
    value = frames(1, 36)
    caches = [FrameCache(tmp_path, 300 * value.num_bytes) for _ in range(16)]
    scans.clear()
    number = 0
    while any(put_everywhere(caches, f"{number}", value)):
        number += 1
    assert len(scans) < 16 * 40
    entries = list(tmp_path.iterdir())
    assert 250 * value.num_bytes < sum(path.stat().st_size for path in entries) <= 300 * value.num_bytes
    assert len(entries) > 200
    one = FrameCache(tmp_path / "alone", 3000 * value.num_bytes)
    scans.clear()
    assert sum(one.put(str(number), value) for number in range(3000)) > 2500
    assert len(scans) < 120


@pytest.mark.parametrize("damage", ["short", "empty", "pixel", "header", "long", "text"])
def test_a_damaged_entry_is_removed_and_made_again(tmp_path, damage, caplog):
    FrameCache(tmp_path, 1 << 20).put(KEY, frames())
    path = entry(tmp_path)
    data = bytearray(path.read_bytes())
    damaged = {
        "short": data[:-1],
        "empty": b"",
        "pixel": data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
        "header": b"\x00" + data[1:],
        "long": data + b"\x00",
        "text": b"not an entry" * 100,
    }[damage]
    path.write_bytes(damaged)
    cache = FrameCache(tmp_path, 1 << 20)
    assert cache.get(KEY) is None
    assert not path.exists()
    assert "removing the damaged cache entry" in caplog.text
    assert cache.put(KEY, frames())
    assert_equal(cache.get(KEY), frames())


def test_an_object_array_is_not_unpickled(tmp_path):
    with entry(tmp_path).open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert FrameCache(tmp_path, 1 << 20).get(KEY) is None


def test_old_temporary_files_are_swept(tmp_path):
    old, new, theirs = tmp_path / f"{KEY}.1.2.tmp", tmp_path / f"{KEY}.3.4.tmp", tmp_path / "thesis.tmp"
    for path in (old, new, theirs):
        path.touch()
    for path in (old, theirs):
        os.utime(path, (time.time() - 2 * ORPHAN_AGE_S,) * 2)
    FrameCache(tmp_path, 1 << 20)
    assert set(tmp_path.iterdir()) == {new, theirs}


def test_a_disk_without_room_is_no_error(tmp_path, monkeypatch, caplog):
    cache = FrameCache(tmp_path, 1 << 20)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "_write_entry", fail)
    assert not cache.put(KEY, frames())
    assert "No space left on device" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"a cache must be a folder to write to, but got File exists for .*file"):
        FrameCache(tmp_path / "file", 1)
    with pytest.raises(UsageError, match="max_bytes must be at least 0, but got max_bytes=-1"):
        FrameCache(tmp_path, -1)


def test_the_key_is_of_the_file_and_of_how_it_is_decoded(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"abc")

    def key(short_side: int = 8, start_s: float = 0.0, end_s: float | None = None) -> str:
        return cache_key(path, short_side=short_side, start_s=start_s, end_s=end_s)

    first = key()
    assert key() == first
    os.utime(path, ns=(1, 1))
    keys = {first, key(), key(short_side=9), key(start_s=1.0), key(end_s=1.0)}
    path.write_bytes(b"abcd")
    os.utime(path, ns=(1, 1))
    assert len(keys | {key()}) == 6
    path.unlink()
    with pytest.raises(VideoError, match=r"a\.mp4: must be a readable video, but got FileNotFoundError: No such file"):
        key()
