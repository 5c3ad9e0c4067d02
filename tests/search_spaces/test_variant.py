import dataclasses
import re

import pytest
from hypothesis import given
from made_spaces import frame_wise, variants

from search_spaces.errors import SpecError
from search_spaces.published import published, released_stream
from search_spaces.variant import VARIANTS, Variant, check_fits


def test_the_default_is_the_published_base_network():
    assert VARIANTS["base"] == Variant()


def test_every_switch_has_a_default_so_that_older_files_keep_their_fingerprint():
    assert all(entry.default is not dataclasses.MISSING for entry in dataclasses.fields(Variant))


# movinet.md 1.9: the YAML files of `base`, section 3.2 and appendix A of the paper, the released streams
PRESETS = {
    "base": {
        "conv": "3d",
        "causal": False,
        "temporal_shift": False,
        "se": "3d",
        "se_pool": "global",
        "positional_encoding": False,
        "pool_window": None,
        "pool_decay": None,
        "temporal_pooling": "mean",
        "activation": "swish",
        "gate": "sigmoid",
        "head_activation": "swish",
        "temporal_head": None,
    },
    "paper-stream": {
        "conv": "3d",
        "causal": True,
        "temporal_shift": False,
        "se": "3d",
        "se_pool": "cumulative",
        "positional_encoding": True,
        "pool_window": None,
        "pool_decay": None,
        "temporal_pooling": "mean",
        "activation": "hard_swish",
        "gate": "hard_sigmoid",
        "head_activation": "hard_swish",
        "temporal_head": None,
    },
    "released-stream": {
        "conv": "3d_2plus1d",
        "causal": True,
        "temporal_shift": False,
        "se": "2plus3d",
        "se_pool": "cumulative",
        "positional_encoding": False,
        "pool_window": None,
        "pool_decay": None,
        "temporal_pooling": "mean",
        "activation": "hard_swish",
        "gate": "hard_sigmoid",
        "head_activation": "swish",
        "temporal_head": None,
    },
}


def test_presets_are_those_of_the_paper_and_of_the_released_code():
    assert {name: dataclasses.asdict(variant) for name, variant in VARIANTS.items()} == PRESETS
    assert [VARIANTS[name].streams for name in PRESETS] == [False, True, True]


# movinet.md 1.4 and the table of 4
@pytest.mark.parametrize(
    ("name", "positional_encoding", "head_activation"),
    [
        ("A0", False, "swish"),
        ("A1", False, "hard_swish"),
        ("A2", False, "swish"),
        ("A3", True, "swish"),
        ("A4", True, "hard_swish"),
        ("A5", True, "swish"),
    ],
)
def test_released_streams_differ_by_size_as_their_configurations_do(name, positional_encoding, head_activation):
    changed = {"positional_encoding": positional_encoding, "head_activation": head_activation}
    assert dataclasses.asdict(released_stream(name)) == PRESETS["released-stream"] | changed


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"se": "2d", "se_pool": "cumulative"}, "se_pool: cumulative needs se 3d or 2plus3d"),
        ({"positional_encoding": True}, "positional_encoding: needs squeeze-and-excitation of each frame"),
        ({"causal": True, "se": "none", "positional_encoding": True}, "positional_encoding: needs"),
        ({"pool_window": 4}, "pool_window: needs a network that streams"),
        ({"causal": True, "pool_decay": 0.9}, "pool_decay: needs a network that streams"),
        (
            {"causal": True, "se": "2d", "temporal_pooling": "softmax", "pool_window": 4},
            "pool_window: needs a network that streams",
        ),
        ({"causal": True, "se": "2d", "pool_window": 0}, r"pool_window: must be in \[1, 16384\], but got 0"),
        ({"causal": True, "se": "2d", "pool_decay": 1.0}, r"pool_decay: must be in \(0, 1\), but got 1.0"),
        (
            {"causal": True, "se": "2d", "pool_window": 4, "pool_decay": 0.5},
            "must be None beside pool_window",
        ),
    ],
)
def test_switches_that_contradict_each_other_are_refused(switches, message):
    with pytest.raises(SpecError, match=message):
        Variant(**switches)


@given(variant=variants(streaming=True))
def test_a_variant_asked_to_stream_does(variant):
    assert variant.streams


def test_causal_convolutions_go_with_a_global_pool():
    # Table 4 of the paper has them together; only such a network cannot be run piece by piece
    assert not Variant(causal=True, se_pool="global").streams
    assert Variant(causal=True, se="2d").streams


def test_a_temporal_shift_is_for_kernels_without_extent_in_time():
    shift = Variant(temporal_shift=True)
    check_fits(frame_wise(published("A0")), shift)
    check_fits(published("A0"), Variant())
    message = "arch.blocks[1].layers[0].kernel: must have no extent in time where the variant has a temporal shift"
    with pytest.raises(SpecError, match=re.escape(message)):
        check_fits(published("A0"), shift)
