"""A trained network for inference alone: as fast as this machine runs it, and as it was when it was frozen."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from search_spaces.errors import UsageError
from search_spaces.spec import layer_name
from search_spaces.stream_state import FRAME_COUNT
from supernet import native
from supernet.layers import BATCH_NORM_EPS, Bottleneck, ConvNorm, Depthwise, SqueezeExcitation
from supernet.native import network
from supernet.state import State, StateForm
from supernet.timeline import encoding_rates
from supernet.video_net import VideoNet, check_clips


class FrozenNet(nn.Module):
    """A network in evaluation: the same function as `net`, without gradients, and not changed by what becomes of `net`.

    On the CPU in fp32 it is one call of our own kernels per clip, or per piece of a stream, with batch norms folded
    into the convolutions before them. Elsewhere, where it is frozen under autocast, with a temporal shift or head, and
    where it pools logits, it is a copy of `net`.

    Args:
        net: In evaluation mode.

    Raises:
        UsageError: The network is in training mode, in which every clip would move its statistics.
    """

    def __init__(self, net: VideoNet) -> None:
        super().__init__()
        if net.training:
            raise UsageError("a network must be in evaluation mode, net.eval(), to be frozen, but is in training")
        self.spec, self.variant, self.num_classes = net.spec, net.variant, net.num_classes
        self._form: StateForm | None = None
        self._kept: list[Tensor] = []
        self._network: network.Network | None = None
        self._like = net.stem.weight.detach()[:0]
        self._copy: VideoNet | None = None
        fast = native.usable(*net.parameters()) and not torch.is_autocast_enabled("cpu")
        variant = net.variant
        mapped = not (variant.temporal_shift or variant.temporal_head) and variant.temporal_pooling == "mean"
        if fast and mapped:
            self._network = self._folded(net)
        else:
            self._copy = copy.deepcopy(net).requires_grad_(requires_grad=False)
        self.eval()

    def train(self, mode: bool = True) -> "FrozenNet":
        """Stay in evaluation mode.

        Raises:
            UsageError: On `mode`.
        """
        if mode:
            raise UsageError("a frozen network must not be trained; train the one it was frozen from")
        super().train(mode=False)
        return self

    @torch.no_grad()
    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        """Clips (B, 3, T, H, W), values in [0, 1], any T, H and W, to logits (B, number of classes), fp32.

        Raises:
            UsageError: Clips of another shape, or not on the device of the weights.
        """
        if self._copy is not None:
            return self._copy(clips_BCTHW)  # type: ignore[no-any-return]
        check_clips(clips_BCTHW, dimensions=(5,))
        return self._run(clips_BCTHW, {}, State(), per_frame=False)

    def init_state(self, num_streams: int, height: int, width: int) -> State:
        """As `VideoNet.init_state`."""
        if self._copy is not None:
            return self._copy.init_state(num_streams, height, width)
        return self._form_for(height, width).zeros(num_streams)

    @torch.no_grad()
    def step(
        self, clips_BCTHW: Tensor, state: Mapping[str, Tensor], *, per_frame: bool = False
    ) -> tuple[Tensor, State]:
        """As `VideoNet.step`, with which a state may be exchanged, but without gradients."""
        if self._copy is not None:
            return self._copy.step(clips_BCTHW, state, per_frame=per_frame)
        form = self._checked(clips_BCTHW, state)
        future = form.empty(clips_BCTHW.shape[0])
        torch.add(state[FRAME_COUNT], _num_frames(clips_BCTHW), out=future[FRAME_COUNT])
        return self._run(clips_BCTHW, state, future, per_frame=per_frame), future

    @torch.no_grad()
    def step_(self, clips_BCTHW: Tensor, state: State, *, per_frame: bool = False) -> Tensor:
        """As `step`, but the new state takes the place of the old one, which saves copying it.

        Buffers are then rings, their oldest frame no more the first, so that a state that was ever given to `step_` is
        of no use to `step`.

        Returns:
            The logits of `step`.
        """
        if self._copy is not None:
            logits, future = self._copy.step(clips_BCTHW, state, per_frame=per_frame)
            state.update(future)
            return logits
        self._checked(clips_BCTHW, state)
        state.update({name: tensor.contiguous() for name, tensor in state.items()})
        logits = self._run(clips_BCTHW, state, state, per_frame=per_frame)
        state[FRAME_COUNT] += _num_frames(clips_BCTHW)
        return logits

    @torch.no_grad()
    def part_seconds(self, clips_BCTHW: Tensor, state: State | None = None) -> Tensor:
        """Wall time of each part of one call: stem, every layer in order, head; (layers + 2,), fp64, seconds.

        Args:
            clips_BCTHW: As of `forward`; with a state, as of `step`.
            state: Stepped in place, as by `step_`; None times `forward`.

        Raises:
            UsageError: The network does not run as one call of our own kernels; as `forward` and `step`.
        """
        if self._network is None:
            raise UsageError("parts must be timed on a network that runs as one call: on the CPU, in fp32, built here")
        seconds_P = torch.zeros(int(self._network.num_layers) + 2, dtype=torch.float64)
        if state is None:
            check_clips(clips_BCTHW, dimensions=(5,))
            self._run(clips_BCTHW, {}, State(), per_frame=False, seconds_P=seconds_P)
        else:
            self._checked(clips_BCTHW, state)
            self._run(clips_BCTHW, state, state, per_frame=False, seconds_P=seconds_P)
            state[FRAME_COUNT] += _num_frames(clips_BCTHW)
        return seconds_P

    def _checked(self, clips_BCTHW: Tensor, state: Mapping[str, Tensor]) -> StateForm:
        check_clips(clips_BCTHW, dimensions=(4, 5))
        form = self._form_for(*clips_BCTHW.shape[-2:])
        form.check(state, num_streams=clips_BCTHW.shape[0])
        return form

    def _form_for(self, height: int, width: int) -> StateForm:
        if self._form is None or (self._form.height, self._form.width) != (height, width):
            self._form = StateForm.of(self.spec, self.variant, height=height, width=width, like=self._like)
        return self._form

    def _run(
        self,
        clips_BCTHW: Tensor,
        past: Mapping[str, Tensor],
        future: Mapping[str, Tensor],
        *,
        per_frame: bool,
        seconds_P: Tensor | None = None,
    ) -> Tensor:
        assert self._network is not None
        if clips_BCTHW.device != self._like.device:
            raise UsageError(f"clips must be on {self._like.device}, as the weights, but got {clips_BCTHW.device}")
        clips_BCTHW = clips_BCTHW.float()
        if clips_BCTHW.ndim == 4:
            clips_BCTHW = clips_BCTHW.unsqueeze(2)
        num_clips, _, num_frames, height, width = clips_BCTHW.shape
        shape = (num_clips, num_frames, self.num_classes) if per_frame else (num_clips, self.num_classes)
        logits = torch.empty(shape)
        in_place = past is future
        before = past if in_place else {name: tensor.contiguous() for name, tensor in past.items()}
        past_of, future_of = (network.pointers([state.get(name) for name in self._names]) for state in (before, future))
        clip, channel, frame, row, column = clips_BCTHW.stride()
        network.run(
            self._network,
            network.Call(
                clips=num_clips,
                frames=num_frames,
                height=height,
                width=width,
                streams=self.variant.streams,
                per_frame=per_frame,
                in_place=in_place,
                x=clips_BCTHW.data_ptr(),
                clip_stride=clip,
                frame_stride=frame,
                channel_stride=channel,
                row_stride=row,
                column_stride=column,
                count=before[FRAME_COUNT].data_ptr() if before else None,
                past=past_of,
                future=future_of,
                logits=logits.data_ptr(),
                part_seconds=None if seconds_P is None else seconds_P.data_ptr(),
            ),
        )
        return logits

    @torch.no_grad()
    def _folded(self, net: VideoNet) -> network.Network:
        self._names = [
            f"{layer_name(number, position)}.{entry}"
            for number, block in enumerate(net.spec.blocks)
            for position in range(len(block.layers))
            for entry in ("stream_buffer", "pool")
        ]
        self._names.append("head.pool")
        layers = [self._layer(layer) for block in net.blocks for layer in block]  # type: ignore[attr-defined]
        head = net.head
        stem_weight, stem_bias = fold(net.stem)
        self._layers = (network.Layer * len(layers))(*layers)
        return network.Network.of(
            self.variant,
            stem=self._matrix(stem_weight.reshape(*stem_weight.shape[:2], -1).permute(0, 2, 1).flatten(1), stem_bias),
            head=self._pointwise(head.conv),
            dense=self._matrix(head.dense_weight, head.dense_bias),
            classifier=self._matrix(head.classifier.weight, head.classifier.bias),
            num_layers=len(layers),
            layers=self._layers,
        )

    def _layer(self, layer: Bottleneck) -> network.Layer:
        (depthwise,) = layer.depthwise.values()
        assert isinstance(depthwise, Depthwise)
        parts: dict[str, network.Matrix | network.Depthwise | int] = {
            "expand": self._pointwise(layer.expand),
            "first": self._depthwise(depthwise.conv),
            "project": self._pointwise(layer.project, gain=layer.rezero),
        }
        if depthwise.temporal is not None:
            parts["second"] = self._depthwise(depthwise.temporal)
        if layer.skip is not None:
            parts["skip"] = self._pointwise(layer.skip)
        if layer.se is not None:
            parts["reduce"] = self._matrix(layer.se.reduce_weight.flatten(1), layer.se.reduce_bias)
            parts["gates"] = self._matrix(layer.se.expand_weight, layer.se.expand_bias)
            if layer.se.encoding is not None:
                parts["encoding"] = self._encoding(layer.se)
        return network.Layer(**parts)

    def _pointwise(self, conv: ConvNorm, *, gain: Tensor | None = None) -> network.Matrix:
        weight, bias = fold(conv, gain)
        return self._matrix(weight.flatten(1), bias)

    def _matrix(self, weight_OI: Tensor, bias_O: Tensor) -> network.Matrix:
        return network.Matrix.of(weight_OI, bias_O, self._kept)

    def _depthwise(self, conv: ConvNorm) -> network.Depthwise:
        weight, bias = fold(conv)
        return network.Depthwise.of(weight.view(-1, *conv.kernel), bias, stride=conv.stride, kept=self._kept)

    def _encoding(self, se: SqueezeExcitation) -> int:
        assert se.encoding is not None
        rates = encoding_rates(se.reduce_weight[0].numel(), device=se.encoding.device)
        self._kept.append(torch.cat((se.encoding[None], rates)))
        return self._kept[-1].data_ptr()


def _num_frames(clips_BCTHW: Tensor) -> int:
    return 1 if clips_BCTHW.ndim == 4 else clips_BCTHW.shape[2]


def fold(conv: ConvNorm, gain: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and its norm, and a number that both are multiplied by."""
    assert conv.running_mean is not None
    assert conv.running_var is not None
    scale_C = conv.scale * torch.rsqrt(conv.running_var + BATCH_NORM_EPS)
    bias_C = conv.shift - conv.running_mean * scale_C
    if gain is not None:
        scale_C, bias_C = scale_C * gain, bias_C * gain
    return conv.weight * scale_C.view(-1, *[1] * (conv.weight.ndim - 1)), bias_C
