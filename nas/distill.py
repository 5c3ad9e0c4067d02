"""How far shared weights learn from the answers of a trained network."""

from dataclasses import dataclass

from search_spaces.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Soft targets (Hinton et al., 2015) beside the labels.

    The loss is (1 - weight) CE + weight temperature^2 KL(softmax(teacher / temperature) || softmax(own / temperature)):
    the square keeps the size of the gradient whatever the temperature.

    Attributes:
        weight: Of the teacher's answers, in [0, 1]; 0 leaves them out.
        temperature: That both logits are divided by, above 0; higher ones tell more of the classes a clip is not of.
    """

    weight: float = 0.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not (0 <= self.weight <= 1 and self.temperature > 0):
            raise UsageError(f"distill.weight must be in [0, 1] and distill.temperature above 0, but got {self}")
