"""Sizes of a temporal head, and its cost beside a walk through its operators."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import temporal_heads

from search_spaces.cost import cost
from search_spaces.errors import SpecError
from search_spaces.published import published
from search_spaces.spec_json import fingerprint, make_spec_file, parse_spec
from search_spaces.temporal_head import TemporalHead, temporal_macs, temporal_params, temporal_peak
from search_spaces.variant import VARIANTS, Variant


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dim": 0}, r"^embed_dim: must be in \[1, 16384\], but got 0"),
        ({"depth": 9}, r"^depth: must be in \[1, 8\], but got 9"),
        ({"mlp_dim": 0}, r"^mlp_dim: must be in"),
        ({"heads": 0}, r"^heads: must be at least 1 and divide half of embed_dim 128, but got 0"),
        ({"heads": 3}, r"^heads: .* but got 3"),
        ({"embed_dim": 12, "heads": 4}, r"^heads: .* half of embed_dim 12, but got 4"),
        ({"window": 0}, r"^window: must be in \[1, 1024\], but got 0"),
    ],
)
def test_sizes_outside_their_range_are_refused(changes, message):
    with pytest.raises(SpecError, match=message):
        TemporalHead(**changes)


def test_a_spec_with_a_head_reads_back_and_has_a_fingerprint_of_its_own():
    variant = dataclasses.replace(VARIANTS["paper-stream"], temporal_head=TemporalHead(window=8))
    arch = published("A0")
    spec_file = make_spec_file(arch, variant)
    document = json.loads(json.dumps(dataclasses.asdict(spec_file)))
    assert parse_spec(document) == spec_file
    others = [VARIANTS["paper-stream"], dataclasses.replace(variant, temporal_head=TemporalHead(window=9))]
    assert len({fingerprint(arch, each) for each in (variant, *others)}) == 3
    document["variant"]["temporal_head"]["window"] = None
    with pytest.raises(SpecError, match=r"variant.temporal_head.window: must be a number of frames where"):
        parse_spec(document)
    document["variant"]["temporal_head"] = {"embed_dim": 64, "width": 3}
    with pytest.raises(SpecError, match="variant.temporal_head.width: must be a known field"):
        parse_spec(document)


def test_cost_by_hand():
    head = TemporalHead(embed_dim=8, depth=1, heads=2, mlp_dim=16, window=3)
    # 5 frames: 10 to 8; queries, keys, values 8 to 24; scores and values 3 x 8 each; 8 to 8; 8 to 16 and back
    assert temporal_macs(head, in_width=10, num_frames=5) == 5 * (80 + 192 + 2 * 24 + 64 + 2 * 128)
    # 88 of the embedding, two norms of 16, 216 + 72, 144 + 136, the last norm
    assert temporal_params(head, in_width=10) == 88 + 32 + 216 + 72 + 144 + 136 + 16
    whole = dataclasses.replace(head, window=None)
    assert temporal_macs(whole, in_width=10, num_frames=5) == 5 * (80 + 192 + 2 * 40 + 64 + 2 * 128)


def test_the_head_takes_the_place_of_the_dense_layer():
    arch, head = published("A0"), TemporalHead()
    base, other = (cost(arch, Variant(temporal_head=each), num_classes=600) for each in (None, head))
    dense = 480 * 2048 + 2048 * 600
    assert other.macs - base.macs == temporal_macs(head, in_width=480, num_frames=50) + 128 * 600 - dense
    assert other.params - base.params == temporal_params(head, in_width=480) + 128 * 600 - (dense + 2048)
    assert cost(dataclasses.replace(arch, dense_width=7), Variant(temporal_head=head)) == cost(
        arch, Variant(temporal_head=head)
    )


def peak_step_by_step(head, *, in_width, num_frames):
    """Every operator's output is made beside what is alive, then what nobody reads any more goes."""
    alive, peak = {"pooled": num_frames * in_width}, 0

    def run(name, size, frees=()):
        nonlocal peak
        alive[name] = size
        peak = max(peak, sum(alive.values()))
        for old in frees:
            del alive[old]

    dim, keys = num_frames * head.embed_dim, head.window or num_frames
    scores = num_frames * keys * head.heads
    run("x", dim, ["pooled"])
    for _ in range(head.depth):
        run("norm", dim)
        run("qkv", 3 * dim, ["norm"])
        if head.window is None:
            run("rotated q, k", 2 * dim)
            run("scores", scores, ["rotated q, k"])
        else:
            run("windows", 2 * keys * dim)
            run("rotated k", keys * dim)
            run("scores", scores, ["qkv", "rotated k"])
        run("weights", scores, ["scores"])
        run("seen", dim, ["weights", "qkv" if head.window is None else "windows"])
        run("projected", dim, ["seen"])
        run("sum", dim, ["x", "projected"])
        alive["x"] = alive.pop("sum")
        run("norm", dim)
        run("hidden", num_frames * head.mlp_dim, ["norm"])
        run("gelu", num_frames * head.mlp_dim, ["hidden"])
        run("narrow", dim, ["gelu"])
        run("sum", dim, ["x", "narrow"])
        alive["x"] = alive.pop("sum")
    run("last norm", dim)
    return peak


@settings(max_examples=300)
@given(
    st.booleans().flatmap(lambda windowed: temporal_heads(windowed=windowed)), st.integers(1, 90), st.integers(1, 12)
)
def test_peak_equals_the_operators_step_by_step(head, in_width, num_frames):
    wanted = peak_step_by_step(head, in_width=in_width, num_frames=num_frames)
    assert temporal_peak(head, in_width=in_width, num_frames=num_frames) == wanted
