import dataclasses
import hashlib
import json
import runpy

import numpy as np
import pytest
import torch
from made_clips import noise
from made_models import CLASS_NAMES, alone, card_of, made_net, needs_onnx
from made_nets import assert_close

from retrain.deploy import folded, runs, write
from retrain.deploy.check import MAX_DIFFERENCE, frames_for
from retrain.deploy.int8 import Int8Bounds
from retrain.deploy.onnx_file import OnnxNet
from retrain.deploy.write import Plan, deploy
from retrain.ensemble import Ensemble, TrainedMember
from retrain.model_file import load_model
from search_spaces.errors import DeployError, SpecError, UsageError, WeightsError
from search_spaces.movinet import NANO
from search_spaces.published import published
from search_spaces.randomness import generator
from search_spaces.variant import VARIANTS, Variant
from supernet.calibrate import settle
from supernet.video_net import VideoNet
from video.encode import write_video
from video.label_space import LabelHead

STREAM, CLIP = Plan(format="onnx", mode="stream", check_frames=5), Plan(format="onnx", mode="clip")


def names_in(folder):
    return {path.name for path in folder.iterdir()}


@needs_onnx
@pytest.mark.parametrize("flat", [False, True])
def test_a_stream_steps_as_its_network(tmp_path, flat):
    net = made_net(VARIANTS["paper-stream" if flat else "released-stream"])
    card = deploy(alone(net, rate_fps=2.5), tmp_path / "net.onnx", dataclasses.replace(STREAM, flat=flat))
    assert names_in(tmp_path) == {"net.onnx", "net.json", "net_sample.py"}
    (member,) = card.members
    assert 0 < member.check.difference < MAX_DIFFERENCE == member.check.bound
    assert member.check.num_frames == 5
    file, state = OnnxNet(tmp_path / "net.onnx"), net.init_state(1, 12, 12)
    assert [entry.input for entry in member.state] == list(state)
    assert all(len(entry.shape) <= (4 if flat else 5) for entry in member.state)
    seen = []
    for frame_BCHW in noise(1, num_frames=8, height=12, width=12, seed=3).unbind(dim=2):
        with torch.no_grad():
            logits_BK, state = net.step(frame_BCHW, state)
        seen.append(file.run(frame_BCHW.numpy()))
        assert_close(torch.from_numpy(seen[-1]), logits_BK[0])
    file.reset()
    np.testing.assert_array_equal(
        file.run(noise(1, num_frames=8, height=12, width=12, seed=3)[:, :, 0].numpy()), seen[0]
    )
    blob = (tmp_path / "net.onnx").read_bytes()
    document = json.loads((tmp_path / "net.json").read_text("utf-8"))
    assert document["kind"] == "movinas.deployed"
    assert (document["mode"], document["flat"], document["class_names"]) == ("stream", flat, list(CLASS_NAMES))
    assert document["value_range"] == [0.0, 1.0]
    about = document["members"][0]
    assert about["sha256"] == hashlib.sha256(blob).hexdigest()
    assert (about["num_bytes"], about["fingerprint"]) == (len(blob), card_of(net).fingerprint)
    assert (about["rate_fps"], about["short_side"], about["resolution"]) == (2.5, 14, 12)
    assert about["input"] == {"name": "frame", "shape": [1, 3, 12, 12], "dtype": "float32"}
    assert about["state"][-1] == {
        "input": "frame_count",
        "output": "frame_count.next",
        "shape": [1],
        "dtype": "int32",
    }


@needs_onnx
@pytest.mark.parametrize("flat", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_clip_network_takes_clips(tmp_path, flat):
    net = made_net(Variant())
    card = deploy(alone(net), tmp_path / "net.onnx", dataclasses.replace(CLIP, flat=flat))
    (member,) = card.members
    assert member.state == ()
    assert member.input.shape == ((4, 3, 12, 12) if flat else (1, 3, 4, 12, 12))
    run = runs.run_of_clip(tmp_path / "net.onnx", mode="clip", flat=flat, num_threads=1)
    clip_BCTHW = noise(1, num_frames=4, height=12, width=12)
    found_K = run(clip_BCTHW[0].transpose(0, 1).contiguous().numpy())
    assert_close(torch.from_numpy(found_K), net(clip_BCTHW)[0].detach())


@pytest.mark.parametrize("mode", ["stream", "clip"])
def test_a_program_of_torch(tmp_path, mode):
    card = deploy(alone(made_net()), tmp_path / "net.pt2", Plan(format="pt2", mode=mode, check_frames=3))
    assert names_in(tmp_path) == {"net.pt2", "net.json"}
    assert card.members[0].check.difference < MAX_DIFFERENCE
    assert (tmp_path / "net.pt2").stat().st_size == card.members[0].num_bytes > 10_000
    assert bool(card.members[0].state) == (mode == "stream")


@pytest.mark.parametrize(("variant", "mode"), [(Variant(), "clip"), (VARIANTS["released-stream"], "stream")])
def test_one_file_holds_weights_and_card(tmp_path, variant, mode):
    net = made_net(variant)
    card = deploy(alone(net), tmp_path / "net.safetensors", Plan(format="safetensors", mode=mode, check_frames=3))
    assert names_in(tmp_path) == {"net.safetensors", "net.json"}
    assert card.members[0].check.difference == 0.0
    again, its_card = load_model(tmp_path / "net.safetensors")
    assert its_card == card_of(net)
    assert not again.training
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in again.state_dict().items())
    assert len(card.members[0].state) == (len(net.init_state(1, 12, 12)) if mode == "stream" else 0)


def test_files_that_are_no_networks_are_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(WeightsError, match="text.safetensors: must be a readable file of safetensors, but got"):
        load_model(tmp_path / "text.safetensors")
    deploy(alone(made_net()), tmp_path / "net.safetensors", Plan(format="safetensors", mode="clip"))
    blob = (tmp_path / "net.safetensors").read_bytes()
    (tmp_path / "other.safetensors").write_bytes(blob.replace(b'"movinas.model"', b'"movinas.mobel"'))
    with pytest.raises(SpecError, match="must hold the card of a network in its header, as movinas.model"):
        load_model(tmp_path / "other.safetensors")
    (tmp_path / "other.safetensors").write_bytes(blob.replace(b"val_top1", b"val_top9"))
    with pytest.raises(SpecError, match="other.safetensors: val_top1: must be given, but is missing"):
        load_model(tmp_path / "other.safetensors")


class Broken(folded.FoldedConv):
    """Forgets a thousandth of its bias."""

    def __init__(self, conv, **switches):
        super().__init__(conv, **switches)
        self.bias.data *= 0.999


@needs_onnx
def test_a_fold_that_is_wrong_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(folded, "FoldedConv", Broken)
    with pytest.raises(
        DeployError, match=r"net.onnx: must say what the network says to 0.0001 .* the file was deleted"
    ):
        deploy(alone(made_net()), tmp_path / "net.onnx", STREAM)
    assert names_in(tmp_path) == set()


@needs_onnx
def test_a_file_that_forgets_its_state_leaves_nothing_behind(tmp_path, monkeypatch):
    """As exporters have made of buffers inside modules: the first frame is right, every later one is not."""

    def forgetful(net, x):
        net.reset()
        return remembers(net, x)

    remembers = OnnxNet.run
    monkeypatch.setattr(OnnxNet, "run", forgetful)
    with pytest.raises(DeployError, match="must say what the network says"):
        deploy(alone(made_net()), tmp_path / "net.onnx", STREAM)
    assert names_in(tmp_path) == set()


@needs_onnx
def test_a_file_that_onnx_runtime_does_not_take_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "to_onnx", lambda graph: b"no graph")
    with pytest.raises(DeployError, match="net.onnx: must be a file that ONNX Runtime takes, but got"):
        deploy(alone(made_net()), tmp_path / "net.onnx", STREAM)
    assert names_in(tmp_path) == set()


def test_a_program_or_module_that_is_wrong_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(folded, "FoldedConv", Broken)
    with pytest.raises(DeployError, match="net.pt2: must say what the network says"):
        deploy(alone(made_net()), tmp_path / "net.pt2", Plan(format="pt2", mode="clip"))
    monkeypatch.setattr(runs, "load_model", lambda path: (made_net(Variant(conv="3d")), card_of(made_net(Variant()))))
    with pytest.raises(DeployError, match="net.safetensors: must say what the network says"):
        deploy(alone(made_net()), tmp_path / "net.safetensors", Plan(format="safetensors", mode="clip"))
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("taken", ["net.pt2", "net.json"])
def test_files_that_exist_stay(tmp_path, taken):
    (tmp_path / taken).write_text("mine")
    with pytest.raises(UsageError, match=f"{taken}: must not exist yet, a file is never overwritten, but it does"):
        deploy(alone(made_net()), tmp_path / "net.pt2", Plan(format="pt2", mode="clip"))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {taken: "mine"}


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match=r"net.pt2: must be a file that can be written, but got Not a directory"):
        deploy(alone(made_net()), tmp_path / "file" / "net.pt2", Plan(format="pt2", mode="clip"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"check_frames": 0}, "check_frames must be at least 1"),
        ({"format": "pt2", "int8": Int8Bounds(max_difference=1, max_drop=1)}, "int8 must be left out .* but got pt2"),
        ({"format": "safetensors", "flat": True}, "flat must be left out for safetensors"),
    ],
)
def test_plans_that_are_none(changes, message):
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(CLIP, **changes)


@needs_onnx
def test_an_ensemble_is_files_with_one_json(tmp_path):
    nets = [made_net(), made_net(VARIANTS["paper-stream"])]
    ensemble = Ensemble(
        members=tuple(
            TrainedMember(net=net, card=card_of(net), offset_frames=offset)
            for net, offset in zip(nets, (0.0, 0.5), strict=True)
        )
    )
    card = deploy(ensemble, tmp_path / "net.onnx", STREAM)
    assert names_in(tmp_path) == {"net.0.onnx", "net.1.onnx", "net.json", "net_sample.py"}
    assert [member.file for member in card.members] == ["net.0.onnx", "net.1.onnx"]
    assert [member.offset_frames for member in card.members] == [0.0, 0.5]
    assert [member.fingerprint for member in card.members] == [card_of(net).fingerprint for net in nets]


@needs_onnx
def test_int8_is_kept_or_refused(tmp_path):
    bounds = Int8Bounds(max_difference=0.2, max_drop=0.0)
    card = deploy(alone(made_net()), tmp_path / "net.onnx", dataclasses.replace(STREAM, int8=bounds))
    (member,) = card.members
    assert 1e-4 < member.int8.difference < 0.2
    assert member.int8.num_layers == 15
    assert member.num_bytes == (tmp_path / "net.onnx").stat().st_size
    tight = dataclasses.replace(bounds, max_difference=1e-4)
    with pytest.raises(
        DeployError, match="int8 must move logits by less than 0.0001 of the largest, but moves them by"
    ):
        deploy(alone(made_net()), tmp_path / "tight.onnx", dataclasses.replace(STREAM, int8=tight))
    assert {path.stem for path in tmp_path.glob("*.onnx")} == {"net"}


def test_a_video_shorter_than_a_clip_ends_in_its_last_frame(tmp_path):
    write_video(tmp_path / "short.mp4", np.full((2, 16, 16, 3), 99, np.uint8), rate_fps=4)
    plan = Plan(format="pt2", mode="clip", video=tmp_path / "short.mp4")
    assert deploy(alone(made_net()), tmp_path / "net.pt2", plan).members[0].check.num_frames == 4


def test_a_stream_that_looks_ahead_is_refused(tmp_path):
    with pytest.raises(SpecError, match="must be causal"):
        deploy(alone(made_net(Variant())), tmp_path / "net.pt2", Plan(format="pt2", mode="stream"))
    assert names_in(tmp_path) == set()


def parity(net, path, *, num_frames=100):
    """Deploy, which compares over so many frames of a real video, and tell how far the file was."""
    plan = Plan(format="onnx", mode="stream", check_frames=num_frames)
    (member,) = deploy(alone(net), path, plan).members
    assert member.check.num_frames == num_frames
    return member.check.difference


def as_if_trained(net):
    """With ReZero and norms drawn, and statistics of videos: with others, deep networks blow up rounding errors."""
    draw = torch.Generator().manual_seed(5)
    for name, tensor in net.state_dict().items():
        if name.endswith(("rezero", "encoding")):
            tensor.uniform_(0.3, 0.7, generator=draw)
        elif name.endswith((".scale", ".shift")):
            tensor.add_(torch.empty_like(tensor).normal_(0.0, 0.1, generator=draw))
    frames_TCHW = torch.from_numpy(frames_for(card_of(net), num_frames=24))
    settle(net, frames_TCHW.transpose(0, 1)[None])
    return net


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("variant", ["released-stream", "paper-stream"])
@pytest.mark.parametrize("name", ["A0", *(pytest.param(name, marks=pytest.mark.long) for name in ("A1", "A2"))])
def test_published_networks_keep_parity_over_100_frames(tmp_path, name, variant):
    spec = published(name)
    net = as_if_trained(VideoNet(spec, VARIANTS[variant], num_classes=600))
    assert parity(net, tmp_path / "net.onnx") < 1e-4


FORMS = (
    VARIANTS["released-stream"],
    VARIANTS["paper-stream"],
    dataclasses.replace(VARIANTS["released-stream"], conv="2plus1d", positional_encoding=True),
    dataclasses.replace(VARIANTS["paper-stream"], pool_window=5),
    dataclasses.replace(VARIANTS["released-stream"], pool_decay=0.9, gate="legacy_hard_sigmoid"),
)


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(5, 20))])
def test_random_specs_keep_parity_over_100_frames(tmp_path, seed):
    spec = NANO.decode(NANO.sample(generator(seed, "deploy")), Variant()).spec
    net = as_if_trained(VideoNet(spec, FORMS[seed % len(FORMS)], num_classes=8))
    assert parity(net, tmp_path / "net.onnx") < 1e-4


def test_the_sample_is_a_file_of_ours():
    assert write.SAMPLE.read_text("utf-8").startswith('"""Classes of a video or a camera by a deployed network')


VERBS = ("noun:cup", "verb:open", "verb:shut")
BOTH = (LabelHead(name="noun", num_classes=1), LabelHead(name="verb", num_classes=2))


@needs_onnx
@pytest.mark.parametrize(
    ("changes", "scores", "parts", "texts"),
    [
        ({}, "softmax", [("", 0, 3)], ["clap 0.6652, Gebärde zwölf 0.2447"]),
        ({"multi_label": True}, "sigmoid", [("", 0, 3)], ["clap 0.8808, Gebärde zwölf 0.7311"]),
        (
            {"class_names": VERBS, "heads": BOTH},
            "softmax",
            [("noun", 0, 1), ("verb", 1, 3)],
            ["noun:cup 1.0000", "verb:open 0.7311, verb:shut 0.2689"],
        ),
    ],
)
def test_the_json_says_how_logits_become_probabilities(tmp_path, changes, scores, parts, texts):
    plan = Plan(format="safetensors", mode="stream", check_frames=1)
    card = deploy(alone(made_net(), **changes), tmp_path / "net.safetensors", plan)
    document = json.loads((tmp_path / "net.json").read_text("utf-8"))
    assert (document["scores"], [tuple(part.values()) for part in document["parts"]]) == (scores, parts)
    assert tuple(document["class_names"]) == card.class_names
    likeliest = runpy.run_path(str(write.SAMPLE))["likeliest"]
    assert [likeliest(np.array([0.0, 2.0, 1.0]), part, document, 2) for part in document["parts"]] == texts
