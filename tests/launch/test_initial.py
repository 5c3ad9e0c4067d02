"""Searches that start from trained weights, learn from their answers, run on sub-clips, and decide on convolutions."""

import json
import shutil

import pytest
from program import SEARCH, TARGET, call, call_json

from launch.initial import read_source, teacher_of
from nas.distill import DistillConfig
from results.checkpoint import load_newest
from results.history import read_history
from results.run_dir import open_run
from search_spaces.errors import UsageError
from search_spaces.spec_json import read_spec

ONE_STEP = ["--space=nano", f"--target={TARGET}", *SEARCH, "--search.steps=2"]
DISTILL = ["--search.distill.weight=0.5", "--search.distill.temperature=3"]
BOTH = ["--conv_choices=3d:3d_2plus1d", "--variant=paper-stream", "--search.subclip_frames=2"]


def interrupt(run):
    """As if it had been killed in its last step."""
    shutil.rmtree(sorted((run / "checkpoints").iterdir())[-1])
    journal = run / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))


def test_a_search_starts_from_a_retrained_network_and_learns_from_it(
    capsys, motion_manifest, retrain_run, search_run, tmp_path
):
    data = f"--data={motion_manifest}"
    code, _, err = call(capsys, "search", data, f"--out={tmp_path / 'a'}", f"--init=retrain:{retrain_run}", *ONE_STEP)
    assert code == 0
    assert "tensors filled" in err
    assert "as drawn: blocks." in err
    start = read_history(tmp_path / "a" / "journal.jsonl").start
    assert start.init.startswith("retrain:")
    events = [json.loads(line) for line in (tmp_path / "a" / "telemetry.jsonl").read_text().splitlines()]
    (found,) = [event for event in events if event["kind"] == "init"]
    assert found["missing"]
    assert not found["unexpected"]
    weights = f"--init=weights:{retrain_run / 'model' / 'model.safetensors'}"
    call_json(capsys, "search", data, f"--out={tmp_path / 'b'}", weights, *ONE_STEP, *DISTILL)
    again = read_history(tmp_path / "b" / "journal.jsonl")
    assert again.start.init == start.init.replace("retrain:", "weights:")
    assert again.columns["train_loss"][0] != read_history(tmp_path / "a" / "journal.jsonl").columns["train_loss"][0]
    call_json(capsys, "search", data, f"--out={tmp_path / 'c'}", f"--init=supernet:{search_run}", *ONE_STEP)
    fresh = read_history(search_run / "journal.jsonl").start
    assert fresh.init == "scratch"


def test_a_search_that_learns_from_a_network_resumes_to_the_same_bytes(capsys, motion_manifest, retrain_run, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(retrain_run / "model", model)
    options = [
        f"--data={motion_manifest}",
        f"--init=weights:{model}",
        *ONE_STEP,
        *DISTILL,
        "--search.checkpoint_every=1",
    ]
    call_json(capsys, "search", f"--out={tmp_path / 'whole'}", *options)
    call_json(capsys, "search", f"--out={tmp_path / 'cut'}", *options)
    interrupt(tmp_path / "cut")
    assert call(capsys, "resume", tmp_path / "cut")[0] == 0
    whole, cut = (open_run(tmp_path / name) for name in ("whole", "cut"))
    assert whole.journal_path.read_bytes() == cut.journal_path.read_bytes()
    assert dict(load_newest(whole.checkpoints_path).blobs) == dict(load_newest(cut.checkpoints_path).blobs)


def test_a_teacher_that_changed_is_refused_on_resume(capsys, motion_manifest, retrain_run, stream_run, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(retrain_run / "model", model)
    options = [
        f"--data={motion_manifest}",
        f"--init=weights:{model}",
        *ONE_STEP,
        *DISTILL,
        "--search.checkpoint_every=1",
    ]
    call_json(capsys, "search", f"--out={tmp_path / 'run'}", *options)
    interrupt(tmp_path / "run")
    shutil.rmtree(model)
    shutil.copytree(stream_run / "model", model)
    code, _, err = call(capsys, "resume", tmp_path / "run")
    assert code == 2
    assert "must stay as it was, weights:" in err


@pytest.mark.slow
def test_both_forms_are_searched_on_sub_clips_and_the_chosen_one_goes_on(capsys, motion_manifest, tmp_path):
    data, runs = f"--data={motion_manifest}", [tmp_path / "a", tmp_path / "b"]
    for run in runs:
        call_json(capsys, "search", "--space=nano", f"--target={TARGET}", data, f"--out={run}", *SEARCH, *BOTH)
    assert (runs[0] / "journal.jsonl").read_bytes() == (runs[1] / "journal.jsonl").read_bytes()
    history = read_history(runs[0] / "journal.jsonl")
    whole = tmp_path / "whole"
    call_json(capsys, "search", data, f"--out={whole}", *ONE_STEP, *BOTH, "--search.subclip_frames=null")
    losses = [history.columns["train_loss"][0], read_history(whole / "journal.jsonl").columns["train_loss"][0]]
    assert losses[0] != losses[1]
    chosen = {candidate.fingerprint: candidate.genotype["conv"] for candidate in history.candidates}
    assert set(chosen.values()) == {"3d", "3d_2plus1d"}
    for document in call_json(capsys, "export", runs[0], "--top=4", f"--out={tmp_path / 'specs'}"):
        spec = read_spec(tmp_path / "specs" / f"{document['fingerprint']}.json")
        assert spec.variant.conv == chosen[document["fingerprint"]]
    found = next((runs[0] / "specs").iterdir())
    recipe = ["--recipe.epochs=1", "--recipe.batch_size=8", "--recipe.test_frames=4", "--threads=1", "--workers=0"]
    options = [data, f"--out={tmp_path / 'net'}", f"--init=supernet:{runs[0]}", *recipe]
    assert call_json(capsys, "retrain", found, *options)["spec"] == found.stem
    options = [data, f"--out={tmp_path / 'more'}", f"--init=retrain:{tmp_path / 'net'}", *recipe]
    assert call_json(capsys, "retrain", found, *options)["steps"] == 7
    assert call_json(capsys, "inspect", runs[0])["status"] == "finished"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--init=elsewhere"], "init must be scratch, weights:FILE, supernet:RUN or retrain:RUN, but got 'elsewhere'"),
        (["--init=weights:/nowhere/w.safetensors"], "must be a folder with model.json"),
        (
            DISTILL,
            "search.distill must have a network to learn from, init weights:FILE or retrain:RUN, but got scratch",
        ),
        (["--search.distill.weight=2"], "distill.weight must be in"),
        (["--search.subclip_frames=2"], "search.subclip_frames must go with a variant that streams"),
        (["--search.subclip_frames=0"], "subclip_frames must be at least 1, but got 0"),
        (["--conv_choices=3d:2plus1d"], "conv_choices: must be 3d and 3d_2plus1d, or one of them, each once"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(capsys, motion_manifest, tmp_path, options, message):
    code, _, err = call(capsys, "search", f"--data={motion_manifest}", f"--out={tmp_path / 'run'}", *ONE_STEP, *options)
    assert code == 2
    assert message in err
    assert not (tmp_path / "run").exists()


def test_a_teacher_must_know_the_classes(retrain_run):
    source = read_source(f"retrain:{retrain_run}")
    assert teacher_of(source, DistillConfig(weight=0.5), class_names=source.class_names).weight == 0.5
    with pytest.raises(
        UsageError, match="must learn from a network of the classes at hand, 2 from 'a' on, but that of"
    ):
        teacher_of(source, DistillConfig(weight=0.5), class_names=("a", "b"))


def test_spaces_are_shown_and_sampled_with_the_form_decided(capsys, tmp_path):
    shown = call_json(capsys, "space", "show", "nano", "--conv_choices=3d:3d_2plus1d", "--variant=paper-stream")
    plain = call_json(capsys, "space", "show", "nano", "--variant=paper-stream")
    assert shown["size_log10"] == pytest.approx(plain["size_log10"] + 0.30103, abs=1e-4)
    assert shown["stream_state_bytes"]["min"] < shown["stream_state_bytes"]["max"] == plain["stream_state_bytes"]["max"]
    found = call_json(
        capsys, "space", "sample", "nano", "-n", "8", "--conv_choices=3d:3d_2plus1d", f"--out={tmp_path / 'specs'}"
    )
    forms = {read_spec(tmp_path / "specs" / f"{each['fingerprint']}.json").variant.conv for each in found}
    assert forms == {"3d", "3d_2plus1d"}
