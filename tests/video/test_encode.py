import numpy as np
import pytest

from search_spaces.errors import UsageError, VideoError
from video.decode import decode_all, probe
from video.encode import write_video


def smooth(num_frames: int = 6, height: int = 32, width: int = 48) -> np.ndarray:
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    waves = [128 + 100 * np.sin((x + 2 * y + 3 * step) / 9) for step in range(num_frames)]
    return np.repeat(np.stack(waves)[..., None], 3, axis=-1).astype(np.uint8)


@pytest.mark.parametrize("frames_per_key", [1, 4])
def test_what_is_written_is_decoded_again(tmp_path, frames_per_key):
    path = tmp_path / "a.mp4"
    write_video(path, smooth(), rate_fps=12, frames_per_key=frames_per_key)
    info = probe(path)
    assert (info.rate_fps, info.num_frames, info.width, info.height) == (12.0, 6, 48, 32)
    whole = decode_all(path, short_side=32)
    assert np.abs(whole.frames.astype(int) - smooth()).mean() < 4
    np.testing.assert_allclose(whole.times_s, np.arange(6) / 12)


def test_a_frame_coded_by_itself_is_a_function_of_its_pixels(tmp_path):
    first, second = smooth(), smooth()[::-1].copy()
    second[2] = first[2]
    for name, frames in (("first", first), ("second", second)):
        write_video(tmp_path / f"{name}.mp4", frames, rate_fps=12)
    decoded = [decode_all(tmp_path / f"{name}.mp4", short_side=32).frames for name in ("first", "second")]
    np.testing.assert_array_equal(decoded[0][2], decoded[1][2])


def test_the_same_pixels_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", smooth(), rate_fps=12)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_frames_that_cannot_be_written_are_refused(tmp_path):
    path = tmp_path / "a.mp4"
    with pytest.raises(UsageError, match=r"frames must be uint8 \[T, H, W, 3\], but got float64 \(6, 32, 48, 3\)"):
        write_video(path, smooth().astype(np.float64), rate_fps=12)
    with pytest.raises(UsageError, match=r"frames must be uint8 .* but got uint8 \(0, 32, 48, 3\)"):
        write_video(path, smooth()[:0], rate_fps=12)
    with pytest.raises(UsageError, match="height and width must be even, but got 31 x 48"):
        write_video(path, smooth()[:, 1:], rate_fps=12)
    with pytest.raises(VideoError, match=r"none/a\.mp4: must be a file to write a video to, but got No such file"):
        write_video(tmp_path / "none" / "a.mp4", smooth(), rate_fps=12)
