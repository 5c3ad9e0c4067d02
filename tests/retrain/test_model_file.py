import dataclasses
import errno
import json
import os
import shutil

import pytest
import torch
from made_clips import noise
from made_nets import HARD, TINY_SPEC, randomise

from results import files
from retrain.model_file import CARD, WEIGHTS, ModelCard, load_model, read_card, save_model
from search_spaces.errors import SpecError, WeightsError
from search_spaces.spec_json import fingerprint
from search_spaces.variant import Variant
from supernet.tensors import to_bytes
from supernet.video_net import VideoNet
from video.label_space import LabelSpace

CARD_OF_TINY = ModelCard(
    fingerprint=fingerprint(TINY_SPEC, HARD),
    arch=TINY_SPEC,
    variant=HARD,
    class_names=("wave", "clap", "Gebärde zwölf"),
    num_frames=6,
    rate_fps=8.0,
    short_side=14,
    resolution=12,
    epoch=3,
    val_top1=0.625,
)


def made(seed=0):
    net = VideoNet(TINY_SPEC, HARD, num_classes=3, seed=seed)
    randomise(net, seed=seed)
    return net


@pytest.fixture
def folder(tmp_path):
    save_model(made(), CARD_OF_TINY, tmp_path / "model")
    return tmp_path / "model"


def change_card(folder, **changes):
    document = json.loads((folder / CARD).read_text())
    for name, value in changes.items():
        if value is ...:
            del document[name]
        else:
            document[name] = value
    (folder / CARD).write_text(json.dumps(document))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_network_comes_back_as_it_was(folder):
    net, card = load_model(folder)
    assert card == CARD_OF_TINY
    assert to_bytes(net.state_dict()) == to_bytes(made().state_dict())
    assert not net.training
    clips_BCTHW = noise(2, num_frames=6, height=12, width=12)
    with torch.no_grad():
        assert torch.equal(net(clips_BCTHW), made().eval()(clips_BCTHW))


def test_a_network_without_a_validation_split_has_no_accuracy(tmp_path):
    save_model(made(), dataclasses.replace(CARD_OF_TINY, val_top1=None), tmp_path / "model")
    assert read_card(tmp_path / "model").val_top1 is None


def test_the_files_are_plain_and_nothing_else_is_left(folder):
    assert {path.name for path in folder.iterdir()} == {WEIGHTS, CARD}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    document = json.loads((folder / CARD).read_text("utf-8"))
    assert (document["schema"], document["kind"]) == (1, "movinas.model")
    assert document["class_names"][2] == "Gebärde zwölf"
    assert (folder / WEIGHTS).read_bytes() == to_bytes(made().state_dict())


def test_equal_networks_give_equal_files(folder, tmp_path):
    save_model(made(), CARD_OF_TINY, tmp_path / "other")
    assert contents(tmp_path / "other") == contents(folder)


def test_what_was_there_is_replaced(folder):
    (folder / "old").write_text("left by nobody knows whom")
    save_model(made(1), dataclasses.replace(CARD_OF_TINY, epoch=4), folder)
    net, card = load_model(folder)
    assert card.epoch == 4
    assert to_bytes(net.state_dict()) == to_bytes(made(1).state_dict())
    assert {path.name for path in folder.iterdir()} == {WEIGHTS, CARD}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_parents_are_made(tmp_path):
    save_model(made(), CARD_OF_TINY, tmp_path / "a" / "b" / "model")
    assert read_card(tmp_path / "a" / "b" / "model") == CARD_OF_TINY


def test_a_disk_that_fails_leaves_the_old_network_whole(folder, monkeypatch):
    before = contents(folder)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(WeightsError, match=r"model: must be a folder that can be written, but got No space left"):
        save_model(made(1), CARD_OF_TINY, folder)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "movinas.spec"}, "model.json: kind: must be 'movinas.model', but got 'movinas.spec'"),
        ({"schema": 2}, "model.json: schema: must be 1, but got 2"),
        ({"schema": ...}, "model.json: schema: must be 1, but got None"),
        ({"schema": True}, "model.json: schema: must be 1, but got True"),
        ({"extra": 1}, "model.json: extra: must be a known field, but got an unknown one"),
        ({"class_names": ...}, "class_names: must be given, but is missing"),
        ({"class_names": []}, r"class_names: must be different names, at least one, but got \(\)"),
        (
            {"class_names": ["a", "b", "a"]},
            "class_names: must be different names, at least one, but got .*'a', 'b', 'a'",
        ),
        ({"multi_label": 1}, "multi_label: .* valid boolean, but got 1"),
        ({"heads": [{"name": "verb", "num_classes": 3}]}, "heads: heads must be at least two"),
        ({"heads": [{"name": "verb", "num_classes": "3"}]}, r"heads\[0\].num_classes: .* valid integer, but got '3'"),
        ({"class_names": [1, 2]}, r"class_names\[0\]: .* valid string, but got 1"),
        ({"num_frames": 0}, r"num_frames: must be in \[1, 16384\], but got 0"),
        ({"num_frames": 2.5}, "num_frames: .* valid integer, but got 2.5"),
        ({"rate_fps": -1.0}, r"rate_fps: must be in \(0, 1000\], but got -1.0"),
        ({"resolution": 4}, r"resolution: must be in \[8, 4096\], but got 4"),
        ({"short_side": 11}, "short_side: must be at least the resolution, 12, but got 11"),
        ({"fingerprint": "0" * 64}, "fingerprint: must be that of arch and variant, [0-9a-f]{64}, but got '000"),
        ({"variant": {"activation": "relu", "gate": "sigmoid"}}, "variant.activation: .*'swish' or 'hard_swish'"),
    ],
)
def test_a_card_that_does_not_hold_is_refused(folder, changes, message):
    change_card(folder, **changes)
    with pytest.raises(SpecError, match=message) as caught:
        load_model(folder)
    assert caught.value.path == folder / CARD
    assert "\n" not in str(caught.value)


def test_the_place_of_what_is_wrong_in_the_architecture_is_told(folder):
    document = json.loads((folder / CARD).read_text())
    document["arch"]["blocks"][0]["layers"][1]["width"] = 0
    (folder / CARD).write_text(json.dumps(document))
    with pytest.raises(SpecError, match=r"arch.blocks\[0\].layers\[1\].width: must be in \[1, 16384\], but got 0"):
        read_card(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a document must be JSON, but got Expecting value at line 1"),
        ("[1]", r"model.json: must be an object, but got \[1\]"),
        ('{"schema": 1, "schema": 1}', "a field must stand once, but got 'schema' more than once"),
        ('{"val_top1": NaN}', "a number must be finite, but got NaN"),
        ("[" * 100, "a document must nest at most 32 deep, but got more"),
    ],
)
def test_a_card_that_is_no_document_is_refused(folder, text, message):
    (folder / CARD).write_text(text)
    with pytest.raises(SpecError, match=message) as caught:
        read_card(folder)
    assert caught.value.path == folder / CARD


def test_a_missing_card_is_told(tmp_path):
    with pytest.raises(SpecError, match="model.json: must be a readable file, but got No such file"):
        load_model(tmp_path)


def test_missing_weights_are_told(folder):
    (folder / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match="model.safetensors: must be a readable file, but got No such file"):
        load_model(folder)


def test_damaged_weights_are_told(folder):
    blob = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(blob[:-5])
    with pytest.raises(WeightsError, match="model.safetensors: weights must be safetensors, but got"):
        load_model(folder)


def test_weights_of_another_network_are_told(folder, tmp_path):
    other = VideoNet(TINY_SPEC, Variant(), num_classes=4)
    (folder / WEIGHTS).write_bytes(to_bytes(other.state_dict()))
    with pytest.raises(
        WeightsError,
        match=r"weights must fit the network, but in .*model.safetensors head.classifier.weight must be \(3, 16\)",
    ):
        load_model(folder)


def test_a_network_may_be_moved(folder, tmp_path):
    shutil.move(folder, tmp_path / "elsewhere")
    assert load_model(tmp_path / "elsewhere")[1] == CARD_OF_TINY


def test_a_card_of_before_has_one_label_per_video(folder):
    change_card(folder, heads=..., multi_label=...)
    assert read_card(folder) == CARD_OF_TINY
    assert read_card(folder).label_space.single_label


def test_heads_survive_a_file(tmp_path):
    space = LabelSpace.of_heads({"verb": ["open"], "noun": ["door", "tap"]})
    card = dataclasses.replace(CARD_OF_TINY, class_names=space.class_names, heads=space.heads)
    save_model(made(), card, tmp_path / "model")
    assert read_card(tmp_path / "model").label_space == space


def test_a_card_of_a_network_that_no_machine_could_hold_is_refused_before_it_is_built(folder):
    change_card(folder, num_frames=1 << 14, resolution=1 << 12, short_side=1 << 12)
    with pytest.raises(SpecError, match=r"must have at most [0-9,]+ (multiply-adds per clip|bytes of activations)"):
        load_model(folder)


def test_weights_of_many_times_the_network_are_not_read(folder):
    with (folder / WEIGHTS).open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(WeightsError, match=r"model\.safetensors: must be a readable file, but got more than \d+ bytes"):
        load_model(folder)


def test_a_card_with_a_flood_of_values_is_refused(folder):
    change_card(folder, heads=[0] * 100_000)
    with pytest.raises(SpecError, match=r"a document must hold at most 16384 values, but got 100\d{3}"):
        load_model(folder)
