"""How a spec is built into a network: every switch that is not part of the architecture."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Switches of construction; the defaults are the published `base` networks (movinet.md 1.4, YAML files).

    Attributes:
        activation: After every normalised convolution but projections and skips, in squeeze-and-excitation and in the
            head.
        gate: Of squeeze-and-excitation; `hard_sigmoid` is relu6(x + 3) / 6.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    activation: Literal["swish", "hard_swish"] = "swish"
    gate: Literal["sigmoid", "hard_sigmoid"] = "sigmoid"


VARIANTS: dict[str, Variant] = {"base": Variant()}
