"""The weight-sharing network of a whole search space."""

from torch import Tensor, nn

from search_spaces.space import SearchSpace
from search_spaces.spec import ArchSpec, parse_kernel
from search_spaces.variant import Variant
from supernet.video_net import build, run


class Supernet(nn.Module):
    """Every network of a space in one set of weights (tunas.md 2).

    1x1x1 convolutions are shared by all widths, which take the leading channels; every kernel has weights of its own.
    Batch norm uses the statistics of the batch, always. Only the path of the spec given to `forward` is computed, and
    nothing remembers it.

    Args:
        space: The space.
        variant: How its networks are built.
        num_classes: Outputs of the classifier.
        seed: Of the initial weights.
        rezero: Initial weight of every layer's branch; 0 as published, more where training is short.
    """

    def __init__(
        self, space: SearchSpace, variant: Variant, *, num_classes: int, seed: int = 0, rezero: float = 0.0
    ) -> None:
        super().__init__()
        self.space, self.variant, self.num_classes = space, variant, num_classes
        self.stem, self.blocks, self.head = build(
            space.largest_widths(),
            variant,
            num_classes=num_classes,
            seed=seed,
            rezero=rezero,
            shared_kernels=[parse_kernel(name) for name in space.kernels],
        )

    def forward(self, clips_BCTHW: Tensor, spec: ArchSpec, mixed: frozenset[str] = frozenset()) -> Tensor:
        """Logits of one architecture.

        Args:
            clips_BCTHW: Clips (B, 3, T, H, W), values in [0, 1].
            spec: An architecture of the space.
            mixed: Names of layers, such as `block2.layer1`, whose kernels are all run and averaged.

        Returns:
            Logits (B, number of classes).
        """
        return run(self, clips_BCTHW, spec, mixed=mixed)
