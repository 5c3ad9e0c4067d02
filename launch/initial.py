"""What a search starts its shared weights from, and whose answers it learns from: `--init`, `--search.distill`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from launch.runs import model_folder
from nas.distill import DistillConfig
from results.checkpoint import load_newest, restoring
from results.run_dir import open_run
from retrain.model_file import WEIGHTS as MODEL_WEIGHTS
from retrain.model_file import is_model_folder, load_model
from search_spaces.errors import UsageError, WeightsError
from supernet.evaluator import WEIGHTS
from supernet.inherit import Inherited, inherit, inherit_shared
from supernet.objective import Teacher
from supernet.supernet import Supernet
from supernet.tensors import from_bytes, to_bytes
from supernet.video_net import VideoNet
from video.manifest import load_manifest

SCRATCH = "scratch"
MAX_NAMED = 6
"""Tensors of a kind that a line on the console names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Trained weights.

    Attributes:
        init: As it was asked for.
        net: The network they are of; None for those of a whole supernet, `tensors`.
        class_names: What its outputs mean.
        digest: SHA-256 of the weights.
    """

    init: str
    net: VideoNet | None
    tensors: Mapping[str, Tensor]
    class_names: tuple[str, ...]
    digest: str

    @property
    def identity(self) -> str:
        """Kind and digest, whatever the place: what the journal says of it."""
        return f"{self.init.partition(':')[0]}:{self.digest}"


def read_source(init: str) -> Source | None:
    """The weights of weights:FILE, supernet:RUN or retrain:RUN; None for scratch.

    Raises:
        UsageError: Not written like this, or a file that no `model.json` lies beside.
        RunFolderError: No such run.
        SpecError: The network's `model.json` is damaged.
        WeightsError: The weights are missing or damaged.
    """
    if init == SCRATCH:
        return None
    kind, _, name = init.partition(":")
    if kind not in ("weights", "supernet", "retrain") or not name:
        raise UsageError(f"init must be scratch, weights:FILE, supernet:RUN or retrain:RUN, but got {init!r}")
    path = Path(name)
    if kind == "supernet":
        run = open_run(path, kind="search")
        checkpoint = load_newest(run.checkpoints_path, set_aside=False)
        if checkpoint is None:
            raise WeightsError("a search must have a checkpoint to start from, but has none", path=path)
        with restoring(run.checkpoints_path):
            blob = checkpoint.blobs[WEIGHTS]
        return Source(
            init=init,
            net=None,
            tensors=from_bytes(blob),
            class_names=load_manifest(run.manifest_path).class_names,
            digest=hashlib.sha256(blob).hexdigest(),
        )
    if kind == "retrain":
        folder = model_folder(path)
    else:
        folder = path.parent if path.name == MODEL_WEIGHTS else path
        if not is_model_folder(folder):
            raise UsageError(
                f"must be a folder with model.json, which says of which network the weights are, or {MODEL_WEIGHTS} in "
                "one; movinas import-weights makes such a folder of published ones",
                path=path,
            )
    net, card = load_model(folder)
    tensors = net.state_dict()
    return Source(
        init=init,
        net=net,
        tensors=tensors,
        class_names=card.class_names,
        digest=hashlib.sha256(to_bytes(tensors)).hexdigest(),
    )


def start_from(source: Source, supernet: Supernet, *, class_names: tuple[str, ...]) -> Inherited:
    """Fill shared weights with all that fits.

    Raises:
        WeightsError: The network has another number of blocks, or nothing fits.
    """
    same_classes = source.class_names == class_names
    try:
        if source.net is not None:
            found = inherit(supernet, source.net, same_classes=same_classes)
        else:
            found = inherit_shared(supernet, source.tensors, same_classes=same_classes)
    except WeightsError as error:
        raise error.at(path=source.init.partition(":")[2]) from error
    return found


def teacher_of(source: Source | None, distill: DistillConfig, *, class_names: tuple[str, ...]) -> Teacher | None:
    """The network whose answers are learned from; None where `distill` has no weight.

    Raises:
        UsageError: No network to learn from, or one of other classes.
    """
    if distill.weight == 0:
        return None
    if source is None or source.net is None:
        init = SCRATCH if source is None else source.init
        raise UsageError(
            f"search.distill must have a network to learn from, init weights:FILE or retrain:RUN, but got {init}"
        )
    if source.class_names != class_names:
        raise UsageError(
            f"search.distill must learn from a network of the classes at hand, {len(class_names)} from "
            f"{class_names[0]!r} on, but that of {source.init} knows {len(source.class_names)} from "
            f"{source.class_names[0]!r} on"
        )
    return Teacher(net=source.net, weight=distill.weight, temperature=distill.temperature)


def summary(source: Source, found: Inherited) -> str:
    """What became of the weights, in a line."""
    filled = f"{len(found.whole)} tensors filled, {len(found.partly)} in their leading channels"
    others = _named("as drawn", found.missing) + _named("no place for", found.unexpected)
    return f"start from {source.init}: {filled}{others}"


def _named(kind: str, names: tuple[str, ...]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"; {kind}: {', '.join(names[:MAX_NAMED])}{more}"
