"""A network as a graph of operators whose inputs and outputs all have names, its state among them.

Letters: B clips, T frames, C channels, H and W pixels, K classes.
"""

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from retrain.deploy.folded import folded
from search_spaces.spec import INPUT_CHANNELS
from search_spaces.stream_state import FRAME_COUNT
from supernet.state import State
from supernet.timeline import Timeline
from supernet.video_net import VideoNet, run

Mode = Literal["stream", "clip"]
FRAME, CLIP, LOGITS = "frame", "clip", "logits"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorForm:
    """An input or output of a graph.

    Attributes:
        name: In the graph.
        shape: All dimensions, each fixed.
        dtype: As NumPy names it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTensor:
    """An entry of a stream's state, all zeros before the first frame.

    Attributes:
        input: Its name as an input of the graph.
        output: Its name as an output, which is the input of the next call.
        shape: All dimensions, each fixed; `flat` graphs have four at most.
        dtype: As NumPy names it.
    """

    input: str
    output: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """A network traced for frames of one size.

    Attributes:
        program: Takes `input`, and in a stream a mapping of state names to tensors; gives logits, and likewise the new
            state.
        mode: Whether a call takes one more frame, or a whole clip.
        input: `frame` (1, 3, H, W), or `clip` (1, 3, T, H, W), `flat` (T, 3, H, W); values in [0, 1].
        output: `logits` (1, K), fp32.
        state: In the order of the network; empty where a call takes a whole clip.
    """

    program: ExportedProgram
    mode: Mode
    input: TensorForm
    output: TensorForm
    state: tuple[StateTensor, ...]

    @property
    def input_names(self) -> list[str]:
        """Of all inputs, in order."""
        return [self.input.name, *(entry.input for entry in self.state)]

    @property
    def output_names(self) -> list[str]:
        """Of all outputs, in order."""
        return [self.output.name, *(entry.output for entry in self.state)]


class _Step(nn.Module):
    """Takes the state and gives the new one, both as mappings of equal names."""

    def __init__(self, net: VideoNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, frame_BCHW: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        timeline = Timeline.of(frame_BCHW, self.net.variant, past=state)
        logits_BK = run(self.net, frame_BCHW, self.net.spec, timeline=timeline)
        return logits_BK, {name: timeline.future[name] for name in state}


class _Clip(nn.Module):
    """Takes a clip, or its frames."""

    def __init__(self, net: VideoNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, clip: Tensor) -> Tensor:
        if clip.ndim == 5:
            return run(self.net, clip, self.net.spec)
        timeline = Timeline(1, clip.shape[0], self.net.variant, device=clip.device)
        return run(self.net, clip, self.net.spec, timeline=timeline)


@torch.no_grad()
def trace(net: VideoNet, *, mode: Mode, num_frames: int, resolution: int, flat: bool) -> Graph:
    """The graph of a network, with batch norms folded.

    Args:
        net: In evaluation mode; it is left as it is.
        mode: `stream` for one more frame a call, `clip` for a whole clip.
        num_frames: Of a clip.
        resolution: Height and width of the frames.
        flat: Whether no tensor may have more than four dimensions: a buffer's pixels lie in a row, a clip comes as its
            frames.

    Raises:
        SpecError: A stream of a network that does not stream.
    """
    lean = folded(net, flat=flat)
    size = (INPUT_CHANNELS, resolution, resolution)
    if mode == "clip":
        clip = torch.zeros(num_frames, *size) if flat else torch.zeros(1, size[0], num_frames, *size[1:])
        program = _export(_Clip(lean), (clip,))
        return _graph(program, mode, TensorForm(name=CLIP, shape=tuple(clip.shape), dtype="float32"), net, {})
    frame_BCHW = torch.zeros(1, *size)
    state = first_state(lean, net.init_state(1, resolution, resolution), frame_BCHW)
    program = _export(_Step(lean), (frame_BCHW, state))
    return _graph(program, mode, TensorForm(name=FRAME, shape=tuple(frame_BCHW.shape), dtype="float32"), net, state)


def first_state(lean: VideoNet, like: Mapping[str, Tensor], frame_BCHW: Tensor) -> State:
    """Zeros in the layout that a folded network keeps its state in: what it gives when it starts without buffers.

    Args:
        lean: The folded network.
        like: The state of the network before folding: names, order, and all but the layout of stream buffers.
        frame_BCHW: Any frame.
    """
    past = {name: tensor.cpu() for name, tensor in like.items() if not name.endswith(".stream_buffer")}
    assert FRAME_COUNT in past
    timeline = Timeline.of(frame_BCHW, lean.variant, past=past)
    run(lean, frame_BCHW, lean.spec, timeline=timeline)
    return {name: torch.zeros_like(timeline.future[name], memory_format=torch.contiguous_format) for name in like}


def to_pt2(graph: Graph) -> bytes:
    """The program as a file of `torch.export`."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # torch's own, about its own
        warnings.simplefilter("ignore")
        torch.export.save(graph.program, buffer)
    return buffer.getvalue()


def _export(module: nn.Module, arguments: tuple[object, ...]) -> ExportedProgram:
    with warnings.catch_warnings():  # torch's own, about its own
        warnings.simplefilter("ignore")
        return torch.export.export(module.eval(), arguments)


def _graph(program: ExportedProgram, mode: Mode, form: TensorForm, net: VideoNet, state: Mapping[str, Tensor]) -> Graph:
    entries = tuple(
        StateTensor(input=name, output=f"{name}.next", shape=tuple(tensor.shape), dtype=dtype_name(tensor))
        for name, tensor in state.items()
    )
    output = TensorForm(name=LOGITS, shape=(1, net.num_classes), dtype="float32")
    return Graph(program=program, mode=mode, input=form, output=output, state=entries)


def dtype_name(tensor: Tensor) -> str:
    """As NumPy has it."""
    return str(tensor.dtype).removeprefix("torch.")
