"""Videos with damage of every kind, decoded as `data check` does: no crash, no hang, an error or every frame."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from search_spaces.errors import VideoError
from search_spaces.randomness import generator
from video.check import check_videos
from video.container import MAX_PIXELS, open_video
from video.decode import check_frames, decode_all
from video.manifest import VideoItem

FORMS = ("mp4-b-frames", "mkv", "webm", "avi", "ts-b-frames", "mpg", "flv", "mp4-uneven", "mov-b-frames", "raw-h264")
LIMIT_S = 25.0
WORDS = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\0\0\0\1",
    b"moov",
    b"mdat",
    b"stsz",
    b"\x1a\x45\xdf\xa3",
    b"RIFF",
]


def damaged(data: bytes, draw: np.random.Generator) -> bytes:
    """One of: bits turned, bytes replaced, a word put over, cut short, a piece left out, doubled, or exchanged."""
    found = bytearray(data)
    at, to = sorted(int(place) for place in draw.integers(0, len(data), size=2))
    match int(draw.integers(7)):
        case 0:
            for place in draw.integers(0, len(data), size=int(draw.integers(1, 40))):
                found[place] ^= 1 << int(draw.integers(8))
        case 1:
            places = draw.integers(0, len(data), size=int(draw.integers(1, 60)))
            for place in places:
                found[place] = int(draw.integers(256))
        case 2:
            for place in draw.integers(0, min(len(data), 2000), size=3):  # where headers are
                word = WORDS[int(draw.integers(len(WORDS)))]
                found[place : place + len(word)] = word
        case 3:
            del found[to:]
        case 4:
            del found[at : min(to, at + 500)]
        case 5:
            found[at:at] = data[at : min(to, at + 500)]
        case _:
            size = min(200, at, len(data) - to)
            found[:size], found[to : to + size] = data[to : to + size], data[:size]
    return bytes(found)


def plain_count(path: Path) -> int:
    """Frames of FFmpeg's own decoder, read from start to end, but for those whose time to be shown has passed."""
    count, last = 0, None
    with av.open(str(path), metadata_errors="ignore") as container:
        for frame in container.decode(video=0):
            stamp = frame.dts if container.format.name == "avi" or frame.pts is None else frame.pts
            if stamp is None or last is None or stamp > last:
                count, last = count + 1, last if stamp is None else stamp
    return count


def hold(folder: Path, recipe_file: Callable[[str], Path], seeds: range) -> Counter[str]:
    """Damage and check so many videos; what became of them."""
    items = []
    for seed in seeds:
        source = recipe_file(FORMS[seed % len(FORMS)])
        path = folder / f"{seed}{source.suffix}"
        path.write_bytes(damaged(source.read_bytes(), generator(seed, "video mutation")))
        items.append(VideoItem(id=str(seed), path=path, labels=(0,), split="train"))
    counts: Counter[str] = Counter()
    for finding in check_videos(items, num_workers=1, limit_s=LIMIT_S):
        problem, path = finding.problem, finding.item.path
        if problem is not None:
            assert "must not crash" not in problem, problem
            assert "was given up" not in problem, problem
            counts["refused"] += 1
            continue
        with open_video(path) as video:
            counted = check_frames(video, short_side=16)
        assert counted == len(decode_all(path, short_side=16).times_s)
        counts["exact" if counted == plain_count(path) else f"inexact: {path.name}"] += 1
        counts[f"{counted} frames"] += 1
    return counts


def test_damaged_videos_give_every_frame_or_an_error(tmp_path, recipe_file):
    counts = hold(tmp_path, recipe_file, range(40))
    assert counts["refused"] + counts["exact"] == 40
    assert min(counts["refused"], counts["exact"]) > 5


@pytest.mark.slow
def test_two_hundred_damaged_videos(tmp_path, recipe_file):
    counts = hold(tmp_path, recipe_file, range(40, 240))
    sys.stdout.write(f"{dict(sorted(counts.items()))}\n")
    assert counts["refused"] + counts["exact"] == 200


def test_a_header_of_a_huge_picture_takes_no_memory(tmp_path):
    """A few hundred bytes that promise a picture of 16,000 x 16,000 pixels, for which a decoder would make room."""
    path = tmp_path / "huge.avi"
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        container.mux(stream.encode(av.VideoFrame(16, 16, "rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert MAX_PIXELS < 16_000**2
    for order in ("little", "big"):
        assert data.count((16).to_bytes(4, order) * 2)
        data = data.replace((16).to_bytes(4, order) * 2, (16_000).to_bytes(4, order) * 2)
    path.write_bytes(data)
    program = (
        "import resource, sys; from pathlib import Path; from video.check import problem_of\n"
        "from video.manifest import VideoItem\n"
        "item = VideoItem(id='a', path=Path(sys.argv[1]), labels=(0,), split='train')\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert problem_of(item) is not None\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=root, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 50 << 10


def test_a_segment_is_decoded_no_further_than_asked(recipe_file):
    path = recipe_file("mkv")
    assert len(decode_all(path, short_side=16).times_s) == 24
    with pytest.raises(VideoError, match="at most 5000 bytes of pixels, but got more"):
        decode_all(path, short_side=16, max_bytes=5000)


def test_a_pipe_is_no_video_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match=r"pipe\.mp4: must be a file, but got a pipe or device"):
        open_video(tmp_path / "pipe.mp4")
