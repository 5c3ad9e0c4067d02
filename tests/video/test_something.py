"""Something-Something v2: JSON lists of templates, and the numbers of the classes."""

import json

import pytest
from datasets import index, rows

from search_spaces.errors import ManifestError

LABELS = {
    "Holding something": "2",
    "Pushing something from left to right": "0",
    "Putting something onto something": "1",
}
TRAIN = [
    {"id": "78687", "label": "holding potato", "template": "Holding [something]", "placeholders": ["potato"]},
    {
        "id": "42326",
        "label": "putting a cup onto a box",
        "template": "Putting [something] onto [something]",
        "placeholders": ["a cup", "a box"],
    },
]
VALIDATION = [{"id": "74225", "label": "holding a pen", "template": "Holding [something]", "placeholders": ["a pen"]}]


@pytest.fixture
def something(data_set):
    data_set.videos(*(f"20bn-something-something-v2/{name}.webm" for name in ("78687", "42326", "74225", "1420")))
    for name, document in (
        ("train", TRAIN),
        ("validation", VALIDATION),
        ("labels", LABELS),
        ("test", [{"id": "1420"}]),
    ):
        data_set.text(f"something-something-v2-{name}.json", json.dumps(document, indent=4))
    return data_set


def test_templates_are_classes(something):
    indexed = index(something.root)
    assert indexed.format_name == "something"
    folder = "20bn-something-something-v2"
    assert rows(indexed) == [
        (f"{folder}/78687.webm", ("Holding something",), "train"),
        (f"{folder}/42326.webm", ("Putting something onto something",), "train"),
        (f"{folder}/74225.webm", ("Holding something",), "val"),
    ]
    assert indexed.manifest.class_names[0] == "Pushing something from left to right"
    assert indexed.num_unlabelled == 1


def test_classes_without_their_file(something):
    (something.root / "something-something-v2-labels.json").unlink()
    names = index(something.root / "something-something-v2-train.json").manifest.class_names
    assert names == ("Holding something", "Putting something onto something")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([{"id": "78687", "template": "Eating [something]"}], r"\[0\]: template must be one of the 3 classes"),
        ([*TRAIN, {"id": None, "template": "x"}], r"\[2\]: a video must be an object with an id, but got"),
        ([*TRAIN, 7], r"\[2\]: a video must be an object with an id, but got 7"),
        ([*TRAIN, {"id": "1", "template": 7}], r"\[2\]: template must be a text, but got int"),
        ([{"id": "../../x", "template": "Holding [something]"}], "a file name must lead below the folder"),
    ],
)
def test_what_is_no_entry_is_named(something, document, message):
    source = something.text("something-something-v2-train.json", json.dumps(document))
    with pytest.raises(ManifestError, match=f"v2-train.json: {message}"):
        index(source)


def test_a_field_twice(something):
    source = something.text("train.json", '[{"id": "1", "template": "a", "id": "2"}]')
    with pytest.raises(ManifestError, match="train.json: a field must stand once, but got 'id' more than once"):
        index(source)
