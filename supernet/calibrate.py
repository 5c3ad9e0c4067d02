"""Running batch-norm statistics computed anew, as every network taken out of a supernet needs them."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from supernet.inputs import network_input
from supernet.layers import BATCH_NORM_MOMENTUM, ConvNorm
from supernet.norm import Rows
from video.clips import ClipBatch


@torch.no_grad()
def calibrate(net: nn.Module, batches: Iterable[ClipBatch], *, device: torch.device) -> None:
    """Replace the running statistics by the plain mean over `batches` of each batch's own; weights stay as they are."""
    was_training = net.training
    layers = [layer for layer in net.modules() if isinstance(layer, ConvNorm)]
    net.train()
    for count, batch in enumerate(batches):
        for layer in layers:
            layer.momentum = 1 / (count + 1)
        net(network_input(batch, device)[0])
    for layer in layers:
        layer.momentum = BATCH_NORM_MOMENTUM
    net.train(was_training)


def synchronise(net: nn.Module, rows: Rows) -> None:
    """Have every batch norm use the statistics of the batches of all processes that train together."""
    for layer in net.modules():
        if isinstance(layer, ConvNorm):
            layer.rows = rows


@torch.no_grad()
def settle(net: nn.Module, clips_BCTHW: Tensor) -> None:
    """Give a network the running statistics of these clips, and leave it in evaluation mode.

    Of use for networks with drawn weights: with statistics that are not those of their activations, deep ones multiply
    every rounding error by thousands.
    """
    layers = [layer for layer in net.modules() if isinstance(layer, ConvNorm)]
    for layer in layers:
        layer.momentum = 1.0
    net.train()(clips_BCTHW)
    for layer in layers:
        layer.momentum = BATCH_NORM_MOMENTUM
    net.eval()
