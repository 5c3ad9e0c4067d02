"""GRW-smoothing: frame embeddings that move as a Gaussian random walk of their velocity does.

Goldman, Giryes and Satyanarayanan, Smooth Regularization for Efficient Video Recognition, NeurIPS 2025, arXiv
2511.20928. Of a window z_0, ..., z_(T-1), velocities are v_t = z_(t+1) - z_t and accelerations a_t = v_(t+1) - v_t,
independent and N(0, sigma^2 I) under the model. The loss of a window is L = L_order + alpha V with

    L_order = -log(exp(e_id) / sum over orders of exp(e_order)),    e = -sum_t |a_t|^2 / (2 sigma^2),
    V = sum_t |v_t|^2 / (2 sigma^2).

Orders permute the frames behind the first, so that L_order is the cross-entropy of telling the true one. It rewards an
order with less acceleration than every other; V keeps velocities from growing. A constant walk is a stationary point:
never start a layer that makes embeddings at zero.

This module needs torch alone. Letters: B clips, T frames, C channels, M windows, P orders.
"""

import itertools
import math
import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_WINDOW = 3
FULL_WINDOW = 7
"""Longest window of which all (T - 1)! orders are compared."""
NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothness:
    """How smooth some embeddings are; scalars, means over the windows, all but `loss` without gradient.

    Attributes:
        loss: order + alpha velocity, to be weighted and added to a loss of one's own (0.1 in the paper).
        order: L_order, nats: the negative log-likelihood of the true order; log((T - 1)!) where all frames are equal.
        velocity: V.
        acceleration_ratio: Mean |a| over mean |v|; 0 for a steady straight line, about 1.7 for white noise.
        order_accuracy: Share of windows whose true order is the most likely one.
        num_windows: M; where it is 0, so are the others.
    """

    loss: Tensor
    order: Tensor
    velocity: Tensor
    acceleration_ratio: Tensor
    order_accuracy: Tensor
    num_windows: int


class GRWSmoothing(nn.Module):
    """The loss of windows that do not overlap; frames that fill none are left out.

    It has no parameters, and no buffer that a state dict holds. It computes in fp32 at least, without autocast: squared
    accelerations come from the Gram matrix of each window, whose terms cancel.

    Args:
        window: Frames of a window, T, at least 3; 0.5 to 1 s of video.
        alpha: Weight of V, at least 0; 0.5 in the authors' code.
        sigma: Standard deviation of velocities and accelerations, above 0; 1 in the paper. None takes sqrt(C), which
            suits channels of unit variance, since squares are summed over channels (ours).
        max_orders: How many orders are compared where the window is longer than 7 frames, at least 2.
        seed: Of their draw.

    Raises:
        ValueError: A number outside its range.
    """

    orders: Tensor
    """The true order, then others, int64 (P, T)."""
    forms: Tensor
    """The quadratic form of each order that takes a Gram matrix to sum_t |a_t|^2, (P, T * T)."""

    def __init__(
        self, window: int = 5, *, alpha: float = 0.5, sigma: float | None = 1.0, max_orders: int = 1000, seed: int = 0
    ) -> None:
        super().__init__()
        if window < MIN_WINDOW or max_orders < 2:
            raise ValueError(
                f"window must be at least {MIN_WINDOW} and max_orders at least 2, but got {window=}, {max_orders=}"
            )
        if alpha < 0 or (sigma is not None and sigma <= 0):
            raise ValueError(f"alpha must be at least 0 and sigma above 0, but got {alpha=}, {sigma=}")
        self.window, self.alpha, self.sigma = window, alpha, sigma
        orders_PT = torch.tensor(_orders(window, max_orders=max_orders, seed=seed), device="cpu")
        self.register_buffer("orders", orders_PT, persistent=False)
        self.register_buffer("forms", _quadratic_forms(orders_PT), persistent=False)

    def forward(self, embeddings_BTC: Tensor, *, offset: int = 0) -> Smoothness:
        """The loss of embeddings (B, frames, C) and what it is made of.

        Args:
            embeddings_BTC: Of successive frames, any scale, any floating type.
            offset: Frames before the first window; drawn anew in every step of a training, it moves the windows.
        """
        with torch.autocast(embeddings_BTC.device.type, enabled=False):
            x_BTC = embeddings_BTC.to(torch.promote_types(embeddings_BTC.dtype, torch.float32))
            x_MTC = _windows(x_BTC[:, offset:], self.window)
            if len(x_MTC) == 0:
                nothing = x_BTC.sum() * 0.0
                zero = nothing.detach()
                return Smoothness(
                    loss=nothing,
                    order=zero,
                    velocity=zero,
                    acceleration_ratio=zero,
                    order_accuracy=zero,
                    num_windows=0,
                )
            return self._of_windows(x_MTC - x_MTC.mean(dim=1, keepdim=True))

    def _of_windows(self, x_MTC: Tensor) -> Smoothness:
        variance = x_MTC.shape[2] if self.sigma is None else self.sigma**2
        gram_MTT = x_MTC @ x_MTC.mT
        energies_MP = gram_MTT.flatten(1) @ self.forms.to(x_MTC.dtype).T * (-0.5 / variance)
        order_M = energies_MP.logsumexp(dim=1) - energies_MP[:, 0]
        v_MTC = x_MTC.diff(dim=1)
        velocity_M = v_MTC.square().sum(dim=(1, 2)) * (0.5 / variance)
        with torch.no_grad():
            acceleration, velocity = v_MTC.diff(dim=1).norm(dim=2).mean(), v_MTC.norm(dim=2).mean()
            ratio = acceleration / velocity.clamp_min(torch.finfo(velocity.dtype).tiny)
            accuracy = (energies_MP.argmax(dim=1) == 0).to(x_MTC.dtype).mean()
        return Smoothness(
            loss=(order_M + self.alpha * velocity_M).mean(),
            order=order_M.detach().mean(),
            velocity=velocity_M.detach().mean(),
            acceleration_ratio=ratio,
            order_accuracy=accuracy,
            num_windows=len(x_MTC),
        )


def frame_embeddings(x_BCTHW: Tensor) -> Tensor:
    """Embeddings (B, T, C) of a feature map (B, C, T, H, W) for the intermediate form: the mean over space, normalised.

    See `normalised`; `sigma` of None goes with it.
    """
    return normalised(x_BCTHW.mean(dim=(3, 4), dtype=torch.promote_types(x_BCTHW.dtype, torch.float32)).transpose(1, 2))


def normalised(embeddings_BTC: Tensor) -> Tensor:
    """The same with mean 0 and variance 1 of every channel over clips and frames: batch norm without affine part."""
    with torch.autocast(embeddings_BTC.device.type, enabled=False):
        x_XC = embeddings_BTC.to(torch.promote_types(embeddings_BTC.dtype, torch.float32)).flatten(0, 1)
        return F.batch_norm(x_XC, None, None, training=True, eps=NORM_EPS).view(embeddings_BTC.shape)


def warmed_up(weight: float, *, step: int, warmup_steps: int) -> float:
    """The weight of the loss in `step`, counted from 0: it rises linearly to `weight` over so many steps (ours)."""
    return weight * min(1.0, (step + 1) / warmup_steps) if warmup_steps else weight


def _windows(x_BTC: Tensor, window: int) -> Tensor:
    num_windows = x_BTC.shape[1] // window
    return x_BTC[:, : num_windows * window].reshape(-1, window, x_BTC.shape[2])


def _orders(window: int, *, max_orders: int, seed: int) -> list[tuple[int, ...]]:
    """Orders that begin with frame 0, the true one first: all, or of a long window different ones drawn by `seed`."""
    rest = range(1, window)
    if window <= FULL_WINDOW:
        return [(0, *order) for order in itertools.permutations(rest)]
    draw, found = random.Random(seed), {tuple(rest): None}
    while len(found) < min(max_orders, math.factorial(window - 1)):
        found[tuple(draw.sample(rest, len(rest)))] = None
    return [(0, *order) for order in found]


def _quadratic_forms(orders_PT: Tensor) -> Tensor:
    num_orders, window = orders_PT.shape
    second_AT = torch.zeros(window - 2, window, device=orders_PT.device)
    for row, column in itertools.product(range(window - 2), range(3)):
        second_AT[row, row + column] = (1.0, -2.0, 1.0)[column]
    places_PT = torch.argsort(orders_PT, dim=1)  # where in an order each frame stands
    differences_PAT = second_AT[:, places_PT].permute(1, 0, 2)
    return (differences_PAT.mT @ differences_PAT).reshape(num_orders, window * window)
