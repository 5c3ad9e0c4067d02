"""A light transformer over the embeddings of frames, as a part of a network, and its arithmetic (grw.md 2.4 and 3).

It takes the place of the dense layer. Each frame's mean over space is mapped linearly to an embedding, which is what
GRW-smoothing acts on; then come a layer norm, one or two pre-norm layers of attention and of an MLP with GELU, another
layer norm, the mean over time, and the classifier. Places in time enter as rotary encodings (Su et al., 2021,
arXiv 2104.09864), which know distances alone, where the authors of GRW-smoothing add sines of the frame's number: so a
stream may go on for ever.

Attention is bidirectional over the clip, or, with a window, of each frame to the last `window` frames: then keys and
values of `window - 1` frames are all that a stream has to remember.
"""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from search_spaces.errors import SpecError

MAX_WIDTH = 1 << 14
MAX_DEPTH = 8
MAX_WINDOW = 1 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalHead:
    """Its sizes.

    Attributes:
        embed_dim: Channels of an embedding, a multiple of twice the heads.
        depth: Layers.
        heads: Of attention, per layer.
        mlp_dim: Hidden channels of the MLP.
        window: Frames that a frame attends to, itself the last of them; None for the whole clip, before and after.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    embed_dim: int = 128
    depth: int = 1
    heads: int = 4
    mlp_dim: int = 256
    window: int | None = None

    def __post_init__(self) -> None:
        for name, most in (("embed_dim", MAX_WIDTH), ("mlp_dim", MAX_WIDTH), ("depth", MAX_DEPTH)):
            if not 1 <= (value := getattr(self, name)) <= most:
                raise SpecError(f"must be in [1, {most}], but got {value}", where=name)
        if self.heads < 1 or self.embed_dim % (2 * self.heads):
            raise SpecError(
                f"must be at least 1 and divide half of embed_dim {self.embed_dim}, but got {self.heads}", where="heads"
            )
        if self.window is not None and not 1 <= self.window <= MAX_WINDOW:
            raise SpecError(f"must be in [1, {MAX_WINDOW}], but got {self.window}", where="window")


def embedding_params(head: TemporalHead, *, in_width: int) -> int:
    """Of the linear map from `in_width` channels, with bias."""
    return (in_width + 1) * head.embed_dim


def layer_params(head: TemporalHead) -> int:
    """Of one layer: two norms, queries, keys and values, projection, MLP; all with bias."""
    dim, hidden = head.embed_dim, head.mlp_dim
    return 4 * dim + (dim + 1) * 3 * dim + (dim + 1) * dim + (dim + 1) * hidden + (hidden + 1) * dim


def attention_macs(head: TemporalHead, *, num_frames: int) -> int:
    """Of one layer's two products: each frame with all, or with its window, frames before the first one included."""
    return 2 * num_frames * (head.window or num_frames) * head.embed_dim


def temporal_macs(head: TemporalHead, *, in_width: int, num_frames: int) -> int:
    """Of embedding and layers."""
    dim = head.embed_dim
    linear = num_frames * (4 * dim * dim + 2 * dim * head.mlp_dim)
    layers = head.depth * (linear + attention_macs(head, num_frames=num_frames))
    return num_frames * in_width * dim + layers


def temporal_params(head: TemporalHead, *, in_width: int) -> int:
    """Of embedding, layers and the last norm; the first layer's norm is the one behind the embedding."""
    return embedding_params(head, in_width=in_width) + head.depth * layer_params(head) + 2 * head.embed_dim


def temporal_peak(head: TemporalHead, *, in_width: int, num_frames: int) -> int:
    """Most elements alive at once, one operator at a time; the residual stays beside everything of its branch.

    A windowed head gathers the keys and values of each frame's window, which a bidirectional one reads where they are.
    """
    dim, hidden = num_frames * head.embed_dim, num_frames * head.mlp_dim
    keys = head.window or num_frames
    scores = num_frames * keys * head.heads
    if head.window is None:
        steps = [
            dim + 3 * dim + 2 * dim,  # queries, keys and values, and the rotated ones
            dim + 3 * dim + 2 * dim + scores,
            dim + 3 * dim + 2 * scores,  # softmax
            dim + 3 * dim + scores + dim,  # weighted values
        ]
    else:
        gathered = keys * dim
        steps = [
            dim + 3 * dim + 2 * gathered,
            dim + 3 * dim + 3 * gathered,  # keys, rotated by their distance
            dim + 3 * dim + 3 * gathered + scores,
            dim + 2 * gathered + 2 * scores,
            dim + 2 * gathered + scores + dim,
        ]
    steps += [
        num_frames * in_width + dim,  # embedding
        dim + dim + 3 * dim,  # norm, then queries, keys and values
        3 * dim,  # projection, or a sum, beside its input and the residual
        dim + dim + hidden,
        dim + 2 * hidden,  # GELU
        dim + hidden + dim,
    ]
    return max(steps)
