from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from search_spaces.errors import UsageError, VideoError
from search_spaces.randomness import generator
from video import synthetic
from video.annotations.assemble import index_folders
from video.decode import decode_all, probe
from video.synthetic import (
    CLASSES,
    HUES,
    MOTION_CLASSES,
    Motion,
    draw_motion,
    moving_texture,
    render,
    write_motion_videos,
)

NUM_PER_CLASS = 90
# 8 x 30 answers at 1/8 have a standard deviation of 0.021, so chance exceeds 0.21 once in 30 000 times.
NEAR_CHANCE = 0.21


@pytest.fixture(scope="module")
def brightness() -> NDArray[np.float64]:
    """Pictures at 0, 1/8 and 1/4 s of many videos per motion, [classes, numbers, 3, H, W]."""

    def draw_one(name: str, index: int) -> NDArray[np.float32]:
        draw = generator(index, "brightness", name)
        return moving_texture(draw_motion(name, draw), np.array([0.0, 0.125, 0.25]), size=32, draw=draw)

    return np.array([[draw_one(name, index) for index in range(NUM_PER_CLASS)] for name in MOTION_CLASSES], np.float64)


def features(pictures: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """What a single picture [.., 32, 32] looks like: pixels, spectrum, power by wavelength, edges."""
    flat = pictures.shape[:-2]
    small = pictures.reshape(*flat, 8, 4, 8, 4).mean(axis=(-3, -1))
    spectrum = np.log(np.abs(np.fft.rfft2(pictures)) + 1e-2)
    power = np.abs(np.fft.fft2(pictures)) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(32, 1 / 32), np.fft.fftfreq(32, 1 / 32)))
    radial = [power[..., (radius >= low) & (radius < low + 1)].sum(axis=-1) for low in range(8)]
    edges = [np.abs(np.diff(pictures, n=n, axis=axis)).mean(axis=(-2, -1)) for n in (1, 2, 3) for axis in (-2, -1)]
    return {
        "pixels": small.reshape(*flat, -1),
        "squares": (small**2).reshape(*flat, -1),
        "spectrum": spectrum[..., :8, :8].reshape(*flat, -1),
        "radial": np.log(np.stack(radial, axis=-1) + 1e-2),
        "edges": np.stack(edges, axis=-1),
    }


def accuracy(values: NDArray[np.float64]) -> float:
    """Top-1 of ridge regression on features [classes, numbers, F]; the last third of the numbers is the test."""
    num_classes, num_each, _ = values.shape
    cut = num_each * 2 // 3
    train, test = (part.reshape(-1, values.shape[-1]) for part in (values[:, :cut], values[:, cut:]))
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-9
    train, test = (np.c_[(part - mean) / spread, np.ones(len(part))] for part in (train, test))
    target = np.repeat(np.eye(num_classes), cut, axis=0)
    weights = np.linalg.solve(train.T @ train + 10.0 * np.eye(train.shape[1]), train.T @ target)
    truth = np.repeat(np.arange(num_classes), num_each - cut)
    return float(((test @ weights).argmax(axis=1) == truth).mean())


@pytest.mark.parametrize("frame", [0, 2])
def test_a_single_picture_does_not_give_the_motion_away(brightness, frame):
    found = {name: accuracy(values) for name, values in features(brightness[:, :, frame]).items()}
    assert max(found.values()) < NEAR_CHANCE, found


def test_the_features_would_find_a_scale_that_gives_the_class_away(brightness):
    whole = brightness[:4, :, 0]
    inner = np.repeat(np.repeat(brightness[4:, :, 0, 8:24, 8:24], 2, axis=-1), 2, axis=-2)
    two_classes = np.stack([whole.reshape(-1, 32, 32), smoothed(inner, times=1).reshape(-1, 32, 32)])
    assert accuracy(features(two_classes)["spectrum"]) > 0.9


def test_two_pictures_give_the_motion_away(brightness):
    flow = flow_sums(brightness[:, :, 0], brightness[:, :, 1])
    assert accuracy(np.stack([*flow, *map(np.abs, flow)], axis=-1)) > 0.8


@pytest.mark.parametrize(("cue", "low", "high"), [("motion", 0.0, 0.27), ("appearance", 0.75, 1.0)])
def test_colours_give_the_class_of_the_twin_away_and_no_other(cue, low, high):
    frames = np.array(
        [[render(name, index, seed=1, size=16, num_frames=1)[0] for index in range(48)] for name in CLASSES[cue]]
    )
    assert low <= accuracy(np.concatenate([frames.mean(axis=(2, 3)), frames.std(axis=(2, 3))], axis=-1)) < high


def test_motions_of_the_twin_are_drawn_at_random():
    drawn = Counter(_motion_of_twin(name, index) for name in HUES for index in range(40))
    assert set(drawn) == set(MOTION_CLASSES)
    assert max(drawn.values()) < 2 * min(drawn.values())


def _motion_of_twin(name: str, index: int) -> str:
    draws = []
    draw_one = synthetic.draw_motion
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "draw_motion", lambda motion, draw: (draws.append(motion), draw_one(motion, draw))[1])
        patch.setattr(synthetic, "moving_texture", lambda *_, **__: np.zeros((1, 2, 2), np.float32))
        render(name, index, seed=3, size=16, num_frames=1)
    return draws[0]


def flow_sums(before: NDArray[np.float64], after: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Least-squares shift, turn and growth between two frames, from gradients of smoothed pictures."""
    before, after = (smoothed(picture) for picture in (before, after))
    middle = (before + after) / 2
    down, right = np.gradient(middle, axis=(-2, -1))
    y, x = np.meshgrid(np.arange(32) - 15.5, np.arange(32) - 15.5, indexing="ij")
    basis = np.stack([down, right, (x * down - y * right) / 10, (x * right + y * down) / 10], axis=-1)
    flat = basis.reshape(*before.shape[:2], -1, 4)
    change = (before - after).reshape(*before.shape[:2], -1, 1)
    moment = np.swapaxes(flat, -1, -2)
    solved = np.linalg.solve(moment @ flat + 1e-6 * np.eye(4), moment @ change)[..., 0]
    return tuple(np.moveaxis(solved, -1, 0))


def smoothed(picture: NDArray[np.float64], *, times: int = 6) -> NDArray[np.float64]:
    for axis in (-2, -1):
        for _ in range(times):
            picture = (np.roll(picture, 1, axis) + 2 * picture + np.roll(picture, -1, axis)) / 4
    return picture


@pytest.mark.parametrize(("name", "expected"), [("move_left", (0, -1)), ("move_right", (0, 1)), ("move_up", (-1, 0))])
def test_things_move_where_the_class_says(name, expected):
    agree = 0
    for index in range(20):
        frames = render(name, index, seed=1, num_frames=2, rate_fps=16).mean(axis=-1)
        cross = np.fft.ifft2(np.fft.fft2(frames[1]) * np.conj(np.fft.fft2(frames[0]))).real
        shifts = np.array(np.unravel_index(cross.argmax(), cross.shape))
        shifts = (shifts + 32) % 64 - 32
        agree += tuple(np.sign(shifts)) == expected
    assert agree >= 17


def test_things_turn_and_grow_as_the_class_says():
    def picture(motion: Motion) -> NDArray[np.float64]:
        times_s = np.array([0.0, 1.0])
        return moving_texture(motion, times_s, size=33, draw=generator(3, "picture"))

    quarter = picture(Motion(clockwise=np.pi / 2))
    np.testing.assert_allclose(quarter[1], np.rot90(quarter[0], -1), atol=1e-3)
    shifted = picture(Motion(right=5.0, down=3.0))
    np.testing.assert_allclose(shifted[1][3:, 5:], shifted[0][:-3, :-5], atol=1e-3)
    still = picture(Motion())
    np.testing.assert_array_equal(still[0], still[1])
    zoom = picture(Motion(growth=0.2))
    half = 8
    inner = zoom[0][16 - half : 17 + half, 16 - half : 17 + half]
    grown = synthetic.F.interpolate(torch.from_numpy(inner)[None, None], scale_factor=2**0.2, mode="bilinear")[0, 0]
    side = grown.shape[0]
    seen = zoom[1][16 - side // 2 :, 16 - side // 2 :][:side, :side]
    assert np.corrcoef(grown.numpy().ravel(), seen.ravel())[0, 1] > 0.75


def test_speeds_lie_where_they_are_meant_to():
    for name in MOTION_CLASSES:
        for index in range(50):
            motion = draw_motion(name, generator(index, "speed"))
            shift = np.hypot(motion.right, motion.down) / 8
            turn, zoom = np.degrees(abs(motion.clockwise)) / 8, 2 ** abs(motion.growth / 8)
            assert shift == 0 or 2 <= shift <= 4
            assert turn == 0 or 10 <= turn <= 20
            assert zoom == 1 or 1.07 <= zoom <= 1.12
            assert sum([shift > 0, turn > 0, zoom > 1]) == 1


def test_position_angle_and_octave_are_uniform_at_the_end_as_at_the_start():
    """The picture after a second has the distribution of the first: here, of brightness at one point and its slope."""
    ends = np.array([_brightness(name, index) for name in MOTION_CLASSES for index in range(25)])
    first, last = ends[:, 0], ends[:, 1]
    assert abs(first.mean() - last.mean()) < 0.05
    assert first.std() == pytest.approx(last.std(), rel=0.05)
    assert first.std() == pytest.approx(1.0, rel=0.1)


def _brightness(name: str, index: int) -> NDArray[np.float32]:
    draw = generator(index, "uniform", name)
    return moving_texture(draw_motion(name, draw), np.array([0.0, 1.0]), size=32, draw=draw)


@pytest.mark.parametrize("cue", ["motion", "appearance"])
def test_files_are_balanced_labelled_and_whole(tmp_path, cue):
    out = tmp_path / "deep" / "out"
    paths = write_motion_videos(out, videos_per_class=2, seed=0, size=32, num_frames=6, cue=cue)
    assert Counter(path.parent.name for path in paths) == dict.fromkeys(CLASSES[cue], 2)
    assert sorted(out.rglob("*.mp4")) == sorted(paths)
    assert index_folders(out, ratios=(0.5, 0.5, 0.0)).num_classes == 8
    info = probe(paths[3])
    assert (info.width, info.height, info.rate_fps, info.num_frames) == (32, 32, 16.0, 6)
    shown = decode_all(paths[3], short_side=32).frames.astype(float)
    rendered = render(paths[3].parent.name, 1, seed=0, size=32, num_frames=6)
    assert np.abs(shown - rendered).mean() < 12


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads(tmp_path):
    threads = torch.get_num_threads()
    sets = {}
    try:
        for name, seed, num_threads in (("a", 1, 1), ("b", 1, 2), ("c", 2, 1)):
            torch.set_num_threads(num_threads)
            paths = write_motion_videos(tmp_path / name, videos_per_class=1, seed=seed, size=32, num_frames=4)
            sets[name] = [path.read_bytes() for path in paths]
    finally:
        torch.set_num_threads(threads)
    assert sets["a"] == sets["b"]
    assert all(a != c for a, c in zip(sets["a"], sets["c"], strict=True))


def test_more_videos_leave_the_first_as_they_were(tmp_path):
    few = write_motion_videos(tmp_path / "few", videos_per_class=1, seed=1, size=16, num_frames=2)
    many = write_motion_videos(tmp_path / "many", videos_per_class=2, seed=1, size=16, num_frames=2)
    assert [path.read_bytes() for path in few] == [path.read_bytes() for path in many[::2]]


def test_colours_show_the_texture():
    for index in range(30):
        frame = render("turn_left", index, seed=5, size=32, num_frames=1)[0].astype(float) @ [0.299, 0.587, 0.114]
        assert frame.std() > 12


def test_hues_are_those_of_the_names():
    for name, hue_deg in HUES.items():
        colour = render(name, 0, seed=0, size=16, num_frames=1).reshape(-1, 3).astype(float).mean(axis=0)
        red, green, blue = colour - colour.min()
        found = np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)) % 360
        assert abs((found - hue_deg + 180) % 360 - 180) < 15


def test_nothing_is_overwritten_or_left_half_written(tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name in ("full", "file"):
        with pytest.raises(UsageError, match=f"a folder to write to must not exist or be empty, but got '.*{name}'"):
            write_motion_videos(tmp_path / name, videos_per_class=1, seed=0)
    with pytest.raises(UsageError, match="a folder must be writable, but got File exists for"):
        write_motion_videos(tmp_path / "file" / "out", videos_per_class=1, seed=0)
    assert len(write_motion_videos(tmp_path / "empty", videos_per_class=1, seed=0, size=16, num_frames=1)) == 8

    def fail(path: Path, *_: object, **__: object) -> None:
        raise VideoError("no room", path=path)

    monkeypatch.setattr(synthetic, "write_video", fail)
    with pytest.raises(VideoError, match="no room"):
        write_motion_videos(tmp_path / "broken", videos_per_class=1, seed=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]


def test_numbers_outside_their_range_are_refused(tmp_path):
    with pytest.raises(UsageError, match="at least 1, but got videos_per_class=0, num_frames=24, rate_fps=16"):
        write_motion_videos(tmp_path / "out", videos_per_class=0, seed=0)
    with pytest.raises(UsageError, match="size must be even and at least 16, but got size=33"):
        write_motion_videos(tmp_path / "out", videos_per_class=1, seed=0, size=33)
    with pytest.raises(UsageError, match=r"a class must be one of move_left, .*, hue_pink, yaw, .*, but got 'spin'"):
        render("spin", 0, seed=0)
