"""A sub-network copied out of the supernet."""

import torch

from search_spaces.spec import ArchSpec, parse_kernel
from search_spaces.variant import Convolution, Variant
from supernet.convolve import branch_name
from supernet.supernet import Supernet
from supernet.video_net import VideoNet

RUNNING_STATISTICS = ("running_mean", "running_var")


def extract(supernet: Supernet, spec: ArchSpec, variant: Variant | None = None) -> VideoNet:
    """The network of `spec` with a copy of the shared weights it uses.

    Every tensor of a sub-network is the leading part of the supernet's tensor of the same name; where the supernet
    holds two forms of convolution, the names of one differ. Running statistics, which a supernet has none of, are
    fresh: calibrate before evaluating.

    Args:
        supernet: Holds the weights.
        spec: An architecture of its space.
        variant: The one it was decoded in; None where the space decides on no form.
    """
    variant = supernet.variant if variant is None else variant
    net = VideoNet(spec, variant, num_classes=supernet.num_classes)
    shared = supernet.state_dict()
    both = len(supernet.convs) > 1
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if not name.endswith(RUNNING_STATISTICS):
                source = shared[_shared_name(name, variant.conv) if both else name]
                tensor.copy_(source[tuple(slice(0, size) for size in tensor.shape)])
    return net


def _shared_name(name: str, conv: Convolution) -> str:
    before, depthwise, after = name.partition(".depthwise.")
    if not depthwise:
        return name
    kernel, _, part = after.partition(".")
    return f"{before}.depthwise.{branch_name(parse_kernel(kernel), conv, both=True)}.{part}"
