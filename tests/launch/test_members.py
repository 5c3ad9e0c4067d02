"""Members of sweeps: made, gone on with, or found finished, in the run folder that they name."""

import shutil
from dataclasses import replace

import pytest

from launch import members, retrain, search
from launch.retrain import Options as RetrainOptions
from launch.runs import options_of
from launch.search import Options as SearchOptions
from results.run_dir import create_run, lock, open_run
from search_spaces.errors import RunFolderError


@pytest.fixture
def copies(tmp_path, search_run, retrain_run):
    """Copies of a finished search and a finished retraining, with the options of each."""
    folders = []
    for run, options in ((search_run, SearchOptions), (retrain_run, RetrainOptions)):
        shutil.copytree(run, tmp_path / options.__module__)
        folder = open_run(tmp_path / options.__module__)
        folders.append((folder, replace(options_of(folder, options), out=folder.path)))
    return folders


def test_what_has_finished_is_found_as_it_is(copies):
    (searched, search_options), (trained, retrain_options) = copies
    before = searched.journal_path.read_bytes(), (trained.model_path / "model.safetensors").read_bytes()
    assert members.searched(search_options)[1].found in {path.stem for path in searched.specs_path.iterdir()}
    shutil.rmtree(trained.checkpoints_path)  # what finished needs none
    assert members.trained(retrain_options)[1].val_top1 is not None
    after = searched.journal_path.read_bytes(), (trained.model_path / "model.safetensors").read_bytes()
    assert after == before


def test_what_was_cut_short_is_gone_on_with_to_the_same_end(copies):
    (searched, search_options), (trained, retrain_options) = copies
    whole = searched.journal_path.read_bytes()
    searched.journal_path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-2]))
    members.searched(search_options)
    assert searched.journal_path.read_bytes() == whole
    weights = (trained.model_path / "model.safetensors").read_bytes()
    shutil.rmtree(trained.model_path)
    members.trained(retrain_options)
    assert (trained.model_path / "model.safetensors").read_bytes() == weights


def test_a_member_waits_for_a_worker_that_was_given_up_but_not_for_ever(copies, monkeypatch):
    monkeypatch.setattr(members, "PATIENCE_S", 0.3)
    (searched, options), _ = copies
    with lock(searched), pytest.raises(RunFolderError, match="must not be in use"):
        members.searched(options)


def test_what_a_worker_that_was_given_up_makes_meanwhile_is_taken_over(copies, monkeypatch, tmp_path):
    for (made, options), module, member in zip(
        copies, (search, retrain), (members.searched, members.trained), strict=True
    ):
        out = tmp_path / "late" / module.__name__

        def late(path, *, made=made, out=out, **others):
            shutil.copytree(made.path, out)
            return create_run(path, **others)

        monkeypatch.setattr(module, "create_run", late)
        folder, _ = member(replace(options, out=out))
        assert folder.path == out
        assert folder.journal_path.read_bytes() == made.journal_path.read_bytes()
