"""Which choices of a space give the numbers of a spec, and how far the others are from them."""

from typing import TYPE_CHECKING

from search_spaces.clip_choices import NUM_FRAMES, RESOLUTION
from search_spaces.decisions import Decision
from search_spaces.rounding import round_width
from search_spaces.spec import ArchSpec, LayerSpec, kernel_name
from search_spaces.spec_json import Choice

if TYPE_CHECKING:
    from search_spaces.space import SearchSpace


def found_in(space: "SearchSpace", decision: Decision, spec: ArchSpec) -> Choice:
    """What a spec has where a decision is made: a number of layers, channels, the name of a kernel, a flag.

    The spec must have as many blocks as the space, and the decision's layer.
    """
    if decision.group == "clip":
        clip = spec.clip
        return {NUM_FRAMES: clip.num_frames, RESOLUTION: clip.resolution}.get(decision.name, clip.rate_fps)
    if decision.block == len(space.blocks):
        return spec.head_width
    layers = spec.blocks[decision.block].layers
    if decision.group == "depth":
        return len(layers)
    if decision.layer is None:
        return layers[0].width
    layer = layers[decision.layer]
    if decision.group == "expansion":
        return layer.expansion
    return kernel_name(layer.kernel) if decision.group == "kernel" else layer.se


def meant_by(space: "SearchSpace", decision: Decision, choice: Choice, *, width: int) -> Choice:
    """What a choice comes to, in the terms of `found_in`; `width` is the one that was chosen for the block."""
    if decision.group == "width":
        head = decision.block == len(space.blocks)
        base_width = space.head_width if head else space.blocks[decision.block].base_width
        return round_width(base_width * float(choice))
    if decision.group == "expansion":
        base_width = space.blocks[decision.block].base_width if space.expansion_of == "base" else width
        return round_width(base_width * float(choice))
    return choice


def choice_of(space: "SearchSpace", decision: Decision, spec: ArchSpec) -> Choice | None:
    """The first choice that gives what the spec has, None where none does; see `found_in`."""
    wanted = found_in(space, decision, spec)
    width = _layer(decision, spec).width if decision.layer is not None else 0
    meanings = ((choice, meant_by(space, decision, choice, width=width)) for choice in decision.choices)
    return next((choice for choice, meaning in meanings if meaning == wanted), None)


def _layer(decision: Decision, spec: ArchSpec) -> LayerSpec:
    assert decision.layer is not None
    return spec.blocks[decision.block].layers[decision.layer]
