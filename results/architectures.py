"""The architectures of a search's journal, decoded with the space and the variant that its folder keeps.

Legend: N genotypes, D decisions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from results.decisions import Choice, Choices
from results.genotypes import choice_numbers, packed
from results.history import SearchHistory
from results.records import StartRecord
from results.run_dir import RunDir
from results.summary import Architecture, SearchSummary
from search_spaces.cost import cost, part_costs
from search_spaces.cost_table import cost_table
from search_spaces.prices import Metric
from search_spaces.published import name_of, released_stream
from search_spaces.space import Candidate, Indices, SearchSpace
from search_spaces.space_json import read_space
from search_spaces.spec import ArchSpec, kernel_name, layer_name
from search_spaces.stream_state import state_bytes
from search_spaces.target import parse_target
from search_spaces.typed_json import read_document, validate
from search_spaces.variant import VARIANTS, Variant

STATE_VARIANT = "released-stream"
"""In which the state is counted of networks that do not stream: what they would be retrained as to stream."""
_VARIANT = TypeAdapter(Variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """What turns a search's genotypes into networks and their costs.

    Attributes:
        decisions: As in `StartRecord`.
        num_classes: Outputs of the classifier.
    """

    space: SearchSpace
    variant: Variant
    decisions: Choices
    num_classes: int

    @classmethod
    def of(cls, run: RunDir, start: StartRecord) -> Self:
        """That of a run.

        Raises:
            SpaceError, SpecError: The folder does not hold a readable space or variant.
        """
        return cls(
            space=read_space(run.space_path),
            variant=validate(_VARIANT, read_document(run.variant_path), path=run.variant_path),
            decisions=start.decisions,
            num_classes=len(start.class_names),
        )

    def network(self, genotype: Mapping[str, Choice]) -> Candidate:
        """The architecture of a genotype."""
        return self.space.decode(genotype, self.variant)

    def macs(self, candidate: Candidate) -> int:
        """Multiply-adds of its clip."""
        return cost(candidate.spec, candidate.variant, num_classes=self.num_classes).macs

    def state_bytes(self, candidate: Candidate) -> int:
        """Bytes of a stream's whole state, fp32; of one that does not stream, as `STATE_VARIANT`."""
        streaming = streaming_variant(candidate.spec, candidate.variant)
        return cost(candidate.spec, streaming, num_classes=self.num_classes).stream_state_bytes

    def population_costs(
        self, genotypes: Sequence[str | Mapping[str, Choice]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """MACs of a clip and bytes of a stream's state of many, each (N,); as `macs` and `state_bytes`.

        Raises:
            JournalError: A genotype is not of these decisions.
        """
        indices_ND = self._indices(genotypes)
        streaming = self.variant if self.variant.streams else VARIANTS[STATE_VARIANT]
        return (
            self._costs(indices_ND, self.variant, "macs"),
            self._costs(indices_ND, streaming, "stream_state_bytes"),
        )

    def _costs(self, indices_ND: Indices, variant: Variant, metric: Metric) -> NDArray[np.int64]:
        return cost_table(self.space, variant, metric=metric, num_classes=self.num_classes).costs(indices_ND)

    def _indices(self, genotypes: Sequence[str | Mapping[str, Choice]]) -> Indices:
        texts = [packed(each, self.decisions) for each in genotypes]
        column_of = {name: column for column, name in enumerate(sorted(self.decisions))}
        columns = [column_of[decision.name] for decision in self.space.decisions]
        return np.maximum(choice_numbers(texts, self.decisions)[:, columns], 0)


def streaming_variant(spec: ArchSpec, variant: Variant) -> Variant:
    """The variant itself where it streams, or else the one that its state is counted in."""
    if variant.streams:
        return variant
    name = name_of(spec)
    return VARIANTS[STATE_VARIANT] if name is None else released_stream(name)


def layer_rows(spec: ArchSpec, variant: Variant, *, num_classes: int) -> list[Mapping[str, str | int]]:
    """One row per part of a network: kernel, channels, stride, SE, MACs, parameters, bytes of state (fp32)."""
    parts = part_costs(spec, variant, num_classes=num_classes)
    streaming = part_costs(spec, streaming_variant(spec, variant), num_classes=num_classes)
    layers = {
        layer_name(number, position): layer
        for number, block in enumerate(spec.blocks)
        for position, layer in enumerate(block.layers)
    }
    rows: list[Mapping[str, str | int]] = []
    for name, part in parts.items():
        layer = layers.get(name)
        rows.append(
            {
                "part": name,
                "kernel": kernel_name(layer.kernel) if layer else "1x3x3" if name == "stem" else "1x1x1",
                "width": layer.width if layer else spec.stem_width if name == "stem" else spec.head_width,
                "expansion": layer.expansion if layer else "",
                "stride": layer.stride if layer else 2 if name == "stem" else 1,
                "SE": ("yes" if layer.se else "no") if layer else "",
                "MACs": part.macs,
                "parameters": part.params,
                "state bytes": state_bytes(streaming[name].state, bytes_per_element=4)[1],
            }
        )
    return rows


def shown_network(decoder: Decoder, history: SearchHistory) -> Candidate | None:
    """The network that a search selected, or the likeliest one of its latest recorded policy; None before both."""
    found = history.result and history.result.found
    selected = [each.genotype for each in history.candidates if each.fingerprint == found]
    if selected:
        return decoder.network(selected[0])
    return decoder.network(history.policies[-1].argmax) if history.policies else None


def with_costs(summary: SearchSummary, history: SearchHistory, decoder: Decoder, *, folder: Path) -> SearchSummary:
    """The summary with MACs and state of its architectures, whatever its target counts.

    A step records no genotype of the likeliest architecture, so that this becomes the one of the latest recorded
    policy, at most a hundredth of the search earlier; at the end they are the same.

    Args:
        summary: Of a search.
        history: That it was made of.
        decoder: Of its run.
        folder: Of the run, which keeps the latency tables that its target or limits look up.
    """
    if history.start is None or not history.policies:
        return replace(summary, argmax=None)
    genotypes = {candidate.fingerprint: candidate.genotype for candidate in history.candidates}

    def counted(architecture: Architecture) -> Architecture:
        if (genotype := genotypes.get(architecture.fingerprint)) is None:
            return architecture
        candidate = decoder.network(genotype)
        return replace(architecture, macs=decoder.macs(candidate), state_bytes=decoder.state_bytes(candidate))

    likeliest = decoder.network(history.policies[-1].argmax)
    genotypes[likeliest.fingerprint] = likeliest.genotype
    values = []
    for target in (parse_target(text, folder=folder) for text in (history.start.target, *history.start.limits)):
        value = target.cost(likeliest.spec, likeliest.variant, num_classes=decoder.num_classes)
        values.append((value, value / target.value))
    argmax = Architecture(
        fingerprint=likeliest.fingerprint,
        cost=values[0][0],
        ratio=values[0][1],
        limit_ratios=tuple(ratio for _, ratio in values[1:]),
    )
    return replace(
        summary,
        argmax=counted(argmax),
        found=counted(summary.found) if summary.found else None,
        best=[counted(architecture) for architecture in summary.best],
    )
