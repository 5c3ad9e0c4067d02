"""Fixtures that more than one package's tests use: small data sets and runs, made once per session."""

import os
from pathlib import Path

import hypothesis
import pytest
from program import SEARCH, TARGET

from launch.cli import main
from search_spaces.movinet import NANO
from search_spaces.randomness import generator
from search_spaces.spec_json import make_spec_file, write_spec
from search_spaces.variant import Variant

# a busy machine is no defect; and what CI says of a commit does not depend on the day
hypothesis.settings.register_profile("movinas", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("movinas")


@pytest.fixture(autouse=True)
def _caches_stay_here(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def motion_manifest(tmp_path_factory) -> Path:
    """A manifest of 80 generated videos, 10 of each motion."""
    folder = tmp_path_factory.mktemp("motion")
    assert main(["data", "synth", str(folder / "videos"), "--videos_per_class=10", "--size=48", "--json"]) == 0
    assert main(["data", "index", str(folder / "videos"), str(folder / "manifest.jsonl"), "--json"]) == 0
    return folder / "manifest.jsonl"


@pytest.fixture(scope="session")
def search_run(tmp_path_factory, motion_manifest) -> Path:
    """The folder of a finished search."""
    out = tmp_path_factory.mktemp("search") / "run"
    assert (
        main(["search", "--space=nano", f"--data={motion_manifest}", f"--target={TARGET}", f"--out={out}", *SEARCH])
        == 0
    )
    return out


@pytest.fixture(scope="session")
def retrain_run(tmp_path_factory, motion_manifest, search_run) -> Path:
    """The folder of a finished retraining of what the search found."""
    out = tmp_path_factory.mktemp("retrain") / "run"
    spec = next((search_run / "specs").iterdir())
    options = ["--recipe.epochs=2", "--recipe.batch_size=8", "--recipe.test_frames=6", "--threads=1", "--workers=0"]
    assert main(["retrain", str(spec), f"--data={motion_manifest}", f"--out={out}", *options]) == 0
    return out


@pytest.fixture(scope="session")
def stream_run(tmp_path_factory, motion_manifest) -> Path:
    """The folder of a finished retraining of a network that streams."""
    folder = tmp_path_factory.mktemp("stream")
    candidate = NANO.decode(NANO.sample(generator(0, "stream")), Variant())
    spec = write_spec(make_spec_file(candidate.spec, Variant(), genotype=candidate.genotype), folder)
    options = ["--recipe.epochs=1", "--recipe.batch_size=8", "--recipe.test_frames=6", "--threads=1", "--workers=0"]
    arguments = [str(spec), f"--data={motion_manifest}", f"--out={folder / 'run'}", "--variant=released-stream"]
    assert main(["retrain", *arguments, *options, "--recipe.dropout=0.2", "--recipe.stochastic_depth=0.2"]) == 0
    return folder / "run"
