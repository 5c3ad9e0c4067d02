import dataclasses

import pytest
from hypothesis import given, settings
from made_spaces import specs, variants

from search_spaces.cost import cost, part_costs
from search_spaces.errors import SpecError
from search_spaces.floors import Floors, forward_floors, kept_bytes, operators, training_floors
from search_spaces.published import published
from search_spaces.spec import ArchSpec, BlockSpec, ClipGeometry, LayerSpec
from search_spaces.variant import VARIANTS, Variant

CLIP = ClipGeometry(num_frames=2, resolution=8, rate_fps=5.0)
SMALL = ArchSpec(
    clip=CLIP,
    stem_width=8,
    blocks=(BlockSpec(layers=(LayerSpec(kernel=(3, 3, 3), width=16, expansion=24, stride=2, se=False),)),),
    head_width=32,
    dense_width=64,
)


@settings(deadline=None)
@given(specs(), variants())
def test_multiply_adds_and_parameters_are_those_of_the_cost(spec, variant):
    try:
        wanted = cost(spec, variant, num_classes=7)
    except SpecError:
        with pytest.raises(SpecError):
            operators(spec, variant)
        return
    found = operators(spec, variant, num_classes=7)
    assert sum(operator.macs for operator in found) == wanted.macs
    assert sum(operator.params for operator in found) == wanted.params
    parts = part_costs(spec, variant, num_classes=7)
    for name, part in parts.items():
        assert sum(operator.macs for operator in found if operator.part == name) == part.macs


def test_floors_by_hand():
    """Stem, 32 pixels; expansion, kernel to 8 pixels, projection, pooled skip; head, dense layer, classifier."""
    found = operators(SMALL, Variant(), num_classes=10)
    inputs = [2 * 64 * 3, 32 * 8, 32 * 24, 8 * 24, 32 * 8, 8 * 16, 32, 64]
    outputs = [32 * 8, 32 * 24, 8 * 24, 8 * 16, 8 * 16, 8 * 32, 64, 10]
    params = [27 * 8 + 16, 8 * 24 + 48, 27 * 24 + 48, 24 * 16 + 32 + 1, 8 * 16 + 32, 16 * 32 + 64, 33 * 64, 65 * 10]
    macs = [32 * 27 * 8, 32 * 8 * 24, 8 * 27 * 24, 8 * 24 * 16, 8 * 8 * 16, 8 * 16 * 32, 32 * 64, 64 * 10]
    assert [operator.inputs for operator in found] == inputs
    assert [operator.outputs for operator in found] == outputs
    assert [operator.params for operator in found] == params
    assert [operator.macs for operator in found] == macs
    assert forward_floors(found, num_clips=3, dtype="bf16") == Floors(
        macs=3 * sum(macs), num_bytes=2 * (3 * (sum(inputs) + sum(outputs)) + sum(params))
    )
    backward = 3 * (sum(outputs) + 2 * sum(inputs) - inputs[0]) + 2 * sum(params) - params[0]
    assert training_floors(found, num_clips=3) == Floors(
        macs=3 * (3 * sum(macs) - macs[0]),
        num_bytes=4 * (3 * (sum(inputs) + sum(outputs)) + sum(params) + backward),
    )
    kept = sum(inputs) + sum(outputs) - 10 - inputs[4] + 8 * 8  # the skip reads what the expansion keeps, pooled
    assert kept_bytes(found, num_clips=3) == 4 * 3 * kept


def test_a_step_of_a_stream_is_a_clip_of_one_frame():
    spec, variant = published("A0"), VARIANTS["released-stream"]
    found = operators(spec, variant, clip=dataclasses.replace(spec.clip, num_frames=1))
    assert forward_floors(found).macs == cost(spec, variant).macs_per_frame
