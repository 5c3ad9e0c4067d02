"""The architectures of a search's journal as networks: what it shows, and what those it compared cost.

A run folder that does not hold its space, or another one, has no networks to show; its figures stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from results.cost_figures import CostAxis
from results.history import SearchHistory
from results.records import StartRecord
from results.run_dir import RunDir
from search_spaces.cost import BYTES, cost, part_costs
from search_spaces.errors import MovinasError
from search_spaces.published import NAMES, name_of, published, released_stream
from search_spaces.space import Candidate, SearchSpace
from search_spaces.space_json import read_space
from search_spaces.spec import ArchSpec, kernel_name, layer_name
from search_spaces.stream_state import state_bytes
from search_spaces.typed_json import read_document, validate
from search_spaces.variant import VARIANTS, Variant

STATE_VARIANT = "released-stream"
"""In which the state is counted of networks that do not stream: what they would be retrained as to stream."""
_UNITS = {"latency": "seconds", "state": "bytes", "activations": "bytes", "params": "parameters"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """What a search's genotypes are decoded with."""

    space: SearchSpace
    variant: Variant
    num_classes: int

    def costs(self, candidate: Candidate) -> tuple[int, int]:
        """As `macs_and_state`."""
        return macs_and_state(candidate.spec, candidate.variant, num_classes=self.num_classes)

    def published(self) -> Mapping[str, tuple[int, int]]:
        """Both costs of the published networks that look at the clip of this space."""
        found = {}
        for name in NAMES:
            spec = published(name)
            if spec.clip == self.space.clip:
                variant = released_stream(name) if self.variant.streams else self.variant
                found[f"published {name}"] = macs_and_state(spec, variant, num_classes=self.num_classes)
        return found


def macs_and_state(spec: ArchSpec, variant: Variant, *, num_classes: int) -> tuple[int, int]:
    """MACs of a clip, and bytes of a stream's state in fp32; as `STATE_VARIANT` of what does not stream."""
    name = name_of(spec)
    released = VARIANTS[STATE_VARIANT] if name is None else released_stream(name)
    found = cost(spec, variant, num_classes=num_classes)
    if variant.streams:
        return found.macs, found.stream_state_bytes
    return found.macs, cost(spec, released, num_classes=num_classes).stream_state_bytes


def networks_of(run: RunDir, start: StartRecord | None) -> Networks | None:
    """What the genotypes of this search are decoded with; None where its folder does not hold that."""
    if start is None:
        return None
    try:
        space = read_space(run.space_path)
        variant = validate(TypeAdapter(Variant), read_document(run.variant_path), path=run.variant_path)
    except MovinasError:
        return None
    if space.hash != start.space_hash:
        return None
    return Networks(space=space, variant=variant, num_classes=len(start.class_names))


def shown_network(networks: Networks, history: SearchHistory) -> Candidate | None:
    """The network that the search found, or the likeliest one so far; None before there is one."""
    result = history.result
    found = [each for each in history.candidates if result is not None and each.fingerprint == result.found]
    genotype = found[0].genotype if found else history.policies[-1].argmax if history.policies else None
    return None if genotype is None else networks.space.decode(genotype, networks.variant)


def cost_axes(history: SearchHistory, networks: Networks | None) -> list[CostAxis]:
    """The costs to show a search's comparison against: its target, MACs and state, its limits; each once."""
    start, candidates = history.start, history.candidates
    target = start.target if start else "cost"
    metric, _, unit = target.partition("=")
    bound = start.target_cost if start else None
    axes = [CostAxis(name="comparison", title=_title(target), values=[each.cost for each in candidates], bound=bound)]
    if networks is not None:
        decoded = [networks.costs(networks.space.decode(each.genotype, networks.variant)) for each in candidates]
        known = networks.published()
        state = "" if networks.variant.streams else f", as {STATE_VARIANT}"
        for index, (name, title) in enumerate(
            (("macs", "MACs per clip"), ("state", f"bytes of a stream's state, fp32{state}"))
        ):
            lines = {published_name: costs[index] for published_name, costs in known.items()}
            if name == metric and (name == "state" or unit.endswith("/clip")):
                axes[0] = replace(axes[0], published=lines if name == "macs" else {})
            else:
                values = [costs[index] for costs in decoded]
                axes.append(CostAxis(name=f"comparison-{name}", title=title, values=values, published=lines))
    for index, limit in enumerate(start.limits if start else ()):
        ratios = [each.limit_ratios[index] for each in candidates if len(each.limit_ratios) > index]
        if len(ratios) == len(candidates):
            title = f"cost / limit {limit}"
            axes.append(
                CostAxis(name=f"comparison-limit{index}", title=title, values=ratios, bound=1.0, bound_text="limit")
            )
    return axes


def layer_rows(spec: ArchSpec, variant: Variant, *, num_classes: int) -> list[Mapping[str, str | int]]:
    """One row per part of a network: kernel, channels, stride, SE, MACs, parameters, and a stream's state in fp32."""
    layers = {
        layer_name(number, position): layer
        for number, block in enumerate(spec.blocks)
        for position, layer in enumerate(block.layers)
    }
    rows: list[Mapping[str, str | int]] = []
    for name, part in part_costs(spec, variant, num_classes=num_classes).items():
        layer = layers.get(name)
        row: dict[str, str | int] = {
            "part": name,
            "kernel": kernel_name(layer.kernel) if layer else "1x3x3" if name == "stem" else "1x1x1",
            "width": layer.width if layer else spec.stem_width if name == "stem" else spec.head_width,
            "expansion": layer.expansion if layer else "",
            "stride": layer.stride if layer else 2 if name == "stem" else 1,
            "SE": ("yes" if layer.se else "no") if layer else "",
            "MACs": part.macs,
            "parameters": part.params,
        }
        if variant.streams:
            row["state, bytes"] = state_bytes(part.state, bytes_per_element=BYTES["fp32"])[1]
        rows.append(row)
    return rows


def _title(target: str) -> str:
    metric, _, rest = target.partition("=")
    per = rest.partition("@")[0].partition("/")[2]
    unit = _UNITS.get(metric, "MACs" if metric == "macs" else metric)
    return f"{unit}{' per ' + per if per else ''} (target {target})"
