"""Mixup and cutmix: clips of a batch that are part of another clip of it, with targets to match.

Letters: B clips, C channels, T frames, H and W pixels, K classes.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def mixed(
    clips_BCTHW: Tensor, targets_BK: Tensor, generator: np.random.Generator, *, mixup: float, cutmix: float
) -> tuple[Tensor, Tensor]:
    """Every clip mixed with a partner of the batch, in the same way on all frames, and its targets likewise.

    Mixup (Zhang et al., 2018) blends a share l ~ Beta(mixup, mixup) of the clip with 1 - l of the partner. Cutmix (Yun
    et al., 2019) pastes a rectangle of the partner into all frames, of the picture's aspect ratio, with an area of
    1 - l, l ~ Beta(cutmix, cutmix), before its part outside the picture is cut off. Targets are mixed by the share of
    pixels.

    Args:
        clips_BCTHW: Of any floating type, anywhere; left as they are.
        targets_BK: Share of each class, on the same device.
        generator: Of this batch alone.
        mixup: Parameter of the distribution, above 0; 0 for cutmix alone.
        cutmix: Likewise; 0 for mixup alone. With both, each clip is mixed in one of the two ways, with equal chances.

    Returns:
        Clips and targets of the same shapes.
    """
    size, (height, width) = len(clips_BCTHW), clips_BCTHW.shape[-2:]
    partner_B = torch.from_numpy(generator.permutation(size)).to(clips_BCTHW.device)
    pastes_B = generator.random(size) < (0.5 if mixup and cutmix else float(cutmix > 0))
    keeps_BHW = np.where(
        pastes_B[:, None, None],
        _masks(generator, size, height, width, cutmix or 1.0),
        generator.beta(mixup or 1.0, mixup or 1.0, size).astype(np.float32)[:, None, None],
    )
    keeps_B11HW = torch.from_numpy(keeps_BHW).to(clips_BCTHW)[:, None, None]
    kept_B1 = torch.from_numpy(keeps_BHW.mean(axis=(1, 2))[:, None]).to(targets_BK)
    return (
        clips_BCTHW[partner_B].lerp_(clips_BCTHW, keeps_B11HW),
        targets_BK[partner_B].lerp_(targets_BK, kept_B1),
    )


def _masks(generator: np.random.Generator, size: int, height: int, width: int, alpha: float) -> NDArray[np.float32]:
    """0 in a rectangle of each picture, 1 outside of it: float32 [B, H, W]."""
    sides_B = np.sqrt(1.0 - generator.beta(alpha, alpha, size))
    masks_BHW = np.ones((size, height, width), dtype=np.float32)
    for mask_HW, side, (y, x) in zip(masks_BHW, sides_B, generator.random((size, 2)), strict=True):
        rows, columns = (_span(place, side, extent) for place, extent in ((y, height), (x, width)))
        mask_HW[rows, columns] = 0.0
    return masks_BHW


def _span(place: float, side: float, extent: int) -> slice:
    first, last = (place - side / 2) * extent, (place + side / 2) * extent
    return slice(max(0, round(first)), min(extent, max(0, round(last))))
