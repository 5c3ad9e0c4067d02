"""Shared weights that start from a trained network, or from those of another search.

Where clips are few, a supernet has better weights to begin with than drawn ones. A sub-network takes leading channels,
so that the network's own are first put into the order of their importance, which changes none of its outputs. A kernel
goes into every larger one of the same layer, with zeros around: into its middle, and where time is causal to its end,
since the last frame is the present one. What does not fit stays as it was drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from search_spaces.errors import WeightsError
from search_spaces.spec import has_skip_projection, kernel_name
from supernet.convolve import SEPARATE
from supernet.extract import RUNNING_STATISTICS
from supernet.layers import Bottleneck, Depthwise
from supernet.supernet import Supernet
from supernet.tensors import load_exactly
from supernet.video_net import VideoNet

NORMED = ("weight", "scale", "shift", *RUNNING_STATISTICS)
"""Tensors of a normalised convolution, all with its output channels first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What became of the tensors.

    Attributes:
        whole: Tensors of the supernet that were filled.
        partly: Those whose leading channels were filled.
        missing: Those that stay as they were drawn.
        unexpected: Tensors of the source that found no place; running statistics, which a supernet has none of, apart.
    """

    whole: tuple[str, ...]
    partly: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def inherit(supernet: Supernet, net: VideoNet, *, same_classes: bool) -> Inherited:
    """Start shared weights from a network of any widths, depths, kernels and variant.

    Args:
        supernet: Whose weights are overwritten where they have a counterpart.
        net: Trained; it is left as it is.
        same_classes: Whether its outputs mean the same; otherwise the classifier stays as it was drawn.

    Raises:
        WeightsError: It has another number of blocks than the space.
    """
    if len(net.spec.blocks) != len(supernet.blocks):
        raise WeightsError(
            f"a network must have as many blocks as the space, {len(supernet.blocks)}, but has {len(net.spec.blocks)}"
        )
    return _fill(supernet, ordered(net).state_dict(), _places(supernet, net), same_classes=same_classes)


def inherit_shared(supernet: Supernet, tensors: Mapping[str, Tensor], *, same_classes: bool) -> Inherited:
    """Start shared weights from those of another supernet, which have their order; arguments as in `inherit`."""
    return _fill(supernet, tensors, _shared_places(supernet, tensors), same_classes=same_classes)


@dataclass(slots=True)
class _Channels:
    """Channels that keep one order: the axes that count them, and the weights that read them, with their axis."""

    members: list[tuple[str, int]] = field(default_factory=list)
    readers: list[tuple[str, int]] = field(default_factory=list)

    def produced_by(self, conv: str) -> None:
        self.members += [(f"{conv}.{part}", 0) for part in NORMED]

    def read_by(self, weight: str, axis: int) -> None:
        self.readers.append((weight, axis))


def ordered(net: VideoNet) -> VideoNet:
    """A copy that computes the same function, with the most important channels first.

    A channel counts as much as the absolute sums of the weights that read it, each in relation to the mean of its layer
    (Cai et al., Once-for-All, 3.3, sorts by such sums). Channels beside each other through a skip keep one order.
    Inner channels of which the place matters stay: those under a temporal shift or a positional encoding.
    """
    tensors = dict(net.state_dict())
    for channels in _channels_of(net):
        importance_C = sum(_sums(tensors[name], axis) for name, axis in channels.readers)
        assert isinstance(importance_C, Tensor)
        order_C = importance_C.argsort(descending=True, stable=True)
        for name, axis in {*channels.members, *channels.readers}:
            tensors[name] = tensors[name].index_select(axis, order_C)
    copy = VideoNet(net.spec, net.variant, num_classes=net.num_classes).to(net.stem.weight)
    load_exactly(copy, tensors, source="the network itself")
    return copy.train(net.training)


def _sums(weight: Tensor, axis: int) -> Tensor:
    sums_C = weight.double().abs().transpose(0, axis).flatten(1).sum(dim=1)
    return sums_C / sums_C.mean().clamp_min(torch.finfo(torch.float32).tiny)


def _channels_of(net: VideoNet) -> list[_Channels]:
    stream, width = _Channels(), net.spec.stem_width
    stream.produced_by("stem")
    found = [stream]
    for number, block in enumerate(net.spec.blocks):
        for position, layer in enumerate(block.layers):
            place = f"blocks.{number}.{position}"
            module = cast("Bottleneck", cast("nn.ModuleList", net.blocks[number])[position])
            stream.read_by(f"{place}.expand.weight", 1)
            if has_skip_projection(layer, width):
                stream.read_by(f"{place}.skip.weight", 1)
                stream = _Channels()
                stream.produced_by(f"{place}.skip")
                found.append(stream)
            stream.produced_by(f"{place}.project")
            found += _inner_channels(place, module, kernel_name(layer.kernel))
            width = layer.width
    stream.read_by("head.conv.weight", 1)
    temporal = net.head.temporal is not None
    head = _Channels(readers=[("head.temporal.embed.weight" if temporal else "head.dense_weight", 1)])
    head.produced_by("head.conv")
    if temporal:  # beside each other through residuals and heads of attention
        return [*found, head]
    dense = _Channels(
        members=[("head.dense_weight", 0), ("head.dense_bias", 0)], readers=[("head.classifier.weight", 1)]
    )
    return [*found, head, dense]


def _inner_channels(place: str, module: Bottleneck, kernel: str) -> Iterator[_Channels]:
    inner = _Channels(readers=[(f"{place}.project.weight", 1)])
    inner.produced_by(f"{place}.expand")
    for part in ("conv", "temporal"):
        if getattr(cast("Depthwise", module.depthwise[kernel]), part) is not None:
            inner.produced_by(f"{place}.depthwise.{kernel}.{part}")
    if module.se is not None:
        inner.members += [(f"{place}.se.{name}", axis) for name, axis in _OF_INNER]
        yield _Channels(
            members=[(f"{place}.se.reduce_weight", 0), (f"{place}.se.reduce_bias", 0)],
            readers=[(f"{place}.se.expand_weight", 1)],
        )
    encoded = module.se is not None and module.se.encoding is not None
    if not (module.variant.temporal_shift or encoded):
        yield inner


_OF_INNER = (("reduce_weight", 2), ("expand_weight", 0), ("expand_bias", 0))


def _places(supernet: Supernet, net: VideoNet) -> Iterator[tuple[str, str]]:
    """Every tensor of the supernet that has a counterpart in the network, and this one."""
    names = [name for name in net.state_dict() if not name.endswith(RUNNING_STATISTICS)]
    yield from ((name, name) for name in names if ".depthwise." not in name)
    for number, block in enumerate(net.spec.blocks):
        layers = cast("nn.ModuleList", supernet.blocks[number])
        for position, layer in enumerate(block.layers[: len(layers)]):
            prefix, kernel = f"blocks.{number}.{position}.depthwise.", kernel_name(layer.kernel)
            source = cast("Bottleneck", cast("nn.ModuleList", net.blocks[number])[position]).depthwise[kernel]
            for branch, target in cast("Bottleneck", layers[position]).depthwise.items():
                if _fits(cast("Depthwise", source), cast("Depthwise", target)):
                    yield from (
                        (name.replace(f"{prefix}{kernel}.", f"{prefix}{branch}."), name)
                        for name in names
                        if name.startswith(f"{prefix}{kernel}.")
                    )


def _shared_places(supernet: Supernet, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Every tensor of the supernet that has a counterpart in another: a kernel in the form that it has there."""
    own = supernet.state_dict()
    for name in tensors:
        layer, depthwise, rest = name.partition(".depthwise.")
        branch, _, part = rest.partition(".")
        kernel = branch.removesuffix(SEPARATE)
        for other in (kernel, kernel + SEPARATE) if depthwise else ():
            place = f"{layer}.depthwise.{other}."
            if _in_time(own, place) == _in_time(tensors, f"{layer}.depthwise.{branch}."):
                yield place + part, name
        if not depthwise:
            yield name, name


def _in_time(tensors: Mapping[str, Tensor], place: str) -> bool:
    """Whether a kernel has weights over time beside those over space."""
    return f"{place}temporal.weight" in tensors


def _fits(source: Depthwise, target: Depthwise) -> bool:
    """Whether a kernel lies within another of the same form: in one piece, or separate over space and time."""
    if (source.temporal is None) != (target.temporal is None):
        return False
    pairs = zip(_extents(source), _extents(target), strict=True)
    return all(small <= large for small, large in pairs)


def _extents(depthwise: Depthwise) -> tuple[int, ...]:
    return (*depthwise.conv.kernel, *(depthwise.temporal.kernel if depthwise.temporal is not None else ()))


def _fill(
    supernet: Supernet, tensors: Mapping[str, Tensor], places: Iterator[tuple[str, str]], *, same_classes: bool
) -> Inherited:
    own = supernet.state_dict()
    apart: tuple[str, ...] = () if same_classes else ("head.classifier.",)
    if not _same_temporal_head(own, tensors):  # what its channels mean is not a matter of their order
        apart = ("head.classifier.", "head.temporal.")
    whole: list[str] = []
    partly: list[str] = []
    used: set[str] = set()
    for target, source in places:
        if target not in own or target.startswith(apart):
            continue
        used.add(source)
        with torch.no_grad():
            complete = _placed(own[target], tensors[source], name=target, causal=supernet.variant.causal)
        (whole if complete else partly).append(target)
    return Inherited(
        whole=tuple(whole),
        partly=tuple(partly),
        missing=tuple(sorted(own.keys() - set(whole) - set(partly))),
        unexpected=tuple(
            sorted(name for name in tensors if name not in used and not name.endswith(RUNNING_STATISTICS))
        ),
    )


def _same_temporal_head(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> bool:
    """Whether both have none, or one of the same sizes, whatever the width of what it embeds."""
    sizes = (
        {name: len(tensor) for name, tensor in each.items() if name.startswith("head.temporal.")}
        for each in (own, tensors)
    )
    return next(sizes) == next(sizes)


def _placed(target: Tensor, source: Tensor, *, name: str, causal: bool) -> bool:
    """Overwrite the leading part of a tensor; whether that is all of it."""
    source = source.to(target)
    if ".depthwise." in name and name.endswith(".weight"):
        target_CTHW, source_CTHW = _as_kernels(target, name), _as_kernels(source, name)
        channels = min(len(target_CTHW), len(source_CTHW))
        target_CTHW[:channels] = 0.0
        within = [
            slice(large - small, None) if causal and axis == 0 else slice((large - small) // 2, (large + small) // 2)
            for axis, (large, small) in enumerate(zip(target_CTHW.shape[1:], source_CTHW.shape[1:], strict=True))
        ]
        target_CTHW[(slice(channels), *within)] = source_CTHW[:channels]
        return channels == len(target_CTHW)
    if source.ndim != target.ndim:  # 1x1x1 convolutions of four dimensions, and of five
        source = source.reshape(*source.shape[:2], *target.shape[2:])
    shared = _leading(target.shape, source.shape)
    target[shared] = source[shared]
    return all(small >= large for small, large in zip(source.shape, target.shape, strict=True))


def _as_kernels(weight: Tensor, name: str) -> Tensor:
    """Depthwise weights of four or five dimensions as (C, T, H, W)."""
    if weight.ndim == 5:
        return weight.view(len(weight), *weight.shape[2:])
    time_first = ".temporal." in name
    return weight.view(len(weight), *weight.shape[2:], 1) if time_first else weight.view(len(weight), *weight.shape[1:])


def _leading(first: Sequence[int], second: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(min(sizes)) for sizes in zip(first, second, strict=True))
