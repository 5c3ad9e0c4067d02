"""A MoViNet as one writes it in PyTorch without a thought for speed: what our networks' speed is measured against.

`nn.Conv3d` for every convolution, `nn.BatchNorm3d`, tensors in the default layout, stream buffers by concatenation. Two
forms: the base clip network, and the released stream, (2+1)D with pools over time and of each frame. Of use for nothing
but benchmarks.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.rounding import se_hidden_width
from search_spaces.spec import (
    INPUT_CHANNELS,
    STEM_KERNEL,
    STEM_STRIDE,
    ArchSpec,
    Kernel,
    LayerSpec,
    has_skip_projection,
)
from supernet.layers import Bottleneck, Depthwise
from supernet.video_net import VideoNet

State = dict[str, Tensor]


class PlainNet(nn.Module):
    """The network of a spec.

    Args:
        spec: Its architecture.
        num_classes: Outputs.
        stream: The released stream, and not the base network.
    """

    def __init__(self, spec: ArchSpec, *, num_classes: int, stream: bool = False) -> None:
        super().__init__()
        self.stem = PlainConv(INPUT_CHANNELS, spec.stem_width, STEM_KERNEL, stride=STEM_STRIDE, stream=stream)
        layers: list[PlainLayer] = []
        width = spec.stem_width
        for block in spec.blocks:
            for layer in block.layers:
                layers.append(PlainLayer(layer, in_width=width, stream=stream, name=str(len(layers))))
                width = layer.width
        self.layers = nn.ModuleList(layers)
        self.head = PlainConv(width, spec.head_width, (1, 1, 1), stream=stream)
        self.dense = nn.Conv3d(spec.head_width, spec.dense_width, 1)
        self.classifier = nn.Conv3d(spec.dense_width, num_classes, 1)
        self.stream = stream

    def forward(self, x_BCTHW: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Clips, or the next frames of streams, to logits (B, number of classes) and the new state."""
        before, after = state or {}, State()
        activation = nn.Hardswish() if self.stream else nn.SiLU()
        x_BCTHW = activation(self.stem(x_BCTHW))
        for layer in self.layers:
            x_BCTHW = layer(x_BCTHW, before, after)
        x_BCTHW = activation(self.head(x_BCTHW))
        pooled = _mean_until_now(x_BCTHW, "head", before, after)[:, :, -1:] if self.stream else _mean(x_BCTHW)
        after["frames"] = before.get("frames", torch.zeros(())) + x_BCTHW.shape[2]
        return self.classifier(F.silu(self.dense(pooled))).flatten(1), after


class PlainConv(nn.Module):
    """Convolution and batch norm, "SAME" in space, causal in time for a stream."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Kernel,
        *,
        stride: int = 1,
        groups: int = 1,
        stream: bool = False,
        name: str = "",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, kernel, stride=(1, stride, stride), groups=groups, bias=False)
        self.norm = nn.BatchNorm3d(out_channels, eps=1e-3, momentum=0.01)
        self.kernel, self.stride, self.causal, self.name = kernel, stride, stream, name

    def forward(self, x_BCTHW: Tensor, before: State | None = None, after: State | None = None) -> Tensor:
        """(B, C, T, H, W) to the same with other channels, and half as high and wide at stride 2."""
        padding: list[int] = []
        for axis in (4, 3):
            size, extent = x_BCTHW.shape[axis], self.kernel[axis - 2]
            total = max((-(-size // self.stride) - 1) * self.stride + extent - size, 0)
            padding += [total // 2, total - total // 2]
        taps = self.kernel[0] - 1
        if taps and self.causal:
            if before is not None and self.name in before:
                x_BCTHW = torch.cat((before[self.name], x_BCTHW), dim=2)
            else:
                x_BCTHW = F.pad(x_BCTHW, (0, 0, 0, 0, taps, 0))
            if after is not None:
                after[self.name] = x_BCTHW[:, :, -taps:]
            padding += [0, 0]
        else:
            padding += [taps // 2, taps // 2]
        y_BCTHW: Tensor = self.norm(self.conv(F.pad(x_BCTHW, padding)))
        return y_BCTHW


class PlainLayer(nn.Module):
    """An inverted bottleneck."""

    def __init__(self, layer: LayerSpec, *, in_width: int, stream: bool, name: str) -> None:
        super().__init__()
        inner, (time, height, space) = layer.expansion, layer.kernel
        self.activation = nn.Hardswish() if stream else nn.SiLU()
        self.expand = PlainConv(in_width, inner, (1, 1, 1), stream=stream)
        separate = stream and time > 1
        first = (1, height, space) if separate else layer.kernel
        self.depthwise = PlainConv(inner, inner, first, stride=layer.stride, groups=inner, stream=stream)
        self.temporal = None
        if separate:
            self.temporal = PlainConv(inner, inner, (time, 1, 1), groups=inner, stream=True, name=name)
        pools = 2 if stream else 1
        hidden = se_hidden_width(pools * inner)
        self.reduce = nn.Conv3d(pools * inner, hidden, 1) if layer.se else None
        self.raise_ = nn.Conv3d(hidden, inner, 1) if layer.se else None
        self.project = PlainConv(inner, layer.width, (1, 1, 1), stream=stream)
        self.rezero = nn.Parameter(torch.ones(()))
        self.skip = PlainConv(in_width, layer.width, (1, 1, 1)) if has_skip_projection(layer, in_width) else None
        self.stride, self.stream, self.name = layer.stride, stream, f"{name}.pool"

    def forward(self, x_BCTHW: Tensor, before: State, after: State) -> Tensor:
        """(B, C, T, H, W) to the same with other channels, and half as high and wide at stride 2."""
        inner = self.activation(self.depthwise(self.activation(self.expand(x_BCTHW))))
        if self.temporal is not None:
            inner = self.activation(self.temporal(inner, before, after))
        if self.reduce is not None and self.raise_ is not None:
            pooled = _mean(inner)
            if self.stream:
                frames = inner.mean(dim=(3, 4), keepdim=True)
                pooled = torch.cat((_mean_until_now(inner, self.name, before, after), frames), dim=1)
            gate = self.raise_(self.activation(self.reduce(pooled)))
            inner = inner * (F.hardsigmoid(gate) if self.stream else gate.sigmoid())
        branch = self.project(inner) * self.rezero
        shortcut = x_BCTHW
        if self.skip is not None:
            shortcut = self.skip(_pool(x_BCTHW) if self.stride > 1 else x_BCTHW)
        y_BCTHW: Tensor = branch + shortcut
        return y_BCTHW


def _mean(x_BCTHW: Tensor) -> Tensor:
    return x_BCTHW.mean(dim=(2, 3, 4), keepdim=True)


def _mean_until_now(x_BCTHW: Tensor, name: str, before: State, after: State) -> Tensor:
    sums = x_BCTHW.mean(dim=(3, 4), keepdim=True).cumsum(dim=2)
    frames = torch.arange(1, x_BCTHW.shape[2] + 1, device=x_BCTHW.device)
    if name in before:
        sums = sums + before[name]
        frames = frames + before["frames"]
    after[name] = sums[:, :, -1:]
    return sums / frames[:, None, None]


def _pool(x_BCTHW: Tensor) -> Tensor:
    odd = (0, x_BCTHW.shape[3] % 2, x_BCTHW.shape[4] % 2)
    return F.avg_pool3d(x_BCTHW, (1, 3, 3), stride=(1, 2, 2), padding=odd, ceil_mode=True, count_include_pad=False)


@torch.no_grad()
def plain_copy(ours: VideoNet, *, stream: bool) -> PlainNet:
    """The plain network with the numbers of a base network, or, for a stream, of a released stream."""
    plain = PlainNet(ours.spec, num_classes=ours.num_classes, stream=stream)
    convs = [(plain.stem, ours.stem), (plain.head, ours.head.conv)]
    denses = [
        (plain.dense, ours.head.dense_weight, ours.head.dense_bias),
        (plain.classifier, ours.head.classifier.weight, ours.head.classifier.bias),
    ]
    layers = [cast("Bottleneck", layer) for block in ours.blocks for layer in cast("nn.ModuleList", block)]
    for theirs, layer in zip(plain.layers, layers, strict=True):
        assert isinstance(theirs, PlainLayer)
        depthwise = cast("Depthwise", next(iter(layer.depthwise.values())))
        convs += [(theirs.expand, layer.expand), (theirs.depthwise, depthwise.conv), (theirs.project, layer.project)]
        if theirs.temporal is not None and depthwise.temporal is not None:
            convs.append((theirs.temporal, depthwise.temporal))
        if theirs.skip is not None and layer.skip is not None:
            convs.append((theirs.skip, layer.skip))
        if theirs.reduce is not None and theirs.raise_ is not None and layer.se is not None:
            denses.append((theirs.reduce, layer.se.reduce_weight, layer.se.reduce_bias))
            denses.append((theirs.raise_, layer.se.expand_weight, layer.se.expand_bias))
        theirs.rezero.copy_(layer.rezero)
    for dense, weight, bias in denses:
        assert dense.bias is not None
        dense.weight.copy_(weight.view_as(dense.weight))
        dense.bias.copy_(bias)
    for theirs, conv in convs:
        theirs.conv.weight.copy_(conv.weight.view_as(theirs.conv.weight))
        numbers = {"weight": conv.scale, "bias": conv.shift, "running_mean": conv.running_mean}
        theirs.norm.load_state_dict({**theirs.norm.state_dict(), **numbers, "running_var": conv.running_var})
    return plain.train(ours.training)
