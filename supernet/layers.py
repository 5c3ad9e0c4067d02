"""The layers of a MoViNet, each able to run on the leading channels it is asked for.

A network built for one spec asks for all channels; a supernet asks for those of the sampled spec. Both run the same
code on equal numbers, so that a sub-network and its extracted copy agree bit for bit.

Legend: B clips, C channels, T frames, H and W pixels, N frames of all clips; tensors lie channels-last in memory,
whatever the order of the letters.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.rounding import se_hidden_width
from search_spaces.spec import Kernel, LayerSpec, has_skip_projection, kernel_name
from search_spaces.variant import Variant
from supernet.depthwise import depthwise_conv3d

BATCH_NORM_MOMENTUM = 0.01
"""Weight of a new batch in the running statistics; TensorFlow's 0.99 (movinet.md 1.5)."""
BATCH_NORM_EPS = 1e-3
POINTWISE: Kernel = (1, 1, 1)
TRUNCATED_NORMAL_STD = 0.87962566103423978
"""Standard deviation of a unit normal cut at two; He's initialisation divides by it, as Keras does."""


def activate(x: Tensor, variant: Variant) -> Tensor:
    """The variant's activation."""
    return F.silu(x) if variant.activation == "swish" else F.hardswish(x)


def leading(weight: Tensor, *sizes: int) -> Tensor:
    """The leading part of a weight; the weight itself where that is all of it."""
    if tuple(weight.shape[: len(sizes)]) == sizes:
        return weight
    return weight[tuple(slice(0, size) for size in sizes)].contiguous()


class ConvNorm(nn.Module):
    """Convolution without bias, TensorFlow "SAME" padding, then batch norm; no activation.

    Args:
        in_channels: Most input channels.
        out_channels: Most output channels; equal to `in_channels` for a depthwise convolution.
        kernel: Extent in (time, height, width), odd.
        stride: Spatial stride.
        depthwise: One filter per channel.
        running: Whether running statistics are kept for evaluation; without them, batch statistics are always used.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Kernel,
        *,
        stride: int = 1,
        depthwise: bool = False,
        running: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.stride, self.depthwise = stride, depthwise
        self.momentum = BATCH_NORM_MOMENTUM
        fan_in = math.prod(kernel) * (1 if depthwise else in_channels)
        self.weight = nn.Parameter(torch.empty(out_channels, 1 if depthwise else in_channels, *kernel))
        he_normal(self.weight, fan_in=fan_in, generator=generator)
        self.scale = nn.Parameter(torch.ones(out_channels))
        self.shift = nn.Parameter(torch.zeros(out_channels))
        self.running_mean: Tensor | None
        self.running_var: Tensor | None
        self.register_buffer("running_mean", torch.zeros(out_channels) if running else None)
        self.register_buffer("running_var", torch.ones(out_channels) if running else None)

    def forward(self, x_BCTHW: Tensor, out_channels: int) -> Tensor:
        """(B, C, T, H, W) to (B, out_channels, T, ceil(H / stride), ceil(W / stride))."""
        in_channels = x_BCTHW.shape[1]
        weight = leading(self.weight, out_channels, 1 if self.depthwise else in_channels)
        x_BCTHW = convolve(x_BCTHW, weight, stride=self.stride, groups=in_channels if self.depthwise else 1)
        return F.batch_norm(
            x_BCTHW,
            self.running_mean,
            self.running_var,
            leading(self.scale, out_channels),
            leading(self.shift, out_channels),
            training=self.training or self.running_mean is None,
            momentum=self.momentum,
            eps=BATCH_NORM_EPS,
        )


class SqueezeExcitation(nn.Module):
    """Channels scaled by what a pool over time and space says (movinet.md 1.6)."""

    def __init__(self, channels: int, variant: Variant, *, generator: torch.Generator) -> None:
        super().__init__()
        hidden = se_hidden_width(channels)
        self.variant = variant
        self.reduce_weight = nn.Parameter(torch.empty(hidden, channels))
        self.reduce_bias = nn.Parameter(torch.zeros(hidden))
        self.expand_weight = nn.Parameter(torch.empty(channels, hidden))
        self.expand_bias = nn.Parameter(torch.zeros(channels))
        he_normal(self.reduce_weight, fan_in=channels, generator=generator)
        he_normal(self.expand_weight, fan_in=hidden, generator=generator)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) to the same shape."""
        channels = x_BCTHW.shape[1]
        hidden = se_hidden_width(channels)
        pooled_BC = x_BCTHW.mean(dim=(2, 3, 4))
        reduced_BH = F.linear(
            pooled_BC, leading(self.reduce_weight, hidden, channels), leading(self.reduce_bias, hidden)
        )
        logits_BC = F.linear(
            activate(reduced_BH, self.variant),
            leading(self.expand_weight, channels, hidden),
            leading(self.expand_bias, channels),
        )
        gate_BC = logits_BC.sigmoid() if self.variant.gate == "sigmoid" else F.hardsigmoid(logits_BC)
        return x_BCTHW * gate_BC[:, :, None, None, None]


class Bottleneck(nn.Module):
    """The inverted-bottleneck layer (movinet.md 1.2): expand, depthwise, SE, project, ReZero, residual.

    Args:
        layer: Largest width and expansion, and the stride; SE exists where `layer.se`.
        in_width: Most input channels.
        kernels: Depthwise kernels to choose from, each with weights of its own.
        skip: Whether the skip may need a projection.
        variant: How it is built.
        rezero: Initial weight of the branch.
        running: As in `ConvNorm`.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        layer: LayerSpec,
        *,
        in_width: int,
        kernels: Sequence[Kernel],
        skip: bool,
        variant: Variant,
        running: bool,
        generator: torch.Generator,
        rezero: float = 0.0,
    ) -> None:
        super().__init__()
        inner = layer.expansion
        self.variant = variant
        self.expand = ConvNorm(in_width, inner, POINTWISE, running=running, generator=generator)
        self.depthwise = nn.ModuleDict(
            {
                kernel_name(kernel): ConvNorm(
                    inner, inner, kernel, stride=layer.stride, depthwise=True, running=running, generator=generator
                )
                for kernel in kernels
            }
        )
        self.se = SqueezeExcitation(inner, variant, generator=generator) if layer.se else None
        self.project = ConvNorm(inner, layer.width, POINTWISE, running=running, generator=generator)
        self.rezero = nn.Parameter(torch.full((), rezero))
        self.skip = ConvNorm(in_width, layer.width, POINTWISE, running=running, generator=generator) if skip else None

    def forward(self, x_BCTHW: Tensor, layer: LayerSpec, *, mixed: bool = False) -> Tensor:
        """(B, C, T, H, W) to (B, layer.width, T, ceil(H / stride), ceil(W / stride)).

        Args:
            x_BCTHW: Input.
            layer: What to run of it.
            mixed: Run every kernel and average after norm and activation (op warm-up, tunas.md 2).
        """
        inner_BCTHW = activate(self.expand(x_BCTHW, layer.expansion), self.variant)
        names = tuple(self.depthwise) if mixed else (kernel_name(layer.kernel),)
        branches = [activate(self.depthwise[name](inner_BCTHW, layer.expansion), self.variant) for name in names]
        inner_BCTHW = branches[0] if len(branches) == 1 else torch.stack(branches).mean(dim=0)
        if layer.se:
            assert self.se is not None
            inner_BCTHW = self.se(inner_BCTHW)
        branch_BCTHW: Tensor = self.project(inner_BCTHW, layer.width)
        return branch_BCTHW * self.rezero + self._shortcut(x_BCTHW, layer)

    def _shortcut(self, x_BCTHW: Tensor, layer: LayerSpec) -> Tensor:
        if not has_skip_projection(layer, x_BCTHW.shape[1]):
            return x_BCTHW
        assert self.skip is not None
        pooled: Tensor = self.skip(average_pool(x_BCTHW) if layer.stride > 1 else x_BCTHW, layer.width)
        return pooled


class Head(nn.Module):
    """1x1x1 convolution, mean over time and space, dense layer, classifier (movinet.md 1.7)."""

    def __init__(
        self,
        *,
        in_width: int,
        head_width: int,
        dense_width: int,
        num_classes: int,
        variant: Variant,
        running: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.conv = ConvNorm(in_width, head_width, POINTWISE, running=running, generator=generator)
        self.dense_weight = nn.Parameter(torch.empty(dense_width, head_width))
        self.dense_bias = nn.Parameter(torch.zeros(dense_width))
        he_normal(self.dense_weight, fan_in=head_width, generator=generator)
        # on the meta device, for its own initialisation would draw from the global generator
        self.classifier = nn.Linear(dense_width, num_classes, device="meta").to_empty(device=self.dense_weight.device)
        nn.init.normal_(self.classifier.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x_BCTHW: Tensor, head_width: int) -> Tensor:
        """(B, C, T, H, W) to logits (B, number of classes)."""
        x_BCTHW = activate(self.conv(x_BCTHW, head_width), self.variant)
        pooled_BC = x_BCTHW.mean(dim=(2, 3, 4))
        dense = leading(self.dense_weight, self.dense_weight.shape[0], head_width)
        logits_BK: Tensor = self.classifier(activate(F.linear(pooled_BC, dense, self.dense_bias), self.variant))
        return logits_BK


def convolve(x_BCTHW: Tensor, weight: Tensor, *, stride: int, groups: int) -> Tensor:
    """Convolve with "SAME" padding; a kernel without extent in time runs on single frames, which is faster.

    Under autocast on a CPU, all but pointwise kernels stay in float32: where such a kernel reaches far beyond the clip,
    oneDNN's bfloat16 gradient by it reads memory that nothing has written.
    """
    time, height, width = weight.shape[2:]
    if x_BCTHW.device.type == "cpu" and torch.is_autocast_enabled("cpu") and max(time, height, width) > 1:
        with torch.autocast("cpu", enabled=False):
            return convolve(x_BCTHW.float(), weight, stride=stride, groups=groups)
    rows, columns = (same_padding(x_BCTHW.shape[axis], extent, stride) for axis, extent in ((3, height), (4, width)))
    if rows[0] != rows[1] or columns[0] != columns[1]:
        x_BCTHW = F.pad(x_BCTHW, (*columns, *rows))
        rows = columns = (0, 0)
    if time > 1:
        padding = (time // 2, rows[0], columns[0])
        if groups > 1:
            return depthwise_conv3d(x_BCTHW, weight, stride=stride, padding=padding)
        return F.conv3d(x_BCTHW, weight, stride=(1, stride, stride), padding=padding)
    x_NCHW = F.conv2d(frames_of(x_BCTHW), weight[:, :, 0], stride=stride, padding=(rows[0], columns[0]), groups=groups)
    return clips_of(x_NCHW, x_BCTHW.shape[0])


def average_pool(x_BCTHW: Tensor) -> Tensor:
    """Mean over 3x3 windows at stride 2, "SAME"; padded cells do not count (movinet.md 1.3)."""
    odd = (x_BCTHW.shape[3] % 2, x_BCTHW.shape[4] % 2)
    x_NCHW = F.avg_pool2d(frames_of(x_BCTHW), 3, stride=2, padding=odd, ceil_mode=True, count_include_pad=False)
    return clips_of(x_NCHW, x_BCTHW.shape[0])


def frames_of(x_BCTHW: Tensor) -> Tensor:
    """All frames of all clips, (B T, C, H, W); a view of a channels-last tensor."""
    return x_BCTHW.transpose(1, 2).flatten(0, 1)


def clips_of(x_NCHW: Tensor, num_clips: int) -> Tensor:
    """Frames back into clips, (B, C, T, H, W); a view."""
    return x_NCHW.view(num_clips, x_NCHW.shape[0] // num_clips, *x_NCHW.shape[1:]).transpose(1, 2)


def same_padding(size: int, extent: int, stride: int) -> tuple[int, int]:
    """Cells before and after, as TensorFlow's "SAME" has them."""
    total = max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def he_normal(weight: Tensor, *, fan_in: int, generator: torch.Generator) -> None:
    """He's initialisation from a normal cut at two standard deviations, as Keras has it."""
    std = math.sqrt(2.0 / fan_in) / TRUNCATED_NORMAL_STD
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)
