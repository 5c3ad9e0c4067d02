from dataclasses import replace

import pytest

from search_spaces.ceilings import MAX_PARAMS, SWITCH, check_ceilings
from search_spaces.cost import cost
from search_spaces.errors import SpecError
from search_spaces.movinet import SPACES
from search_spaces.published import NAMES, published
from search_spaces.spec import MAX_CHANNELS, MAX_FRAMES, MAX_RESOLUTION, ClipGeometry, parse_kernel
from search_spaces.variant import VARIANTS, Variant

A0 = published("A0")
HUGE_CLIP = ClipGeometry(num_frames=MAX_FRAMES, resolution=MAX_RESOLUTION, rate_fps=25.0)
WIDE = replace(A0, head_width=MAX_CHANNELS, dense_width=MAX_CHANNELS)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_everything_published_is_far_below(variant):
    for name in NAMES:
        check_ceilings(published(name), variant, num_classes=100_000)
    for space in SPACES.values():
        check_ceilings(
            space.largest_widths(), variant, num_classes=700, kernels=tuple(map(parse_kernel, space.kernels))
        )


@pytest.mark.parametrize(
    ("spec", "clip", "num_classes", "message"),
    [
        (
            WIDE,
            None,
            100_000,
            r"at most 1,073,741,824 parameters, but this one has 1,9\d\d,\d{3},\d{3}; .* set MOVINAS_CEIL",
        ),
        (replace(A0, clip=HUGE_CLIP), None, 600, r"at most 100,000,000,000,000 multiply-adds per clip"),
        (A0, HUGE_CLIP, 600, r"at most 100,000,000,000,000 multiply-adds per clip"),
        (A0, replace(HUGE_CLIP, num_frames=200), 600, r"at most 137,438,953,472 bytes of activations alive at once"),
    ],
)
def test_what_no_machine_could_hold_is_refused(monkeypatch, spec, clip, num_classes, message):
    with pytest.raises(SpecError, match=message):
        check_ceilings(spec, Variant(), num_classes=num_classes, clip=clip)
    monkeypatch.setenv(SWITCH, "off")
    check_ceilings(spec, Variant(), num_classes=num_classes, clip=clip)


def test_the_kernels_of_a_supernet_count():
    layers = tuple(
        replace(A0.blocks[0].layers[0], expansion=MAX_CHANNELS, width=8, stride=1, se=False) for _ in range(64)
    )
    spec = replace(A0, blocks=(replace(A0.blocks[0], layers=layers),))
    assert cost(spec, Variant(), num_classes=600).params < MAX_PARAMS
    check_ceilings(replace(spec, clip=replace(A0.clip, num_frames=1, resolution=16)), Variant(), num_classes=600)
    kernels = tuple((time, size, size) for time in (1, 3, 5) for size in (11, 13, 15))
    with pytest.raises(SpecError, match="parameters"):
        check_ceilings(
            replace(spec, clip=replace(A0.clip, num_frames=1, resolution=16)),
            Variant(),
            num_classes=600,
            kernels=kernels,
        )
