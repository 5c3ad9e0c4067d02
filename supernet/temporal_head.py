"""The temporal head: attention over the embeddings of frames, of a whole clip or as a stream.

Legend: B clips, T frames, W frames of a window, C channels of the feature map, D of an embedding, of which each of H
attention heads has a share, E channels of one head.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.temporal_head import TemporalHead
from supernet.initial import lecun_normal
from supernet.leading import leading
from supernet.timeline import Timeline, encoding_rates


class FrameEmbedding(nn.Module):
    """The linear map of each frame's mean over space to its embedding, which GRW-smoothing acts on.

    Args:
        in_width: Most input channels.
        embed_dim: Output channels.
        generator: Source of the initial weights.
    """

    def __init__(self, in_width: int, embed_dim: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(embed_dim, in_width))
        self.bias = nn.Parameter(torch.zeros(embed_dim))
        lecun_normal(self.weight, fan_in=in_width, generator=generator)

    def forward(self, pooled_BTC: Tensor) -> Tensor:
        """(B, T, C) to (B, T, D), from as many leading channels as there are."""
        weight = leading(self.weight, self.weight.shape[0], pooled_BTC.shape[2])
        return F.linear(pooled_BTC.to(weight.dtype), weight, self.bias)


class TemporalTransformer(nn.Module):
    """Embedding, pre-norm layers and a last norm (grw.md 3).

    Args:
        head: Its sizes.
        in_width: Most channels of what is embedded.
        generator: Source of the initial weights.
    """

    def __init__(self, head: TemporalHead, *, in_width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.embed = FrameEmbedding(in_width, head.embed_dim, generator=generator)
        self.layers = nn.ModuleList(TemporalLayer(head, generator=generator) for _ in range(head.depth))
        self.norm = nn.LayerNorm(head.embed_dim)

    def forward(self, pooled_BTC: Tensor, timeline: Timeline, name: str) -> Tensor:
        """Means over space (B, T, C) to what is averaged over time (B, T, D), fp32 at least."""
        x_BTD: Tensor = self.embed(pooled_BTC)
        for number, layer in enumerate(self.layers, start=1):
            x_BTD = layer(x_BTD, timeline, f"{name}.layer{number}.stream_buffer")
        out_BTD: Tensor = self.norm(x_BTD)
        return out_BTD.to(torch.promote_types(out_BTD.dtype, torch.float32))


class TemporalLayer(nn.Module):
    """Attention and an MLP with GELU, each behind a layer norm and added to what it saw.

    Args: As in `TemporalTransformer`.
    """

    def __init__(self, head: TemporalHead, *, generator: torch.Generator) -> None:
        super().__init__()
        dim = head.embed_dim
        self.heads, self.window = head.heads, head.window
        self.attention_norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.project = _linear(dim, 3 * dim, generator), _linear(dim, dim, generator)
        self.widen, self.narrow = _linear(dim, head.mlp_dim, generator), _linear(head.mlp_dim, dim, generator)

    def forward(self, x_BTD: Tensor, timeline: Timeline, name: str) -> Tensor:
        """(B, T, D) to the same shape; `name` is that of the layer's entry in the state."""
        q_BTD, kv_BTX = self.qkv(self.attention_norm(x_BTD)).split((x_BTD.shape[2], 2 * x_BTD.shape[2]), dim=2)
        if self.window is None:
            seen_BTD = self._over_clip(q_BTD, kv_BTX)
        else:
            seen_BTD = self._over_windows(q_BTD, kv_BTX, self.window, timeline, name)
        x_BTD = x_BTD + self.project(seen_BTD)
        return x_BTD + self.narrow(F.gelu(self.widen(self.mlp_norm(x_BTD))))  # type: ignore[no-any-return]

    def _over_clip(self, q_BTD: Tensor, kv_BTX: Tensor) -> Tensor:
        num_frames = q_BTD.shape[1]
        places_T = torch.arange(num_frames, device=q_BTD.device)
        q_BHET, k_BHET, v_BHET = (
            part_BTD.mT.reshape(len(part_BTD), self.heads, -1, num_frames)
            for part_BTD in (q_BTD, *kv_BTX.chunk(2, dim=2))
        )
        scores_BHTT = torch.matmul(rotated(q_BHET, places_T).mT, rotated(k_BHET, places_T))
        seen_BHTE = torch.matmul(_softmax(scores_BHTT, q_BHET), v_BHET.mT)
        return seen_BHTE.transpose(1, 2).flatten(2)

    def _over_windows(self, q_BTD: Tensor, kv_BTX: Tensor, window: int, timeline: Timeline, name: str) -> Tensor:
        """Frames as if they were clips, N = B T of them, each with its window; four dimensions at most."""
        num_clips, num_frames, _ = q_BTD.shape
        windows_BTXW = timeline.look_back(name, kv_BTX, window - 1).unfold(1, window, 1)
        k_NHEW, v_NHEW = (
            part_BTDW.reshape(num_clips * num_frames, self.heads, -1, window)
            for part_BTDW in windows_BTXW.chunk(2, dim=2)
        )
        q_NH1E = q_BTD.reshape(num_clips * num_frames, self.heads, 1, -1)
        places_W = torch.arange(1 - window, 1, device=q_BTD.device)  # the query stands at 0
        scores_NH1W = torch.matmul(q_NH1E, rotated(k_NHEW, places_W))
        there_BTW = timeline.there_were(window).expand(num_clips, -1, -1)
        scores_NH1W = scores_NH1W.masked_fill(~there_BTW.reshape(-1, 1, 1, window), -torch.inf)
        seen_NH1E = torch.matmul(_softmax(scores_NH1W, k_NHEW), v_NHEW.mT)
        return seen_NH1E.reshape(num_clips, num_frames, -1)


def rotated(x_XET: Tensor, places_T: Tensor) -> Tensor:
    """Channels in pairs, turned by an angle that grows with the place in time: products know the distance alone.

    Args:
        x_XET: (..., E, T); channel e is paired with e + E / 2.
        places_T: Numbers of the frames, (T,).
    """
    rates_E = encoding_rates(x_XET.shape[-2], device=x_XET.device)
    angles_ET = rates_E[:, None] * places_T
    cos_ET, sin_ET = angles_ET.cos().to(x_XET.dtype), angles_ET.sin().to(x_XET.dtype)
    first, second = x_XET.chunk(2, dim=-2)
    return torch.cat((first * cos_ET - second * sin_ET, first * sin_ET + second * cos_ET), dim=-2)


def _softmax(scores_XT: Tensor, like_XET: Tensor) -> Tensor:
    """Attention weights, computed in fp32 at least, from products over E channels."""
    dtype = torch.promote_types(scores_XT.dtype, torch.float32)
    weights_XT = (scores_XT / math.sqrt(like_XET.shape[-2])).softmax(dim=-1, dtype=dtype)
    return weights_XT.to(like_XET.dtype)


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    # on the meta device, for its own initialisation would draw from the global generator
    linear = nn.Linear(inputs, outputs, device="meta").to_empty(device=torch.empty(0).device)
    lecun_normal(linear.weight, fan_in=inputs, generator=generator)
    nn.init.zeros_(linear.bias)
    return linear
