"""A trained network as files: `model.safetensors` and `model.json`, which says everything needed to use it.

`load_model` is the public way to it: `net, card = load_model(Path("runs/retrain/model"))` is an ordinary module, to be
called, stepped, trained on, or saved. In a single file, as `movinas deploy` makes it, the card stands in the header.
"""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter
from safetensors import SafetensorError, safe_open

from results.files import remove_folder, sync_folder, write_file
from search_spaces.ceilings import check_ceilings
from search_spaces.errors import DocumentError, ManifestError, SpecError, WeightsError, shown
from search_spaces.outside import open_regular
from search_spaces.spec import ArchSpec, ClipGeometry
from search_spaces.spec_json import fingerprint
from search_spaces.strict_json import canonical, loads, pretty
from search_spaces.typed_json import check_header, read_document, validate
from search_spaces.variant import Variant
from supernet.tensors import load_exactly, read_tensors, to_bytes
from supernet.video_net import VideoNet
from video.label_space import LabelHead, LabelSpace

WEIGHTS = "model.safetensors"
CARD = "model.json"
HEADER_BYTES = 1 << 24
"""Room for the names of tensors, and for the card in a single file."""
SCHEMA: Literal[1] = 1
KIND: Literal["movinas.model"] = "movinas.model"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What a network is and what it expects.

    Attributes:
        class_names: Names of the outputs, in order; with heads, `head:class`.
        num_frames: Frames of a test clip, `rate_fps` apart.
        short_side: Pixels to which a video's shorter side is scaled before the centre is cut out.
        resolution: Height and width of the crop, pixels; values are scaled to [0, 1].
        epoch: Epoch after which the weights were taken, from 0, None where they come from elsewhere; `val_top1` their
            accuracy on the validation split, or what `label_space.metric` says in its place.
        heads: Which outputs are whose, where a video has one class of each of several heads.
        multi_label: Whether a video has any number of classes, each with a probability of its own.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    schema: Literal[1] = SCHEMA
    kind: Literal["movinas.model"] = KIND
    fingerprint: str
    arch: ArchSpec
    variant: Variant
    class_names: tuple[str, ...]
    num_frames: int
    rate_fps: float
    short_side: int
    resolution: int
    epoch: int | None
    val_top1: float | None
    heads: tuple[LabelHead, ...] = ()
    multi_label: bool = False

    def __post_init__(self) -> None:
        if len(self.class_names) < 1 or len(set(self.class_names)) != len(self.class_names):
            raise SpecError(
                f"must be different names, at least one, but got {shown(self.class_names)}", where="class_names"
            )
        try:
            self.label_space  # noqa: B018 -- checks itself
        except ManifestError as error:
            raise SpecError(error.message, where=error.where) from error
        ClipGeometry(num_frames=self.num_frames, resolution=self.resolution, rate_fps=self.rate_fps)
        if self.short_side < self.resolution:
            raise SpecError(
                f"must be at least the resolution, {self.resolution}, but got {self.short_side}", where="short_side"
            )
        if self.fingerprint != (actual := fingerprint(self.arch, self.variant)):
            raise SpecError(
                f"must be that of arch and variant, {actual}, but got {shown(self.fingerprint)}", where="fingerprint"
            )

    @property
    def label_space(self) -> LabelSpace:
        """What the outputs mean."""
        return LabelSpace(class_names=self.class_names, heads=self.heads, multi_label=self.multi_label)


_ADAPTER = TypeAdapter(ModelCard)


def save_model(net: VideoNet, card: ModelCard, folder: Path) -> None:
    """Write the files of a network into `folder`, whole or not at all; what was there is replaced.

    Raises:
        WeightsError: The folder cannot be written.
    """
    temporary = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        write_file(temporary / WEIGHTS, to_bytes(net.state_dict()))
        write_file(temporary / CARD, pretty(asdict(card)).encode())
        sync_folder(temporary)
        if folder.exists():
            remove_folder(folder)
        temporary.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise WeightsError(f"must be a folder that can be written, but got {error.strerror}", path=folder) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_model_folder(path: Path) -> bool:
    """Whether `path` is what `save_model` writes, as far as names tell."""
    return (path / CARD).is_file()


def is_model_file(path: Path) -> bool:
    """Whether `path` is a file of safetensors with the card of a network in its header."""
    try:
        return path.is_file() and KIND in _header(path)
    except (OSError, SafetensorError):
        return False


def read_card(folder: Path) -> ModelCard:
    """Read and check what `folder` says of its network.

    Raises:
        SpecError: Missing, unreadable, or not what a card must be.
    """
    path = folder / CARD
    return _checked_card(read_document(path), path=path)


def file_of(net: VideoNet, card: ModelCard) -> bytes:
    """A network as one safetensors file that `load_model` takes, with its card as `movinas.model` in the header.

    Whoever has safetensors alone finds the tensors under their names, and the card as JSON in the metadata.
    """
    return to_bytes(net.state_dict(), texts={KIND: canonical(asdict(card))})


def load_model(path: Path) -> tuple[VideoNet, ModelCard]:
    """The network of a folder or a single file, in evaluation mode, as an ordinary module, and its card.

    Raises:
        SpecError: As `read_card`.
        WeightsError: The weights are missing, damaged, or of another network.
    """
    if path.is_file():
        card = _card_in_header(path)
    else:
        card, path = read_card(path), path / WEIGHTS
    num_classes = len(card.class_names)
    clip = ClipGeometry(num_frames=card.num_frames, resolution=card.resolution, rate_fps=card.rate_fps)
    try:
        check_ceilings(card.arch, card.variant, num_classes=num_classes, clip=clip)
        net = VideoNet(card.arch, card.variant, num_classes=num_classes)
    except SpecError as error:
        raise error.at(path=path) from error
    num_bytes = sum(tensor.nbytes for tensor in net.state_dict().values())
    tensors = read_tensors(path, max_bytes=2 * num_bytes + HEADER_BYTES)
    load_exactly(net, tensors, source=str(path))
    return net.eval(), card


def _card_in_header(path: Path) -> ModelCard:
    try:
        texts = _header(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"must be a readable file of safetensors, but got {error}", path=path) from error
    if KIND not in texts:
        raise SpecError(f"must hold the card of a network in its header, as {KIND}, but does not", path=path)
    try:
        return _checked_card(loads(texts[KIND]), path=path)
    except DocumentError as error:
        raise SpecError(error.message, path=path, where=KIND) from error


def _header(path: Path) -> dict[str, str]:
    with open_regular(path):  # `safe_open` would wait for a pipe
        pass
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _checked_card(document: object, *, path: Path) -> ModelCard:
    checked = check_header(document, kind=KIND, schema=SCHEMA, path=path)
    names = checked.get("class_names")
    for number, name in enumerate(names) if isinstance(names, list) else ():
        if not isinstance(name, str):
            where = f"class_names[{number}]"
            raise SpecError(f"must be a valid string, but got {shown(name)}", path=path, where=where)
    return validate(_ADAPTER, checked, path=path, uncounted=("class_names",))
