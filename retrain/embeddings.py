"""What a network makes of each frame: embeddings observed in passing, and how smooth they are over a test."""

import contextlib
import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from results.records import EmbeddingReport, Trajectory
from retrain.grw import GRWSmoothing, normalised
from retrain.recipe import EMBEDDING, Recipe
from search_spaces.errors import UsageError, shown
from search_spaces.spec import ArchSpec, ClipGeometry, layer_name
from search_spaces.variant import Variant
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.clips import ClipBatch

MAX_TRAJECTORIES = 36
"""Clips that a figure shows."""


def layer_names(arch: ArchSpec, variant: Variant) -> tuple[str, ...]:
    """What can be smoothed, in order: `stem`, `block2.layer1`, ..., `head`, and `embedding` of a temporal head."""
    blocks = [
        layer_name(number, place) for number, block in enumerate(arch.blocks) for place in range(len(block.layers))
    ]
    return ("stem", *blocks, "head", *((EMBEDDING,) if variant.temporal_head is not None else ()))


def check_objective(recipe: Recipe, arch: ArchSpec, variant: Variant, *, clip: ClipGeometry) -> None:
    """Refuse a recipe that a network cannot be trained with.

    Raises:
        UsageError: Sub-clips of a network that does not stream; or, with GRW-smoothing, a layer it does not have, or a
            clip shorter than a window.
    """
    if recipe.subclip_frames is not None and not variant.streams:
        raise UsageError(
            "subclip_frames needs a network that streams: causal, with no global pool in se, "
            f"but got causal {variant.causal} and se {variant.se} with a {variant.se_pool} pool"
        )
    if not recipe.grw_weight:
        return
    known = layer_names(arch, variant)
    for name in recipe.grw_layers:
        if name not in known:
            hint = ", which needs a temporal_head in the variant" if name == EMBEDDING else ""
            raise UsageError(f"grw_layers must be of {', '.join(known)}, but got {shown(name)}{hint}")
    if (num_frames := recipe.train_frames or clip.num_frames) < recipe.grw_window:
        raise UsageError(f"grw_window must be at most the {num_frames} frames of a clip, but got {recipe.grw_window}")


@contextlib.contextmanager
def observed(net: VideoNet, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What layers of a network make of each frame in the latest call within, by name: (B, T, C), with gradients.

    Of `embedding` what the temporal head makes of it, before any norm; of others the mean over space.
    """
    found: dict[str, Tensor] = {}
    with contextlib.ExitStack() as hooks:
        for name in layers:

            def keep(module: nn.Module, inputs: object, output: Tensor, *, name: str = name) -> None:
                found[name] = output

            hooks.callback(_module(net, name).register_forward_hook(keep).remove)
        yield found


def of_frames(output: Tensor, *, num_clips: int) -> Tensor:
    """The output of a layer as embeddings (B, T, C): the mean over space of frames (N, C, H, W)."""
    if output.ndim == 3:
        return output
    dtype = torch.promote_types(output.dtype, torch.float32)
    return output.mean(dim=(2, 3), dtype=dtype).view(num_clips, -1, output.shape[1])


@torch.no_grad()
def measure(
    net: VideoNet,
    batches: Iterable[ClipBatch],
    recipe: Recipe,
    *,
    layer: str,
    device: torch.device,
    amp_dtype: torch.dtype | None = None,
) -> EmbeddingReport | None:
    """How smooth the embeddings of clips are, and where they lie.

    Args:
        net: On the device; it stays in evaluation mode.
        batches: Clips; all their embeddings are kept at once, on the CPU.
        recipe: Its window, alpha and sigma.
        layer: One of `layer_names`.
        device: Where clips go.
        amp_dtype: Of autocast; None for none.

    Returns:
        None where no clip has a whole window.
    """
    net.eval()
    kept: list[Tensor] = []
    labels: list[int | None] = []
    with (
        observed(net, (layer,)) as outputs,
        torch.autocast(device.type, dtype=amp_dtype, enabled=amp_dtype is not None),
    ):
        for batch in batches:
            if batch.indices:
                clips_BCTHW, labels_B = network_input(batch, device)
                net(clips_BCTHW)
                kept.append(of_frames(outputs[layer], num_clips=len(labels_B)).cpu().float())
                labels += map(_shown_class, labels_B)
    if not kept:
        return None
    x_BTC = torch.cat(kept) if layer == EMBEDDING else normalised(torch.cat(kept))
    smoothing = smoothing_of(recipe, layer, x_BTC.device)
    found = smoothing(x_BTC)
    if found.num_windows == 0:
        return None
    scaled = smoothing(x_BTC * found.velocity.clamp_min(torch.finfo(x_BTC.dtype).tiny).rsqrt())
    points_BT2, explained = principal_axes(x_BTC)
    return EmbeddingReport(
        layer=layer,
        window=recipe.grw_window,
        num_windows=found.num_windows,
        acceleration_ratio=float(found.acceleration_ratio),
        order_nll=float(found.order),
        order_accuracy=float(found.order_accuracy),
        scaled_order_nll=float(scaled.order),
        velocity=float(found.velocity),
        explained=explained,
        trajectories=_some(points_BT2, labels),
    )


def principal_axes(x_BTC: Tensor) -> tuple[Tensor, float]:
    """Embeddings on the two axes of greatest variance, (B, T, 2), and the share of the variance that they show.

    Each axis points where its greatest component is positive.
    """
    x_XC = x_BTC.flatten(0, 1).double()
    x_XC = x_XC - x_XC.mean(dim=0)
    _, sizes_R, axes_RC = torch.linalg.svd(x_XC, full_matrices=False)
    axes_RC = axes_RC[:2] * axes_RC[:2].gather(1, axes_RC[:2].abs().argmax(dim=1, keepdim=True)).sign()
    points_X2 = F.pad(x_XC @ axes_RC.T, (0, 2 - len(axes_RC)))
    share = sizes_R[:2].square().sum() / sizes_R.square().sum().clamp_min(torch.finfo(torch.float64).tiny)
    return points_X2.view(*x_BTC.shape[:2], 2), min(1.0, float(share))


def _shown_class(label: Tensor) -> int | None:
    """What a figure shows a clip as: its class, or of several, bool (K,), the first; None where it has none."""
    if label.ndim == 0:
        return int(label)
    return int(label.int().argmax()) if label.any() else None


def _some(points_BT2: Tensor, labels: Sequence[int | None]) -> tuple[Trajectory, ...]:
    """The first clips of every class, as many of each."""
    each = max(1, MAX_TRAJECTORIES // max(1, len(set(labels) - {None})))
    seen: Counter[int] = Counter()
    found: list[Trajectory] = []
    for points_T2, label in zip(points_BT2.tolist(), labels, strict=True):
        if label is None:
            continue
        seen[label] += 1
        if seen[label] <= each and len(found) < MAX_TRAJECTORIES:
            points = tuple((round(x, 4), round(y, 4)) for x, y in points_T2)
            found.append(Trajectory(label=label, points=points))
    return tuple(found)


def smoothing_of(recipe: Recipe, name: str, device: torch.device) -> GRWSmoothing:
    """The GRW-smoothing of a recipe for a layer, or the embeddings of the temporal head."""
    sigma = 1.0 if name == EMBEDDING and recipe.grw_sigma is None else recipe.grw_sigma
    return _smoothing(recipe.grw_window, recipe.grw_alpha, sigma, device)


@functools.lru_cache(maxsize=16)
def _smoothing(window: int, alpha: float, sigma: float | None, device: torch.device) -> GRWSmoothing:
    return GRWSmoothing(window, alpha=alpha, sigma=sigma).to(device)


def _module(net: VideoNet, name: str) -> nn.Module:
    if name == EMBEDDING:
        assert net.head.temporal is not None
        return net.head.temporal.embed
    if name in ("stem", "head"):
        return net.stem if name == "stem" else net.head.conv
    names = (
        (layer_name(number, place), number, place)
        for number, block in enumerate(net.spec.blocks)
        for place in range(len(block.layers))
    )
    number, place = next((number, place) for found, number, place in names if found == name)
    return cast("nn.ModuleList", net.blocks[number])[place]
