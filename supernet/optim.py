"""Schedules and averages of training: pure functions of the step, and an average that knows its own count."""

import math

import torch
from torch import Tensor, nn


def cosine_with_warmup(step: int, *, num_steps: int, warmup_steps: int) -> float:
    """Factor of the learning rate in `step`, counted from 0: linear to 1, then half a cosine to 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


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
        for name, tensor in net.state_dict().items():
            self.tensors[name].lerp_(tensor, 1.0 - decay)


def adamw(net: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW as one operation over all parameters, whose counts of steps stay where the weights are."""
    return torch.optim.AdamW(weight_decay_groups(net, weight_decay=weight_decay), lr=learning_rate, fused=True)


def weight_decay_groups(net: nn.Module, *, weight_decay: float) -> list[dict[str, object]]:
    """Parameter groups for an optimizer: kernels and matrices decay, norms, biases and ReZero scalars do not."""
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
