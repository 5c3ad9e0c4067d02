"""A trained network in the operators that runtimes are fast at: plain 2-D convolutions with a bias.

Batch norm and ReZero go into the weights. A kernel of k frames is a sum of k convolutions of single frames, so that no
runtime needs 3-D convolutions, which many lack and others compute slowly, and tensors of a stream get along with four
dimensions. Both forms of (2+1)D become the same network; kernels in one piece, `3d`, are summed in the same way.

Letters: B clips, T frames, C channels, H and W pixels, N = B T, X = H W.
"""

import copy
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.variant import Activation
from supernet.convolve import frame_padding
from supernet.frozen import fold
from supernet.layers import Bottleneck, ConvNorm
from supernet.norm import activate
from supernet.timeline import Timeline
from supernet.video_net import VideoNet


class FoldedConv(nn.Module):
    """A convolution, its batch norm and, of a projection, ReZero; called as the `ConvNorm` that it stands for.

    Its stream buffer has channels before pixels: (B, k - 1, C, H, W), or `flat` (B, k - 1, C, X).

    Args:
        conv: With running statistics.
        gain: What its output is multiplied by, if anything.
        flat: Whether no tensor may have more than four dimensions.
    """

    def __init__(self, conv: ConvNorm, *, gain: Tensor | None, flat: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.depthwise, self.flat = conv.kernel, conv.stride, conv.depthwise, flat
        with torch.no_grad():
            weight, bias = fold(conv, gain)
        taps = weight.reshape(*weight.shape[:2], *conv.kernel).unbind(dim=2)
        self.taps = nn.ParameterList([nn.Parameter(tap.contiguous()) for tap in taps])
        self.bias = nn.Parameter(bias)

    def forward(
        self,
        x_NCHW: Tensor,
        out_channels: int,
        timeline: Timeline,
        name: str,
        activation: Activation | None = None,
        *,
        gain: Tensor | None = None,
    ) -> Tensor:
        """(N, C, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)); `gain` is in the weights already."""
        del gain
        assert out_channels == len(self.bias)
        groups = x_NCHW.shape[1] if self.depthwise else 1
        rows, columns = frame_padding(x_NCHW.shape[2:], self.kernel[1:], self.stride)
        total: Tensor | None = None
        uneven = rows[0] != rows[1] or columns[0] != columns[1]
        padding = (0, 0) if uneven else (rows[0], columns[0])
        for tap, seen_NCHW in zip(self.taps, self._frames(x_NCHW, timeline, f"{name}.stream_buffer"), strict=True):
            bias = self.bias if total is None else None
            padded_NCHW = F.pad(seen_NCHW, (*columns, *rows)) if uneven else seen_NCHW
            part_NCHW = F.conv2d(padded_NCHW, tap, bias, stride=self.stride, padding=padding, groups=groups)
            total = part_NCHW if total is None else total + part_NCHW
        assert total is not None
        return activate(total, activation)

    def _frames(self, x_NCHW: Tensor, timeline: Timeline, buffer: str) -> list[Tensor]:
        """For each frame of the kernel what it sees, (N, C, H, W) each."""
        if len(self.taps) == 1:
            return [x_NCHW]
        channels, height, width = x_NCHW.shape[1:]
        pixels = (height * width,) if self.flat else (height, width)
        x_BTCX = x_NCHW.reshape(timeline.num_clips, -1, channels, *pixels)
        num_frames, reach = x_BTCX.shape[1], len(self.taps) - 1
        if timeline.variant.causal:
            x_BTCX = timeline.look_back(buffer, x_BTCX, reach)
        else:
            zeros = x_BTCX.new_zeros(x_BTCX.shape[0], reach // 2, *x_BTCX.shape[2:])
            x_BTCX = torch.cat((zeros, x_BTCX, zeros), dim=1)
        return [x_BTCX[:, tap : tap + num_frames].reshape(x_NCHW.shape) for tap in range(len(self.taps))]


def folded(net: VideoNet, *, flat: bool) -> VideoNet:
    """A copy for inference on the CPU in fp32 whose every convolution is folded; whatever else it has is as it was.

    Args:
        net: In evaluation mode, with running statistics.
        flat: As in `FoldedConv`.
    """
    lean = copy.deepcopy(net).cpu().float().eval()
    if flat:  # which the timeline asks for the dimensions of what it keeps
        lean.variant = replace(net.variant, conv="2plus1d")
    _fold_within(lean, flat=flat)
    return lean.requires_grad_(requires_grad=False)


def _fold_within(module: nn.Module, *, flat: bool) -> None:
    for name, child in module.named_children():
        if isinstance(child, ConvNorm):
            gain = module.rezero if isinstance(module, Bottleneck) and name == "project" else None
            setattr(module, name, FoldedConv(child, gain=gain, flat=flat))
        else:
            _fold_within(child, flat=flat)
