"""The layers of a MoViNet, each able to run on the leading channels it is asked for.

A network built for one spec asks for all channels; a supernet asks for those of the sampled spec. Both run the same
code on equal numbers, so that a sub-network and its extracted copy agree bit for bit.

Legend: B clips, C channels, T frames, H and W pixels, N = B T frames of all clips in order, K classes, X several of
these. Layers see frames, (N, C, H, W), channels-last in memory; time enters through the `Timeline`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.rounding import se_hidden_width
from search_spaces.spec import Kernel, LayerSpec, has_skip_projection
from search_spaces.variant import Activation, Convolution, Gate, Variant
from supernet.convolve import average_pool, branch_name, convolve, convolve_channels, flat_kernel
from supernet.initial import he_normal
from supernet.leading import leading
from supernet.norm import Rows, activate, norm_activate
from supernet.squeeze import frame_means, scale_frames, softmax_pooled
from supernet.temporal_head import TemporalTransformer
from supernet.timeline import Timeline

BATCH_NORM_MOMENTUM = 0.01
"""Weight of a new batch in the running statistics; TensorFlow's 0.99 (movinet.md 1.5)."""
BATCH_NORM_EPS = 1e-3
POINTWISE: Kernel = (1, 1, 1)


def gated(logits: Tensor, gate: Gate) -> Tensor:
    """A gate in [0, 1] (movinet.md 1.4)."""
    if gate == "sigmoid":
        return logits.sigmoid()
    return F.hardsigmoid(logits) if gate == "hard_sigmoid" else (0.2 * logits + 0.5).clamp(0.0, 1.0)


class ConvNorm(nn.Module):
    """Convolution without bias, TensorFlow "SAME" padding, then batch norm and, if asked for, an activation.

    Args:
        in_channels: Most input channels.
        out_channels: Most output channels; equal to `in_channels` for a depthwise convolution.
        kernel: Extent in (time, height, width), odd; more than one frame only where depthwise.
        stride: Spatial stride.
        depthwise: One filter per channel.
        variant: Of its switches, the dimensions of the weight: five, or four (`2plus1d`).
        running: Whether running statistics are kept for evaluation; without them, batch statistics are always used.
        generator: Source of the initial weights.

    Attributes:
        momentum: Weight of a batch in the running statistics.
        rows: As in `norm_activate`; None norms the batches of this process alone.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Kernel,
        *,
        stride: int = 1,
        depthwise: bool = False,
        variant: Variant,
        running: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.depthwise = kernel, stride, depthwise
        self.momentum = BATCH_NORM_MOMENTUM
        self.rows: Rows | None = None
        fan_in = math.prod(kernel) * (1 if depthwise else in_channels)
        extents = flat_kernel(kernel) if variant.conv == "2plus1d" else kernel
        self.weight = nn.Parameter(torch.empty(out_channels, 1 if depthwise else in_channels, *extents))
        he_normal(self.weight, fan_in=fan_in, generator=generator)
        self.scale = nn.Parameter(torch.ones(out_channels))
        self.shift = nn.Parameter(torch.zeros(out_channels))
        self.running_mean: Tensor | None
        self.running_var: Tensor | None
        self.register_buffer("running_mean", torch.zeros(out_channels) if running else None)
        self.register_buffer("running_var", torch.ones(out_channels) if running else None)

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
        """(N, C, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).

        Args:
            x_NCHW: Frames.
            out_channels: How many of them to compute.
            timeline: Of the call.
            name: Of the layer, in the state.
            activation: After the norm.
            gain: One number that the normalised output is multiplied by.
        """
        in_channels = x_NCHW.shape[1]
        weight = leading(self.weight, out_channels, 1 if self.depthwise else in_channels)
        if self.kernel != POINTWISE and x_NCHW.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # where a kernel reaches far beyond the clip, oneDNN's bfloat16 gradient by it reads memory nobody wrote
            with torch.autocast("cpu", enabled=False):
                x_NCHW = self._convolve(x_NCHW.float(), weight, timeline, name)
        else:
            x_NCHW = self._convolve(x_NCHW, weight, timeline, name)
        scale_C, shift_C = leading(self.scale, out_channels), leading(self.shift, out_channels)
        if gain is not None:  # a number per channel instead of one per pixel
            scale_C, shift_C = scale_C * gain, shift_C * gain
        return norm_activate(
            x_NCHW,
            self.running_mean,
            self.running_var,
            scale_C,
            shift_C,
            batch_statistics=self.training or self.running_mean is None,
            momentum=self.momentum,
            eps=BATCH_NORM_EPS,
            activation=activation,
            rows=self.rows,
        )

    def _convolve(self, x_NCHW: Tensor, weight: Tensor, timeline: Timeline, name: str) -> Tensor:
        if self.depthwise:
            return convolve_channels(
                x_NCHW, weight, self.kernel, stride=self.stride, timeline=timeline, name=f"{name}.stream_buffer"
            )
        return convolve(x_NCHW, weight, stride=self.stride)


class Depthwise(nn.Module):
    """The convolution of a bottleneck, or one over space and one over time, each with norm and activation.

    Args: As in `ConvNorm`.
    """

    def __init__(
        self,
        channels: int,
        kernel: Kernel,
        *,
        stride: int,
        variant: Variant,
        running: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.activation = variant.activation
        time, height, width = kernel
        separate = variant.conv != "3d" and time > 1
        first: Kernel = (1, height, width) if separate else kernel
        self.conv = ConvNorm(
            channels,
            channels,
            first,
            stride=stride,
            depthwise=True,
            variant=variant,
            running=running,
            generator=generator,
        )
        self.temporal = None
        if separate:
            self.temporal = ConvNorm(
                channels,
                channels,
                (time, 1, 1),
                depthwise=True,
                variant=variant,
                running=running,
                generator=generator,
            )

    def forward(self, x_NCHW: Tensor, timeline: Timeline, name: str) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)), normalised and activated."""
        channels = x_NCHW.shape[1]
        x_NCHW = self.conv(x_NCHW, channels, timeline, name, self.activation)
        if self.temporal is not None:
            x_NCHW = self.temporal(x_NCHW, channels, timeline, name, self.activation)
        return x_NCHW


class SqueezeExcitation(nn.Module):
    """Channels scaled by what a pool over space, or time and space, says (movinet.md 1.6)."""

    def __init__(self, channels: int, variant: Variant, *, generator: torch.Generator) -> None:
        super().__init__()
        self.variant = variant
        self.num_pools = variant.se_num_pools
        hidden = se_hidden_width(self.num_pools * channels)
        self.reduce_weight = nn.Parameter(torch.empty(hidden, self.num_pools, channels))
        self.reduce_bias = nn.Parameter(torch.zeros(hidden))
        self.expand_weight = nn.Parameter(torch.empty(channels, hidden))
        self.expand_bias = nn.Parameter(torch.zeros(channels))
        self.encoding = nn.Parameter(torch.zeros(())) if variant.positional_encoding else None
        he_normal(self.reduce_weight, fan_in=self.num_pools * channels, generator=generator)
        he_normal(self.expand_weight, fan_in=hidden, generator=generator)

    def forward(self, x_NCHW: Tensor, timeline: Timeline, name: str) -> Tensor:
        """(N, C, H, W) to the same shape."""
        channels = x_NCHW.shape[1]
        hidden = se_hidden_width(self.num_pools * channels)
        x_NCHW, means_NC = frame_means(x_NCHW)
        pooled_BTC = self._pooled(means_NC, timeline, name).to(x_NCHW.dtype)
        reduced_BTH = F.linear(
            pooled_BTC,
            leading(self.reduce_weight, hidden, self.num_pools, channels).flatten(1),
            leading(self.reduce_bias, hidden),
        )
        logits_BTC = F.linear(
            activate(reduced_BTH, self.variant.activation),
            leading(self.expand_weight, channels, hidden),
            leading(self.expand_bias, channels),
        )
        gate_BTC = gated(logits_BTC, self.variant.gate)
        num_frames = x_NCHW.shape[0] // timeline.num_clips
        return scale_frames(x_NCHW, gate_BTC.expand(-1, num_frames, -1).reshape(-1, channels))

    def _pooled(self, means_NC: Tensor, timeline: Timeline, name: str) -> Tensor:
        """(B, T, pools C) in fp32; T is 1 where the whole clip has one gate."""
        frames_BTC = means_NC.view(timeline.num_clips, -1, means_NC.shape[1])
        pools = []
        if self.variant.se_over_time:
            if self.variant.se_pool == "cumulative":
                pools.append(timeline.running_mean(f"{name}.pool", frames_BTC))
            else:
                pools.append(frames_BTC.mean(dim=1, keepdim=True))
        if self.variant.se != "3d":
            pools.append(frames_BTC)
        num_frames = max(pool_BTC.shape[1] for pool_BTC in pools)
        pooled_BTC = torch.cat([pool_BTC.expand(-1, num_frames, -1) for pool_BTC in pools], dim=2)
        if self.encoding is not None:
            encoding_BTC = timeline.positional_encoding(pooled_BTC.shape[2]).to(pooled_BTC.dtype)
            pooled_BTC = pooled_BTC + self.encoding.to(pooled_BTC.dtype) * encoding_BTC
        return pooled_BTC


class Bottleneck(nn.Module):
    """The inverted-bottleneck layer (movinet.md 1.2): expand, depthwise, SE, project, ReZero, residual.

    Args:
        layer: Largest width and expansion, and the stride; SE exists where `layer.se`, unless the variant has none.
        in_width: Most input channels.
        kernels: Depthwise kernels to choose from, each with weights of its own.
        convs: Forms to choose from; each has weights of its own of the kernels longer than one frame.
        skip: Whether the skip may need a projection.
        variant: How it is built.
        rezero: Initial weight of the branch.
        drop_path: Probability that a clip's branch is left out in training (stochastic depth), in [0, 1).
        running: As in `ConvNorm`.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        layer: LayerSpec,
        *,
        in_width: int,
        kernels: Sequence[Kernel],
        convs: Sequence[Convolution],
        skip: bool,
        variant: Variant,
        running: bool,
        generator: torch.Generator,
        rezero: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        inner = layer.expansion
        self.variant, self.drop_path = variant, drop_path
        self.kernels, self.both = tuple(kernels), len(convs) > 1
        self.expand = ConvNorm(in_width, inner, POINTWISE, variant=variant, running=running, generator=generator)
        self.depthwise = nn.ModuleDict()
        for conv, kernel in product(convs, kernels):
            if (name := branch_name(kernel, conv, both=self.both)) not in self.depthwise:
                self.depthwise[name] = Depthwise(
                    inner,
                    kernel,
                    stride=layer.stride,
                    variant=replace(variant, conv=conv),
                    running=running,
                    generator=generator,
                )
        has_se = layer.se and variant.se != "none"
        self.se = SqueezeExcitation(inner, variant, generator=generator) if has_se else None
        self.project = ConvNorm(inner, layer.width, POINTWISE, variant=variant, running=running, generator=generator)
        self.rezero = nn.Parameter(torch.full((), rezero))
        self.skip = None
        if skip:
            self.skip = ConvNorm(
                in_width, layer.width, POINTWISE, variant=variant, running=running, generator=generator
            )

    def forward(
        self, x_NCHW: Tensor, layer: LayerSpec, timeline: Timeline, name: str, *, mixed: bool = False
    ) -> Tensor:
        """(N, C, H, W) to (N, layer.width, ceil(H / stride), ceil(W / stride)).

        Args:
            x_NCHW: Input.
            layer: What to run of it.
            timeline: Of the call; where the layer holds two forms, its variant says which one.
            name: Of the layer.
            mixed: Run every kernel and average after norm and activation (op warm-up, tunas.md 2).
        """
        inner_NCHW = self.expand(x_NCHW, layer.expansion, timeline, name, self.variant.activation)
        if self.variant.temporal_shift:
            inner_NCHW = timeline.shifted(f"{name}.stream_buffer", inner_NCHW)
        conv = timeline.variant.conv
        names = [branch_name(kernel, conv, both=self.both) for kernel in (self.kernels if mixed else (layer.kernel,))]
        branches = [  # each kernel looks back as far as it reaches, in a stream buffer of its own
            self.depthwise[branch](inner_NCHW, timeline, f"{name}.{branch}" if mixed else name) for branch in names
        ]
        inner_NCHW = branches[0] if len(branches) == 1 else torch.stack(branches).mean(dim=0)
        if layer.se and self.se is not None:
            inner_NCHW = self.se(inner_NCHW, timeline, name)
        branch_NCHW: Tensor = self.project(inner_NCHW, layer.width, timeline, name, gain=self.rezero)
        if self.training and self.drop_path:
            branch_NCHW = branch_NCHW * self._survivors(timeline.num_clips, branch_NCHW)
        return branch_NCHW + self._shortcut(x_NCHW, layer, timeline, name)

    def _survivors(self, num_clips: int, branch_NCHW: Tensor) -> Tensor:
        """For each frame 0, or, so that the mean stays, 1 / the share that survives; one draw per clip."""
        keep = 1.0 - self.drop_path
        drawn_B1 = torch.empty(num_clips, 1, device=branch_NCHW.device).bernoulli_(keep) / keep
        num_frames = branch_NCHW.shape[0] // num_clips
        return drawn_B1.to(branch_NCHW.dtype).expand(-1, num_frames).reshape(-1, 1, 1, 1)

    def _shortcut(self, x_NCHW: Tensor, layer: LayerSpec, timeline: Timeline, name: str) -> Tensor:
        if not has_skip_projection(layer, x_NCHW.shape[1]):
            return x_NCHW
        assert self.skip is not None
        source_NCHW = average_pool(x_NCHW) if layer.stride > 1 else x_NCHW
        projected_NCHW: Tensor = self.skip(source_NCHW, layer.width, timeline, name)
        return projected_NCHW


class Head(nn.Module):
    """1x1x1 convolution, mean over time and space, dense layer or temporal head, classifier (movinet.md 1.7).

    Args:
        in_width: Most input channels.
        head_width: Most channels of the convolution.
        dense_width: Channels of the dense layer.
        num_classes: Outputs.
        variant: How it is built.
        dropout: Before the classifier, in [0, 1).
        running: As in `ConvNorm`.
        generator: Source of the initial weights.
    """

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
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.variant, self.dropout = variant, dropout
        self.conv = ConvNorm(in_width, head_width, POINTWISE, variant=variant, running=running, generator=generator)
        self.temporal, features = None, dense_width
        if variant.temporal_head is not None:
            self.temporal = TemporalTransformer(variant.temporal_head, in_width=head_width, generator=generator)
            features = variant.temporal_head.embed_dim
        else:
            self.dense_weight = nn.Parameter(torch.empty(dense_width, head_width))
            self.dense_bias = nn.Parameter(torch.zeros(dense_width))
            he_normal(self.dense_weight, fan_in=head_width, generator=generator)
        # on the meta device, for its own initialisation would draw from the global generator
        self.classifier = nn.Linear(features, num_classes, device="meta").to_empty(device=self.conv.weight.device)
        nn.init.normal_(self.classifier.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.classifier.bias)

    def forward(
        self, x_NCHW: Tensor, head_width: int, timeline: Timeline, *, per_frame: bool = False, alone: bool = False
    ) -> Tensor:
        """(N, C, H, W) to fp32 logits (B, K), or with `per_frame` (B, T, K): after each frame, or of each `alone`."""
        x_NCHW = self.conv(x_NCHW, head_width, timeline, "head", self.variant.activation)
        pooled_BTC = frame_means(x_NCHW)[1].view(timeline.num_clips, -1, head_width)
        if self.temporal is not None:
            pooled_BTC = self.temporal(pooled_BTC, timeline, "head")
        weighted = self.variant.temporal_pooling == "softmax" and not alone
        if self.variant.streams and not alone:
            pooled_BTC = timeline.running_mean("head.pool", pooled_BTC)
        elif not (alone or weighted):
            pooled_BTC = pooled_BTC.mean(dim=1, keepdim=True)
        pooled_X = pooled_BTC if per_frame or weighted else pooled_BTC[:, -1]
        features_X = pooled_X.to(x_NCHW.dtype)
        if self.temporal is None:
            dense = leading(self.dense_weight, self.dense_weight.shape[0], head_width)
            features_X = activate(F.linear(features_X, dense, self.dense_bias), self.variant.head_activation)
        features_X = F.dropout(features_X, self.dropout, training=self.training)
        logits_X: Tensor = self.classifier(features_X)
        logits_X = logits_X.to(torch.promote_types(logits_X.dtype, torch.float32))
        return softmax_pooled(logits_X) if weighted else logits_X
