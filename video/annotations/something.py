"""Something-Something v2 in JSON: a list of videos with the template of their sentence."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from search_spaces.errors import ManifestError, shown
from video.annotations.annotation import Annotation, Format, Head, Listing, ReadOptions
from video.annotations.classes import read_class_names
from video.annotations.text import read_json, split_of_name


def recognises(head: Head) -> bool:
    """A list of objects that have an id, and nothing but what these files have."""
    text = "".join(head.lines).lstrip()
    return head.path.suffix == ".json" and text.startswith("[") and '"id"' in text[:4096] and _has_templates(text)


def accompanies(head: Head) -> bool:
    """The numbers of the classes."""
    return head.path.suffix == ".json" and _is_labels(head.path)


def read(files: Sequence[Path], options: ReadOptions) -> Listing:
    """The class is the template without its brackets, as the file of the labels writes it; videos are `{id}.webm`.

    Raises:
        ManifestError: Not such a list, or a template that is no class.
    """
    labels = options.classes or next(
        (path for path in sorted(files[0].parent.glob("*.json")) if _is_labels(path)), None
    )
    names = None if labels is None else read_class_names(labels)
    known = None if names is None else frozenset(names)
    annotations, num_unlabelled = [], 0
    for file in files:
        document = read_json(file)
        if not isinstance(document, list):
            raise ManifestError(f"must be a list of videos, but got {type(document).__name__}", path=file)
        for index, entry in enumerate(document):
            try:
                found = _annotation(entry, file, known)
            except ManifestError as error:
                raise error.at(path=file, where=f"[{index}]") from error
            if found is None:
                num_unlabelled += 1
            else:
                annotations.append(found)
    return Listing(annotations=tuple(annotations), class_names=names, num_unlabelled=num_unlabelled)


def _annotation(entry: object, file: Path, known: frozenset[str] | None) -> Annotation | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), str | int) or isinstance(entry["id"], bool):
        raise ManifestError(f"a video must be an object with an id, but got {shown(entry)}")
    template = entry.get("template")
    if template is None:
        return None
    if not isinstance(template, str):
        raise ManifestError(f"template must be a text, but got {type(template).__name__}")
    label = template.replace("[", "").replace("]", "")
    if known is not None and label not in known:
        raise ManifestError(f"template must be one of the {len(known)} classes, but got {shown(label)}")
    return Annotation(name=str(entry["id"]), labels=label, place=(file, 0), split=split_of_name(file))


def _has_templates(text: str) -> bool:
    """Whether the first object has a template, or nothing but an id, as in the test set."""
    first = text.partition("}")[0]
    return '"template"' in first or first.count('":') + first.count('" :') == 1


def _is_labels(path: Path) -> bool:
    return path.stem == "labels" or path.stem.endswith("-labels")


FORMAT = Format(
    shape='JSON, a list of {"id": ..., "template": "Holding [something]", ...}',
    recognises=recognises,
    read=read,
    accompanies=accompanies,
)
