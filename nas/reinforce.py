"""REINFORCE as TuNAS has it: shared baseline, Adam without momentum over squared per-sample gradients (tunas.md 1.4-5).

Legend as in `controller.py`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas import controller
from nas.controller import Floats
from search_spaces.errors import CheckpointError, UsageError
from search_spaces.space import Indices, SearchSpace
from search_spaces.strict_json import canonical, loads

LEARNING_RATE_TIMES_STEPS = 130.0
"""TuNAS's 0.0048 over 27,050 steps; kept when a search is shorter (tunas.md 6, lesson 2)."""
MAX_LEARNING_RATE = 0.1
"""Where the rule above would give more, below 1,300 steps: larger steps let noise settle the decisions (measured on the
synthetic study of `tests/nas/test_controller_study.py` at 300 steps of 2 architectures)."""
STATE = "controller.json"


@dataclass(frozen=True, kw_only=True)
class ControllerConfig:
    """Constants of the controller.

    Attributes:
        learning_rate: At the start of learning; None takes 130 / steps, but at most 0.1.
        delay_fraction: Share of the steps in which the policy stays as it is, in [0, 1).
        ramp: Factor by which the learning rate has grown at the end, exponentially.
        baseline_momentum: Of the moving average of rewards, in [0, 1).
        adam_beta2: Of the second moment, in [0, 1).
        adam_epsilon: Added to its root.
        entropy_bonus: Weight of the policy's entropy, nats summed over the active decisions, beside the reward.
    """

    learning_rate: float | None = None
    delay_fraction: float = 0.25
    ramp: float = 10.0
    baseline_momentum: float = 0.95
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    entropy_bonus: float = 0.0

    def __post_init__(self) -> None:
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UsageError(f"controller.learning_rate must be positive, but got {self.learning_rate}")
        for name in ("delay_fraction", "baseline_momentum", "adam_beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"controller.{name} must be in [0, 1), but got {getattr(self, name)}")
        if not (self.ramp > 0 and self.adam_epsilon > 0):
            raise UsageError(f"controller.ramp and adam_epsilon must be positive, but got {self}")
        if not 0 <= self.entropy_bonus < math.inf:
            raise UsageError(f"controller.entropy_bonus must be at least 0, but got {self.entropy_bonus}")

    def progress(self, step: int, *, num_steps: int) -> float:
        """Share of the steps of learning that lie before `step`, in [0, 1); 0 during the delay."""
        delay = self.delay_fraction * num_steps
        return max(0.0, step - delay) / max(1.0, num_steps - delay)


class Reinforce:
    """The controller: a policy and what it needs to learn.

    Args:
        space: Whose decisions it makes.
        config: Its constants.
        num_steps: Steps of the whole search.
        logits_DC: Where the policy starts (`nas/start.py`), (D, C); None for uniform.
    """

    def __init__(
        self, space: SearchSpace, config: ControllerConfig, *, num_steps: int, logits_DC: Floats | None = None
    ) -> None:
        self._space, self._config, self._num_steps = space, config, num_steps
        self.logits_DC = controller.initial_logits(space) if logits_DC is None else logits_DC.copy()
        self._second_moment_DC = np.zeros_like(self.logits_DC)
        self._num_updates = 0
        self._baseline_sum = 0.0
        self._baseline_weight = 0.0

    @property
    def baseline(self) -> float:
        """Moving average of the mean reward, without bias towards its start."""
        return self._baseline_sum / self._baseline_weight if self._baseline_weight else 0.0

    def learning_rate(self, step: int) -> float:
        """Learning rate in `step`: 0 during the delay, then growing exponentially by `ramp`."""
        if step < self._config.delay_fraction * self._num_steps:
            return 0.0
        base = self._config.learning_rate or min(MAX_LEARNING_RATE, LEARNING_RATE_TIMES_STEPS / self._num_steps)
        return float(base * self._config.ramp ** self._config.progress(step, num_steps=self._num_steps))

    def sample(self, rng: np.random.Generator, num: int) -> Indices:
        """Canonical genotypes drawn from the policy, (num, D)."""
        return controller.sample(self._space, self.logits_DC, rng, num)

    def update(self, step: int, indices_KD: Indices, rewards: Sequence[float]) -> None:
        """Learn from the rewards of one step's architectures.

        The baseline takes in the step's mean before it is used; each architecture's gradient is weighted by its own
        reward's advantage; the second moment is the mean of the squared gradients, not the square of their mean, and
        accumulates from the first step on. The entropy bonus is a plain gradient step beside it, at the same rate.
        """
        rewards_K = np.asarray(rewards, dtype=np.float64)
        momentum, beta2 = self._config.baseline_momentum, self._config.adam_beta2
        self._baseline_sum = momentum * self._baseline_sum + (1 - momentum) * float(rewards_K.mean())
        self._baseline_weight = momentum * self._baseline_weight + (1 - momentum)
        gradients_KDC = controller.log_probability_gradients(self._space, self.logits_DC, indices_KD)
        gradients_KDC *= (rewards_K - self.baseline)[:, None, None]
        self._num_updates += 1
        self._second_moment_DC = beta2 * self._second_moment_DC + (1 - beta2) * (gradients_KDC**2).mean(axis=0)
        if self._config.entropy_bonus:
            entropy_KDC = controller.entropy_gradients(self._space, self.logits_DC, indices_KD)
            bonus_DC = self._config.entropy_bonus * entropy_KDC.mean(axis=0)
            self.logits_DC += self.learning_rate(step) * bonus_DC
        correction = (1 - beta2**self._num_updates) ** 0.5
        scale = self.learning_rate(step) * correction
        self.logits_DC += (
            scale * gradients_KDC.mean(axis=0) / (np.sqrt(self._second_moment_DC) + self._config.adam_epsilon)
        )

    def state(self) -> Mapping[str, bytes]:
        """Everything it learned, exactly."""
        document = {
            "logits": _rows(self.logits_DC, self._space),
            "second_moment": _rows(self._second_moment_DC, self._space),
            "num_updates": self._num_updates,
            "baseline_sum": self._baseline_sum,
            "baseline_weight": self._baseline_weight,
        }
        return {STATE: canonical(document).encode()}

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Take back what `state` gave.

        Raises:
            CheckpointError: The state is of another space.
        """
        document = loads(blobs[STATE], max_bytes=len(blobs[STATE]))
        counts = [len(decision.choices) for decision in self._space.decisions]
        if [len(logits) for logits in document["logits"]] != counts:
            raise CheckpointError(
                f"a controller's state must have the {len(counts)} decisions of space {self._space.name}, "
                f"but has {len(document['logits'])} or other choices"
            )
        for row_C, logits in zip(self.logits_DC, document["logits"], strict=True):
            row_C[: len(logits)] = logits
        for row_C, moments in zip(self._second_moment_DC, document["second_moment"], strict=True):
            row_C[: len(moments)] = moments
        self._num_updates = int(document["num_updates"])
        self._baseline_sum, self._baseline_weight = float(document["baseline_sum"]), float(document["baseline_weight"])


def _rows(values_DC: Floats, space: SearchSpace) -> list[list[float]]:
    return [
        [float(value) for value in row_C[: len(decision.choices)]]
        for row_C, decision in zip(values_DC, space.decisions, strict=True)
    ]
