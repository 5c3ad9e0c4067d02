"""Networks that together have every part that a space can ask for, each part often enough."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from search_spaces.cost_table import FormTable
from search_spaces.latency_table import Enumeration, head_key, keys_of, layer_key
from search_spaces.randomness import generator
from search_spaces.rounding import round_width
from search_spaces.space import Candidate, SearchSpace
from search_spaces.spec import FIRST_BLOCK, STEM_STRIDE, LayerSpec, parse_kernel, same_size
from search_spaces.spec_json import Choice
from search_spaces.variant import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """Choices of a layer's decisions, or of a width, and the entry that they ask for."""

    choices: dict[str, Choice]
    key: str


def entries_of(space: SearchSpace) -> tuple[str, ...]:
    """Every entry that the networks of a space can ask for, each once."""
    asked = Enumeration()
    FormTable(space, asked, resolution=space.clip.resolution)
    return tuple(asked.keys)


def cover(space: SearchSpace, variant: Variant, *, rounds: int, seed: int) -> list[Candidate]:
    """Networks such that every entry stands in at least `rounds` of them; the same for the same seed.

    Block by block the width is taken that most is still lacking for, then for each layer the entry that stood in fewest
    networks so far, so that all stand in about as many; ties and depths are drawn.
    """
    planner = _Planner(space, rounds=rounds, seed=seed)
    found = []
    while planner.is_lacking():
        candidate = space.decode(planner.genotype(), variant)
        for key in keys_of(candidate.spec):
            planner.counts[key] += 1
        found.append(candidate)
    return found


class _Planner:
    def __init__(self, space: SearchSpace, *, rounds: int, seed: int) -> None:
        self._space, self._rounds = space, rounds
        self._rng = generator(seed, "latency cover")
        self._layers: dict[tuple[int, int, float, bool], list[_Option]] = {}
        sizes = [same_size(space.clip.resolution, STEM_STRIDE)]
        for block in space.blocks:
            sizes.append(same_size(sizes[-1], block.stride))
        self._sizes = sizes
        self.counts = dict.fromkeys(entries_of(space), 0)

    def is_lacking(self) -> bool:
        """Whether some entry has stood in too few networks."""
        return min(self.counts.values()) < self._rounds

    def genotype(self) -> dict[str, Choice]:
        """The next network, by the counts of those before."""
        genotype: dict[str, Choice] = {}
        in_width = self._space.stem_width
        for number, block in enumerate(self._space.blocks):
            prefix = f"block{number + FIRST_BLOCK}"
            multiplier = self._width(number, in_width)
            depth = int(self._rng.choice(block.depths))
            genotype |= {f"{prefix}.depth": depth, f"{prefix}.width": multiplier}
            for layer in range(depth):
                option = self._rarest(self._layer_options(number, in_width, multiplier, first=layer == 0))
                genotype |= {f"{prefix}.layer{layer + 1}.{name}": choice for name, choice in option.choices.items()}
                in_width = round_width(block.base_width * multiplier)
        return genotype | self._rarest(self._head_options(in_width)).choices

    def _width(self, number: int, in_width: int) -> float:
        multipliers = self._space.width_multipliers
        scores = [self._lack(number, in_width, multiplier) + self._rng.random() for multiplier in multipliers]
        return multipliers[int(np.argmax(scores))]

    def _lack(self, number: int, in_width: int, multiplier: float) -> int:
        """What is lacking for a width: in the block's first layers, and in the next block's or the head's."""
        own = self._shortage(self._layer_options(number, in_width, multiplier, first=True))
        width = round_width(self._space.blocks[number].base_width * multiplier)
        if number + 1 == len(self._space.blocks):
            return own + self._shortage(self._head_options(width))
        following = (
            self._shortage(self._layer_options(number + 1, width, other, first=True))
            for other in self._space.width_multipliers
        )
        return own + max(following)

    def _shortage(self, options: list[_Option]) -> int:
        return sum(max(0, self._rounds - self.counts[option.key]) for option in options)

    def _rarest(self, options: list[_Option]) -> _Option:
        ranks = np.array([self.counts[option.key] for option in options]) + self._rng.random(len(options))
        return options[int(np.argmin(ranks))]

    def _layer_options(self, number: int, in_width: int, multiplier: float, *, first: bool) -> list[_Option]:
        place = (number, in_width, multiplier, first)
        if place not in self._layers:
            space, block = self._space, self._space.blocks[number]
            width = round_width(block.base_width * multiplier)
            base = block.base_width if space.expansion_of == "base" else width
            self._layers[place] = [
                _Option(
                    choices={"kernel": kernel, "expansion": expansion, "se": se},
                    key=layer_key(
                        LayerSpec(
                            kernel=parse_kernel(kernel),
                            width=width,
                            expansion=round_width(base * expansion),
                            stride=block.stride if first else 1,
                            se=se,
                        ),
                        in_width=in_width if first else width,
                        in_size=self._sizes[number if first else number + 1],
                    ),
                )
                for kernel, expansion, se in product(space.kernels, space.expansions, space.se)
            ]
        return self._layers[place]

    def _head_options(self, in_width: int) -> list[_Option]:
        space = self._space
        return [
            _Option(
                choices={"head.width": multiplier},
                key=head_key(
                    round_width(space.head_width * multiplier),
                    in_width=in_width,
                    in_size=self._sizes[-1],
                    dense_width=space.dense_width,
                ),
            )
            for multiplier in space.width_multipliers
        ]
