import dataclasses
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from made_spaces import specs

from search_spaces.cost import cost
from search_spaces.ensemble import (
    EnsembleCost,
    EnsembleMember,
    EnsembleSpec,
    ensemble_cost,
    temporal_ensemble,
)
from search_spaces.errors import SpecError
from search_spaces.published import NAMES, published, published_ensemble
from search_spaces.rounding import se_hidden_width
from search_spaces.variant import VARIANTS, Variant

BASE = Variant()
STREAM = VARIANTS["paper-stream"]


def cost_of(ensemble):
    return ensemble_cost(cost(member.arch, member.variant) for member in ensemble.members)


def test_two_members_at_half_the_rate_share_the_frames_of_the_full_rate():
    ensemble = temporal_ensemble(published("A3"), STREAM)
    first, second = ensemble.members
    assert (first.offset_frames, second.offset_frames) == (0.0, 0.5)
    assert first.arch == second.arch
    assert first.variant == second.variant == STREAM
    assert dataclasses.astuple(first.arch.clip) == (60, 256, 6.0)  # Table 3: A3-Stream-Ens (x2), 1 x 60 at 6 fps
    assert dataclasses.replace(first.arch, clip=published("A3").clip) == published("A3")
    assert ensemble.aggregation == "mean_logits"


@pytest.mark.parametrize(
    ("name", "clip"),
    [("A1", (25, 172, 2.5)), ("A2", (25, 224, 2.5)), ("A4", (40, 290, 4.0)), ("A5", (60, 320, 6.0))],
)
def test_clips_of_table_3(name, clip):
    (first, _) = temporal_ensemble(published(name), BASE).members
    assert dataclasses.astuple(first.arch.clip) == clip


def of_a_clip_and_not_of_a_frame(spec):
    """MACs of the base form that do not depend on the number of frames: squeeze-and-excitation, dense, classifier."""
    layers = [layer for block in spec.blocks for layer in block.layers if layer.se]
    gates = sum(2 * layer.expansion * se_hidden_width(layer.expansion) for layer in layers)
    return gates + spec.head_width * spec.dense_width + spec.dense_width * 600


@pytest.mark.parametrize("name", NAMES)
def test_the_ensemble_costs_what_one_network_at_full_rate_costs(name):
    # paper 3.3; exactly, what is computed once per clip is computed twice
    spec = published(name)
    whole, both = cost(spec, BASE), cost_of(temporal_ensemble(spec, BASE))
    assert both.macs == whole.macs + of_a_clip_and_not_of_a_frame(spec)
    assert both.paper_gflops == pytest.approx(whole.paper_gflops, rel=0.005)
    assert both.params == 2 * whole.params
    assert both.peak_activation_bytes < whole.peak_activation_bytes


@given(specs())
@settings(max_examples=50, deadline=None)
def test_any_clip_is_halved_or_refused(spec):
    if spec.clip.num_frames % 2:
        with pytest.raises(SpecError, match=r"^arch\.clip\.num_frames: must be even to be halved, but got \d+$"):
            temporal_ensemble(spec, BASE)
        return
    ensemble = temporal_ensemble(spec, BASE)
    for member in ensemble.members:
        clip = member.arch.clip
        assert clip.num_frames / clip.rate_fps == spec.clip.num_frames / spec.clip.rate_fps
    assert sum(member.arch.clip.num_frames for member in ensemble.members) == spec.clip.num_frames


def test_a6_is_a4_and_a5_at_full_rate():
    a6 = published_ensemble("A6", BASE)
    assert [member.arch for member in a6.members] == [published("A4"), published("A5")]
    assert [member.offset_frames for member in a6.members] == [0.0, 0.0]
    assert [dataclasses.astuple(member.arch.clip) for member in a6.members] == [(80, 290, 8.0), (120, 320, 12.0)]
    found = cost_of(a6)
    assert round(found.paper_gflops) == 386  # Table 10
    assert round(found.macs / 1e9, 3) == 379.673  # 103.339 + 276.334, movinet.md 9
    assert round(found.params / 1e6, 1) == 30.0  # movinet.md 2.1: real A4 + A5, the paper prints 31.4 and 15.7
    with pytest.raises(SpecError, match="^a published ensemble must be one of A6, but got 'A7'$"):
        published_ensemble("A7", BASE)


def test_every_figure_of_a_cost_is_summed_but_the_peak():
    def figures(value):
        return {field.name: value for field in dataclasses.fields(EnsembleCost)}

    found = ensemble_cost([SimpleNamespace(**figures(3)), SimpleNamespace(**figures(5))])
    assert dataclasses.asdict(found) == figures(8) | {"peak_activation_bytes": 5}


def test_a_member_is_built_in_a_variant_that_fits():
    with pytest.raises(SpecError, match=r"^arch\.blocks\[1\]\.layers\[0\]\.kernel: must have no extent in time"):
        EnsembleMember(arch=published("A0"), variant=Variant(temporal_shift=True))


def test_offsets_are_numbers_of_one_kind():
    member = EnsembleMember(arch=published("A0"), variant=BASE, offset_frames=0)
    assert type(member.offset_frames) is float


@pytest.mark.parametrize("offset_frames", [-0.5, 1.0, 1, float("nan"), float("inf")])
def test_an_offset_lies_within_a_frame(offset_frames):
    with pytest.raises(SpecError, match=r"^offset_frames: must be in \[0, 1\), but got "):
        EnsembleMember(arch=published("A0"), variant=BASE, offset_frames=offset_frames)


@pytest.mark.parametrize("number", [0, 1, 17])
def test_an_ensemble_has_several_members(number):
    member = EnsembleMember(arch=published("A0"), variant=BASE)
    with pytest.raises(SpecError, match=rf"^members: must be 2 to 16 members, but got {number}$"):
        EnsembleSpec(members=(member,) * number)
    assert len(EnsembleSpec(members=(member,) * 16).members) == 16
