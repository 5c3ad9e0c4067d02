"""What autograd keeps of a clip, beside what `search_spaces.floors` says a backward pass needs."""

import dataclasses

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from search_spaces.floors import kept_bytes, operators
from search_spaces.published import published
from search_spaces.spec import ClipGeometry
from search_spaces.variant import VARIANTS
from supernet.native.build import library
from supernet.video_net import VideoNet

CLIP = ClipGeometry(num_frames=8, resolution=64, rate_fps=5.0)


def kept_by(net, clips_BCTHW):
    """Bytes of all different memory that autograd keeps, but for the weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = net(clips_BCTHW).sum()  # holds on to what is kept, so that no memory is used twice
    total = sum(kept.values())
    loss.backward()
    return total


@pytest.mark.skipif(library() is None, reason="other operators keep what lies between a norm and its activation too")
@pytest.mark.parametrize("name", ["base", "released-stream"])
def test_the_network_keeps_what_a_backward_pass_needs_and_no_more(name):
    spec = dataclasses.replace(published("A0"), clip=CLIP)
    net = VideoNet(spec, VARIANTS[name], num_classes=10, rezero=0.5)
    found = kept_by(net, torch.rand(2, 3, CLIP.num_frames, CLIP.resolution, CLIP.resolution))
    wanted = kept_bytes(operators(spec, VARIANTS[name], num_classes=10), num_clips=2)
    assert found == pytest.approx(wanted, rel=0.04)
