"""`movinas import-weights`: weights of the public PyTorch port as a network of ours."""

from dataclasses import asdict, dataclass
from pathlib import Path

from launch import console
from launch.clips import short_side_of
from launch.specs import find_spec, find_variant
from results.files import read_regular
from retrain.model_file import ModelCard, save_model
from search_spaces.errors import UsageError, WeightsError
from search_spaces.spec import ArchSpec
from search_spaces.spec_json import fingerprint
from search_spaces.variant import Variant
from supernet.import_weights import import_net, variant_of
from supernet.tensors import MOST_NAMED, printable_name
from supernet.untrusted import read_state_dict

POSITIONALS = ("file", "spec")
MAX_CLASSES_BYTES = 1 << 24
MAX_LISTED = 1000
"""How many tensors that do not fit are listed: a file may hold any number of them."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Read a state dict of Atze00/MoViNet-pytorch into the folder of a network, which other verbs take as a run.

    Attributes:
        file: As the port distributes it, such as modelA0_statedict_v3 or modelA0_stream_statedict_v3.
        spec: Its architecture, published:A0 to published:A5 or a spec file.
        out: Folder for the network; must not exist.
        variant: base, paper-stream, released-stream, or a JSON file; None takes what the port computes.
        classes: Text file with the name of a class in each line, in the order of the outputs; None numbers them.
        json: Print one JSON document.
    """

    file: Path
    spec: str
    out: Path
    variant: str | None = None
    classes: Path | None = None
    json: bool = False


def run(options: Options) -> int:
    """Write the folder, whole or not at all."""
    if options.out.exists():
        raise UsageError("must not exist yet, a network is never overwritten, but it does", path=options.out)
    spec = find_spec(options.spec).arch
    wanted = None if options.variant is None else find_variant(options.variant, arch=spec)
    tensors = read_state_dict(options.file)
    variant = wanted or variant_of(tensors)
    try:
        net = import_net(tensors, spec, variant, source=str(options.file))
    except WeightsError as error:
        log_names(error)
        raise
    class_names = _class_names(options.classes, num_classes=net.num_classes)
    card = _card(spec, variant, class_names)
    save_model(net, card, options.out)
    if options.json:
        document = {"out": str(options.out), "fingerprint": card.fingerprint, "variant": asdict(variant)}
        console.show_json({**document, "num_classes": net.num_classes, "num_tensors": len(net.state_dict())})
    else:
        console.show(f"{options.out}: {len(net.state_dict())} tensors, {net.num_classes} classes")
    return 0


def log_names(error: WeightsError) -> None:
    """Every tensor that does not fit, a line each on the console, where the error's message has no room for them."""
    kinds = (("missing", error.missing), ("unknown", error.unexpected), ("of another shape", error.misshaped))
    if max(len(names) for _, names in kinds) <= MOST_NAMED:
        return
    lines = [f"{kind}: {printable_name(name)}" for kind, names in kinds for name in names]
    for line in lines[:MAX_LISTED]:
        console.log(line)
    if len(lines) > MAX_LISTED:
        console.log(f"and {len(lines) - MAX_LISTED} more")


def _card(spec: ArchSpec, variant: Variant, class_names: tuple[str, ...]) -> ModelCard:
    return ModelCard(
        fingerprint=fingerprint(spec, variant),
        arch=spec,
        variant=variant,
        class_names=class_names,
        num_frames=spec.clip.num_frames,
        rate_fps=spec.clip.rate_fps,
        short_side=short_side_of(spec),
        resolution=spec.clip.resolution,
        epoch=None,
        val_top1=None,
    )


def _class_names(path: Path | None, *, num_classes: int) -> tuple[str, ...]:
    if path is None:
        return tuple(f"class_{number:03}" for number in range(num_classes))
    try:
        text = read_regular(path.resolve(), max_bytes=MAX_CLASSES_BYTES).decode("utf-8")
    except OSError as error:
        raise UsageError(f"must be a readable text file, but got {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"must be a readable text file, but got {error}", path=path) from error
    names = [line.strip() for line in text.rstrip().splitlines()]
    if len(names) != num_classes:
        raise UsageError(f"must name the {num_classes} classes of the weights, but names {len(names)}", path=path)
    seen: set[str] = set()
    for number, name in enumerate(names, start=1):
        if not name or name in seen:
            raise UsageError(f"must name each class once, but got {name!r}", path=path, line=number)
        seen.add(name)
    return tuple(names)
