"""What a timeline gives and hands on, by hand."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.variant import VARIANTS, Variant
from supernet.timeline import Timeline

STREAM = VARIANTS["paper-stream"]
CPU = torch.device("cpu")


def ramp(num_frames, *, start=1):
    """(1, T, 1): start, start + 1, ..."""
    return torch.arange(start, start + num_frames, dtype=torch.float32)[None, :, None]


def timeline(num_frames, *, past=None, num_clips=1, variant=STREAM, **switches):
    variant = dataclasses.replace(variant, **switches)
    if past is not None and "frame_count" not in past:
        past = {"frame_count": torch.zeros(num_clips, dtype=torch.int32), **past}
    return Timeline(num_clips, num_frames, variant, device=CPU, past=past)


def test_frames_look_back_at_zeros_first_and_at_the_last_frames_later():
    first = timeline(3, past={"x": torch.zeros(1, 2, 1)})
    assert first.look_back("x", ramp(3), 2).flatten().tolist() == [0, 0, 1, 2, 3]
    assert first.future["x"].flatten().tolist() == [2, 3]
    short = timeline(1, past=first.future)  # a piece shorter than what is remembered
    assert short.look_back("x", ramp(1, start=4), 2).flatten().tolist() == [2, 3, 4]
    assert short.future["x"].flatten().tolist() == [3, 4]
    assert short.future["frame_count"].tolist() == [4]


def test_a_clip_of_its_own_is_not_remembered():
    clip = timeline(3)
    assert clip.look_back("x", ramp(3), 2).flatten().tolist() == [0, 0, 1, 2, 3]
    clip.running_mean("pool", ramp(3))
    assert clip.future == {}


def test_what_is_remembered_does_not_keep_all_frames_alive():
    clip = timeline(100, past={"x": torch.zeros(1, 2, 1)})
    clip.look_back("x", ramp(100), 2)
    assert clip.future["x"].untyped_storage().nbytes() == 2 * 4


@pytest.mark.parametrize(
    ("switches", "wanted"),
    [
        ({}, [1, 1.5, 2, 2.5, 3]),
        ({"pool_window": 2}, [1, 1.5, 2.5, 3.5, 4.5]),
        ({"pool_window": 1}, [1, 2, 3, 4, 5]),
        ({"pool_decay": 0.5}, [1, 2.5 / 1.5, 4.25 / 1.75, 6.125 / 1.875, 8.0625 / 1.9375]),
    ],
)
def test_running_means_by_hand(switches, wanted):
    assert timeline(5, **switches).running_mean("pool", ramp(5)).flatten().tolist() == pytest.approx(wanted)


@given(
    switches=st.sampled_from(({}, {"pool_window": 3}, {"pool_window": 1}, {"pool_decay": 0.9}, {"pool_decay": 0.01})),
    cut=st.integers(1, 9),
)
def test_running_means_in_two_pieces_are_those_of_one(switches, cut):
    x_BTC = torch.rand(2, 10, 3, generator=torch.Generator().manual_seed(cut))
    whole_BTC = timeline(10, num_clips=2, **switches).running_mean("pool", x_BTC)
    shape = (2, switches["pool_window"] - 1, 3) if "pool_window" in switches else (2, 3)
    first = timeline(cut, past={"pool": torch.zeros(shape)}, num_clips=2, **switches)
    early_BTC = first.running_mean("pool", x_BTC[:, :cut])
    second = timeline(10 - cut, past=first.future, num_clips=2, **switches)
    late_BTC = second.running_mean("pool", x_BTC[:, cut:])
    torch.testing.assert_close(torch.cat((early_BTC, late_BTC), dim=1), whole_BTC)


@pytest.mark.parametrize("channels", [8, 7])
def test_positional_encoding_by_hand(channels):
    """movinet.md 1.6: pos / 10000^(2 floor(i / 2) / C); sines of even channels, then cosines of odd ones."""
    past = {"frame_count": torch.tensor([5], dtype=torch.int32)}
    found_TC = timeline(2, past=past).positional_encoding(channels)[0]
    for frame, number in enumerate((5, 6)):
        angles = [number / 10_000 ** (2 * (channel // 2) / channels) for channel in range(channels)]
        wanted = [math.sin(angle) for angle in angles[0::2]] + [math.cos(angle) for angle in angles[1::2]]
        assert found_TC[frame].tolist() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_shifted_channels_come_from_the_neighbouring_frames(causal):
    """16 channels: two late, and where the future is known two early; frame t of channel c holds 100 t + c."""
    x_NCHW = (100 * torch.arange(3.0)[:, None] + torch.arange(16.0))[:, :, None, None]
    x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)
    found_TC = timeline(3, variant=Variant(temporal_shift=True, causal=causal)).shifted("x", x_NCHW)[:, :, 0, 0]
    assert found_TC[:, :2].tolist() == [[0, 0], [0, 1], [100, 101]]
    if causal:
        assert torch.equal(found_TC[:, 2:], x_NCHW[:, 2:, 0, 0])
    else:
        assert found_TC[:, 2:4].tolist() == [[102, 103], [202, 203], [0, 0]]
        assert torch.equal(found_TC[:, 4:], x_NCHW[:, 4:, 0, 0])


def test_clips_are_views_of_frames():
    x_NCHW = torch.rand(6, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    x_BTHWC = timeline(3, num_clips=2).clips_of(x_NCHW)
    assert x_BTHWC.shape == (2, 3, 4, 5, 3)
    assert x_BTHWC.data_ptr() == x_NCHW.data_ptr()
    assert torch.equal(x_BTHWC[1, 2].permute(2, 0, 1), x_NCHW[5])
    assert timeline(3, num_clips=2, conv="2plus1d").clips_of(x_NCHW).shape == (2, 3, 20, 3)
