"""State dicts in the form of the public port Atze00/MoViNet-pytorch, made from ours by rewriting names.

It shares no mapping with `supernet.import_weights`, and goes the other way. What the port's own networks have is in
`FACTS`, so that both are held against it. Nothing of the port is here.
"""

import dataclasses
import hashlib
import math
import re
from collections.abc import Mapping, Sequence

import torch
from made_nets import TINY_SPEC
from torch import Tensor

from supernet.import_weights import PORT_BASE, PORT_STREAM
from supernet.video_net import VideoNet

FORMS = {"base": PORT_BASE, "stream": dataclasses.replace(PORT_STREAM, conv="2plus1d")}
"""The variants whose tensors lie as the port's do."""

TINY_PORT_SPEC = dataclasses.replace(
    TINY_SPEC,
    blocks=tuple(
        dataclasses.replace(
            block,
            layers=tuple(
                dataclasses.replace(layer, se=True, stride=1 if number else 2)
                for number, layer in enumerate(block.layers)
            ),
        )
        for block in TINY_SPEC.blocks
    ),
)
"""A small spec that the port's form can hold: squeeze-and-excitation everywhere, all projections after a pool."""

FACTS = {
    ("A0", "base"): (385, 3_126_122, "dd66247d5b4526ac58c8dad3905600f9cc0807f40d36c9cad8af95da3c3d15c1"),
    ("A1", "base"): (592, 4_717_990, "900e0d08f4f62c8be50e0f80bcd4b1e441bbb1b680a690c333c94aed6a3b542a"),
    ("A2", "base"): (638, 5_281_006, "be46f3e54b39cd8ff2d0f318dbc8e368a4a53b710469e517a6c0db92ac27092f"),
    ("A3", "base"): (805, 7_443_395, "7fe6f41e617f2415dade0af39e92c33d11f8bf8a48b14bca60a828c89efadc96"),
    ("A4", "base"): (1121, 11_422_874, "7850b74e0931c4df65e7ba96f93f3739cb6a67ea614af614ab8c040f9331e778"),
    ("A5", "base"): (1403, 18_763_539, "e9408d52c8c4a5ad86980563a0c8d0007bbf74472d45e5c60b3e2dc1346b1c16"),
    ("A0", "stream"): (451, 3_766_045, "2bdabb0c8966ec09a34c7645655204a3e65b721e27bfeecc6a9b636dd07abf86"),
    ("A1", "stream"): (694, 6_481_655, "335e0469507b917a64fbf2f60d9cdf9e2170efd6fad1c84707975a86c034c1af"),
    ("A2", "stream"): (752, 7_366_153, "37aad966adc87cbd24b082de56dd3f79a772140d78113f4b5ceef3c370fcc420"),
}
"""Tensors, numbers in them, and `digest` of the state dicts of the port's own networks with 600 classes, as its code at
commit c2d1edf builds them."""

RULES = (
    (r"^stem\.", "conv1.conv_1."),
    (r"^blocks\.(\d+)\.(\d+)\.", r"blocks.b\1_l\2."),
    (r"^head\.conv\.", "conv7.conv_1."),
    (r"^head\.dense_(\w+)", r"classifier.0.conv_1.CONV.\1"),
    (r"^head\.classifier\.", "classifier.3.conv_1.CONV."),
    (r"\.(expand|project)\.", r".\1.conv_1."),
    (r"\.depthwise\.\w+\.conv\.", ".deep.conv_1."),
    (r"\.depthwise\.\w+\.temporal\.", ".deep.conv_2."),
    (r"\.se\.reduce_", ".se.fc1.conv_1.CONV."),
    (r"\.se\.expand_", ".se.fc2.conv_1.CONV."),
    (r"(b3_l0)\.skip\.", r"\1.res.0.conv_1."),  # the one block without stride, and so without a pool before it
    (r"\.skip\.", ".res.1.conv_1."),
    (r"\.rezero$", ".alpha"),
    (r"(conv_\d)\.weight$", r"\1.CONV.weight"),
    (r"(conv_\d)\.scale$", r"\1.norm.weight"),
    (r"(conv_\d)\.shift$", r"\1.norm.bias"),
    (r"(conv_\d)\.(running_\w+)$", r"\1.norm.\2"),
)


def port_state(net: VideoNet) -> dict[str, Tensor]:
    """The tensors of a `3d` or `2plus1d` network as the port has them."""
    deep = net.variant.conv == "3d"
    state = {}
    for name, tensor in net.state_dict().items():
        for pattern, replacement in RULES:
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901
        if tensor.ndim in (2, 3):
            tensor = tensor.reshape(tensor.shape[0], -1, *[1] * (3 if deep else 2))  # noqa: PLW2901
        state[name.replace("CONV", "conv3d" if deep else "conv2d")] = tensor.clone()
        if name.endswith("running_var"):
            state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(17)
    return state


def digest(shapes: Mapping[str, Sequence[int]]) -> str:
    """SHA-256 of names and shapes, a line each, in the order of the names."""
    lines = (f"{name} {','.join(map(str, shape))}\n" for name, shape in sorted(shapes.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def tiny_state(form: str) -> dict[str, Tensor]:
    """A state dict of `TINY_PORT_SPEC` with three classes."""
    net = VideoNet(TINY_PORT_SPEC, FORMS[form], num_classes=3)
    return made_state({name: tensor.shape for name, tensor in port_state(net).items()})


def made_state(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Numbers for a state dict of the port, by arithmetic alone, such that no part of the network is invisible."""
    return {name: _made(name, number, tuple(shape)) for number, (name, shape) in enumerate(sorted(shapes.items()))}


def _made(name: str, number: int, shape: tuple[int, ...]) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(17)
    noise = uniform(math.prod(shape), seed=number).view(shape)  # in [-1, 1)
    if name.endswith(("running_var", "norm.weight")):
        return 1.0 + 0.5 * noise
    if name.endswith("alpha"):
        return 0.5 + 0.2 * noise
    if len(shape) > 1:
        return noise * math.sqrt(6.0 / math.prod(shape[1:]))
    return 0.3 * noise


def uniform(count: int, *, seed: int) -> Tensor:
    """Numbers in [-1, 1) by hashing the integers, in fp32."""
    hashed = (torch.arange(count) + seed * 1_000_003) * 2_654_435_761 % (1 << 32)
    for shift, factor in ((15, 2_246_822_519), (13, 3_266_489_917)):
        hashed = (hashed ^ (hashed >> shift)) * (factor % (1 << 31)) % (1 << 32)
    return (hashed.double() / (1 << 31) - 1.0).float()
