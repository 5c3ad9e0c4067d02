"""What is decided of a network beside its layers: the clip it looks at, and the form of its convolutions."""

from typing import Literal, NamedTuple, get_args

from search_spaces.errors import SpaceError, shown
from search_spaces.spec import ClipGeometry
from search_spaces.variant import Variant

SearchedConvolution = Literal["3d", "3d_2plus1d"]
"""Forms of a convolution that a space can choose from; `2plus1d` computes what `3d_2plus1d` does."""


class Form(NamedTuple):
    """The clip that a network looks at, and how it is built."""

    clip: ClipGeometry
    variant: Variant


def check_conv_choices(choices: tuple[str, ...] | None) -> None:
    """Refuse choices for the form of convolutions that a supernet cannot hold; None decides on no form.

    Raises:
        SpaceError: Not `3d` and `3d_2plus1d`, or one of them, each once.
    """
    known = get_args(SearchedConvolution)
    if choices is not None and not (1 <= len(set(choices)) == len(choices) and set(choices) <= set(known)):
        raise SpaceError(
            f"must be {' and '.join(known)}, or one of them, each once, but got {shown(choices)}", where="conv_choices"
        )
