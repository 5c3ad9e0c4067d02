import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import TINY, TINY_CLIPS, every_row

from search_spaces.cost import BYTES, cost
from search_spaces.errors import LatencyTableError, TargetError
from search_spaces.movinet import A2
from search_spaces.published import published
from search_spaces.spec import ClipGeometry
from search_spaces.target import EXAMPLES, SUFFIXES, parse_target
from search_spaces.variant import VARIANTS, Variant

STREAM = VARIANTS["released-stream"]


@pytest.mark.parametrize(
    ("text", "metric", "value", "per"),
    [
        ("macs=2.7G/clip", "macs", 2.7e9, "clip"),
        ("macs=50M/frame", "macs", 50e6, "frame"),
        ("macs=300M/s", "macs", 300e6, "second"),
        ("macs=300M/second", "macs", 300e6, "second"),
        ("macs=12500000/clip", "macs", 12_500_000, "clip"),
        ("macs=2e9/clip", "macs", 2e9, "clip"),
        ("macs=1.5e3k/clip", "macs", 1.5e6, "clip"),
        ("macs=64Ki/frame", "macs", 65_536, "frame"),
        ("macs=1.5Mi/clip", "macs", 1_572_864, "clip"),
        ("macs=2Gi/clip", "macs", 2 << 30, "clip"),
        ("macs=1Ti/clip", "macs", 1 << 40, "clip"),
        ("macs=1T/clip", "macs", 1e12, "clip"),
        ("macs=7k/clip", "macs", 7000, "clip"),
        ("macs=7K/clip", "macs", 7000, "clip"),
        ("paper_gflops=2.71/clip", "paper_gflops", 2.71, "clip"),
        ("paper_gflops=0.05/frame", "paper_gflops", 0.05, "frame"),
        ("params=3M", "params", 3e6, None),
        ("params=2097152", "params", 2 << 20, None),
        ("state=2MiB@fp16", "state", 2 << 20, None),
        ("state=2Mi@fp16", "state", 2 << 20, None),
        ("state=500kB@fp32", "state", 500_000, None),
        ("state=1e6B@bf16", "state", 1_000_000, None),
        ("activations=8MiB/clip@fp16", "activations", 8 << 20, "clip"),
        ("activations=8MiB/frame@fp16", "activations", 8 << 20, "frame"),
        ("activations=300kB@fp32", "activations", 300_000, "clip"),
    ],
)
def test_forms(text, metric, value, per):
    target = parse_target(text)
    assert (target.text, target.metric, target.value, target.per) == (text, metric, value, per)
    assert target.dtype == (text.partition("@")[2] or None)


METRICS = r"^a target's metric must be one of macs, paper_gflops, params, state, activations, latency, but got "
FORM = r"^a target must be written as metric=number/unit, such as macs=2\.7G/clip, .* but got "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", FORM),
        ("2.7G", FORM),
        ("macs", FORM),
        ("macs=", FORM),
        ("macs=/clip", FORM),
        ("macs=G/clip", FORM),
        ("macs=-2G/clip", FORM),
        ("macs=+2G/clip", FORM),
        ("macs=.5G/clip", FORM),
        ("macs=2.G/clip", FORM),
        ("macs=1,5G/clip", FORM),
        ("macs=nan/clip", FORM),
        ("macs=٣G/clip", FORM),
        ("macs=inf/clip", FORM),
        ("macs=2G /clip", FORM),
        ("macs=2G/clip\n", FORM),
        ("macs=2GiBs/clip", FORM),
        ("state=2MiB@", FORM),
        ("state=2MiB@fp16/frame", FORM),
        ("macs=2G/", FORM),
        ("macs=2G/clip/frame", FORM),
        ("macs==2G/clip", FORM),
        ("macs=" + "9" * 31 + "/clip", FORM),
        ("flops=2G/clip", METRICS + "'flops'$"),
        ("MACs=2G/clip", METRICS + "'MACs'$"),
        ("macs=2g/clip", r"^a target's suffix must be one of , k, K, M, G, T, Ki, Mi, Gi, Ti, but got 'g'$"),
        ("macs=2GB/clip", r"^a target's suffix must be one of .*, but got 'GB'$"),
        ("macs=2Gib/clip", r"^a target's suffix must be one of .*, but got 'Gib'$"),
        ("macs=2GiB/clip", r"^a target's suffix must be one of .*, but got 'GiB'$"),
        ("state=2MiBB@fp16", FORM),
        ("state=2BB@fp16", r"^a target's suffix must be one of .*, but got 'BB'$"),
        ("macs=2ki/clip", r"^a target's suffix must be one of .*, but got 'ki'$"),
        ("macs=0/clip", r"^a target must be above 0 and below 1e21, but got 'macs=0/clip'$"),
        ("macs=0.0G/clip", r"^a target must be above 0 and below 1e21, but got 'macs=0\.0G/clip'$"),
        ("macs=1e21/clip", r"^a target must be above 0 and below 1e21, but got 'macs=1e21/clip'$"),
        ("macs=1e99T/clip", r"^a target must be above 0 and below 1e21, but got 'macs=1e99T/clip'$"),
        ("macs=2G", r"^a target's unit must be one of /clip, /frame, /s, /second, but got 'macs=2G'$"),
        ("macs=2G/video", r"^a target's unit must be one of /clip, /frame, /s, /second, but got 'macs=2G/video'$"),
        ("paper_gflops=2.7", r"^a target's unit must be one of .*, but got 'paper_gflops=2\.7'$"),
        ("params=3M/clip", r"^a target of params must have no unit, but got 'params=3M/clip'$"),
        ("state=2MiB/clip@fp16", r"^a target of state must have no unit, but got 'state=2MiB/clip@fp16'$"),
        ("state=2MiB", r"^a target of state must end in one of @fp32, @bf16, @fp16, but got 'state=2MiB'$"),
        ("state=2MiB@int8", r"^a target of state must end in one of @fp32, .*, but got 'state=2MiB@int8'$"),
        ("macs=2G/clip@fp16", r"^a target of macs must have no type, but got 'macs=2G/clip@fp16'$"),
        ("activations=8MiB", r"^a target of activations must end in one of @fp32, @bf16, @fp16, but got "),
        ("activations=8MiB/s@fp16", r"^a target of activations must be per /clip or /frame, but got "),
    ],
)
def test_what_is_no_target_is_refused(text, message):
    with pytest.raises(TargetError, match=message):
        parse_target(text)


def test_the_examples_of_the_message_are_targets():
    *examples, latency = EXAMPLES.replace(" or ", ", ").split(", ")
    with pytest.raises(LatencyTableError, match=r"^table\.json: must be a readable file"):
        parse_target(latency)
    for text in examples:
        assert parse_target(text).text == text


@settings(max_examples=200)
@given(st.text("macsprfloet_=0123456789.eEkKMGTiB/@ \n", max_size=24))
def test_any_text_is_a_target_or_refused(text):
    try:
        target = parse_target(text)
    except TargetError:
        return
    assert 0 < target.value < 1e21


@settings(max_examples=100)
@given(st.integers(1, 10**6), st.sampled_from(sorted(SUFFIXES)))
def test_a_suffix_multiplies(number, suffix):
    assert parse_target(f"macs={number}{suffix}/clip").value == number * SUFFIXES[suffix]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("macs=1/clip", 11_558_071_168),
        ("macs=1/frame", 11_558_071_168 / 50),
        ("macs=1/s", 11_558_071_168 / 10),  # 50 frames at 5 per second are 10 seconds
        ("paper_gflops=1/clip", 11.854070368),
        ("paper_gflops=1/frame", 11.854070368 / 50),
        ("params=1", 5_249_562),
        ("state=1@fp32", 0),
    ],
)
def test_costs_of_a2_in_every_unit(text, expected):
    spec = published("A2")
    assert parse_target(text).cost(spec, Variant(), num_classes=600) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", BYTES)
def test_state_of_a2_in_every_type(dtype):
    # 10,800,384 bytes of buffers in fp32 (movinet.md 1.10), and 27,972 of sums and the count
    found = parse_target(f"state=1@{dtype}").cost(published("A2"), STREAM, num_classes=600)
    assert found == 10_800_384 * BYTES[dtype] / 4 + 27_972


def test_activations_are_those_of_a_clip_or_of_a_streams_step():
    whole = cost(published("A0"), STREAM, dtype="fp16")
    clip, frame = parse_target("activations=1@fp16"), parse_target("activations=1/frame@fp16")
    assert clip.cost(published("A0"), STREAM, num_classes=600) == whole.peak_activation_bytes
    assert frame.cost(published("A0"), STREAM, num_classes=600) == whole.step_peak_activation_bytes
    assert (clip.of_streams, frame.of_streams, parse_target("state=1@fp16").of_streams) == (False, True, True)


@pytest.mark.parametrize(
    "text",
    [
        "macs=1/clip",
        "macs=1/frame",
        "macs=1/s",
        "paper_gflops=1/clip",
        "params=1",
        "state=1@fp16",
        "activations=1/clip@fp16",
        "activations=1/frame@fp32",
    ],
)
@pytest.mark.parametrize("variant", [Variant(), STREAM], ids=["base", "stream"])
@pytest.mark.parametrize(
    "clip", [None, ClipGeometry(num_frames=12, resolution=64, rate_fps=30.0)], ids=["own", "other"]
)
def test_costs_of_a_population_equal_those_of_its_specs(text, variant, clip):
    target = parse_target(text)
    indices_ND = A2.sample_indices(np.random.default_rng(0), 20)
    specs = [A2.decode(A2.genotype(indices_D), variant).spec for indices_D in indices_ND]
    one_by_one = [target.cost(spec, variant, num_classes=9, clip=clip) for spec in specs]
    found_N = target.costs(A2, variant, indices_ND, num_classes=9, clip=clip)
    np.testing.assert_allclose(found_N, one_by_one, rtol=1e-12)


@pytest.mark.parametrize("text", ["macs=1/frame", "paper_gflops=1/s", "params=1", "state=1@bf16", "activations=1@fp16"])
def test_bounds_are_reached_in_the_targets_unit(text):
    target = parse_target(text)
    costs_N = target.costs(TINY, STREAM, every_row(TINY), num_classes=9)
    assert target.bounds(TINY, STREAM, num_classes=9) == (costs_N.min(), costs_N.max())
    slow = dataclasses.replace(TINY.clip, rate_fps=1.0)
    assert target.bounds(TINY, STREAM, num_classes=9, clip=slow)[0] == pytest.approx(
        costs_N.min() / (4 if target.per == "second" else 1)
    )


@pytest.mark.parametrize(
    "text", ["macs=1/clip", "macs=1/frame", "macs=1/s", "paper_gflops=1/s", "params=1", "state=1@bf16"]
)
def test_where_the_clip_is_decided_each_network_costs_what_it_does_at_its_own(text):
    target = parse_target(text)
    rows_ND = every_row(TINY_CLIPS)
    specs = [TINY_CLIPS.decode(TINY_CLIPS.genotype(row_D), STREAM).spec for row_D in rows_ND]
    assert len({spec.clip for spec in specs}) == 8
    one_by_one = [target.cost(spec, STREAM, num_classes=9) for spec in specs]
    np.testing.assert_allclose(target.costs(TINY_CLIPS, STREAM, rows_ND, num_classes=9), one_by_one, rtol=1e-12)
    assert target.bounds(TINY_CLIPS, STREAM, num_classes=9) == pytest.approx((min(one_by_one), max(one_by_one)))
    fixed = target.costs(TINY_CLIPS, STREAM, rows_ND, num_classes=9, clip=TINY.clip)
    assert fixed[0] == pytest.approx(target.cost(specs[0], STREAM, num_classes=9, clip=TINY.clip))
    assert len(set(fixed)) <= len(rows_ND) / 8
