import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import TINY, every_row

from search_spaces.cost import cost
from search_spaces.errors import TargetError
from search_spaces.movinet import A2
from search_spaces.published import published
from search_spaces.spec import ClipGeometry
from search_spaces.target import EXAMPLES, SUFFIXES, parse_target
from search_spaces.variant import Variant

CLIP = ClipGeometry(num_frames=50, resolution=224, rate_fps=5.0)


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
    ],
)
def test_forms(text, metric, value, per):
    target = parse_target(text)
    assert (target.text, target.metric, target.value, target.per) == (text, metric, value, per)


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
        ("macs=2Gib/clip", FORM),
        ("macs=2G/", FORM),
        ("macs=2G/clip/frame", FORM),
        ("macs==2G/clip", FORM),
        ("macs=" + "9" * 31 + "/clip", FORM),
        ("flops=2G/clip", r"^a target's metric must be one of macs, paper_gflops, params, but got 'flops'$"),
        ("MACs=2G/clip", r"^a target's metric must be one of macs, paper_gflops, params, but got 'MACs'$"),
        ("macs=2g/clip", r"^a target's suffix must be one of , k, K, M, G, T, Ki, Mi, Gi, Ti, but got 'g'$"),
        ("macs=2GB/clip", r"^a target's suffix must be one of .*, but got 'GB'$"),
        ("macs=2ki/clip", r"^a target's suffix must be one of .*, but got 'ki'$"),
        ("macs=0/clip", r"^a target must be above 0 and below 1e21, but got 'macs=0/clip'$"),
        ("macs=0.0G/clip", r"^a target must be above 0 and below 1e21, but got 'macs=0\.0G/clip'$"),
        ("macs=1e21/clip", r"^a target must be above 0 and below 1e21, but got 'macs=1e21/clip'$"),
        ("macs=1e99T/clip", r"^a target must be above 0 and below 1e21, but got 'macs=1e99T/clip'$"),
        ("macs=2G", r"^a target's unit must be one of /clip, /frame, /s, /second, but got 'macs=2G'$"),
        ("macs=2G/video", r"^a target's unit must be one of /clip, /frame, /s, /second, but got 'macs=2G/video'$"),
        ("paper_gflops=2.7", r"^a target's unit must be one of .*, but got 'paper_gflops=2\.7'$"),
        ("params=3M/clip", r"^a target of parameters must have no unit, but got 'params=3M/clip'$"),
    ],
)
def test_what_is_no_target_is_refused(text, message):
    with pytest.raises(TargetError, match=message):
        parse_target(text)


def test_the_examples_of_the_message_are_targets():
    for text in EXAMPLES.replace(" or ", ", ").split(", "):
        assert parse_target(text).text == text


@settings(max_examples=200)
@given(st.text("macsprflo_=0123456789.eEkKMGTi/ \n", max_size=24))
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
    ],
)
def test_costs_of_a2_in_every_unit(text, expected):
    spec = published("A2")
    found = cost(spec, Variant(), num_classes=600)
    assert parse_target(text).cost(found, spec.clip) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("text", ["macs=1/clip", "macs=1/frame", "macs=1/s", "paper_gflops=1/clip", "params=1"])
@pytest.mark.parametrize(
    "clip", [None, ClipGeometry(num_frames=12, resolution=64, rate_fps=30.0)], ids=["own", "other"]
)
def test_costs_of_a_population_equal_those_of_its_specs(text, clip):
    target = parse_target(text)
    indices_ND = A2.sample_indices(np.random.default_rng(0), 20)
    specs = [A2.decode(A2.genotype(indices_D), Variant()).spec for indices_D in indices_ND]
    one_by_one = [target.cost(cost(spec, Variant(), num_classes=9, clip=clip), clip or CLIP) for spec in specs]
    np.testing.assert_allclose(target.costs(A2, indices_ND, num_classes=9, clip=clip), one_by_one, rtol=1e-12)


@pytest.mark.parametrize("text", ["macs=1/frame", "paper_gflops=1/s", "params=1"])
def test_bounds_are_reached_in_the_targets_unit(text):
    target = parse_target(text)
    costs_N = target.costs(TINY, every_row(TINY), num_classes=9)
    assert target.bounds(TINY, num_classes=9) == (costs_N.min(), costs_N.max())
    slow = dataclasses.replace(TINY.clip, rate_fps=1.0)
    assert target.bounds(TINY, num_classes=9, clip=slow)[0] == pytest.approx(
        costs_N.min() / (4 if target.per == "second" else 1)
    )
