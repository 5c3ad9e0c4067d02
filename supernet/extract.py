"""A sub-network copied out of the supernet."""

import torch

from search_spaces.spec import ArchSpec
from supernet.supernet import Supernet
from supernet.video_net import VideoNet

RUNNING_STATISTICS = ("running_mean", "running_var")


def extract(supernet: Supernet, spec: ArchSpec) -> VideoNet:
    """The network of `spec` with a copy of the shared weights it uses.

    Every tensor of a sub-network is the leading part of the supernet's tensor of the same name. Running statistics,
    which a supernet has none of, are fresh: calibrate before evaluating.
    """
    net = VideoNet(spec, supernet.variant, num_classes=supernet.num_classes)
    shared = supernet.state_dict()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if not name.endswith(RUNNING_STATISTICS):
                tensor.copy_(shared[name][tuple(slice(0, size) for size in tensor.shape)])
    return net
