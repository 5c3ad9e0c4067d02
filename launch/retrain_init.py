"""What a retraining starts from: `movinas retrain --init`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from torch import Tensor

from launch import console
from launch.import_weights import log_names
from launch.runs import load_supernet, model_folder, variant_of
from results.run_dir import open_run
from retrain.model_file import WEIGHTS as MODEL_WEIGHTS
from retrain.model_file import is_model_file, is_model_folder, load_model
from retrain.optimizer import CLASSIFIER
from retrain.recipe import Recipe
from search_spaces.errors import UsageError, WeightsError, shown
from search_spaces.randomness import derive_seed
from search_spaces.space_json import read_space
from search_spaces.spec_json import SpecFile
from search_spaces.variant import Variant
from supernet.convert import converted
from supernet.extract import extract
from supernet.tensors import MOST_NAMED, printable_name, read_tensors, require_real, require_shapes
from supernet.video_net import VideoNet
from video.manifest import load_manifest

SCRATCH = "scratch"
KINDS = ("supernet", "retrain", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A network before its first step, and what became of the tensors it was given.

    Attributes:
        net: As the recipe has it drop things.
        loaded: Tensors that were taken over.
        missing: Tensors of the network that the weights lack, and which stay as they were drawn.
        unexpected: Tensors of the weights that the network does not have.
        misshaped: Tensors of another shape than the network's, which stay as they were drawn.
        renewed: Tensors of the classifier that were drawn anew because the recipe says so.
    """

    net: VideoNet
    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()

    def names(self) -> dict[str, tuple[str, ...]]:
        """All names, by what became of them."""
        kinds = ("loaded", "missing", "unexpected", "misshaped", "renewed")
        return {kind: getattr(self, kind) for kind in kinds}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """Tensors, and where it is written down which classes they know and how their network is built."""

    tensors: Mapping[str, Tensor]
    class_names: tuple[str, ...] | None = None
    variant: Variant | None = None


def start(
    spec_file: SpecFile,
    init: str,
    *,
    class_names: tuple[str, ...],
    seed: int,
    recipe: Recipe,
    partial: bool = False,
) -> Start:
    """The network that training starts from.

    Args:
        spec_file: The network.
        init: scratch, supernet:RUN, retrain:RUN, or weights:FILE; a file beside its `model.json`, the folder of both,
            or a deployed file with that in its header says which classes it knows, any other safetensors file does not.
        class_names: Of its outputs.
        seed: Of what is drawn.
        recipe: Says what is dropped in training, and whether the classifier is a new one.
        partial: Take what fits by name and shape; otherwise all must.

    Raises:
        UsageError: `init` is not written as it must be, or there is nothing to start from for a new classifier.
        WeightsError: The weights are of another network or other classes; all names are on the console.
        RunFolderError: No such run.
        SpecError: A `model.json` is damaged.
    """
    kind, _, name = init.partition(":")
    if init != SCRATCH and not (kind in KINDS and name):
        raise UsageError(f"init must be scratch, supernet:RUN, retrain:RUN or weights:FILE, but got {init!r}")
    net = VideoNet(
        spec_file.arch,
        spec_file.variant,
        num_classes=len(class_names),
        seed=derive_seed(seed, "network"),
        rezero=recipe.rezero_init,
        dropout=recipe.dropout,
        drop_path=recipe.stochastic_depth,
    )
    if init == SCRATCH:
        if recipe.new_head:
            raise UsageError(
                "a new classifier must be that of a trained network, such as --init weights:FILE or retrain:RUN, "
                "but got init scratch"
            )
        return Start(net=net)
    given: _Given | None = None
    try:
        given = _given(kind, Path(name), spec_file)
        if given.class_names not in (None, class_names) and not recipe.new_head:
            raise _other_classes(given.class_names, class_names)
        return _load(net, given.tensors, source=name, new_head=recipe.new_head, partial=partial)
    except WeightsError as error:
        log_names(error)
        if given is not None and given.variant not in (None, spec_file.variant):
            console.log(_other_variant(given.variant, spec_file.variant))
        raise error.at(path=name) from error


def describe(init: str, found: Start) -> str:
    """What became of the tensors, in a line; a few names of each kind that was not taken over."""
    texts = {
        "missing": "as drawn, for want of weights",
        "misshaped": "as drawn, for weights of another shape",
        "unexpected": "no place for",
        "renewed": "drawn anew",
    }
    names = found.names()
    others = "".join(f"; {text}: {_some(names[kind])}" for kind, text in texts.items() if names[kind])
    return f"start from {init}: {len(found.loaded)} of {len(found.net.state_dict())} tensors loaded{others}"


def _load(net: VideoNet, tensors: Mapping[str, Tensor], *, source: str, new_head: bool, partial: bool) -> Start:
    own = net.state_dict()
    renewed = tuple(name for name in own if new_head and name.startswith(CLASSIFIER))
    wanted = {name: tensor.shape for name, tensor in own.items() if name not in renewed}
    given = {name: tensor for name, tensor in tensors.items() if name not in renewed}
    if not partial:
        require_shapes(wanted, given, source=source)
    fits = {name: given[name] for name, shape in wanted.items() if name in given and given[name].shape == shape}
    if not fits:
        raise WeightsError("weights must have at least one tensor of the network, but have none")
    require_real(fits, source=source)
    net.load_state_dict(fits, strict=False)
    return Start(
        net=net,
        loaded=tuple(fits),
        missing=tuple(name for name in wanted if name not in given),
        unexpected=tuple(sorted(given.keys() - wanted.keys())),
        misshaped=tuple(name for name in wanted if name in given and name not in fits),
        renewed=renewed,
    )


def _given(kind: str, path: Path, spec_file: SpecFile) -> _Given:
    if kind == "supernet":
        return _of_supernet(path, spec_file)
    if kind == "retrain":
        return _of_model(model_folder(path), spec_file)
    folder = path.parent if path.name == MODEL_WEIGHTS else path
    if is_model_folder(folder):
        return _of_model(folder, spec_file)
    if is_model_file(path):
        return _of_model(path, spec_file)
    return _Given(tensors=read_tensors(path))


def _of_model(path: Path, spec_file: SpecFile) -> _Given:
    net, card = load_model(path)
    conv = spec_file.variant.conv
    if conv != "3d" and card.variant.conv not in ("3d", conv):
        net = converted(net, conv)
    return _Given(tensors=net.state_dict(), class_names=card.class_names, variant=net.variant)


def _of_supernet(path: Path, spec_file: SpecFile) -> _Given:
    run = open_run(path, kind="search")
    space, variant = read_space(run.space_path), variant_of(run)
    searched = load_manifest(run.manifest_path).class_names
    if spec_file.variant not in space.variants(variant) or not space.contains(spec_file.arch):
        raise WeightsError(
            f"a spec must lie in the space of the search, {space.name}, in its variant, but it does not", path=run.path
        )
    net = extract(load_supernet(run), spec_file.arch, spec_file.variant)
    return _Given(tensors=net.state_dict(), class_names=searched, variant=net.variant)


def _other_classes(known: tuple[str, ...], class_names: tuple[str, ...]) -> WeightsError:
    return WeightsError(
        f"weights must know the classes at hand, {len(class_names)} from {shown(class_names[0])} on, but know "
        f"{len(known)} from {shown(known[0])} on; --preset finetune, or --recipe.new_head true, draws a new classifier"
    )


def _other_variant(theirs: Variant, ours: Variant) -> str:
    """Why tensors may not fit, by the switches that differ."""
    differing = [
        f"{each.name} {getattr(theirs, each.name)}, here {getattr(ours, each.name)}"
        for each in fields(Variant)
        if getattr(theirs, each.name) != getattr(ours, each.name)
    ]
    return (
        f"the weights are of another variant: {'; '.join(differing)}; --variant says which is trained, and "
        "--init_partial takes what fits"
    )


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(map(printable_name, names[:MOST_NAMED]))}{more}"
