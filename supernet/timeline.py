"""Time in one call of a network: how its frames fall into clips, and what one piece of a stream hands to the next.

Layers see single frames, (N, C, H, W) with N = B T. What needs their order asks the timeline; a layer never remembers
anything itself, so that a network is a function of clip and state (design decision 7).
"""

import math
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from search_spaces.stream_state import FRAME_COUNT, SHIFT_SHARE
from search_spaces.variant import Variant


class Timeline:
    """Frames of one call, and the state before and after them.

    Args:
        num_clips: Clips or streams, B.
        num_frames: Frames of each, T.
        variant: How the network is built.
        device: Of the frames.
        past: State after the frames before; None for a clip of its own, of which nothing is kept. Of layers that it
            says nothing of there was nothing before.
    """

    def __init__(
        self,
        num_clips: int,
        num_frames: int,
        variant: Variant,
        *,
        device: torch.device,
        past: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.num_clips, self.variant = num_clips, variant
        self.future: dict[str, Tensor] = {}
        self._num_frames, self._past = num_frames, past
        seen_BT = torch.arange(1, num_frames + 1, device=device)[None]
        if past is not None:
            seen_BT = seen_BT + past[FRAME_COUNT][:, None]
            self.future[FRAME_COUNT] = past[FRAME_COUNT] + num_frames
        self._frames_seen_BT1 = seen_BT[:, :, None].float()

    @classmethod
    def of(cls, clips_BCTHW: Tensor, variant: Variant, *, past: Mapping[str, Tensor] | None = None) -> Self:
        """The timeline of clips (B, C, T, H, W), or of single frames (B, C, H, W)."""
        num_frames = 1 if clips_BCTHW.ndim == 4 else clips_BCTHW.shape[2]
        return cls(clips_BCTHW.shape[0], num_frames, variant, device=clips_BCTHW.device, past=past)

    def clips_of(self, x_NCHW: Tensor) -> Tensor:
        """A view of frames as clips: (B, T, H, W, C), or (B, T, H W, C) where the variant wants four dimensions."""
        _, channels, height, width = x_NCHW.shape
        pixels = (height * width,) if self.variant.conv == "2plus1d" else (height, width)
        return x_NCHW.permute(0, 2, 3, 1).reshape(self.num_clips, -1, *pixels, channels)

    def look_back(self, name: str, x_BTX: Tensor, length: int) -> Tensor:
        """The last `length` frames before these, zeros where there were none, and these: (B, length + T, ...)."""
        if length == 0:
            return x_BTX
        if self._past is None:
            return torch.cat((x_BTX.new_zeros(x_BTX.shape[0], length, *x_BTX.shape[2:]), x_BTX), dim=1)
        past_BTX = self._past.get(name)
        if past_BTX is None:
            past_BTX = x_BTX.new_zeros(x_BTX.shape[0], length, *x_BTX.shape[2:])
        joined_BTX = torch.cat((past_BTX.to(x_BTX.dtype), x_BTX), dim=1)
        self.future[name] = joined_BTX[:, -length:].to(past_BTX.dtype, copy=True)  # a view would keep all frames alive
        return joined_BTX

    def there_were(self, length: int) -> Tensor:
        """Of the last `length` frames up to each one, itself the last of them, those there have been.

        Returns:
            bool (B or 1, T, length).
        """
        ages_X = torch.arange(length - 1, -1, -1, device=self._frames_seen_BT1.device)
        return ages_X < self._frames_seen_BT1

    def shifted(self, name: str, x_NCHW: Tensor) -> Tensor:
        """An eighth of the channels from the frame before, and another from the one after where that is allowed."""
        num_shifted = x_NCHW.shape[1] // SHIFT_SHARE
        if num_shifted == 0:
            return x_NCHW
        x_BTXC = self.clips_of(x_NCHW)
        parts = [self.look_back(name, x_BTXC[..., :num_shifted], 1)[:, :-1]]
        if not self.variant.causal:
            later_BTXC = x_BTXC[:, 1:, ..., num_shifted : 2 * num_shifted]
            parts.append(torch.cat((later_BTXC, torch.zeros_like(x_BTXC[:, :1, ..., :num_shifted])), dim=1))
        parts.append(x_BTXC[..., len(parts) * num_shifted :])
        shifted_BTXC = torch.cat(parts, dim=-1)
        return shifted_BTXC.view(-1, *x_NCHW.shape[2:], x_NCHW.shape[1]).permute(0, 3, 1, 2)

    def running_mean(self, name: str, x_BTC: Tensor) -> Tensor:
        """For each frame the mean of the frames until then, as far back as the variant says; all (B, T, C)."""
        window, decay = self.variant.pool_window, self.variant.pool_decay
        if window is not None:
            sums_BTC = self.look_back(name, x_BTC, window - 1).unfold(1, window, 1).sum(dim=-1)
            return sums_BTC / self._frames_seen_BT1.clamp(max=window).to(x_BTC.dtype)
        past = self._past or {}
        sum_BC = past[name] if name in past else torch.zeros_like(x_BTC[:, 0])
        if decay is None:
            sums_BTC = sum_BC[:, None] + x_BTC.cumsum(dim=1)
        else:
            sums = []
            for frame_BC in x_BTC.unbind(dim=1):
                sum_BC = sum_BC * decay + frame_BC
                sums.append(sum_BC)
            sums_BTC = torch.stack(sums, dim=1)
        if self._past is not None:
            self.future[name] = sums_BTC[:, -1].clone()
        weights_BT1 = self._frames_seen_BT1.to(x_BTC.dtype)
        if decay is not None:  # 1 + decay + decay ** 2 + ...
            weights_BT1 = torch.expm1(weights_BT1 * math.log(decay)) / (decay - 1.0)
        return sums_BTC / weights_BT1

    def positional_encoding(self, channels: int) -> Tensor:
        """Sines of the even channels, then cosines of the odd ones, of each frame's number (movinet.md 1.6).

        Returns:
            (B or 1, T, channels), fp32.
        """
        numbers_BT1 = self._frames_seen_BT1 - 1.0
        angles_BTC = numbers_BT1 * encoding_rates(channels, device=numbers_BT1.device)
        return torch.cat((angles_BTC.sin(), angles_BTC[..., : channels // 2].cos()), dim=-1)


def encoding_rates(channels: int, *, device: torch.device) -> Tensor:
    """Radians per frame of the even channels of a positional encoding; an odd channel has that of the one before."""
    even_C = torch.arange(0.0, channels, 2.0, device=device)
    return 10_000.0 ** (-even_C / channels)
