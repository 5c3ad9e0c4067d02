"""What the labels of videos mean: one class each, any number of classes, or one class of each of several heads.

All classes lie beside each other, numbered from 0, those of a head after those of the heads before it. A network has
one classifier with one output per class; the outputs are then read head by head. That is the same function as a
classifier per head on the same features, with the same parameters and multiply-adds, and needs no other network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from pydantic import ConfigDict

from search_spaces.errors import ManifestError, shown

SEPARATOR: Final = ":"
"""Between the name of a head and that of a class: `verb:open`."""
MAX_HEADS: Final = 64
MAX_CLASSES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelHead:
    """Classes of which a video has exactly one, such as verbs.

    Attributes:
        name: Of the head.
        num_classes: How many of the classes are its own, at least 1.

    Raises:
        ManifestError: None, or more than a million.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    name: str
    num_classes: int

    def __post_init__(self) -> None:
        if not 1 <= self.num_classes <= MAX_CLASSES:
            raise ManifestError(
                f"a head must have 1 to {MAX_CLASSES} classes, but got {self.num_classes}", where="num_classes"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSpace:
    """The classes of videos, and how many of them a video has.

    Attributes:
        class_names: By class number; different, at least one. With heads, `head:class`.
        heads: At least two, sorted by name, which is the order of their classes; none where a video has one class of
            all, or any number.
        multi_label: Whether a video has any number of classes, none included.
    """

    class_names: tuple[str, ...]
    heads: tuple[LabelHead, ...] = ()
    multi_label: bool = False

    def __post_init__(self) -> None:
        if not self.heads:
            return
        names = [head.name for head in self.heads]
        if len(names) > MAX_HEADS:
            raise ManifestError(f"there must be at most {MAX_HEADS} heads, but got {len(names)}", where="heads")
        if self.multi_label or len(names) < 2 or names != sorted(set(names)) or not all(names):
            raise ManifestError(
                f"heads must be at least two with different names, sorted, each with one class per video, but got "
                f"{shown(names)}, multi_label={self.multi_label}",
                where="heads",
            )
        if sum(head.num_classes for head in self.heads) != len(self.class_names):
            raise ManifestError(
                f"class_names must be as many as the heads have classes, but got {len(self.class_names)} for "
                f"{shown(self.heads)}",
                where="class_names",
            )
        expected = [head.name for head in self.heads for _ in range(head.num_classes)]
        found = [name.partition(SEPARATOR)[0] for name in self.class_names]
        if found != expected or any(SEPARATOR in name for name in names):
            raise ManifestError(
                f"class_names of several heads must be head{SEPARATOR}class, head by head, but got "
                f"{shown(self.class_names)} for heads {shown(names)}",
                where="class_names",
            )

    @classmethod
    def of_heads(cls, class_names: Mapping[str, Sequence[str]]) -> Self:
        """Several heads, in whatever order, from the names of each one's classes."""
        heads = sorted(class_names)
        return cls(
            class_names=tuple(f"{head}{SEPARATOR}{name}" for head in heads for name in class_names[head]),
            heads=tuple(LabelHead(name=head, num_classes=len(class_names[head])) for head in heads),
        )

    @property
    def num_classes(self) -> int:
        """Outputs of a classifier."""
        return len(self.class_names)

    @property
    def single_label(self) -> bool:
        """Whether a video has one class of all."""
        return not (self.heads or self.multi_label)

    @property
    def parts(self) -> dict[str, slice]:
        """Where the classes of each head lie; all of them under the empty name where there are no heads."""
        if not self.heads:
            return {"": slice(0, self.num_classes)}
        parts, first = {}, 0
        for head in self.heads:
            parts[head.name] = slice(first, first + head.num_classes)
            first += head.num_classes
        return parts

    @property
    def metric(self) -> str:
        """What a network is chosen by: `top-1`, `mAP`, or `action top-1`, for which every head must be right."""
        return "mAP" if self.multi_label else "action top-1" if self.heads else "top-1"

    def names_of(self, head: str) -> tuple[str, ...]:
        """Class names of a head, without its own name; of the empty name all."""
        names = self.class_names[self.parts[head]]
        return tuple(name.removeprefix(f"{head}{SEPARATOR}") for name in names) if head else names

    def numbers_of(self, labels: Mapping[str, int]) -> tuple[int, ...]:
        """Class numbers of a video, from the number that its class has within each head."""
        return tuple(part.start + labels[head] for head, part in self.parts.items())

    def check(self, labels: Sequence[int]) -> None:
        """Refuse labels, class numbers, that no video can have.

        Raises:
            ManifestError: Unknown, or not as many as there must be.
        """
        if not self.multi_label and not labels:
            raise ManifestError(
                f"labels must be different class numbers from 0, at least one, but got {shown(list(labels))}",
                where="labels",
            )
        if max(labels, default=0) >= self.num_classes:
            raise ManifestError(
                f"labels must be class numbers below {self.num_classes}, but got {max(labels)}", where="labels"
            )
        if self.heads:
            counts = [sum(part.start <= label < part.stop for label in labels) for part in self.parts.values()]
            if set(counts) != {1}:
                raise ManifestError(
                    f"labels must name one class of each head, {', '.join(self.parts)}, but got {shown(list(labels))}",
                    where="labels",
                )
