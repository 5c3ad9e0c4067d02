"""MACs and parameters counted on the built network by fvcore: the second way that the arithmetic must agree with."""

import warnings

import torch

from search_spaces.spec import INPUT_CHANNELS, ArchSpec
from search_spaces.variant import Variant
from supernet.video_net import VideoNet

MAC_OPERATORS = ("conv", "linear", "matmul")
"""What fvcore counts in multiply-adds and our primary cost holds; its norms and pools are side operators."""


def count_macs_and_params(spec: ArchSpec, variant: Variant, *, num_classes: int) -> tuple[int, int]:
    """Multiply-adds of convolutions, linear layers and attention for one clip, and trainable parameters.

    fvcore traces a real run and keeps every tensor of it, which for a long clip is more than a machine has. No layer
    strides in time, so every frame costs what the one before did: clips of one frame and of two tell the rest. Of
    attention over the whole clip, which grows with the square, a third one tells.
    """
    net = VideoNet(spec, variant, num_classes=num_classes).eval()
    one, two = (_macs(net, num_frames=num_frames, resolution=spec.clip.resolution) for num_frames in (1, 2))
    more = spec.clip.num_frames - 1
    macs = one + more * (two - one)
    if variant.temporal_head is not None:
        three = _macs(net, num_frames=3, resolution=spec.clip.resolution)
        macs += more * (more - 1) // 2 * (three - 2 * two + one)
    return macs, sum(parameter.numel() for parameter in net.parameters())


def _macs(net: VideoNet, *, num_frames: int, resolution: int) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore compiles TorchScript as it is imported, which torch deprecates
        from fvcore.nn import FlopCountAnalysis  # noqa: PLC0415

    clips_BCTHW = torch.zeros(1, INPUT_CHANNELS, num_frames, resolution, resolution)
    analysis = FlopCountAnalysis(net, clips_BCTHW).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad():
        by_operator = analysis.by_operator()
    return sum(int(by_operator[name]) for name in MAC_OPERATORS)
