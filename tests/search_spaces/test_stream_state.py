"""Names, shapes and types of what a stream remembers (movinet.md 1.10)."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from made_spaces import frame_wise, specs, variants

from search_spaces.errors import SpecError
from search_spaces.published import published
from search_spaces.stream_state import StateEntry, state_bytes, state_entries
from search_spaces.variant import VARIANTS, Variant

RELEASED = VARIANTS["released-stream"]
A0 = published("A0")


def entries_of_a0(**switches):
    variant = dataclasses.replace(RELEASED, **switches)
    spec = frame_wise(A0) if variant.temporal_shift else A0
    return state_entries(spec, variant, height=172, width=172)


@pytest.mark.parametrize(
    ("conv", "shape"),
    [("3d", (2, 43, 43, 80)), ("3d_2plus1d", (2, 22, 22, 80)), ("2plus1d", (2, 22 * 22, 80))],
)
def test_a_buffer_lies_before_a_convolution_or_between_its_halves(conv, shape):
    # the example of movinet.md 1.10
    entry = entries_of_a0(conv=conv)["block3.layer1.stream_buffer"]
    assert entry == StateEntry(shape=shape, type="network")


def test_a_longer_kernel_looks_further_back_and_one_of_a_frame_not_at_all():
    entries = entries_of_a0()
    assert entries["block4.layer1.stream_buffer"].shape[0] == 4
    assert "block2.layer1.stream_buffer" not in entries


def test_pools_keep_a_sum_or_the_frames_of_a_window():
    for switches, shape in (({}, (80,)), ({"pool_decay": 0.5}, (80,)), ({"pool_window": 5}, (4, 80))):
        assert entries_of_a0(**switches)["block3.layer1.pool"] == StateEntry(shape=shape, type="float32")
    one_frame = entries_of_a0(pool_window=1)
    assert not any(name.endswith("pool") for name in one_frame)
    assert entries_of_a0(se="none", se_pool="global").keys() & {"block3.layer1.pool", "head.pool"} == {"head.pool"}


def test_a_shift_keeps_an_eighth_of_one_frame():
    entries = entries_of_a0(temporal_shift=True)
    # the shift comes before the convolution, which has the stride, whatever the convolution
    assert entries["block3.layer1.stream_buffer"].shape == (1, 43, 43, 10)
    assert entries["block2.layer1.stream_buffer"].shape == (1, 86, 86, 3)


def test_frames_need_not_be_square():
    entries = state_entries(A0, RELEASED, height=91, width=160)
    assert entries["block3.layer1.stream_buffer"].shape == (2, 12, 20, 80)


def test_a_spec_that_does_not_fit_is_refused():
    with pytest.raises(SpecError, match="must have no extent in time"):
        state_entries(A0, Variant(causal=True, se="2d", temporal_shift=True), height=172, width=172)


@settings(max_examples=100)
@given(specs(), variants(streaming=False))
def test_what_does_not_stream_remembers_nothing(spec, variant):
    assert state_entries(spec, variant, height=30, width=20) == {}


@settings(max_examples=100)
@given(specs(), variants(streaming=True))
def test_bytes_are_those_of_the_entries(spec, variant):
    entries = state_entries(spec, variant, height=30, width=20)
    buffers = sum(math.prod(entry.shape) for entry in entries.values() if entry.type == "network")
    others = sum(math.prod(entry.shape) for entry in entries.values() if entry.type != "network")
    assert state_bytes(entries, bytes_per_element=2) == (2 * buffers, 2 * buffers + 4 * others)
    assert entries["frame_count"] == StateEntry(shape=(), type="int32")
