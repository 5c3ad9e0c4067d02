"""Which choices of a space give the numbers of a spec, and how far the nearest ones are from them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.clip_choices import NUM_FRAMES, RESOLUTION
from search_spaces.decisions import Decision
from search_spaces.rounding import round_width
from search_spaces.spec import FIRST_BLOCK, ArchSpec, LayerSpec, kernel_name, layer_name
from search_spaces.spec_json import Choice

if TYPE_CHECKING:
    from search_spaces.space import SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How near a space comes to a spec at one decision, or at a number that the space does not decide on.

    Attributes:
        name: Of the decision; `stem.width`, `dense.width`, and mostly those of the clip, are of numbers not decided on.
        found: What the spec has: a number of layers, channels, the name of a kernel, a flag.
        choice: The choice of the space that comes nearest, None where it has but one value.
        nearest: What that choice comes to, in the terms of `found`.
        relative: nearest / found - 1; None for what is no number.
    """

    name: str
    found: Choice
    choice: Choice | None
    nearest: Choice
    relative: float | None

    @property
    def exact(self) -> bool:
        """Whether the space has what the spec has."""
        return self.found == self.nearest


def differences(space: "SearchSpace", spec: ArchSpec) -> tuple[Difference, ...]:
    """How near the space comes to a spec of as many blocks, decision by decision, in order.

    A decision of a layer that the spec does not have, or that is beyond what the space's depths allow, does not count.
    """
    found = [
        _fixed("stem.width", spec.stem_width, space.stem_width),
        _fixed("dense.width", spec.dense_width, space.dense_width),
    ]
    for decision in space.decisions:
        if decision.layer is None or decision.layer < len(spec.blocks[decision.block].layers):
            found.append(_nearest(space, decision, spec))
    if space.clip_choices is None:
        clip, own = spec.clip, space.clip
        found += [
            _fixed("clip.num_frames", clip.num_frames, own.num_frames),
            _fixed("clip.resolution", clip.resolution, own.resolution),
            _fixed("clip.rate_fps", clip.rate_fps, own.rate_fps),
        ]
    return tuple(found)


def nearest_genotype(space: "SearchSpace", spec: ArchSpec) -> dict[str, Choice]:
    """The genotype of the nearest choices; layers that the least depth adds copy the last one's."""
    chosen = {each.name: each.choice for each in differences(space, spec) if each.choice is not None}
    genotype: dict[str, Choice] = {}
    for decision in space.decisions:
        if decision.layer is None:
            genotype[decision.name] = chosen[decision.name]
        elif decision.layer < int(genotype[f"block{decision.block + FIRST_BLOCK}.depth"]):
            last = min(decision.layer, len(spec.blocks[decision.block].layers) - 1)
            genotype[decision.name] = chosen[f"{layer_name(decision.block, last)}.{decision.group}"]
    return genotype


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


def _nearest(space: "SearchSpace", decision: Decision, spec: ArchSpec) -> Difference:
    """The nearest number, of equally near ones the first; the same kernel or flag, or else the first."""
    found = found_in(space, decision, spec)
    width = 0
    if decision.layer is not None:
        of_block = next(each for each in space.decisions if each.block == decision.block and each.group == "width")
        nearest_width = _nearest(space, of_block, spec).nearest
        width = int(nearest_width)
    options = [(choice, meant_by(space, decision, choice, width=width)) for choice in decision.choices]
    if isinstance(found, str | bool):
        choice, nearest = next((option for option in options if option[1] == found), options[0])
        return Difference(name=decision.name, found=found, choice=choice, nearest=nearest, relative=None)
    choice, nearest = min(options, key=lambda option: abs(float(option[1]) - found))
    return Difference(
        name=decision.name, found=found, choice=choice, nearest=nearest, relative=float(nearest) / found - 1
    )


def _fixed(name: str, found: float, own: float) -> Difference:
    return Difference(name=name, found=found, choice=None, nearest=own, relative=own / found - 1)


def _layer(decision: Decision, spec: ArchSpec) -> LayerSpec:
    assert decision.layer is not None
    return spec.blocks[decision.block].layers[decision.layer]
