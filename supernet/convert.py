"""Weights of one form of a (2+1)D network for the other, which computes the same function."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from torch import Tensor

from search_spaces.errors import SpecError
from supernet.video_net import VideoNet


def converted(net: VideoNet, conv: Literal["3d_2plus1d", "2plus1d"]) -> VideoNet:
    """A copy of a (2+1)D network in its other form, in evaluation mode; `2plus1d` has at most four dimensions.

    Raises:
        SpecError: The network's convolutions are of one piece.
    """
    if net.variant.conv == "3d":
        raise SpecError("must be 3d_2plus1d or 2plus1d, which share their weights, but got 3d", where="variant.conv")
    other = VideoNet(net.spec, replace(net.variant, conv=conv), num_classes=net.num_classes)
    other.load_state_dict(reshaped(net.state_dict(), other.state_dict()))
    return other.to(net.stem.weight).eval()


def reshaped(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers in the shapes of `like`: only axes of extent 1 come or go."""
    return {name: tensor.reshape(like[name].shape) for name, tensor in tensors.items()}
