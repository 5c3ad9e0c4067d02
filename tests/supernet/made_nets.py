"""Small specs, networks without zeros at telling places, and a network written a second time from movinet.md.

The second network is in plain layout, pads explicitly and slices tensors by name; it shares no code with `supernet`.
"""

import dataclasses
import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.spec import ArchSpec, BlockSpec, ClipGeometry, LayerSpec
from search_spaces.temporal_head import TemporalHead
from search_spaces.variant import VARIANTS, Variant
from supernet.calibrate import settle
from supernet.video_net import VideoNet

HARD = Variant(activation="hard_swish", gate="hard_sigmoid")

STREAMS = {
    "released-stream": VARIANTS["released-stream"],
    "paper-stream": VARIANTS["paper-stream"],
    "encoded": dataclasses.replace(VARIANTS["released-stream"], positional_encoding=True),
    "2plus1d": dataclasses.replace(VARIANTS["released-stream"], conv="2plus1d"),
    "head": dataclasses.replace(
        VARIANTS["released-stream"], temporal_head=TemporalHead(embed_dim=12, depth=2, heads=2, mlp_dim=10, window=3)
    ),
}
"""Variants that stream, and differ in what they are made of."""

TINY_SPEC = ArchSpec(
    clip=ClipGeometry(num_frames=4, resolution=12, rate_fps=4.0),
    stem_width=8,
    blocks=(
        BlockSpec(
            layers=(
                LayerSpec(kernel=(3, 3, 3), width=8, expansion=16, stride=2),
                LayerSpec(kernel=(1, 5, 5), width=8, expansion=24, se=False),
            )
        ),
        BlockSpec(layers=(LayerSpec(kernel=(5, 1, 1), width=16, expansion=24),)),
    ),
    head_width=24,
    dense_width=16,
)
"""An identity skip, a pooled projection, and a projection without pool; with and without squeeze-and-excitation."""


@torch.no_grad()
def randomise(net: nn.Module, *, seed: int = 0) -> None:
    """Move everything that starts at 0 or 1, so that no part of a network is invisible (design.md, last section)."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if name.endswith(("rezero", "scale", "running_var", "encoding")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith(("shift", "bias", "running_mean", "classifier.weight")):
            tensor.normal_(0.0, 0.3, generator=generator)


def settled(net: VideoNet, *, height: int, width: int) -> VideoNet:
    """The network in evaluation, with running statistics as its activations are on frames of this size."""
    settle(net, torch.rand(2, 3, 12, height, width, generator=torch.Generator().manual_seed(1)))
    return net


def assert_close(found: Tensor, wanted: Tensor, *, tolerance: float = 1e-5) -> None:
    """Equal by max |a - b| / max |a| (design.md, last section)."""
    difference = float(((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12)).detach())
    assert difference <= tolerance, difference


def reference_logits(
    tensors: Mapping[str, Tensor],
    clips_BCTHW: Tensor,
    spec: ArchSpec,
    variant: Variant,
    *,
    mixed: Mapping[str, tuple[str, ...]] | None = None,
    batch_statistics: bool = True,
) -> Tensor:
    """Logits of the leading part of `tensors` that `spec` asks for; `mixed` maps layers to kernels to average."""
    net = _Reference(tensors, variant, batch_statistics)
    x = net.act(net.conv_norm("stem", clips_BCTHW, spec.stem_width, stride=2))
    for number, block in enumerate(spec.blocks):
        for position, layer in enumerate(block.layers):
            kernels = (mixed or {}).get(f"block{number + 2}.layer{position + 1}")
            x = net.layer(f"blocks.{number}.{position}", x, layer, kernels=kernels)
    x = net.act(net.conv_norm("head.conv", x, spec.head_width)).mean(dim=(3, 4))
    if variant.temporal_head is not None:
        x = net.temporal(x.transpose(1, 2), variant.temporal_head).transpose(1, 2)
        x = net.mean_until(x, x.shape[2] - 1) if variant.streams else x.mean(dim=2)
        return x @ tensors["head.classifier.weight"].T + tensors["head.classifier.bias"]
    x = net.mean_until(x, x.shape[2] - 1) if variant.streams else x.mean(dim=2)
    x = x @ tensors["head.dense_weight"][:, : spec.head_width].T + tensors["head.dense_bias"]
    x = net.act(x, variant.head_activation)
    return x @ tensors["head.classifier.weight"].T + tensors["head.classifier.bias"]


class _Reference:
    def __init__(self, tensors: Mapping[str, Tensor], variant: Variant, batch_statistics: bool) -> None:
        self._tensors, self._variant, self._batch_statistics = tensors, variant, batch_statistics

    def act(self, x: Tensor, activation: str | None = None) -> Tensor:
        swish = (activation or self._variant.activation) == "swish"
        return x * torch.sigmoid(x) if swish else x * torch.clamp(x + 3, 0, 6) / 6

    def gate(self, x: Tensor) -> Tensor:
        if self._variant.gate == "sigmoid":
            return torch.sigmoid(x)
        slope, offset = (1 / 6, 0.5) if self._variant.gate == "hard_sigmoid" else (0.2, 0.5)
        return torch.clamp(slope * x + offset, 0, 1)

    def conv_norm(self, name: str, x: Tensor, outputs: int, *, stride: int = 1, depthwise: bool = False) -> Tensor:
        tensors, inputs = self._tensors, x.shape[1]
        weight = tensors[f"{name}.weight"][:outputs, : 1 if depthwise else inputs]
        if weight.ndim == 4:  # of a network without five dimensions: over space, or (time, 1)
            weight = weight[..., None] if name.endswith("temporal") else weight[:, :, None]
        x = same_conv(x, weight, stride=stride, groups=inputs if depthwise else 1, causal=self._variant.causal)
        if self._batch_statistics:
            mean, var = x.mean(dim=(0, 2, 3, 4)), x.var(dim=(0, 2, 3, 4), correction=0)
        else:
            mean, var = tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]
        scale = tensors[f"{name}.scale"][:outputs] / torch.sqrt(var + 1e-3)
        shift = tensors[f"{name}.shift"][:outputs] - mean * scale
        return x * scale[None, :, None, None, None] + shift[None, :, None, None, None]

    def depthwise(self, name: str, x: Tensor, kernel: str, *, stride: int) -> Tensor:
        x = self.conv_norm(f"{name}.conv", x, x.shape[1], stride=stride, depthwise=True)
        if self._variant.conv != "3d" and not kernel.startswith("1x"):
            x = self.conv_norm(f"{name}.temporal", self.act(x), x.shape[1], depthwise=True)
        return self.act(x)

    def mean_until(self, x_BCT: Tensor, frame: int) -> Tensor:
        """The mean of the frames up to this one that the variant remembers."""
        window = self._variant.pool_window or frame + 1
        frames = range(max(0, frame + 1 - window), frame + 1)
        weights = [(self._variant.pool_decay or 1.0) ** (frame - past) for past in frames]
        weighted = [weight * x_BCT[:, :, past] for weight, past in zip(weights, frames, strict=True)]
        return sum(weighted[1:], weighted[0]) / sum(weights)

    def squeeze_excitation(self, name: str, x: Tensor) -> Tensor:
        """Frame by frame, whatever the variant pools."""
        tensors, variant, channels = self._tensors, self._variant, x.shape[1]
        pools = 2 if variant.se == "2plus3d" else 1
        hidden = max(8, int(pools * channels / 4 + 4) // 8 * 8)
        hidden += 8 if hidden < 0.9 * pools * channels / 4 else 0
        frames = x.sum(dim=(3, 4)) / math.prod(x.shape[3:])
        gated = []
        for frame in range(x.shape[2]):
            over_time = self.mean_until(frames, frame) if variant.se_pool == "cumulative" else frames.mean(dim=2)
            pooled = {"2d": [frames[:, :, frame]], "3d": [over_time], "2plus3d": [over_time, frames[:, :, frame]]}
            vector = torch.cat(pooled[variant.se], dim=1)
            if variant.positional_encoding:
                width = vector.shape[1]
                angles = [frame / 10_000 ** (2 * (channel // 2) / width) for channel in range(width)]
                sines = [math.sin(angle) for angle in angles[0::2]] + [math.cos(angle) for angle in angles[1::2]]
                vector = vector + tensors[f"{name}.encoding"] * torch.tensor(sines, dtype=vector.dtype)
            weight = tensors[f"{name}.reduce_weight"][:hidden, :, :channels].flatten(1)
            reduced = self.act(vector @ weight.T + tensors[f"{name}.reduce_bias"][:hidden])
            gate = reduced @ tensors[f"{name}.expand_weight"][:channels, :hidden].T
            gate = self.gate(gate + tensors[f"{name}.expand_bias"][:channels])
            gated.append(x[:, :, frame] * gate[:, :, None, None])
        return torch.stack(gated, dim=2)

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + 1e-5)
        return scaled * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self._tensors[f"{name}.weight"][:, : x.shape[-1]].T + self._tensors[f"{name}.bias"]

    def temporal(self, x_BTC: Tensor, head: TemporalHead) -> Tensor:
        """Every frame and attention head by itself; queries and keys are turned by the frame's own number."""
        x = self.linear("head.temporal.embed", x_BTC)
        for number in range(head.depth):
            name, num_frames = f"head.temporal.layers.{number}", x.shape[1]
            q, k, v = self.linear(f"{name}.qkv", self.norm(f"{name}.attention_norm", x)).chunk(3, dim=2)
            share = head.embed_dim // head.heads
            rows = []
            for frame in range(num_frames):
                first = 0 if head.window is None else max(0, frame + 1 - head.window)
                frames = range(first, num_frames if head.window is None else frame + 1)
                parts = []
                for start in range(0, head.embed_dim, share):
                    part = slice(start, start + share)
                    query = turn(q[:, frame, part], frame)
                    scores = [(query * turn(k[:, other, part], other)).sum(dim=1) for other in frames]
                    weights = torch.softmax(torch.stack(scores, dim=1) / math.sqrt(share), dim=1)
                    parts.append((weights[:, :, None] * v[:, frames.start : frames.stop, part]).sum(dim=1))
                rows.append(torch.cat(parts, dim=1))
            x = x + self.linear(f"{name}.project", torch.stack(rows, dim=1))
            hidden = self.linear(f"{name}.widen", self.norm(f"{name}.mlp_norm", x))
            x = x + self.linear(f"{name}.narrow", hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2))))
        return self.norm("head.temporal.norm", x)

    def shift(self, x: Tensor) -> Tensor:
        """TSM: the first eighth of the channels is late by a frame, the second early where the future is known."""
        share, out = x.shape[1] // 8, x.clone()
        out[:, :share] = F.pad(x[:, :share], (0, 0, 0, 0, 1, 0))[:, :, :-1]
        if not self._variant.causal:
            out[:, share : 2 * share] = F.pad(x[:, share : 2 * share], (0, 0, 0, 0, 0, 1))[:, :, 1:]
        return out

    def layer(self, name: str, x: Tensor, layer: LayerSpec, *, kernels: tuple[str, ...] | None) -> Tensor:
        inner = self.act(self.conv_norm(f"{name}.expand", x, layer.expansion))
        if self._variant.temporal_shift:
            inner = self.shift(inner)
        kernels = kernels or ("x".join(map(str, layer.kernel)),)
        branches = [
            self.depthwise(f"{name}.depthwise.{kernel}", inner, kernel, stride=layer.stride) for kernel in kernels
        ]
        inner = sum(branches[1:], branches[0]) / len(branches)
        if layer.se and self._variant.se != "none":
            inner = self.squeeze_excitation(f"{name}.se", inner)
        branch = self.conv_norm(f"{name}.project", inner, layer.width) * self._tensors[f"{name}.rezero"]
        if layer.stride == 1 and x.shape[1] == layer.width:
            return branch + x
        pooled = same_average_pool(x) if layer.stride > 1 else x
        return branch + self.conv_norm(f"{name}.skip", pooled, layer.width)


def turn(x_BE: Tensor, place: int) -> Tensor:
    """Rotary encoding of one frame: channels e and e + E / 2 as a complex number."""
    half = x_BE.shape[1] // 2
    angles = torch.tensor([place / 10_000 ** (2 * pair / x_BE.shape[1]) for pair in range(half)], dtype=torch.float64)
    complex_BE = torch.complex(x_BE[:, :half].double(), x_BE[:, half:].double()) * torch.polar(
        torch.ones_like(angles), angles
    )
    return torch.cat((complex_BE.real, complex_BE.imag), dim=1).to(x_BE.dtype)


def same_conv(x_BCTHW: Tensor, weight: Tensor, *, stride: int, groups: int, causal: bool = False) -> Tensor:
    """A "SAME" convolution by explicit padding: k - ((n - 1) mod s + 1) cells, the smaller half in front.

    Causal: all of time's padding is in front.
    """
    padding: list[int] = []
    for axis in (4, 3, 2):
        extent = weight.shape[axis]
        step = 1 if axis == 2 else stride
        total = max(extent - ((x_BCTHW.shape[axis] - 1) % step + 1), 0)
        before = total if causal and axis == 2 else total // 2
        padding += [before, total - before]
    padded = F.pad(x_BCTHW.contiguous(), padding)
    return F.conv3d(padded, weight.contiguous(), stride=(1, stride, stride), groups=groups)


def same_average_pool(x_BCTHW: Tensor) -> Tensor:
    """Mean over the cells of each 3x3 window at stride 2 that exist, one window after the other."""
    height, width = x_BCTHW.shape[3:]
    rows = []
    for row in range(-(height % 2), height, 2)[: (height + 1) // 2]:
        cells = [
            x_BCTHW[:, :, :, max(row, 0) : row + 3, max(column, 0) : column + 3].mean(dim=(3, 4))
            for column in range(-(width % 2), width, 2)[: (width + 1) // 2]
        ]
        rows.append(torch.stack(cells, dim=-1))
    return torch.stack(rows, dim=-2)
