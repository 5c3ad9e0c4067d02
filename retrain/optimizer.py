"""What turns gradients into a step: rates of the schedule, weight decay, clipping, optimizer, moving average."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from retrain.recipe import Recipe
from supernet.optim import RMSProp, WeightAverage, adamw, rate_factor

CLASSIFIER = "head.classifier."
"""Tensors that a new set of classes begins with."""
TOP = (CLASSIFIER, "head.temporal.")
"""Tensors above the backbone, classifier and temporal head: they learn at the full rate, as in grw.md 5, and are no
kernels of convolutions, which L2 is of."""


class WeightUpdate:
    """One step of the weights of a network, by a recipe.

    With RMSProp, weight decay is the gradient of weight_decay / 2 times the squared norm of the convolution kernels,
    and is clipped with the rest, as a loss that Keras adds it to has it (movinet.md 4). With AdamW it is decoupled.

    Args:
        net: In training, on its device.
        recipe: Optimizer, rate, schedule, decay, clipping, average.
        num_steps: Steps of the whole training.
        steps_per_epoch: Of which the warm-up is a multiple.

    Attributes:
        optimizer: Whose state a checkpoint keeps.
        average: Of weights and running statistics, taken after every step.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, *, num_steps: int, steps_per_epoch: int) -> None:
        self._net, self._recipe, self._num_steps = net, recipe, num_steps
        self._warmup_steps = min(num_steps, round(recipe.warmup_epochs * steps_per_epoch))
        self.optimizer: torch.optim.Optimizer
        groups = list(parameter_groups(net, recipe))
        if recipe.optimizer == "rmsprop":
            self.optimizer = RMSProp(
                groups,
                lr=recipe.learning_rate,
                decay=recipe.rms_decay,
                momentum=recipe.momentum,
                epsilon=1.0 if recipe.epsilon is None else recipe.epsilon,
                first_mean_square=recipe.first_mean_square,
            )
        else:
            self.optimizer = adamw(
                groups, learning_rate=recipe.learning_rate, epsilon=1e-8 if recipe.epsilon is None else recipe.epsilon
            )
        self.average = WeightAverage(net, decay=recipe.ema_decay)

    def rate(self, step: int) -> float:
        """The learning rate in `step`, counted from 0, of what has the full one."""
        return self._recipe.learning_rate * rate_factor(
            step, schedule=self._recipe.schedule, num_steps=self._num_steps, warmup_steps=self._warmup_steps
        )

    def step(self, step: int, scaler: torch.amp.GradScaler | None = None) -> None:
        """Move the weights along their gradients, and the average after them; gradients are overwritten.

        Args:
            step: From 0.
            scaler: That gradients of fp16 were scaled by; a step in which one overflowed is left out.
        """
        scaler = scaler or torch.amp.GradScaler(enabled=False)
        scaler.unscale_(self.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step) * group["rate_factor"]
        if self._recipe.optimizer == "rmsprop":
            add_decay_gradients(self.optimizer)
        if self._recipe.max_weight_gradient_norm is not None:
            clip_each(self._net, self._recipe.max_weight_gradient_norm)
        if self._recipe.max_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._net.parameters(), self._recipe.max_gradient_norm)
        scaler.step(self.optimizer)
        scaler.update()
        self.average.update(self._net)


def parameter_groups(net: nn.Module, recipe: Recipe) -> Iterator[dict[str, Any]]:
    """Trainable parameters by whether they decay and how fast they learn; groups without any are left out."""
    named = [(name, parameter) for name, parameter in net.named_parameters() if parameter.requires_grad]
    for top in (False, True) if recipe.backbone_rate != 1.0 else (None,):
        for decays in (True, False):
            chosen = [
                parameter
                for name, parameter in named
                if (top is None or name.startswith(TOP) == top) and _decays(name, parameter, recipe) == decays
            ]
            if chosen:
                yield {
                    "params": chosen,
                    "weight_decay": recipe.weight_decay if decays else 0.0,
                    "rate_factor": recipe.backbone_rate if top is False else 1.0,
                }


def _decays(name: str, parameter: Tensor, recipe: Recipe) -> bool:
    """Kernels and matrices; under L2, kernels of convolutions alone: all but the classifier and the temporal head."""
    return parameter.dim() > 1 and not (recipe.optimizer == "rmsprop" and name.startswith(TOP))


@torch.no_grad()
def add_decay_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Add weight_decay times the weight to the gradients of every group."""
    for group in optimizer.param_groups:
        if group["weight_decay"]:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.grad.add_(weight, alpha=group["weight_decay"])


@torch.no_grad()
def clip_each(net: nn.Module, max_norm: float) -> None:
    """Scale each weight's gradient on its own down to `max_norm`, where it is longer (Keras' clipnorm)."""
    gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    if gradients:
        norms = torch.stack(torch._foreach_norm(gradients)).clamp_min(max_norm)
        torch._foreach_mul_(gradients, list((max_norm / norms).unbind()))
