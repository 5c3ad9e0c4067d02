import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_clips import noise
from made_models import made_net
from made_nets import STREAMS, TINY_SPEC, assert_close, randomise
from made_spaces import frame_wise, specs, variants

from retrain.deploy.folded import FoldedConv, folded
from retrain.deploy.graph import first_state
from search_spaces.stream_state import state_entries
from search_spaces.variant import Variant
from supernet.convert import converted
from supernet.layers import ConvNorm
from supernet.timeline import Timeline
from supernet.video_net import VideoNet, run


def stepped(lean, frames_TBCHW, state):
    """Logits after each frame, and the last state."""
    logits = []
    for frame_BCHW in frames_TBCHW:
        timeline = Timeline.of(frame_BCHW, lean.variant, past=state)
        logits.append(run(lean, frame_BCHW, lean.spec, timeline=timeline))
        state = timeline.future
    return torch.stack(logits), state


@torch.no_grad()
@settings(max_examples=20)
@given(spec=specs(), variant=variants(), shift=st.booleans(), flat=st.booleans(), data=st.data())
def test_folding_changes_no_answer(spec, variant, shift, flat, data):
    if shift:
        spec, variant = frame_wise(spec), dataclasses.replace(variant, temporal_shift=True)
    net = VideoNet(spec, variant, num_classes=3)
    randomise(net)
    height, width, num_frames = (data.draw(st.integers(1, most)) for most in (20, 20, 6))
    clips_BCTHW = noise(2, num_frames=num_frames, height=height, width=width)
    wanted_BK = net.eval()(clips_BCTHW)
    lean = folded(net, flat=flat)
    assert_close(run(lean, clips_BCTHW, spec), wanted_BK, tolerance=1e-3)  # no statistics of its own settle the net
    assert not any(isinstance(module, ConvNorm) for module in lean.modules())
    if not variant.streams:
        return
    state = first_state(lean, net.init_state(2, height, width), clips_BCTHW[:, :, 0])
    logits_TBK, after = stepped(lean, clips_BCTHW.unbind(dim=2), state)
    assert_close(logits_TBK[-1], wanted_BK, tolerance=1e-3)
    entries = state_entries(spec, variant, height=height, width=width)
    assert list(state) == list(entries)
    assert {name: tensor.shape for name, tensor in after.items()} == {name: t.shape for name, t in state.items()}
    assert {name: tensor[0].numel() for name, tensor in state.items()} == {
        name: torch.Size(entry.shape).numel() for name, entry in entries.items()
    }
    assert not flat or max(tensor.ndim for tensor in state.values()) <= 4


@torch.no_grad()
@pytest.mark.parametrize("name", STREAMS)
def test_a_settled_network_agrees_to_rounding(name):
    net, clips_BCTHW = made_net(STREAMS[name]), noise(1, num_frames=9, height=12, width=12)
    for flat in (False, True):
        lean = folded(net, flat=flat)
        assert_close(run(lean, clips_BCTHW, net.spec), net(clips_BCTHW))
        state = first_state(lean, net.init_state(1, 12, 12), clips_BCTHW[:, :, 0])
        logits_TBK, _ = stepped(lean, clips_BCTHW.unbind(dim=2), state)
        wanted_BTK, _ = net.step(clips_BCTHW, net.init_state(1, 12, 12), per_frame=True)
        assert_close(logits_TBK[:, 0], wanted_BTK[0])


def test_both_forms_of_2plus1d_become_one_network():
    net = made_net(STREAMS["released-stream"])
    one, other = folded(net, flat=True), folded(converted(net, "2plus1d"), flat=True)
    assert one.variant == other.variant
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


def test_buffers_have_channels_before_pixels():
    net = made_net(STREAMS["released-stream"])
    for flat, shape in ((False, (1, 2, 16, 3, 3)), (True, (1, 2, 16, 9))):
        state = first_state(folded(net, flat=flat), net.init_state(1, 12, 12), torch.zeros(1, 3, 12, 12))
        assert tuple(state["block2.layer1.stream_buffer"].shape) == shape
        assert state["frame_count"].dtype == torch.int32
        assert not any(tensor.any() for tensor in state.values())


def test_what_was_folded_stays_as_it_was():
    net = made_net(Variant())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    lean = folded(net, flat=True)
    for parameter in lean.parameters():
        parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert net.variant == Variant()
    assert isinstance(lean.stem, FoldedConv)
    assert not lean.training
    assert len(TINY_SPEC.blocks) == len(lean.blocks)
