"""Logits of frames, weighted by a softmax over time (Charades; paper, B.1)."""

import dataclasses

import pytest
import torch
from made_nets import TINY_SPEC, randomise

from search_spaces.cost import cost
from search_spaces.errors import SpecError
from search_spaces.floors import operators
from search_spaces.variant import VARIANTS, Variant
from supernet.count import count_macs_and_params
from supernet.frozen import FrozenNet
from supernet.squeeze import softmax_pooled
from supernet.video_net import VideoNet

SOFTMAX = Variant(temporal_pooling="softmax")
CLIPS = torch.rand(2, 3, 5, 12, 12, generator=torch.Generator().manual_seed(0))


def made_net(variant):
    net = VideoNet(TINY_SPEC, variant, num_classes=3)
    randomise(net)
    return net.eval()


def test_pooling_by_hand():
    """Four frames, so that sqrt(T) is 2: logits 2 log 3 and 0 have weights 3/6 and 1/6."""
    logits_BTK = torch.zeros(1, 4, 2, dtype=torch.float64)
    logits_BTK[0, 1, 0] = 2 * torch.tensor(3.0, dtype=torch.float64).log()
    found_BK = softmax_pooled(logits_BTK)
    assert found_BK[0].tolist() == pytest.approx([float(logits_BTK[0, 1, 0]) / 2, 0.0])


def test_a_class_that_shows_in_one_frame_counts_more_than_in_the_mean():
    logits_BTK = torch.full((1, 10, 1), -4.0)
    logits_BTK[0, 3] = 20.0
    assert float(softmax_pooled(logits_BTK)) > 18.0 > float(logits_BTK.mean())


@torch.no_grad()
def test_a_network_pools_the_logits_of_its_frames():
    net, mean = made_net(SOFTMAX), made_net(Variant())
    mean.load_state_dict(net.state_dict())
    wanted_BK = softmax_pooled(mean.frame_logits(CLIPS))
    torch.testing.assert_close(net(CLIPS), wanted_BK)
    assert not torch.allclose(net(CLIPS), mean(CLIPS))
    torch.testing.assert_close(net.frame_logits(CLIPS), mean.frame_logits(CLIPS))
    torch.testing.assert_close(FrozenNet(net)(CLIPS), wanted_BK)
    torch.testing.assert_close(net(CLIPS[:, :, :1]), mean(CLIPS[:, :, :1]))


def test_gradients_reach_every_frame():
    net, clips = made_net(SOFTMAX), CLIPS.clone().requires_grad_()
    net(clips).sum().backward()
    assert (clips.grad.abs().amax(dim=(0, 1, 3, 4)) > 0).all()


def test_it_does_not_stream():
    variant = dataclasses.replace(VARIANTS["paper-stream"], temporal_pooling="softmax")
    assert not variant.streams
    with pytest.raises(SpecError, match="must be causal"):
        made_net(variant).init_state(1, 12, 12)


def test_its_cost_is_that_of_a_dense_layer_per_frame():
    macs, params = count_macs_and_params(TINY_SPEC, SOFTMAX, num_classes=3)
    found, plain = cost(TINY_SPEC, SOFTMAX, num_classes=3), cost(TINY_SPEC, Variant(), num_classes=3)
    assert (found.macs, found.params) == (macs, params)
    head = TINY_SPEC.dense_width * (TINY_SPEC.head_width + 3)
    assert found.macs - plain.macs == (TINY_SPEC.clip.num_frames - 1) * head
    assert sum(operator.macs for operator in operators(TINY_SPEC, SOFTMAX, num_classes=3)) == macs
    assert found.params == plain.params
