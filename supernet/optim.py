"""Schedules, averages and TensorFlow's RMSProp: pure functions of the step, and what knows its own past."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

Schedule = Literal["cosine", "linear", "constant"]
"""How a rate falls after it has risen: half a cosine to 0, a line to 0, or not at all."""


def rate_factor(step: int, *, schedule: Schedule, num_steps: int, warmup_steps: int) -> float:
    """Factor of the learning rate in `step`, counted from 0: linear to 1 in the last step of warm-up, then as told."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, num_steps - warmup_steps))
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    return 1.0 - progress if schedule == "linear" else 1.0


def cosine_with_warmup(step: int, *, num_steps: int, warmup_steps: int) -> float:
    """`rate_factor` of a cosine."""
    return rate_factor(step, schedule="cosine", num_steps=num_steps, warmup_steps=warmup_steps)


class RMSProp(torch.optim.Optimizer):
    """RMSProp as TensorFlow defines it, which is what TuNAS and MoViNet are trained with (tunas.md 1.6, movinet.md 4).

    Of a weight w with gradient g, all element by element:

        s <- decay s + (1 - decay) g^2              s starts at 1, or as told
        m <- momentum m + rate g / sqrt(s + epsilon)     m starts at 0
        w <- w - m

    torch's own adds epsilon to the root, starts s at 0, and multiplies m by the rate afterwards; with an epsilon of 1
    that is another algorithm. TensorFlow 1 starts s at 1, Keras at 0. A parameter without a gradient stays as it is,
    with its s and m.

    Args:
        parameters: Tensors, or groups of them.
        lr: The rate, which a schedule may change between steps.
        decay: Of the mean square, in [0, 1).
        momentum: In [0, 1).
        epsilon: Within the root, above 0.
        first_mean_square: What s starts at, 0 or more.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        decay: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1.0,
        first_mean_square: float = 1.0,
    ) -> None:
        self._first_mean_square = first_mean_square
        super().__init__(parameters, {"lr": lr, "decay": decay, "momentum": momentum, "epsilon": epsilon})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step, with the gradients as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._move(weights, group)
        return loss

    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """One step of some weights, which a GPU makes in a few launches for all of them."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["mean_square"] = torch.full_like(weight, self._first_mean_square)
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        squares = [self.state[weight]["mean_square"] for weight in weights]
        moments = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1.0 - group["decay"])
        roots = torch._foreach_add(squares, group["epsilon"])
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(moments, group["momentum"])
        torch._foreach_addcdiv_(moments, gradients, roots, value=group["lr"])
        torch._foreach_sub_(weights, moments)


class WeightAverage:
    """Exponential moving average of a network's weights and running statistics, quick to leave the first ones.

    Args:
        net: The network that is averaged; its tensors are copied.
        decay: Weight of the past in [0, 1), approached as (1 + n) / (10 + n) while few updates n were made.
    """

    def __init__(self, net: nn.Module, *, decay: float) -> None:
        self._decay = decay
        self.num_updates = 0
        self.tensors: dict[str, Tensor] = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take in the weights after a step."""
        decay = min(self._decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        newest = net.state_dict()
        torch._foreach_lerp_(list(self.tensors.values()), [newest[name] for name in self.tensors], 1.0 - decay)


def adamw(groups: Iterable[dict[str, Any]], *, learning_rate: float, epsilon: float = 1e-8) -> torch.optim.AdamW:
    """AdamW as one operation over all parameters, whose counts of steps stay where the weights are."""
    return torch.optim.AdamW(list(groups), lr=learning_rate, eps=epsilon, fused=True)


def weight_decay_groups(net: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: kernels and matrices decay, norms, biases and ReZero scalars do not."""
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
