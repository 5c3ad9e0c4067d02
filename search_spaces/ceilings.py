"""The most that a network may ask of a machine: far above what anybody trains, far below what a hostile file can name.

Whatever builds networks asks here first, so that a spec of terabytes is refused by arithmetic. The published networks
have at most 32 million parameters, 0.27 TMACs per clip and 2 GiB of activations alive at once.
"""

import os
from collections.abc import Mapping
from typing import Final

from search_spaces.cost import cost
from search_spaces.errors import SpecError
from search_spaces.spec import ArchSpec, ClipGeometry, Kernel
from search_spaces.variant import Variant

MAX_PARAMS: Final = 1 << 30
"""4 GiB of weights; training with moments takes four times that."""
MAX_MACS: Final = 10**14
"""Multiply-adds of a clip."""
MAX_ACTIVATION_BYTES: Final = 1 << 37
"""Alive at once, of one clip in fp32."""
SWITCH: Final = "MOVINAS_CEILINGS"
"""Environment variable; `off` lifts all of this."""


def check_ceilings(
    spec: ArchSpec,
    variant: Variant,
    *,
    num_classes: int,
    clip: ClipGeometry | None = None,
    kernels: tuple[Kernel, ...] = (),
) -> None:
    """Refuse a network that no machine it is meant for could hold.

    Args:
        spec: Its architecture, or the largest of a space.
        variant: How it is built.
        num_classes: Outputs of its classifier.
        clip: What it is to look at, where that is not the spec's own clip.
        kernels: Of a supernet, all that every layer holds beside each other.

    Raises:
        SpecError: Above a ceiling.
    """
    if os.environ.get(SWITCH) == "off":
        return
    found = cost(spec, variant, num_classes=num_classes, clip=clip)
    taps = 2 * sum(time * height * width for time, height, width in kernels)  # as both forms of a convolution
    shared = taps * sum(layer.expansion for block in spec.blocks for layer in block.layers)
    asked: Mapping[str, tuple[int, int]] = {
        "parameters": (found.params + shared, MAX_PARAMS),
        "multiply-adds per clip": (found.macs, MAX_MACS),
        "bytes of activations alive at once": (found.peak_activation_bytes, MAX_ACTIVATION_BYTES),
        "bytes of a stream's state": (found.stream_state_bytes, MAX_ACTIVATION_BYTES),
    }
    for what, (number, most) in asked.items():
        if number > most:
            raise SpecError(
                f"a network must have at most {most:,} {what}, but this one has {number:,}; if it is meant, set "
                f"{SWITCH}=off"
            )
