import dataclasses

import numpy as np
import pytest
import torch
from made_clips import batch_of, noise
from made_nets import TINY_SPEC, randomise

from retrain.evaluate import clip_logits, predict
from retrain.frame_by_frame import answers, last_logits
from search_spaces.errors import SpecError
from search_spaces.variant import VARIANTS, Variant
from supernet.frozen import FrozenNet
from supernet.video_net import VideoNet
from video.frame_stream import StreamFrame
from video.label_space import LabelSpace

CPU = torch.device("cpu")
SPACE = LabelSpace(class_names=("a", "b", "c"))
STREAMING = {name: variant for name, variant in VARIANTS.items() if variant.streams}
STREAMING["2plus1d"] = dataclasses.replace(VARIANTS["released-stream"], conv="2plus1d")
STREAMING["window"] = dataclasses.replace(VARIANTS["paper-stream"], pool_window=3)
NOT_STREAMING = (Variant(), Variant(causal=True))


def made_net(variant=VARIANTS["released-stream"]):
    net = VideoNet(TINY_SPEC, variant, num_classes=3)
    randomise(net)
    return net.eval()


def made_frames(num_frames, *, seed=0):
    draw = np.random.default_rng(seed)
    for number in range(num_frames):
        frame_HWC = draw.integers(0, 256, size=(12, 12, 3), dtype=np.uint8)
        yield StreamFrame(time_s=number / 4, frame_HWC=frame_HWC)


def stepped_by_hand(net, frames):
    """Softmax after every frame, from one call over all of them."""
    clip_BCTHW = torch.from_numpy(np.stack([frame.frame_HWC for frame in frames])).permute(3, 0, 1, 2)[None] / 255
    with torch.no_grad():
        logits_BTK, _ = net.step(clip_BCTHW, net.init_state(1, 12, 12), per_frame=True)
    return logits_BTK[0].double().softmax(dim=1).numpy()


@pytest.mark.parametrize("name", STREAMING)
def test_stepping_through_a_clip_gives_the_answer_of_the_clip(name):
    net = made_net(STREAMING[name])
    clips_BCTHW = noise(3, num_frames=7, height=12, width=16)
    with torch.no_grad():
        whole_BK, stepped_BK = net(clips_BCTHW), last_logits(FrozenNet(net), clips_BCTHW)
    assert (stepped_BK - whole_BK).abs().max() <= 1e-5 * whole_BK.abs().max()
    assert whole_BK.std(dim=0).min() > 1e-3 * whole_BK.abs().max()  # else any answer would do


def test_one_frame_is_seen_at_a_time(monkeypatch):
    seen, step_ = [], FrozenNet.step_
    monkeypatch.setattr(
        FrozenNet, "step_", lambda net, clips, state: (seen.append(tuple(clips.shape)), step_(net, clips, state))[1]
    )
    last_logits(FrozenNet(made_net()), noise(2, num_frames=5, height=12, width=16))
    assert seen == [(2, 3, 12, 16)] * 5


def test_an_evaluation_may_step():
    net = made_net()
    batches = [batch_of(number, size=4, num_frames=5, seed=2) for number in range(3)]
    clips, stepped = (
        predict(
            clip_logits(net.train(), batches, device=CPU, frame_by_frame=stepping),
            num_videos=12,
            space=SPACE,
            num_views=1,
        )
        for stepping in (False, True)
    )
    np.testing.assert_allclose(stepped.probabilities_NK, clips.probabilities_NK, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(stepped.labels_N, clips.labels_N)
    assert not net.training


@pytest.mark.parametrize("variant", NOT_STREAMING)
def test_a_network_that_looks_ahead_is_refused(variant):
    net = VideoNet(TINY_SPEC, variant, num_classes=3)
    with pytest.raises(SpecError, match="variant: must be causal, with no global pool in se, for a network"):
        next(clip_logits(net, [batch_of(0, size=2)], device=CPU, frame_by_frame=True))
    never = (pytest.fail("a frame was read") for _ in range(1))
    with pytest.raises(SpecError, match="must be causal"):
        next(answers([net], never, space=SPACE, device=CPU))


def test_every_frame_has_an_answer():
    net = made_net()
    told = list(answers([net.train()], made_frames(9), space=SPACE, device=CPU))
    wanted_TK = stepped_by_hand(net.eval(), list(made_frames(9)))
    np.testing.assert_allclose([answer.probabilities_K for answer in told], wanted_TK, rtol=1e-5)
    assert [answer.frame for answer in told] == list(range(9))
    assert [answer.time_s for answer in told] == [number / 4 for number in range(9)]
    assert all(answer.step_s > 0 for answer in told)
    assert told[0].probabilities_K.dtype == np.float64


def test_a_stream_may_forget():
    net = made_net()
    frames = list(made_frames(8))
    told = [answer.probabilities_K for answer in answers([net], frames, space=SPACE, device=CPU, reset_every=3)]
    for start in (0, 3, 6):
        wanted_TK = stepped_by_hand(net, frames[start : start + 3])
        np.testing.assert_allclose(told[start : start + 3], wanted_TK, rtol=1e-5)
    assert not np.allclose(told[3:6], stepped_by_hand(net, frames)[3:6])


def test_the_answer_to_a_frame_does_not_wait_for_the_next():
    taken = []
    frames = (taken.append(frame) or frame for frame in made_frames(5))
    for number, answer in enumerate(answers([made_net()], frames, space=SPACE, device=CPU)):
        assert answer.frame == number
        assert len(taken) == number + 1


def test_autocast_gives_probabilities():
    net = made_net()
    full, half = (
        np.stack(
            [
                answer.probabilities_K
                for answer in answers([net], made_frames(6), space=SPACE, device=CPU, amp_dtype=amp_dtype)
            ]
        )
        for amp_dtype in (None, torch.bfloat16)
    )
    np.testing.assert_allclose(half.sum(axis=1), 1.0)
    np.testing.assert_allclose(half, full, atol=0.1)
    assert (half != full).any()
