"""How the names of decisions are laid out: `block2.depth` belongs to block 2, `block2.layer1.kernel` to its layer 1.

The journal keeps no order of names, so it is restored here: blocks and layers by number, the head last.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from results.records import PolicyRecord

Choice = str | float | int | bool
Choices = Mapping[str, tuple[Choice, ...]]

ATTRIBUTES = ("depth", "width", "kernel", "expansion", "se")
"""Known last parts of a name, in the order people read them; others follow by name."""
_PARTS = ("stem", "block", "head")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceChoices:
    """What a policy holds likeliest for one block, layer or the head.

    Attributes:
        name: Such as `block2.layer1`.
        choices: Attribute to its choice.
        certainty: Attribute to the probability of that choice, in [0, 1]; without those that have one choice.
        entropy: Attribute to the normalised entropy H / log n of its decision, in [0, 1]; 0 where there is one choice.
    """

    name: str
    choices: Mapping[str, Choice]
    certainty: Mapping[str, float]
    entropy: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """All decisions of one attribute, such as `kernel`.

    Attributes:
        places: Names of blocks or layers, in order.
        choices: Every choice that any of them has, in order.
    """

    attribute: str
    places: tuple[str, ...]
    choices: tuple[Choice, ...]


def split(name: str) -> tuple[str, str]:
    """Place and attribute of a decision: `block2.layer1.kernel` gives `("block2.layer1", "kernel")`."""
    place, _, attribute = name.rpartition(".")
    return place, attribute


def in_order(places: Iterable[str]) -> tuple[str, ...]:
    """Each place once: a block before its layers, numbers by value, the head last."""
    return tuple(sorted(set(places), key=_place_key))


def decision_order(names: Iterable[str]) -> list[str]:
    """Names of decisions by place and attribute, as people read a network."""
    return sorted(names, key=lambda name: (_place_key(split(name)[0]), _attribute_key(split(name)[1])))


def index_of(choice: Choice, choices: Sequence[Choice]) -> int | None:
    """Position of a choice, where `True`, `1` and `1.0` are three different ones; None if absent."""
    same = (index for index, other in enumerate(choices) if type(other) is type(choice) and other == choice)
    return next(same, None)


def place_choices(policy: PolicyRecord, decisions: Choices) -> list[PlaceChoices]:
    """The likeliest network of a policy, place by place; inactive decisions are left out."""
    rows = []
    for place in in_order(split(name)[0] for name in policy.argmax):
        names = [name for name in policy.argmax if split(name)[0] == place]
        names.sort(key=lambda name: _attribute_key(split(name)[1]))
        chosen = {split(name)[1]: policy.argmax[name] for name in names}
        likely = {split(name)[1]: _probability(policy, decisions, name) for name in names}
        certainty = {attribute: value for attribute, value in likely.items() if value is not None}
        entropy = {split(name)[1]: normalised_entropy(policy.probabilities.get(name, ())) for name in names}
        rows.append(PlaceChoices(name=place, choices=chosen, certainty=certainty, entropy=entropy))
    return rows


def normalised_entropy(probabilities: Sequence[float]) -> float:
    """H / log n of one decision's probabilities, in [0, 1]; 0 where there are fewer than two choices."""
    if len(probabilities) < 2:
        return 0.0
    return -sum(chance * math.log(chance) for chance in probabilities if chance > 0) / math.log(len(probabilities))


def panels(decisions: Choices) -> list[Panel]:
    """Decisions grouped by attribute."""
    result = []
    for attribute in sorted({split(name)[1] for name in decisions}, key=_attribute_key):
        names = [name for name in decisions if split(name)[1] == attribute]
        places = in_order(split(name)[0] for name in names)
        longest_first = sorted(names, key=lambda name: (-len(decisions[name]), _place_key(name)))
        choices: list[Choice] = []
        for name in longest_first:
            choices += [choice for choice in decisions[name] if index_of(choice, choices) is None]
        result.append(Panel(attribute=attribute, places=places, choices=tuple(choices)))
    return result


def _probability(policy: PolicyRecord, decisions: Choices, name: str) -> float | None:
    probabilities = policy.probabilities.get(name, ())
    if len(probabilities) < 2:
        return None
    index = index_of(policy.argmax[name], decisions.get(name, ()))
    return probabilities[index] if index is not None and index < len(probabilities) else None


def _place_key(place: str) -> tuple[tuple[int, str, int], ...]:
    return tuple(_part_key(part) for part in place.split("."))


def _part_key(part: str) -> tuple[int, str, int]:
    match = re.fullmatch(r"(.*?)(\d*)", part, re.DOTALL)
    word, number = match.groups() if match else (part, "")
    rank = _PARTS.index(word) if word in _PARTS else len(_PARTS)
    return rank, word, int(number) if number else -1


def _attribute_key(attribute: str) -> tuple[int, str]:
    return ATTRIBUTES.index(attribute) if attribute in ATTRIBUTES else len(ATTRIBUTES), attribute
