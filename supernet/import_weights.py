"""Weights of the public PyTorch port Atze00/MoViNet-pytorch as ours: names, shapes, and the variant they are of.

The port distributes clip networks out of 3-D convolutions, and streams out of 2-D ones, whose temporal kernels follow
the spatial ones. All its layers, dense ones too, are convolutions; a normalised one is `<place>.conv3d`, or `conv2d`,
beside `<place>.norm`. What means the same has the same numbers in the same order: names and axes of extent 1 change.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from search_spaces.errors import SpecError, WeightsError
from search_spaces.spec import ArchSpec, LayerSpec, has_skip_projection, kernel_name
from search_spaces.variant import VARIANTS, Variant
from supernet.convert import converted
from supernet.tensors import require_shapes
from supernet.video_net import VideoNet

PORT_BASE = VARIANTS["base"]
PORT_STREAM = replace(VARIANTS["released-stream"], gate="legacy_hard_sigmoid")
"""What the port computes with these weights. Its gate is that of the code they were trained with (movinet.md 0)."""
KINETICS_CLASSES = 600
"""Outputs of the distributed networks; assumed where the classifier is missing."""
WEIGHT_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def variant_of(tensors: Mapping[str, Tensor]) -> Variant:
    """What the port computes with tensors of these names."""
    return PORT_STREAM if any(".conv2d." in name for name in tensors) else PORT_BASE


def import_net(tensors: Mapping[str, Tensor], spec: ArchSpec, variant: Variant, *, source: str) -> VideoNet:
    """A network with the port's weights, in evaluation mode, with as many classes as these have.

    Args:
        tensors: A state dict of the port.
        spec: The architecture it is of.
        variant: How ours is built; switches that no weight belongs to are free.
        source: Where the tensors come from, for errors.

    Raises:
        SpecError: The port has no network with all the weights that this spec and variant need.
        WeightsError: A tensor is missing, unknown, of another shape, of another type than float, or not finite.
    """
    flat = replace(variant, conv="2plus1d") if variant.conv == "3d_2plus1d" else variant
    names = names_in_port(spec, flat)
    net = VideoNet(spec, flat, num_classes=_num_classes(tensors, names, spec))
    ours = net.state_dict()
    if strange := sorted(ours.keys() - names.keys()):
        raise SpecError(f"must be a variant that the port has, but it has nothing for {strange[0]}", where="variant")
    shapes = {names[name]: _shape_in_port(tensor, flat) for name, tensor in ours.items()}
    found = {name: tensor for name, tensor in tensors.items() if not _is_counter(name, tensor, shapes)}
    require_shapes(shapes, found, source=source)
    _require_finite(found, source=source)
    net.load_state_dict({name: found[names[name]].float().reshape(tensor.shape) for name, tensor in ours.items()})
    return converted(net, "3d_2plus1d") if variant.conv == "3d_2plus1d" else net.eval()


def names_in_port(spec: ArchSpec, variant: Variant) -> dict[str, str]:
    """The port's name of every tensor of a network, by ours."""
    conv = "conv3d" if variant.conv == "3d" else "conv2d"
    names = _normed("stem", "conv1.conv_1", conv)
    width = spec.stem_width
    for number, block in enumerate(spec.blocks):
        for position, layer in enumerate(block.layers):
            place = f"blocks.{number}.{position}"
            names |= _layer(layer, place, f"blocks.b{number}_l{position}", conv, in_width=width)
            width = layer.width
    names |= _normed("head.conv", "conv7.conv_1", conv)
    names |= _dense("head.dense_", "classifier.0.conv_1", conv)
    names |= _dense("head.classifier.", "classifier.3.conv_1", conv)
    return names


def _layer(layer: LayerSpec, ours: str, theirs: str, conv: str, *, in_width: int) -> dict[str, str]:
    depthwise = f"{ours}.depthwise.{kernel_name(layer.kernel)}"
    names = _normed(f"{ours}.expand", f"{theirs}.expand.conv_1", conv)
    names |= _normed(f"{depthwise}.conv", f"{theirs}.deep.conv_1", conv)
    if conv == "conv2d" and layer.kernel[0] > 1:
        names |= _normed(f"{depthwise}.temporal", f"{theirs}.deep.conv_2", conv)
    if layer.se:
        names |= _dense(f"{ours}.se.reduce_", f"{theirs}.se.fc1.conv_1", conv)
        names |= _dense(f"{ours}.se.expand_", f"{theirs}.se.fc2.conv_1", conv)
    names |= _normed(f"{ours}.project", f"{theirs}.project.conv_1", conv)
    names[f"{ours}.rezero"] = f"{theirs}.alpha"
    if has_skip_projection(layer, in_width):
        position = 1 if layer.stride > 1 else 0  # the pool comes first
        names |= _normed(f"{ours}.skip", f"{theirs}.res.{position}.conv_1", conv)
    return names


def _normed(ours: str, theirs: str, conv: str) -> dict[str, str]:
    return {
        f"{ours}.weight": f"{theirs}.{conv}.weight",
        f"{ours}.scale": f"{theirs}.norm.weight",
        f"{ours}.shift": f"{theirs}.norm.bias",
        f"{ours}.running_mean": f"{theirs}.norm.running_mean",
        f"{ours}.running_var": f"{theirs}.norm.running_var",
    }


def _dense(ours: str, theirs: str, conv: str) -> dict[str, str]:
    return {f"{ours}{part}": f"{theirs}.{conv}.{part}" for part in ("weight", "bias")}


def _num_classes(tensors: Mapping[str, Tensor], names: Mapping[str, str], spec: ArchSpec) -> int:
    weight = tensors.get(names["head.classifier.weight"])
    whole = weight is not None and weight.ndim > 1 and weight.numel() == weight.shape[0] * spec.dense_width > 0
    return weight.shape[0] if weight is not None and whole else KINETICS_CLASSES


def _shape_in_port(tensor: Tensor, variant: Variant) -> tuple[int, ...]:
    if tensor.ndim not in (2, 3):
        return tuple(tensor.shape)
    return (*tensor.flatten(1).shape, *((1, 1, 1) if variant.conv == "3d" else (1, 1)))


def _is_counter(name: str, tensor: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether it counts the batches that a norm of the network has seen, which nothing of ours depends on."""
    norm, _, part = name.rpartition(".")
    return part == "num_batches_tracked" and tensor.numel() == 1 and f"{norm}.running_mean" in shapes


def _require_finite(tensors: Mapping[str, Tensor], *, source: str) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in WEIGHT_TYPES or not tensor.isfinite().all():
            raise WeightsError(
                "weights must be finite numbers of type float32, float16 or bfloat16, "
                f"but in {source} {name} holds others ({tensor.dtype})"
            )
