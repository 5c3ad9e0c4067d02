import os
from pathlib import Path

import pytest
import torch
from made_clips import noise
from made_nets import TINY_SPEC, assert_close, randomise

from search_spaces.errors import SpecError, StateError, UsageError
from search_spaces.published import published
from search_spaces.variant import VARIANTS, Variant
from supernet.stream import Stream
from supernet.video_net import VideoNet


@pytest.fixture
def net():
    net = VideoNet(TINY_SPEC, VARIANTS["released-stream"], num_classes=3).eval()
    randomise(net)
    return net


def test_pushed_frames_are_the_clip(net):
    clip_CTHW = noise(1, num_frames=6, height=12, width=10)[0]
    stream, other = Stream(net), Stream(net)
    for number in range(6):
        other.push(clip_CTHW[:, 5 - number])  # a second stream through the same network changes nothing
        logits_K = stream.push(clip_CTHW[:, number])
        with torch.no_grad():
            assert_close(logits_K, net(clip_CTHW[None, :, : number + 1])[0])
    assert stream.num_frames == 6


def test_a_reset_stream_is_a_new_one(net):
    clip_CTHW = noise(1, num_frames=4, height=12, width=10)[0]
    stream = Stream(net)
    first_K = stream.push(clip_CTHW[:, 0])
    stream.push(clip_CTHW[:, 1])
    stream.reset()
    assert stream.num_frames == 0
    assert torch.equal(stream.push(clip_CTHW[:, 0]), first_K)


def test_frames_of_another_size_are_refused_until_a_reset(net):
    stream = Stream(net)
    stream.push(torch.rand(3, 12, 10))
    with pytest.raises(StateError, match=r"block2.layer1.stream_buffer: must be of shape \(1, 2, 5, 3, 16\)"):
        stream.push(torch.rand(3, 20, 12))
    stream.reset()
    stream.push(torch.rand(3, 20, 12))


def test_a_network_that_does_not_stream_is_refused():
    with pytest.raises(SpecError, match="variant: must be causal"):
        Stream(VideoNet(TINY_SPEC, Variant(), num_classes=3).eval()).push(torch.rand(3, 8, 8))


def test_a_network_in_training_is_refused(net):
    with pytest.raises(UsageError, match="must be in evaluation mode"):
        Stream(net.train())


def test_a_batch_of_frames_is_refused(net):
    with pytest.raises(UsageError, match=r"a frame must be of shape \(3, H, W\), but got \(1, 3, 8, 8\)"):
        Stream(net).push(torch.zeros(1, 3, 8, 8))


def resident_bytes():
    """Of this process, in /proc."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of the process as Linux shows it")
@pytest.mark.parametrize("preset", ["paper-stream", "released-stream"])
def test_2000_frames_need_the_memory_of_200(preset):
    net = VideoNet(published("A0"), VARIANTS[preset], num_classes=600, rezero=1.0).eval()
    stream, frame_CHW = Stream(net), torch.rand(3, 172, 172, generator=torch.Generator().manual_seed(0))
    resident = {}
    for number in range(1, 2001):
        stream.push(frame_CHW)
        if number in (200, 2000):
            resident[number] = resident_bytes()
    assert resident[2000] <= 1.01 * resident[200], resident
