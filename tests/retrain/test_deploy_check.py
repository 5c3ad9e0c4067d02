import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from made_models import card_of, made_net

from retrain.deploy.check import Check, difference, frames_for, relative, require
from search_spaces.errors import DeployError, VideoError
from search_spaces.variant import Variant
from video.encode import write_video


def run_of(net, *, wrong=0.0):
    state = net.init_state(1, 12, 12)

    @torch.no_grad()
    def run(x):
        nonlocal state
        logits_BK, state = net.step(torch.from_numpy(x), state)
        return (logits_BK[0] + wrong * logits_BK.abs().max()).numpy()

    return run


@pytest.mark.parametrize("rate_fps", [2.5, 4.0, 12.0])
def test_a_video_is_made_of_as_many_frames_as_are_asked_for(rate_fps):
    card = card_of(made_net(), rate_fps=rate_fps, short_side=14, resolution=12)
    frames_TCHW = frames_for(card, num_frames=9)
    assert frames_TCHW.shape == (9, 3, 12, 12)
    assert frames_TCHW.dtype == np.float32
    assert 0 <= frames_TCHW.min() < 0.3
    assert 0.7 < frames_TCHW.max() <= 1
    assert all((later != sooner).any() for sooner, later in itertools.pairwise(frames_TCHW))


def test_a_video_of_ones_own(tmp_path):
    frames_THWC = np.zeros((6, 16, 32, 3), np.uint8)
    frames_THWC[3:] = 255
    write_video(tmp_path / "own.mp4", frames_THWC, rate_fps=4)
    frames_TCHW = frames_for(card_of(made_net()), num_frames=100, video=tmp_path / "own.mp4")
    assert frames_TCHW.shape == (6, 3, 12, 12)
    np.testing.assert_allclose(frames_TCHW.mean(axis=(1, 2, 3)), [0, 0, 0, 1, 1, 1], atol=0.02)
    with pytest.raises(VideoError, match="none.mp4: must be a readable video"):
        frames_for(card_of(made_net()), num_frames=3, video=tmp_path / "none.mp4")


def test_the_difference_is_that_of_the_worst_frame():
    net, frames_TCHW = made_net(), frames_for(card_of(made_net()), num_frames=5)
    assert difference(run_of(net), net, frames_TCHW, mode="stream", flat=False) == 0.0
    found = difference(run_of(net, wrong=1e-3), net, frames_TCHW, mode="stream", flat=False)
    assert found == pytest.approx(1e-3, rel=1e-2)


def test_a_run_that_starts_anew_at_every_frame_is_found_out():
    net, frames_TCHW = made_net(), frames_for(card_of(made_net()), num_frames=5)

    def forgets(x):
        return run_of(net)(x)

    assert difference(forgets, net, frames_TCHW[:1], mode="stream", flat=False) == 0.0
    assert difference(forgets, net, frames_TCHW, mode="stream", flat=False) > 1e-3


@pytest.mark.parametrize(("flat", "shape"), [(False, (1, 3, 5, 12, 12)), (True, (5, 3, 12, 12))])
def test_a_clip_comes_in_the_shape_of_the_graph(flat, shape):
    net, frames_TCHW = made_net(Variant()), frames_for(card_of(made_net()), num_frames=5)
    seen = []

    @torch.no_grad()
    def run(x):
        seen.append(x)
        return net(torch.from_numpy(frames_TCHW.transpose(1, 0, 2, 3)[None].copy()))[0].numpy()

    assert difference(run, net, frames_TCHW, mode="clip", flat=flat) == 0.0
    assert [x.shape for x in seen] == [shape]
    np.testing.assert_array_equal(seen[0].reshape(-1)[:144], frames_TCHW[0, 0].reshape(-1))


def test_relative_differences():
    wanted_K = np.array([1.0, -4.0, 2.0], np.float32)
    assert relative(wanted_K, wanted_K) == 0.0
    assert relative(wanted_K + np.float32([0, 0, 0.5]), wanted_K) == pytest.approx(0.125)
    assert relative(wanted_K[:2], wanted_K) == math.inf
    assert relative(np.float32([1, -4, math.nan]), wanted_K) == math.inf


def test_a_file_at_its_bound_is_refused():
    check = Check(num_frames=7, difference=0.9e-4, bound=1e-4)
    require(check, path="net.onnx")
    for found in (1e-4, math.inf, math.nan):
        with pytest.raises(DeployError, match=r"net.onnx: must say .* to 0.0001 of .* over 7 frames, but differs by"):
            require(dataclasses.replace(check, difference=found), path="net.onnx")
