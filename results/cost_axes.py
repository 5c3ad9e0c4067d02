"""The costs against which a search's comparison is shown: its target, multiply-adds and state, its limits."""

from collections.abc import Mapping

from results.architectures import STATE_VARIANT, Decoder, streaming_variant
from results.cost_figures import CostAxis
from results.history import SearchHistory
from results.records import StartRecord
from results.run_dir import RunDir
from search_spaces.cost import cost
from search_spaces.errors import MovinasError
from search_spaces.published import NAMES, published, released_stream

_UNITS = {
    "latency": "seconds",
    "state": "state bytes",
    "activations": "peak activation bytes",
    "params": "parameters",
    "macs": "MACs",
}


def decoder_of(run: RunDir, start: StartRecord | None) -> Decoder | None:
    """What decodes the genotypes of a search; None where its folder does not hold its space, or another one."""
    if start is None:
        return None
    try:
        decoder = Decoder.of(run, start)
    except MovinasError:
        return None
    return decoder if decoder.space.hash == start.space_hash else None


def published_costs(decoder: Decoder) -> Mapping[str, tuple[int, int]]:
    """MACs and bytes of state of the published networks that look at the clip of this space."""
    found = {}
    for name in NAMES:
        spec = published(name)
        if spec.clip == decoder.space.clip:
            variant = released_stream(name) if decoder.variant.streams else decoder.variant
            macs = cost(spec, variant, num_classes=decoder.num_classes).macs
            streamed = cost(spec, streaming_variant(spec, variant), num_classes=decoder.num_classes)
            found[f"published {name}"] = (macs, streamed.stream_state_bytes)
    return found


def cost_axes(history: SearchHistory, decoder: Decoder | None) -> list[CostAxis]:
    """Every cost that there is of the compared architectures, each once, the target's first."""
    start, candidates = history.start, history.candidates
    target = start.target if start else "cost"
    metric, _, unit = target.partition("=")
    bound = start.target_cost if start else None
    known = published_costs(decoder) if decoder else {}
    lines = [{name: costs[index] for name, costs in known.items()} for index in range(2)]
    of_clips, of_streams = metric == "macs" and unit.endswith("/clip"), metric == "state"
    values = [each.cost for each in candidates]
    shown = lines[0] if of_clips else {}
    axes = [CostAxis(name="comparison", title=_title(target), values=values, bound=bound, published=shown)]
    networks = [decoder.network(each.genotype) for each in candidates] if decoder else []
    if decoder and not of_clips:
        macs = [decoder.macs(network) for network in networks]
        axes.append(CostAxis(name="comparison-macs", title="MACs per clip", values=macs, published=lines[0]))
    if decoder and not of_streams:
        state = [decoder.state_bytes(network) for network in networks]
        title = f"state bytes, fp32{'' if decoder.variant.streams else f', as {STATE_VARIANT}'}"
        axes.append(CostAxis(name="comparison-state", title=title, values=state, published=lines[1]))
    for index, limit in enumerate(start.limits if start else ()):
        ratios = [each.limit_ratios[index] for each in candidates if len(each.limit_ratios) > index]
        if len(ratios) == len(candidates):
            title, name = f"cost / limit {limit}", f"comparison-limit{index}"
            axes.append(CostAxis(name=name, title=title, values=ratios, bound=1.0, bound_text="limit"))
    return axes


def _title(target: str) -> str:
    metric, _, rest = target.partition("=")
    amount, _, dtype = rest.partition("@")
    per = amount.partition("/")[2]
    of = f", {dtype}" if metric in ("state", "activations") else ""
    return f"{_UNITS.get(metric, metric)}{' per ' + per if per else ''}{of}"
