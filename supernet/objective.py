"""What one architecture is asked in a step: its loss on training clips, its answers to held-out ones.

Clips are seen whole, or as consecutive sub-clips with stream buffers between them, through which no gradient goes
(paper 3.2.2 and A.3): then only one sub-clip's activations are kept at a time.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces.space import Candidate
from supernet.state import State
from supernet.supernet import Supernet
from supernet.video_net import VideoNet


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A trained network of the same classes whose answers are learned from.

    The loss is (1 - weight) CE + weight temperature^2 KL(softmax(teacher / temperature) || softmax(own / temperature))
    (Hinton et al., 2015).

    Attributes:
        net: In evaluation mode, on the device of the supernet.
        weight: In [0, 1].
        temperature: Above 0.
    """

    net: VideoNet
    weight: float
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The loss and the answers of architectures.

    Attributes:
        supernet: Whose weights they share.
        label_smoothing: In [0, 1).
        subclip_frames: Frames of a sub-clip, the last one may have fewer; None for whole clips.
        teacher: Whose answers on the whole clip every sub-clip learns from, or None.
        autocast: A fresh context for everything that is run.
    """

    supernet: Supernet
    label_smoothing: float
    subclip_frames: int | None
    teacher: Teacher | None
    autocast: Callable[[], AbstractContextManager[object]]

    def backward(
        self, candidate: Candidate, mixed: frozenset[str], clips_BCTHW: Tensor, labels_B: Tensor, *, share: float
    ) -> Tensor:
        """Add `share` of the gradient of the mean loss over all frames; the loss itself, a detached scalar."""
        taught_BK = self._taught(clips_BCTHW)
        total = torch.zeros((), device=clips_BCTHW.device)
        for piece_BCTHW, logits_BK in self._answers(candidate, mixed, clips_BCTHW):
            loss = self._loss(logits_BK.float(), labels_B, taught_BK)
            loss = loss * (piece_BCTHW.shape[2] / clips_BCTHW.shape[2])
            torch.autograd.backward(loss * share)
            total += loss.detach()
        return total

    @torch.no_grad()
    def logits(self, candidate: Candidate, clips_BCTHW: Tensor) -> Tensor:
        """What an architecture says after all frames, (B, K)."""
        for _, logits_BK in self._answers(candidate, frozenset(), clips_BCTHW):
            last_BK = logits_BK
        return last_BK

    def _answers(
        self, candidate: Candidate, mixed: frozenset[str], clips_BCTHW: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        if self.subclip_frames is None:
            with self.autocast():
                logits_BK = self.supernet(clips_BCTHW, candidate.spec, mixed, variant=candidate.variant)
            yield clips_BCTHW, logits_BK
            return
        state: State | None = None
        for piece_BCTHW in torch.split(clips_BCTHW, self.subclip_frames, dim=2):
            with self.autocast():
                logits_BK, state = self.supernet.step(
                    piece_BCTHW, candidate.spec, state, mixed, variant=candidate.variant
                )
            yield piece_BCTHW, logits_BK

    @torch.no_grad()
    def _taught(self, clips_BCTHW: Tensor) -> Tensor | None:
        if self.teacher is None:
            return None
        with self.autocast():
            logits_BK = self.teacher.net(clips_BCTHW)
        taught_BK: Tensor = (logits_BK.float() / self.teacher.temperature).log_softmax(dim=1)
        return taught_BK

    def _loss(self, logits_BK: Tensor, labels_B: Tensor, taught_BK: Tensor | None) -> Tensor:
        loss = F.cross_entropy(logits_BK, labels_B, label_smoothing=self.label_smoothing)
        if self.teacher is None or taught_BK is None:
            return loss
        weight, temperature = self.teacher.weight, self.teacher.temperature
        own_BK = (logits_BK / temperature).log_softmax(dim=1)
        distance = F.kl_div(own_BK, taught_BK, log_target=True, reduction="batchmean")
        return (1 - weight) * loss + weight * temperature**2 * distance
