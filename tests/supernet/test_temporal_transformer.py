"""The temporal head: distances alone count, a stream forgets what lies behind its windows, and refusals."""

import dataclasses
import math

import pytest
import torch
from made_clips import noise
from made_nets import TINY_SPEC, assert_close, randomise, settled
from torch.overrides import TorchFunctionMode

from search_spaces.errors import SpecError
from search_spaces.stream_state import state_entries
from search_spaces.temporal_head import TemporalHead
from search_spaces.variant import VARIANTS, Variant
from supernet.frozen import FrozenNet
from supernet.temporal_head import FrameEmbedding, TemporalTransformer, rotated
from supernet.timeline import Timeline
from supernet.video_net import VideoNet

SIZES = TemporalHead(embed_dim=12, depth=2, heads=2, mlp_dim=20, window=3)
STREAM = dataclasses.replace(VARIANTS["released-stream"], temporal_head=SIZES)
CPU = torch.device("cpu")
# what files of weights hold: a change here breaks everyone's
GOLDEN_NAMES = {
    *(f"head.temporal.embed.{name}" for name in ("weight", "bias")),
    *(
        f"head.temporal.layers.{number}.{part}.{name}"
        for number in range(2)
        for part in ("attention_norm", "mlp_norm", "qkv", "project", "widen", "narrow")
        for name in ("weight", "bias")
    ),
    *(f"head.temporal.norm.{name}" for name in ("weight", "bias")),
}


def made(variant=STREAM, *, height=12, width=12):
    net = VideoNet(TINY_SPEC, variant, num_classes=3)
    randomise(net)
    return settled(net, height=height, width=width)


def transformer(**changes):
    sizes = dataclasses.replace(SIZES, **changes)
    return TemporalTransformer(sizes, in_width=6, generator=torch.Generator().manual_seed(0)).double()


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def run(net, x_BTC, *, past=None):
    timeline = Timeline(x_BTC.shape[0], x_BTC.shape[1], STREAM, device=CPU, past=past)
    return net(x_BTC, timeline, "head")


def test_names_of_the_state_are_stable():
    names = set(made().state_dict())
    assert {name for name in names if name.startswith("head.temporal.")} == GOLDEN_NAMES
    assert not any("dense" in name for name in names)


def test_the_state_by_hand():
    entries = state_entries(TINY_SPEC, STREAM, height=12, width=12)
    head = {name: entry.shape for name, entry in entries.items() if name.startswith("head.")}
    assert head == {"head.layer1.stream_buffer": (2, 24), "head.layer2.stream_buffer": (2, 24), "head.pool": (12,)}
    single = dataclasses.replace(STREAM, temporal_head=dataclasses.replace(SIZES, window=1))
    assert set(state_entries(TINY_SPEC, single, height=12, width=12)) - set(entries) == set()
    assert "head.layer1.stream_buffer" not in state_entries(TINY_SPEC, single, height=12, width=12)


def test_a_window_as_long_as_the_clip_sees_for_the_last_frame_what_the_whole_clip_shows():
    windowed, whole = transformer(depth=1, window=9), transformer(depth=1, window=None)
    x_BTC = drawn(2, 7, 6)
    assert_close(run(windowed, x_BTC)[:, -1], run(whole, x_BTC)[:, -1], tolerance=1e-6)
    assert not torch.allclose(run(windowed, x_BTC)[:, 0], run(whole, x_BTC)[:, 0])


def test_frames_to_come_and_frames_behind_all_windows_change_nothing():
    net, x_BTC = transformer(), drawn(1, 12, 6)
    seen = run(net, x_BTC)
    later, earlier = x_BTC.clone(), x_BTC.clone()
    later[:, 8:] += 1.0
    earlier[:, :4] += 1.0
    assert torch.equal(run(net, later)[:, :8], seen[:, :8])
    reach = 2 * (SIZES.window - 1)  # of two layers
    assert_close(run(net, earlier)[:, 4 + reach :], seen[:, 4 + reach :], tolerance=1e-12)
    assert not torch.allclose(run(net, earlier)[:, 3 + reach], seen[:, 3 + reach])


def test_only_distances_count_so_that_a_stream_may_go_on_for_ever():
    net, x_BTC = transformer(), drawn(1, 9, 6)
    shifted_BTC = torch.cat((drawn(1, 5, 6), x_BTC), dim=1)
    reach = 2 * (SIZES.window - 1)
    assert_close(run(net, shifted_BTC)[:, 5 + reach :], run(net, x_BTC)[:, reach:], tolerance=1e-12)


def test_rotated_products_depend_on_the_distance():
    q_ET, k_ET = drawn(6, 1), drawn(6, 1)

    def product(query_place, key_place):
        turned = (rotated(x_ET, torch.tensor([place])) for x_ET, place in ((q_ET, query_place), (k_ET, key_place)))
        first, second = turned
        return float((first * second).sum())

    assert product(5, 3) == pytest.approx(product(2, 0), abs=1e-6)
    assert product(0, 0) == pytest.approx(float((q_ET * k_ET).sum()))
    assert product(5, 3) != pytest.approx(product(5, 4), abs=1e-3)


def test_a_long_stream_stays_what_it_was_fed():
    """Through a pool of one frame: after hundreds of others, equal frames give equal answers."""
    variant = dataclasses.replace(STREAM, pool_window=1, se="none", se_pool="global")
    net = made(variant)
    early, late = noise(1, num_frames=300, height=12, width=12), noise(1, num_frames=20, height=12, width=12, seed=1)
    with torch.no_grad():
        state = net.init_state(1, 12, 12)
        _, state = net.step(early, state)
        after_BK, _ = net.step(late, state)
        assert_close(after_BK, net(late))


def test_embeddings_never_start_at_zero_and_the_seed_decides_them():
    first, again = (FrameEmbedding(400, 8, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first.weight, again.weight)
    assert float(first.weight.detach().std()) == pytest.approx(1 / math.sqrt(400), rel=0.05)


def test_a_bidirectional_head_on_a_stream_is_refused():
    bidirectional = dataclasses.replace(SIZES, window=None)
    for name in ("paper-stream", "released-stream"):
        with pytest.raises(
            SpecError, match=r"^temporal_head.window: must be a number of frames where the network strea"
        ):
            dataclasses.replace(VARIANTS[name], temporal_head=bidirectional)
    net = made(Variant(temporal_head=bidirectional))
    with pytest.raises(SpecError, match="variant: must be causal"):
        net.init_state(1, 8, 8)


@pytest.mark.parametrize("variant", [STREAM, Variant(temporal_head=dataclasses.replace(SIZES, window=None))])
def test_every_parameter_gets_a_gradient(variant):
    net = made(variant).train()
    net(noise(2, num_frames=4, height=12, width=12)).square().sum().backward()
    without = [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert without == []


def test_a_frozen_network_is_a_copy_that_streams():
    net = made()
    frozen, clips_BCTHW = FrozenNet(net), noise(2, num_frames=5, height=12, width=12)
    with torch.no_grad():
        wanted_BK = net(clips_BCTHW)
        net.head.temporal.embed.weight.zero_()
    state = frozen.init_state(2, 12, 12)
    for number in range(5):
        logits_BK = frozen.step_(clips_BCTHW[:, :, number], state)
    assert_close(logits_BK, wanted_BK)


def test_attention_of_a_2plus1d_network_has_four_dimensions_at_most():
    class Dimensions(TorchFunctionMode):
        most = 0

        def __torch_function__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            Dimensions.most = max(Dimensions.most, out.ndim if isinstance(out, torch.Tensor) else 0)
            return out

    for window in (4, None):
        with Dimensions(), torch.no_grad():
            run(transformer(window=window), drawn(2, 5, 6))
    assert Dimensions.most == 4


@pytest.mark.parametrize("window", [3, None])
def test_under_autocast_the_head_gives_fp32(window):
    net = transformer(window=window).float()
    x_BTC = drawn(2, 6, 6).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(net, x_BTC)
    assert found.dtype == torch.float32
    assert_close(found, run(net, x_BTC), tolerance=0.05)
