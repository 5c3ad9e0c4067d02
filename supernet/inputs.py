"""Clips as the loader hands them over, as a network takes them in."""

import torch
from torch import Tensor

from video.clips import ClipBatch


def network_input(batch: ClipBatch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Frames (B, 3, T, H, W) in [0, 1], channels-last in memory, and labels (B,), on the device.

    They travel as bytes, to a CUDA device from page-locked memory, so that nobody waits for them to arrive. MoViNet
    takes pixel values in [0, 1] without mean or deviation (movinet.md 4).
    """
    if device.type == "cuda" and not batch.frames_BTHWC.is_pinned():
        batch = batch.pin_memory()
    frames_BTHWC = batch.frames_BTHWC.to(device, non_blocking=True)
    return frames_BTHWC.permute(0, 4, 1, 2, 3).float().mul_(1 / 255), batch.labels_B.to(device, non_blocking=True)
