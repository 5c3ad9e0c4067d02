"""Genotypes as short texts: how a journal keeps the architectures that a search samples by the ten thousand.

One character per decision of `StartRecord.decisions`, in the order of their names: the number of its choice in base 64,
or a dot where the decision is inactive. A space has at most 64 choices per decision.

Legend: N genotypes, D decisions.
"""

import string
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from results.decisions import Choice, Choices, index_of
from search_spaces.errors import JournalError, shown

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase + "-_"
INACTIVE = "."

_NUMBERS = np.full(256, -2, dtype=np.int8)
_NUMBERS[np.frombuffer(DIGITS.encode(), dtype=np.uint8)] = np.arange(len(DIGITS))
_NUMBERS[ord(INACTIVE)] = -1


def pack(genotype: Mapping[str, Choice], decisions: Choices) -> str:
    """The text of a genotype.

    Raises:
        JournalError: It names a decision that there is not, or a choice that its decision has not.
    """
    unknown = sorted(genotype.keys() - decisions.keys())
    if unknown:
        raise JournalError(f"a genotype must choose among the space's decisions, but got {shown(unknown[0])}")
    return "".join(
        _digit(name, genotype[name], decisions[name]) if name in genotype else INACTIVE for name in sorted(decisions)
    )


def packed(genotype: str | Mapping[str, Choice], decisions: Choices) -> str:
    """The text of a genotype that may be one already; as `pack`."""
    return genotype if isinstance(genotype, str) else pack(genotype, decisions)


def unpack(genotype: str | Mapping[str, Choice], decisions: Choices) -> dict[str, Choice]:
    """Choices of the active decisions by name; also of a genotype that a journal of earlier times holds by names.

    Raises:
        JournalError: The text is not one of `pack` with these decisions.
    """
    if not isinstance(genotype, str):
        return dict(genotype)
    (numbers_D,) = choice_numbers([genotype], decisions).tolist()
    return {
        name: decisions[name][number] for name, number in zip(sorted(decisions), numbers_D, strict=True) if number >= 0
    }


def choice_numbers(texts: Sequence[str], decisions: Choices) -> NDArray[np.int8]:
    """Number of every choice, -1 where a decision is inactive, (N, D); D in the order of the decisions' names.

    Raises:
        JournalError: A text is not one of `pack` with these decisions.
    """
    num = len(decisions)
    for text in texts:
        if len(text) != num or not text.isascii():
            raise JournalError(f"a genotype must be {num} characters, one per decision, but got {shown(text)}")
    numbers_ND = _NUMBERS[np.frombuffer("".join(texts).encode(), dtype=np.uint8)].reshape(len(texts), num)
    sizes_D = np.array([len(decisions[name]) for name in sorted(decisions)])
    wrong_N = ((numbers_ND >= sizes_D) | (numbers_ND < -1)).any(axis=1)
    if wrong_N.any():
        text = texts[int(wrong_N.argmax())]
        raise JournalError(f"a genotype must number choices that its decisions have, but got {shown(text)}")
    return numbers_ND


def _digit(name: str, choice: Choice, choices: Sequence[Choice]) -> str:
    index = index_of(choice, choices)
    if index is None:
        raise JournalError(f"the choice of {name} must be one of {shown(choices)}, but got {shown(choice)}")
    return DIGITS[index]
