"""Videos decoded in processes that hang, crash and are replaced; what was found is remembered."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from encoded_videos import RECIPES

from search_spaces.errors import UsageError
from video import check
from video.check import Finding, Memory, check_videos, problem_of
from video.decode import check_frames, decode_all, open_video
from video.manifest import VideoItem

LIMIT_S = 20.0


def item(path: Path, **fields) -> VideoItem:
    return VideoItem(id=path.name, path=path, labels=(0,), split="train", **fields)


def found(items, **options) -> dict[str, Finding]:
    options = {"num_workers": 2, "limit_s": LIMIT_S} | options
    return {finding.item.id: finding for finding in check_videos(items, **options)}


@pytest.fixture
def videos(recipe_file, tmp_path) -> list[VideoItem]:
    paths = [tmp_path / f"{index}.mp4" for index in range(6)]
    for path in paths:
        shutil.copyfile(recipe_file("mp4"), path)
    return [item(path) for path in paths]


def test_good_bad_and_missing(videos):
    videos[1].path.write_text("no video")
    data = videos[2].path.read_bytes()
    videos[2].path.write_bytes(data[: len(data) // 2])
    videos[3].path.unlink()
    findings = found(videos)
    assert [findings[f"{index}.mp4"].problem is None for index in range(6)] == [True, False, False, False, True, True]
    assert "1.mp4: must be a readable video" in findings["1.mp4"].problem
    assert "No such file" in findings["3.mp4"].problem
    assert list(check_videos([], num_workers=2, limit_s=1.0)) == []


def test_a_segment_beyond_the_end(videos):
    assert problem_of(item(videos[0].path, start_s=0.2, end_s=0.5)) is None
    assert "a segment must start within the video's 0.960 s" in problem_of(item(videos[0].path, start_s=5.0, end_s=6.0))


@pytest.mark.parametrize("name", RECIPES)
def test_frames_are_counted_as_they_are_decoded(recipe_file, name):
    for start_s, end_s in ((0.0, None), (0.25, 0.5)):
        with open_video(recipe_file(name)) as video:
            count = check_frames(video, short_side=16, start_s=start_s, end_s=end_s)
        frames = decode_all(recipe_file(name), short_side=16, start_s=start_s, end_s=end_s)
        assert count == len(frames.times_s)


def hangs_crashes_and_exits(item: VideoItem) -> str | None:
    """In place of a decoder."""
    if item.id.startswith("hang"):
        time.sleep(600)
    if item.id.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if item.id.startswith("exit"):
        os._exit(3)
    return None


def serve_badly(connection) -> None:
    """The loop of a worker with such a decoder, in whatever process it runs."""
    check.problem_of = hangs_crashes_and_exits
    check._serve(connection)


def test_a_decoder_that_hangs_or_crashes_loses_one_file(monkeypatch, tmp_path):
    names = ["good1", "hang1", "crash1", "good2", "exit1", "hang2", "good3", "crash2", "good4"]
    for name in names:
        (tmp_path / name).touch()
    items = [item(tmp_path / name) for name in names]
    monkeypatch.setattr(check, "_serve", serve_badly)
    start_s = time.monotonic()
    memory = Memory(tmp_path / "memory")
    findings = found(items, limit_s=2.0, memory=memory)
    assert time.monotonic() - start_s < 60
    assert {name for name in names if findings[name].problem is None} == {"good1", "good2", "good3", "good4"}
    assert findings["hang1"].problem.endswith(
        "hang1: a video must decode within 2 s, but this one took longer and was given up"
    )
    assert findings["crash2"].problem.endswith(
        "crash2: a video must not crash its decoder, but this one did (signal 11)"
    )
    assert findings["exit1"].problem.endswith("this one did (exit code 3)")
    again = found(items, limit_s=2.0, memory=Memory(tmp_path / "memory"))
    assert all(finding.remembered for finding in again.values())
    assert {name: finding.problem for name, finding in again.items()} == {
        name: finding.problem for name, finding in findings.items()
    }
    known = Memory(tmp_path / "memory")
    assert known.known(items[1], limit_s=3.0) is None  # with more time it may decode
    assert known.known(items[2], limit_s=3.0) is not None


def test_a_second_check_decodes_only_what_has_changed(videos, tmp_path):
    path = tmp_path / "memory.jsonl"
    assert not any(finding.remembered for finding in found(videos, memory=Memory(path)).values())
    assert all(finding.remembered for finding in found(videos, memory=Memory(path)).values())
    videos[0].path.write_text("no video")
    status = videos[1].path.stat()
    os.utime(videos[1].path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    segment = item(videos[2].path, start_s=0.1)
    findings = found([*videos[:2], segment, *videos[3:]], memory=Memory(path))
    assert {name for name, finding in findings.items() if not finding.remembered} == {"0.mp4", "1.mp4", "2.mp4"}
    assert findings["0.mp4"].problem is not None


def test_a_memory_with_a_torn_line_loses_that_line_alone(videos, tmp_path):
    path = tmp_path / "memory"
    found(videos[:2], memory=Memory(path), num_workers=1)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        memory = Memory(path)
        kept = sum(memory.known(video, limit_s=1.0) is not None for video in videos[:2])
        assert kept == data[:size].count(b"\n") or data[size : size + 1] == b"\n"
        memory.add(Finding(item=videos[2], problem="x"))
        assert Memory(path).known(videos[2], limit_s=1.0).problem == "x"
    path.write_bytes(b'{"key":1,"problem":null,"limit_s":null}\n[]\n{}\n\xff\n' + data)
    assert all(Memory(path).known(video, limit_s=1.0) for video in videos[:2])


def test_a_memory_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="findings must be kept in a file to write to, but got Is a directory"):
        Memory(tmp_path)


@pytest.mark.parametrize(("num_workers", "limit_s"), [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_workers_and_time_there_must_be(videos, num_workers, limit_s):
    with pytest.raises(UsageError, match="num_workers must be at least 1 and limit_s above 0, but got"):
        found(videos, num_workers=num_workers, limit_s=limit_s)
