"""A stream for people who want to push frames."""

import torch
from torch import Tensor

from search_spaces.errors import UsageError
from supernet.frozen import FrozenNet
from supernet.state import State
from supernet.video_net import VideoNet


class Stream:
    """Frames one after the other through a network that streams; the object holds the state, not the network.

    Several streams may share one frozen network. For frames of many sources at once, step a batch of states instead.

    Args:
        net: The network, in evaluation mode; it is frozen as it is now unless it is already.

    Raises:
        UsageError: The network is in training mode, in which every frame would move its statistics.
        SpecError: On the first push, where the network does not stream.
    """

    def __init__(self, net: VideoNet | FrozenNet) -> None:
        self._net = net if isinstance(net, FrozenNet) else FrozenNet(net)
        self._state: State | None = None
        self.num_frames = 0

    @torch.inference_mode()
    def push(self, frame_CHW: Tensor) -> Tensor:
        """Logits (number of classes) after one more frame, (3, H, W) in [0, 1].

        Raises:
            StateError: A frame of another size than the first one.
            UsageError: Not of shape (3, H, W).
        """
        if frame_CHW.ndim != 3:
            raise UsageError(f"a frame must be of shape (3, H, W), but got {tuple(frame_CHW.shape)}")
        if self._state is None:
            self._state = self._net.init_state(1, *frame_CHW.shape[1:])
        logits_BK = self._net.step_(frame_CHW[None], self._state)
        self.num_frames += 1
        return logits_BK[0]

    def reset(self) -> None:
        """Forget all frames, as between two videos; the next frame may have another size."""
        self._state, self.num_frames = None, 0
