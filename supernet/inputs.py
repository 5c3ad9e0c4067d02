"""Clips as the loader hands them over, as a network takes them in."""

import torch
from torch import Tensor

from video.clips import ClipBatch


def network_input(batch: ClipBatch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Frames (B, 3, T, H, W) in [0, 1], channels-last in memory, and labels (B,), on the device.

    MoViNet takes pixel values in [0, 1] without mean or deviation (movinet.md 4).
    """
    frames_BTHWC = batch.frames_BTHWC.to(device, non_blocking=True)
    return frames_BTHWC.permute(0, 4, 1, 2, 3).float().mul_(1 / 255), batch.labels_B.to(device, non_blocking=True)
