"""The JSON beside a deployed network: everything that a program must know to feed it."""

from dataclasses import dataclass
from typing import Literal

from retrain.deploy.check import Check
from retrain.deploy.graph import Mode, StateTensor, TensorForm

SCHEMA: Literal[1] = 1
KIND: Literal["movinas.deployed"] = "movinas.deployed"
FileFormat = Literal["onnx", "pt2", "safetensors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8:
    """What int8 weights cost.

    Attributes:
        num_layers: Layers that have them.
        difference: Of the logits, as in `Check`.
        max_difference: What it had to stay below where no manifest was given.
        top1: Accuracy on the videos of a manifest, or what `LabelSpace.metric` says in its place; `fp32_top1` that of
            the network; None where none was given.
        fp32_top1: Likewise.
        max_drop: What their difference may be at most.
        num_videos: Videos that both are over; 0 where no manifest was given.
    """

    num_layers: int
    difference: float
    max_difference: float
    top1: float | None
    fp32_top1: float | None
    max_drop: float
    num_videos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedMember:
    """One file.

    Attributes:
        file: Beside the JSON.
        num_bytes: Of it.
        sha256: Likewise.
        fingerprint: Of the architecture and how it is built.
        rate_fps: Frames per second that it wants.
        offset_frames: How much later than those of other members its frames lie, in frames of this rate, in [0, 1).
        num_frames: Of a clip; a stream may be of any length.
        short_side: Pixels to which a frame's shorter side is scaled before the centre is cut out.
        resolution: Height and width of the cut.
        input: What takes the frame or the clip.
        output: What gives the logits.
        state: All zeros before the first frame; empty where a call takes a clip.
        check: How the file was compared with the network.
        int8: Where pointwise layers have int8 weights.
    """

    file: str
    num_bytes: int
    sha256: str
    fingerprint: str
    rate_fps: float
    offset_frames: float
    num_frames: int
    short_side: int
    resolution: int
    input: TensorForm
    output: TensorForm
    state: tuple[StateTensor, ...]
    check: Check
    int8: Int8 | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPart:
    """Logits of which exactly one is right, or each for itself.

    Attributes:
        name: Of the head, such as `verb`; empty where there is one alone.
        start: Its first logit; `stop` the one after its last.
    """

    name: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedCard:
    """The whole JSON.

    Attributes:
        format: Of the files.
        mode: `stream`: a call takes one more frame and the state, and gives logits and the new state; `clip`: a call
            takes a whole clip.
        flat: Whether no tensor has more than four dimensions.
        class_names: Names of the logits, in order.
        scores: How logits become probabilities: `softmax` over each part, or `sigmoid` of each.
        parts: Which logits belong together.
        aggregation: How the answers of several members become one, before that.
        colours: Order of the channels of a frame.
        value_range: Of its values, which come from bytes by division by 255.
        resize: How a frame is scaled.
        crop: What is cut out of it.
        members: One, or those of an ensemble.
        versions: Of what wrote the files.
    """

    schema: Literal[1] = SCHEMA
    kind: Literal["movinas.deployed"] = KIND
    format: FileFormat
    mode: Mode
    flat: bool
    class_names: tuple[str, ...]
    scores: Literal["softmax", "sigmoid"]
    parts: tuple[OutputPart, ...]
    aggregation: Literal["mean_logits"] = "mean_logits"
    colours: Literal["RGB"] = "RGB"
    value_range: tuple[float, float] = (0.0, 1.0)
    resize: str = "shorter side to short_side, the longer one in proportion, rounded half up; bilinear"
    crop: str = "square of resolution pixels from the centre, (side - resolution + 1) // 2 from the top and the left"
    members: tuple[DeployedMember, ...]
    versions: dict[str, str]
