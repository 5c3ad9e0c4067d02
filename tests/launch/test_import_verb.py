"""`movinas import-weights`: a state dict of the public port as the folder of a network."""

import json
import os
import re

import pytest
import torch
from port_form import FORMS, TINY_PORT_SPEC, port_state, tiny_state
from program import call, call_json

from launch import import_weights
from retrain.model_file import CARD, load_model, read_card
from search_spaces.published import published, released_stream
from search_spaces.spec_json import make_spec_file, write_spec
from search_spaces.variant import Variant
from supernet.import_weights import PORT_STREAM, import_net
from supernet.tensors import to_bytes
from supernet.video_net import VideoNet

CLASSES = ("zoom_in", "zoom_out", "Gebärde zwölf")


@pytest.fixture
def spec(tmp_path):
    return write_spec(make_spec_file(TINY_PORT_SPEC, Variant()), tmp_path / "specs")


@pytest.fixture
def weights(tmp_path):
    torch.save(tiny_state("base"), tmp_path / "base_statedict")
    return tmp_path / "base_statedict"


def test_a_clip_network(capsys, tmp_path, weights, spec, motion_manifest):
    (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    out = tmp_path / "nets" / "model"
    document = call_json(capsys, "import-weights", weights, spec, "--out", out, "--classes", tmp_path / "classes.txt")
    net, card = load_model(out)
    assert (card.class_names, card.variant, card.arch) == (CLASSES, Variant(), TINY_PORT_SPEC)
    assert (card.num_frames, card.resolution, card.short_side, card.epoch) == (4, 12, 14, None)
    wanted = import_net(tiny_state("base"), TINY_PORT_SPEC, Variant(), source="there")
    assert to_bytes(net.state_dict()) == to_bytes(wanted.state_dict())
    assert document["fingerprint"] == card.fingerprint
    assert (document["num_classes"], document["num_tensors"]) == (3, len(net.state_dict()))
    video = next((motion_manifest.parent / "videos" / "zoom_in").iterdir())
    predicted = call_json(capsys, "predict", out, video)[0]
    assert {entry["class"] for entry in predicted["classes"]} == set(CLASSES)


def test_a_stream(capsys, tmp_path, spec):
    torch.save(tiny_state("stream"), tmp_path / "stream_statedict")
    arguments = ("import-weights", tmp_path / "stream_statedict", spec)
    document = call_json(capsys, *arguments, "--out", tmp_path / "deep")
    deep, card = load_model(tmp_path / "deep")
    assert (card.variant, card.class_names) == (PORT_STREAM, ("class_000", "class_001", "class_002"))
    assert document["variant"]["gate"] == "legacy_hard_sigmoid"
    (tmp_path / "flat.json").write_text(json.dumps(document["variant"] | {"conv": "2plus1d"}))
    assert call(capsys, *arguments, "--out", tmp_path / "flat", "--variant", tmp_path / "flat.json")[0] == 0
    flat, card = load_model(tmp_path / "flat")
    assert card.variant == FORMS["stream"]
    clips_BCTHW = torch.rand(1, 3, 5, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(flat(clips_BCTHW), deep(clips_BCTHW), rtol=1e-4, atol=1e-5)


def test_a_stream_steps_through_a_video(capsys, tmp_path, spec, motion_manifest):
    torch.save(tiny_state("stream"), tmp_path / "stream_statedict")
    arguments = ("import-weights", tmp_path / "stream_statedict", spec)
    assert call(capsys, *arguments, "--out", tmp_path / "model")[0] == 0
    video = next((motion_manifest.parent / "videos" / "zoom_in").iterdir())
    code, out, err = call(capsys, "stream", tmp_path / "model", video, "--max_frames", 3, "--json")
    assert code == 0, err
    assert [json.loads(line)["frame"] for line in out.splitlines()] == [0, 1, 2]


def test_a_published_stream_is_built_as_it_was_released(capsys, tmp_path):
    net = VideoNet(published("A1"), FORMS["stream"], num_classes=2)
    torch.save(port_state(net), tmp_path / "a1")
    arguments = ("import-weights", tmp_path / "a1", "published:A1", "--out", tmp_path / "model")
    assert call(capsys, *arguments, "--variant", "released-stream")[0] == 0
    card = read_card(tmp_path / "model")
    assert (card.variant, card.short_side, card.resolution) == (released_stream("A1"), 192, 172)


def refused(capsys, out, *arguments):
    code, shown, err = call(capsys, "import-weights", *arguments, "--out", out)
    assert (code, shown, err.count("\n")) == (2, "", 1), err
    return err


def test_bad_weights_are_one_line_and_leave_nothing(capsys, tmp_path, weights, spec):
    out = tmp_path / "model"
    assert "no: must be a readable file" in refused(capsys, out, tmp_path / "no", spec)
    assert "must be a dictionary of tensors alone" in refused(capsys, out, spec, spec)
    state = tiny_state("base")
    del state["conv1.conv_1.conv3d.weight"], state["blocks.b0_l0.alpha"]
    torch.save(state, weights)
    line = refused(capsys, out, weights, spec)
    assert "conv1.conv_1.conv3d.weight is missing; blocks.b0_l0.alpha is missing" in line
    assert not out.exists()


def test_a_pickle_is_not_run(capsys, tmp_path, spec):
    class Runs:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "made"),))

    torch.save({"conv1.conv_1.conv3d.weight": Runs()}, tmp_path / "bad")
    assert "tensors alone" in refused(capsys, tmp_path / "model", tmp_path / "bad", spec)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\n", "classes.txt: must name the 3 classes of the weights, but names 2"),
        ("a\nb\na\n", "classes.txt:3: must name each class once, but got 'a'"),
        ("a\n\nb\n", "classes.txt:2: must name each class once, but got ''"),
        ("", "classes.txt: must name the 3 classes of the weights, but names 0"),
        (b"\xff\xfe", "classes.txt: must be a readable text file, but got"),
        (None, "classes.txt: must be a readable text file, but got No such file or directory"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(capsys, tmp_path, weights, spec, text, message):
    path = tmp_path / "classes.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in refused(capsys, tmp_path / "model", weights, spec, "--classes", path)
    assert not (tmp_path / "model").exists()


def test_an_existing_folder_is_left_alone(capsys, tmp_path, weights, spec):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / CARD).write_text("mine")
    assert "model: must not exist yet" in refused(capsys, tmp_path / "model", weights, spec)
    assert (tmp_path / "model" / CARD).read_text() == "mine"


def test_another_variant_or_spec_is_refused(capsys, tmp_path, weights, spec):
    line = refused(capsys, tmp_path / "model", weights, spec, "--variant", "paper-stream")
    assert "variant: must be a variant that the port has" in line


def test_every_tensor_that_does_not_fit_is_listed(capsys, tmp_path, weights, monkeypatch):
    torch.save(torch.load(weights, weights_only=True) | {"a\n\x1b[2J": torch.zeros(1)}, weights)
    arguments = ("import-weights", weights, "published:A0", "--out", tmp_path / "model")
    code, out, err = call(capsys, *arguments)
    *listed, line = err.splitlines()
    assert (code, out) == (2, "")
    counts = re.search(r"\((\d+) missing, (\d+) unknown, (\d+) of another shape\)$", line).groups()
    for kind, count in zip(("missing", "unknown", "of another shape"), map(int, counts), strict=True):
        assert sum(entry.startswith(f"{kind}: ") for entry in listed) == count
    assert len(listed) == len(set(listed)) == sum(map(int, counts)) > 300
    assert "missing: blocks.b4_l3.alpha" in listed
    assert r"unknown: 'a\n\x1b[2J'" in listed
    monkeypatch.setattr(import_weights, "MAX_LISTED", 5)
    shorter = call(capsys, *arguments)[2].splitlines()
    assert shorter == [*listed[:5], f"and {len(listed) - 5} more", line]
