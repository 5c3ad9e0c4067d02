"""A pickle that acts when it is read, offered wherever movinas loads weights or state: refused, and never executed.

`import-weights`, the one door for foreign pickles, has its own tests in `tests/supernet/test_untrusted.py` and
`tests/launch/test_import_verb.py`.
"""

import io
import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from program import TARGET, call

from launch import retrain, search
from launch.options import to_yaml
from nas.strategies import make_strategy
from results.checkpoint import save_checkpoint
from results.run_dir import RunDir, create_run, open_run
from retrain.model_file import CARD, WEIGHTS, ModelCard, is_model_file, load_model, save_model
from search_spaces.ensemble import temporal_ensemble
from search_spaces.ensemble_json import make_ensemble_file, write_ensemble
from search_spaces.errors import MovinasError
from search_spaces.movinet import NANO
from search_spaces.space_json import space_document
from search_spaces.spec_json import make_spec_file
from search_spaces.strict_json import pretty
from search_spaces.variant import Variant
from supernet import evaluator
from supernet.supernet import Supernet
from supernet.tensors import from_bytes, to_bytes
from supernet.video_net import VideoNet
from video.cache import FrameCache
from video.manifest import Manifest, VideoItem, write_manifest

SPEC = NANO.decode(NANO.sample(np.random.default_rng(0)), Variant()).spec
CLASSES = ("left", "right")


class Acts:
    """A value whose pickle makes a folder where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (str(self.path),))


class Places:
    """Files and folders that hold the pickle where weights or state should be."""

    def __init__(self, root: Path, evil: bytes) -> None:
        self.root, self.evil = root, evil
        self.file, self.json = root / "evil.safetensors", root / "evil.json"
        for path in (self.file, self.json, root / "evil.yaml", root / "evil.pt"):
            path.write_bytes(evil)
        self.manifest = write_items(root / "m.jsonl")
        self.spec = root / "spec.json"
        self.spec.write_text(pretty(asdict(make_spec_file(SPEC, Variant()))))
        self.model = with_model(root / "model", evil)
        self.search, self.retrain = self.search_run(), self.retrain_run()
        with_model(self.retrain.model_path, evil)
        members = temporal_ensemble(SPEC, Variant())
        self.ensemble = write_ensemble(make_ensemble_file(members, models=("../model", "../model")), root / "ensemble")

    def search_run(self) -> RunDir:
        options = search.Options(
            space="nano", target=TARGET, data=self.manifest, out=self.root / "search", threads=1, workers=0
        )
        files = {
            "config.yaml": to_yaml(options),
            "env.json": "{}",
            "space.json": pretty(space_document(NANO)),
            "variant.json": pretty(asdict(Variant())),
            "manifest.jsonl": self.manifest.read_text(),
        }
        return create_run(self.root / "search", kind="search", files=files)

    def retrain_run(self) -> RunDir:
        options = retrain.Options(
            spec=str(self.spec), data=self.manifest, out=self.root / "retrain", threads=1, workers=0
        )
        files = {"config.yaml": to_yaml(options), "env.json": "{}", "spec.json": self.spec.read_text()}
        files["manifest.jsonl"] = self.manifest.read_text()
        return create_run(self.root / "retrain", kind="retrain", files=files)


def write_items(path: Path) -> Path:
    items = tuple(
        VideoItem(id=f"{split}{label}{number}", path=path.parent / "no.mp4", labels=(label,), split=split)
        for split in ("train", "val", "test")
        for label in range(2)
        for number in range(4)
    )
    write_manifest(Manifest(class_names=CLASSES, items=items), path)
    return path


def with_model(folder: Path, evil: bytes) -> Path:
    """The folder of a network whose weights are the pickle."""
    spec_file = make_spec_file(SPEC, Variant())
    card = ModelCard(
        fingerprint=spec_file.fingerprint,
        arch=SPEC,
        variant=Variant(),
        class_names=CLASSES,
        num_frames=2,
        rate_fps=8.0,
        short_side=SPEC.clip.resolution,
        resolution=SPEC.clip.resolution,
        epoch=None,
        val_top1=None,
    )
    save_model(VideoNet(SPEC, Variant(), num_classes=2), card, folder)
    (folder / WEIGHTS).write_bytes(evil)
    return folder


@pytest.fixture(scope="module")
def target(tmp_path_factory) -> Path:
    """What the pickle makes, if it is ever executed."""
    return tmp_path_factory.mktemp("acts") / "made by the pickle"


@pytest.fixture(scope="module", params=["plain", "zip"])
def places(request, tmp_path_factory, target) -> Places:
    buffer = io.BytesIO()
    torch.save({"stem.weight": Acts(target)}, buffer)
    evil = pickle.dumps(Acts(target)) if request.param == "plain" else buffer.getvalue()
    return Places(tmp_path_factory.mktemp("places"), evil)


@pytest.fixture(autouse=True)
def _never_executed(target):
    yield
    assert not target.exists()


def test_the_pickle_would_act(tmp_path):
    pickle.loads(pickle.dumps(Acts(tmp_path / "a")))
    torch.save({"a": Acts(tmp_path / "b")}, tmp_path / "file")
    torch.load(tmp_path / "file", weights_only=False)
    assert (tmp_path / "a").is_dir()
    assert (tmp_path / "b").is_dir()


COMMANDS = (
    "evaluate {model} --data={manifest}",
    "evaluate {retrain} --data={manifest}",
    "evaluate {ensemble} --data={manifest}",
    "predict {model} {root}/no.mp4",
    "stream {model} {root}/no.mp4",
    "deploy {model} --format=pt2 --out={root}/made.pt2",
    "retrain {spec} --data={manifest} --out={root}/made --init=weights:{file}",
    "retrain {spec} --data={manifest} --out={root}/made --init=weights:{root}/evil.pt",
    "retrain {spec} --data={manifest} --out={root}/made --init=weights:{model}",
    "retrain {spec} --data={manifest} --out={root}/made --init=retrain:{retrain}",
    "retrain {json} --data={manifest} --out={root}/made",
    "search --space=nano --data={manifest} --target=macs=16M/clip --out={root}/made --init=weights:{model}",
    "search --space=nano --data={manifest} --target=macs=16M/clip --out={root}/made --init=retrain:{retrain}",
    "search --space={json} --data={manifest} --target=macs=16M/clip --out={root}/made",
    "search --space=nano --data={json} --target=macs=16M/clip --out={root}/made",
    "search --space=nano --data={manifest} --target=latency=1ms/frame@{json} --out={root}/made",
    "search --config={root}/evil.yaml --space=nano --data={manifest} --target=macs=16M/clip --out={root}/made",
    "cost {json}",
    "cost {spec} --variant={json}",
    "data check {json}",
    "inspect {json}",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_verbs_refuse_it(capsys, places, command):
    names = {"search": places.search.path, "retrain": places.retrain.path, "root": places.root}
    names |= {name: getattr(places, name) for name in ("model", "manifest", "ensemble", "spec", "file", "json")}
    code, out, err = call(capsys, *command.format_map(names).split(" "))
    assert code == 2, err
    assert "Traceback" not in err
    assert re.search("safetensors" if "json" not in command and "yaml" not in command else "UTF-8|utf-8|folder", err), (
        err
    )
    assert out == ""
    assert not (places.root / "made").exists()


def blobs_of(places: Places, kind: str, damaged: str) -> Mapping[str, bytes]:
    """A checkpoint whose bytes are in order, but for one blob."""
    if kind == "retrain":
        net = to_bytes(VideoNet(SPEC, Variant(), num_classes=2).state_dict())
        trainer = b'{"num_averaged":0,"best":null,"epoch":[0.0,0,0],"scaler":{}}'
        good = {"net.safetensors": net, "average.safetensors": net, "optimizer.safetensors": to_bytes({})}
        return {**good, "trainer.json": trainer, damaged: places.evil}
    options = search.Options(space="nano", target=TARGET, data=places.manifest, out=places.root)
    problem = search.problem_of(places.search, options)
    supernet = Supernet(NANO, Variant(), num_classes=2)
    good = {evaluator.WEIGHTS: to_bytes(supernet.state_dict()), evaluator.OPTIMIZER: to_bytes({})}
    return {**good, **make_strategy(problem, options.search).state(), damaged: places.evil}


@pytest.mark.parametrize(
    ("kind", "damaged"),
    [
        *(("search", name) for name in (evaluator.WEIGHTS, evaluator.OPTIMIZER, "controller.json")),
        *(
            ("retrain", name)
            for name in ("net.safetensors", "average.safetensors", "optimizer.safetensors", "trainer.json")
        ),
    ],
)
def test_resume_refuses_a_checkpoint_that_holds_it(capsys, places, kind, damaged):
    run = places.search if kind == "search" else places.retrain
    blobs = blobs_of(places, kind, damaged)
    assert damaged in blobs
    save_checkpoint(run.checkpoints_path, 1, blobs, num_records=0)
    code, out, err = call(capsys, "resume", run.path)
    assert code == 2, err
    assert "Traceback" not in err
    assert out == ""
    if damaged == evaluator.WEIGHTS:
        for verb in ("search --space=nano --target=macs=16M/clip", f"retrain {places.spec}"):
            arguments = [f"--data={places.manifest}", f"--out={places.root / 'made'}", f"--init=supernet:{run.path}"]
            code, _, err = call(capsys, *verb.split(" "), *arguments)
            assert code == 2, err
            assert not (places.root / "made").exists()


@pytest.mark.parametrize(
    "name", ["journal.jsonl", "config.yaml", "space.json", "manifest.jsonl", "variant.json", "run.json"]
)
def test_files_of_a_run_may_be_it(capsys, tmp_path, target, name):
    places = Places(tmp_path, pickle.dumps(Acts(target)))
    (places.search.path / name).write_bytes(places.evil + b"\n" + places.evil + b"\n")
    for verb in ("resume", "inspect", "report", "export"):
        code, _, err = call(
            capsys, verb, places.search.path, *(["--out", tmp_path / "made"] if verb == "export" else [])
        )
        assert code in (0, 2), err
        assert "Traceback" not in err


def test_functions_refuse_it(places, tmp_path):
    with pytest.raises(MovinasError, match="weights must be safetensors"):
        from_bytes(places.evil)
    for path in (places.file, places.model):
        with pytest.raises(MovinasError, match="safetensors"):
            load_model(path)
    assert not is_model_file(places.file)
    (places.model / CARD).rename(places.root / "away")
    with pytest.raises(MovinasError, match=r"model\.json: must be a readable file"):
        load_model(places.model)
    (places.root / "away").rename(places.model / CARD)
    cache = FrameCache(tmp_path, 1 << 20)
    (tmp_path / f"{'a' * 64}.frames").write_bytes(places.evil)
    assert cache.get("a" * 64) is None
    assert open_run(places.search.path).kind == "search"
