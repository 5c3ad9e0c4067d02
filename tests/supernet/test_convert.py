"""Both forms of a (2+1)D network are one function."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from made_clips import noise
from made_nets import TINY_SPEC, assert_close, randomise, settled
from made_spaces import specs, variants

from search_spaces.errors import SpecError
from search_spaces.published import NAMES, published, released_stream
from search_spaces.variant import VARIANTS, Variant
from supernet.convert import converted
from supernet.video_net import VideoNet


@settings(max_examples=50)
@given(spec=specs(), variant=variants())
def test_the_flat_form_is_the_same_function_and_comes_back_exactly(spec, variant):
    net = VideoNet(spec, dataclasses.replace(variant, conv="3d_2plus1d"), num_classes=3).eval()
    randomise(net)
    flat = converted(net, "2plus1d")
    assert max(tensor.ndim for tensor in flat.state_dict().values()) <= 4
    clips_BCTHW = noise(2, num_frames=5, height=13, width=10)
    with torch.no_grad():
        assert_close(flat(clips_BCTHW), net(clips_BCTHW))
    again = converted(flat, "3d_2plus1d").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_published_streams_are_the_same_in_both_forms(name):
    net = VideoNet(published(name), released_stream(name), num_classes=3)
    randomise(net)
    settled(net, height=45, width=64)
    clips_BCTHW = noise(1, num_frames=3, height=45, width=64)
    with torch.no_grad():
        wanted_BK = net(clips_BCTHW)
        flat = converted(net, "2plus1d")
        assert_close(flat(clips_BCTHW), wanted_BK)
        state = flat.init_state(1, 45, 64)
        for frame in range(3):
            logits_BK, state = flat.step(clips_BCTHW[:, :, frame], state)
        assert_close(logits_BK, wanted_BK)


def test_type_and_place_of_the_weights_stay():
    net = VideoNet(TINY_SPEC, VARIANTS["released-stream"], num_classes=3).bfloat16()
    assert converted(net, "2plus1d").head.dense_weight.dtype == torch.bfloat16


def test_a_convolution_of_one_piece_has_no_flat_form():
    with pytest.raises(SpecError, match="variant.conv: must be 3d_2plus1d or 2plus1d"):
        converted(VideoNet(TINY_SPEC, Variant(), num_classes=3), "2plus1d")
