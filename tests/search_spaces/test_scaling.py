import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.cost_table import cost_table
from search_spaces.errors import SpaceError, UsageError
from search_spaces.movinet import A2, NANO
from search_spaces.published import NAMES, published
from search_spaces.scaling import (
    CANDIDATE_VALUES,
    PUBLISHED_COEFFICIENTS,
    Coefficients,
    candidates,
    scaled_space,
)
from search_spaces.spec import ClipGeometry
from search_spaces.variant import Variant

coefficients = st.builds(
    Coefficients, **dict.fromkeys(("depth", "width", "resolution", "frame_rate"), st.floats(1.0, 2.0))
)


def a2_at(phi, using=PUBLISHED_COEFFICIENTS):
    return scaled_space(A2, using, phi=phi, name="scaled")


def test_the_published_coefficients_miss_their_constraint_and_are_taken():
    # paper, A.1; movinet.md 0, fact 11
    assert Coefficients(depth=1.36, width=1.18, resolution=1.16, frame_rate=1.24) == PUBLISHED_COEFFICIENTS
    assert PUBLISHED_COEFFICIENTS.growth == pytest.approx(3.16, abs=0.005)


def test_coefficients_are_floats_that_may_leave_a_dimension_as_it_is():
    found = Coefficients(depth=1, width=2, resolution=1, frame_rate=1)
    assert repr(found) == "Coefficients(depth=1.0, width=2.0, resolution=1.0, frame_rate=1.0)"
    assert found.growth == 4
    assert scaled_space(A2, found, phi=1, name="wide").clip == A2.clip


@pytest.mark.parametrize(("tolerance", "number"), [(0.02, 180), (0.05, 415), (0.10, 880)])
def test_candidates_are_as_many_as_counted(tolerance, number):
    found = candidates(tolerance)  # movinet.md 0, fact 11
    assert len(set(found)) == len(found) == number
    assert list(found) == sorted(found)
    for candidate in found:
        values = (candidate.depth, candidate.width, candidate.resolution, candidate.frame_rate)
        assert set(values) <= set(CANDIDATE_VALUES)
        assert math.prod(values) * candidate.width * candidate.resolution == pytest.approx(4, rel=tolerance + 1e-12)
    assert PUBLISHED_COEFFICIENTS not in found


@pytest.mark.parametrize("tolerance", [0, -0.1, 1, math.nan])
def test_a_tolerance_out_of_range_is_refused(tolerance):
    with pytest.raises(UsageError, match=r"^the tolerance of candidates must be in \(0, 1\), but got "):
        candidates(tolerance)


@pytest.mark.parametrize("name", ["depth", "width", "resolution", "frame_rate"])
@pytest.mark.parametrize("value", [0.99, 2.01, 0, -1.2, math.nan, math.inf])
def test_a_coefficient_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(SpaceError, match=rf"^{name}: a coefficient must be in \[1, 2\], but got "):
        replace(PUBLISHED_COEFFICIENTS, **{name: value})


@pytest.mark.parametrize("phi", [-6.1, 7, math.nan, math.inf])
def test_a_phi_out_of_range_is_refused(phi):
    with pytest.raises(SpaceError, match=r"^phi must be in \[-6, 6\], but got "):
        a2_at(phi)


def test_what_outgrows_a_space_is_refused_with_its_place():
    with pytest.raises(SpaceError, match=r"^depths: at phi 6, space a2 must be consecutive numbers from 1 to 64"):
        a2_at(6, replace(PUBLISHED_COEFFICIENTS, depth=1.4))
    with pytest.raises(SpaceError, match=r"^resolution: at phi 6, space a2 must be in \[8, 4096\]"):
        a2_at(6, replace(PUBLISHED_COEFFICIENTS, resolution=1.8))


def test_phi_zero_is_the_base_to_the_hash():
    odd = replace(NANO, head_width=99, clip=ClipGeometry(num_frames=7, resolution=50, rate_fps=3.3))
    for base in (A2, odd):
        scaled = scaled_space(base, PUBLISHED_COEFFICIENTS, phi=0, name="zero")
        assert scaled.hash == base.hash
        assert scaled.name == "zero"


def test_stems_are_those_of_the_published_networks():
    # Tables 17 to 22: the one width without a multiplier
    spaces = [a2_at(phi) for phi in (-2, -1, 0, 1, 2, 3)]
    assert [space.stem_width for space in spaces] == [published(name).stem_width for name in NAMES]
    assert [space.stem_width for space in spaces] == [8, 16, 16, 16, 24, 24]


@pytest.mark.parametrize(
    ("phi", "depths", "widths", "head", "clip"),
    [
        # by hand: 1.36^-2 = 0.541, 1.18^-2 = 0.718, 1.16^-2 = 0.743, 1.24^-2 = 0.650
        (-2, (1, 5), [16, 32, 72, 72, 136], 368, (33, 168, 3.3)),
        (1, (1, 14), [32, 56, 112, 112, 224], 608, (62, 256, 6.2)),
        # 1.36^3 = 2.515, 1.18^3 = 1.643, 1.16^3 = 1.561, 1.24^3 = 1.907
        (3, (3, 25), [40, 80, 160, 160, 312], 840, (95, 352, 9.5)),
    ],
)
def test_numbers_by_hand(phi, depths, widths, head, clip):
    space = a2_at(phi)
    assert [(block.depths[0], block.depths[-1]) for block in space.blocks] == [depths] * 5
    assert [block.base_width for block in space.blocks] == widths
    assert space.head_width == head
    assert (space.clip.num_frames, space.clip.resolution, space.clip.rate_fps) == pytest.approx(clip)
    assert space.dense_width == A2.dense_width
    assert [block.stride for block in space.blocks] == [block.stride for block in A2.blocks]
    assert (space.kernels, space.expansions) == (A2.kernels, A2.expansions)


def test_halves_are_rounded_up():
    base = replace(A2, stem_width=20, clip=replace(A2.clip, num_frames=5))
    space = scaled_space(base, Coefficients(depth=1.25, width=1.0, resolution=1.125, frame_rate=1.5), phi=1, name="x")
    assert space.stem_width == 24
    assert space.blocks[0].depths == tuple(range(1, 14))  # 12.5
    assert space.clip.num_frames == 8  # 7.5
    assert space.clip.resolution == 256  # 252


@given(coefficients, st.floats(-2, 1.5))
def test_scaling_keeps_the_duration_and_moves_every_dimension_one_way(using, phi):
    space = a2_at(phi, using)
    assert space.clip.num_frames / space.clip.rate_fps == pytest.approx(10)
    smaller, larger = (space, A2) if phi < 0 else (A2, space)
    for low, high in zip(smaller.blocks, larger.blocks, strict=True):
        assert low.base_width <= high.base_width
        assert low.depths[0] <= high.depths[0]
        assert low.depths[-1] <= high.depths[-1]
    assert smaller.head_width <= larger.head_width
    assert smaller.clip.resolution <= larger.clip.resolution
    assert smaller.clip.num_frames <= larger.clip.num_frames


def test_the_greatest_network_grows_by_about_the_coefficients_growth():
    def largest(space):
        return cost_table(space, Variant(), metric="macs", num_classes=600).bounds()[1]

    for using in (PUBLISHED_COEFFICIENTS, Coefficients(depth=1.3, width=1.25, resolution=1.2, frame_rate=1.35)):
        ratio = (largest(a2_at(3, using)) / largest(a2_at(0, using))) ** (1 / 3)
        assert ratio == pytest.approx(using.growth, rel=0.06)
