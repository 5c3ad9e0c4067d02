"""A frozen network is the network: as clip, in pieces, in place, whatever it is made of and however many threads."""

import dataclasses

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_clips import noise
from made_nets import STREAMS, TINY_SPEC, assert_close, randomise, settled
from made_spaces import specs, variants

from search_spaces.errors import StateError, UsageError
from search_spaces.published import published
from search_spaces.variant import VARIANTS, Variant
from supernet import native
from supernet.frozen import FrozenNet
from supernet.stream import Stream
from supernet.video_net import VideoNet

DEAD = 1e-5
"""Logits of networks whose features have all but died out are what rounding leaves of them."""
MADE_OF = {
    **VARIANTS,
    **STREAMS,
    "se of each frame": Variant(se="2d", gate="legacy_hard_sigmoid"),
    "se of clip and frame": Variant(se="2plus3d", activation="hard_swish"),
    "no se": Variant(se="none"),
    "window": dataclasses.replace(VARIANTS["released-stream"], pool_window=3),
    "window of one frame": dataclasses.replace(VARIANTS["released-stream"], pool_window=1),
    "decay": dataclasses.replace(VARIANTS["paper-stream"], pool_decay=0.5),
    "shift": dataclasses.replace(VARIANTS["released-stream"], temporal_shift=True),
}
FLAT_SPEC = dataclasses.replace(
    TINY_SPEC,
    blocks=tuple(
        dataclasses.replace(
            block, layers=tuple(dataclasses.replace(layer, kernel=(1, *layer.kernel[1:])) for layer in block.layers)
        )
        for block in TINY_SPEC.blocks
    ),
)


def made(variant, spec=TINY_SPEC, *, height=13, width=10):
    net = VideoNet(FLAT_SPEC if variant.temporal_shift else spec, variant, num_classes=3, rezero=1.0)
    randomise(net)
    return settled(net, height=height, width=width)


@torch.no_grad()
def plain(net, clips_BCTHW):
    return net(clips_BCTHW)


def in_pieces(frozen, clips_BCTHW, lengths, *, in_place):
    """Logits after every frame."""
    state = frozen.init_state(clips_BCTHW.shape[0], *clips_BCTHW.shape[3:])
    logits = []
    for piece_BCTHW in clips_BCTHW.split(lengths, dim=2):
        if in_place:
            logits.append(frozen.step_(piece_BCTHW, state, per_frame=True))
        else:
            logits_BTK, state = frozen.step(piece_BCTHW, state, per_frame=True)
            logits.append(logits_BTK)
    return torch.cat(logits, dim=1)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", MADE_OF)
def test_a_frozen_network_is_the_network(name, threads, way):
    net = made(MADE_OF[name])
    clips_BCTHW = noise(2, num_frames=5, height=13, width=10)
    wanted_BK = plain(net, clips_BCTHW)
    torch.set_num_threads(threads)
    frozen = FrozenNet(net)
    assert_close(frozen(clips_BCTHW), wanted_BK)
    if MADE_OF[name].streams:
        for in_place in (False, True):
            logits_BTK = in_pieces(frozen, clips_BCTHW, [1, 3, 1], in_place=in_place)
            for number in range(5):
                assert_close(logits_BTK[:, number], plain(net, clips_BCTHW[:, :, : number + 1]))


@settings(max_examples=40)
@given(
    spec=specs(),
    variant=variants(),
    size=st.tuples(st.integers(1, 21), st.integers(1, 21)),
    num_frames=st.integers(1, 6),
    threads=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_any_network_on_any_clip(spec, variant, size, num_frames, threads, seed):
    height, width = size
    net = VideoNet(spec, variant, num_classes=5, seed=seed, rezero=0.5)
    settled(net, height=height, width=width)
    clips_BCTHW = noise(2, num_frames=num_frames, height=height, width=width)
    wanted_BK = plain(net, clips_BCTHW)
    assume(wanted_BK.abs().max() > DEAD)
    torch.set_num_threads(threads)
    frozen = FrozenNet(net)
    assert_close(frozen(clips_BCTHW), wanted_BK, tolerance=1e-4)
    if variant.streams:
        first = num_frames // 2 + 1
        lengths = [1] * num_frames if seed % 2 or first == num_frames else [first, num_frames - first]
        logits_BTK = in_pieces(frozen, clips_BCTHW, lengths, in_place=seed % 3 > 0)
        assert_close(logits_BTK[:, -1], frozen(clips_BCTHW))


@pytest.mark.parametrize("preset", VARIANTS)
def test_published_networks_are_themselves_when_frozen(preset):
    net = made(VARIANTS[preset], published("A0"), height=61, width=50)
    clips_BCTHW = noise(1, num_frames=6, height=61, width=50)
    wanted_BK = plain(net, clips_BCTHW)
    frozen = FrozenNet(net)
    assert_close(frozen(clips_BCTHW), wanted_BK)
    if VARIANTS[preset].streams:
        assert_close(in_pieces(frozen, clips_BCTHW, [1] * 6, in_place=True)[:, -1], frozen(clips_BCTHW))


@torch.no_grad()
def test_timing_the_parts_of_a_network_runs_it():
    net = made(VARIANTS["paper-stream"])
    frozen, frames_TBCHW = FrozenNet(net), noise(1, num_frames=3, height=13, width=10).unbind(2)
    state, timed = (frozen.init_state(1, 13, 10) for _ in range(2))
    for frame_BCHW in frames_TBCHW:
        frozen.step_(frame_BCHW, state)
        seconds_P = frozen.part_seconds(frame_BCHW, timed)
        assert seconds_P.shape == (2 + sum(len(block.layers) for block in net.spec.blocks),)
        assert (seconds_P > 0).all()
    assert state.keys() == timed.keys()
    assert all(torch.equal(state[name], timed[name]) for name in state)
    assert (frozen.part_seconds(frames_TBCHW[0][:, :, None]) > 0).all()
    with pytest.raises(UsageError, match="must be of shape"):
        frozen.part_seconds(frames_TBCHW[0])


def test_states_of_both_are_the_same(way):
    net = made(VARIANTS["released-stream"])
    frozen = FrozenNet(net)
    clips_BCTHW = noise(2, num_frames=6, height=13, width=10)
    state = frozen.init_state(2, 13, 10)
    with torch.no_grad():
        _, theirs = net.step(clips_BCTHW[:, :, :3], state)
    _, ours = frozen.step(clips_BCTHW[:, :, :3], state)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert (ours[name].shape, ours[name].dtype) == (tensor.shape, tensor.dtype), name
        assert_close(ours[name].float(), tensor.float())
    assert_close(frozen.step(clips_BCTHW[:, :, 3:], theirs)[0], plain(net, clips_BCTHW))


def test_streams_of_different_age_are_stepped_side_by_side():
    net = made(STREAMS["encoded"])
    frozen, clips_BCTHW = FrozenNet(net), noise(2, num_frames=7, height=13, width=10)
    states = [frozen.init_state(1, 13, 10) for _ in range(2)]
    _, states[0] = frozen.step(clips_BCTHW[:1, :, :4], states[0])
    _, states[1] = frozen.step(clips_BCTHW[1:, :, :1], states[1])
    together = {name: torch.cat([state[name] for state in states]) for name in states[0]}
    next_BCTHW = torch.stack((clips_BCTHW[0, :, 4:6], clips_BCTHW[1, :, 1:3]))
    logits_BK, _ = frozen.step(next_BCTHW, together)
    assert_close(logits_BK[0], plain(net, clips_BCTHW[:1, :, :6])[0])
    assert_close(logits_BK[1], plain(net, clips_BCTHW[1:, :, :3])[0])


def test_any_strides_of_a_state():
    frozen, clips_BCTHW = FrozenNet(made(VARIANTS["released-stream"])), noise(2, num_frames=4, height=13, width=10)
    wanted_BK, state, ring = frozen(clips_BCTHW), frozen.init_state(2, 13, 10), frozen.init_state(2, 13, 10)
    for frame_BCHW in clips_BCTHW.unbind(dim=2):
        state, ring = with_gaps(state), with_gaps(ring)
        logits_BK, state = frozen.step(frame_BCHW, state)
        ring_logits_BK = frozen.step_(frame_BCHW, ring)
    assert_close(logits_BK, wanted_BK)
    assert_close(ring_logits_BK, wanted_BK)


def with_gaps(state):
    return {name: torch.stack((tensor, tensor + 1), dim=-1)[..., 0] for name, tensor in state.items()}


def test_any_strides_of_the_input():
    net = made(VARIANTS["base"])
    frozen, clips_BTHWC = FrozenNet(net), torch.rand(2, 5, 13, 10, 3)
    clips_BCTHW = clips_BTHWC.permute(0, 4, 1, 2, 3)
    assert torch.equal(frozen(clips_BCTHW), frozen(clips_BCTHW.contiguous()))
    assert torch.equal(frozen(clips_BCTHW.flip(4).flip(4)), frozen(clips_BCTHW))


def test_what_happens_to_the_network_later_does_not_change_the_frozen_one(way):
    net = made(VARIANTS["base"])
    frozen, clips_BCTHW = FrozenNet(net), noise(1, num_frames=2, height=13, width=10)
    before_BK = frozen(clips_BCTHW)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.zero_()
    assert torch.equal(frozen(clips_BCTHW), before_BK)


def test_a_network_is_frozen_and_stays_in_evaluation(way):
    net = made(VARIANTS["base"])
    with pytest.raises(UsageError, match=r"must be in evaluation mode, net.eval\(\), to be frozen"):
        FrozenNet(net.train())
    frozen = FrozenNet(net.eval())
    assert not frozen.eval().training
    with pytest.raises(UsageError, match="a frozen network must not be trained"):
        frozen.train()


def test_bad_clips_and_states_are_refused(way):
    frozen = FrozenNet(made(VARIANTS["released-stream"]))
    with pytest.raises(UsageError, match=r"clips must be of shape \(B, 3, T, H, W\), but got \(1, 3, 8, 8\)"):
        frozen(torch.rand(1, 3, 8, 8))
    for step in (frozen.step, frozen.step_):
        state = frozen.init_state(1, 13, 10)
        with pytest.raises(StateError, match="must be of shape"):
            step(torch.rand(1, 3, 20, 10), state)
        with pytest.raises(StateError, match=r"head.pool: a state must have exactly the entries .* is missing"):
            step(torch.rand(1, 3, 13, 10), {name: state[name] for name in state if name != "head.pool"})
        with pytest.raises(UsageError, match=r"clips must be of shape"):
            step(torch.rand(1, 4, 13, 10), state)


@pytest.mark.skipif(native.library() is None, reason="no compiler here")
def test_clips_elsewhere_are_refused():
    with pytest.raises(UsageError, match="clips must be on cpu, as the weights, but got meta"):
        FrozenNet(made(VARIANTS["base"]))(torch.rand(1, 3, 2, 8, 8, device="meta"))


def test_a_stream_takes_a_frozen_network_as_it_is():
    net = made(VARIANTS["released-stream"])
    frozen, clip_CTHW = FrozenNet(net), noise(1, num_frames=9, height=13, width=10)[0]
    stream = Stream(frozen)
    for number in range(9):  # more than any ring is long
        logits_K = stream.push(clip_CTHW[:, number])
    assert_close(logits_K, plain(net, clip_CTHW[None])[0])
