"""`movinas search`: what a run leaves."""

import json
from dataclasses import asdict

from program import SEARCH, TARGET, call, call_json

from results.history import read_history
from search_spaces.variant import VARIANTS


def test_search_leaves_the_files_of_a_run(search_run):
    names = {path.name for path in search_run.iterdir()}
    assert {
        "config.yaml",
        "journal.jsonl",
        "telemetry.jsonl",
        "checkpoints",
        "specs",
        "report.html",
        "env.json",
    } <= names


def test_what_a_search_for_a_stream_finds_streams(capsys, motion_manifest, tmp_path):
    short = [*SEARCH, "--search.steps=2", "--search.selection.num_policy=1", "--search.selection.num_random=1"]
    options = [f"--data={motion_manifest}", f"--out={tmp_path / 'search'}", "--variant=released-stream"]
    call_json(capsys, "search", "--space=nano", f"--target={TARGET}", *options, *short)
    (spec,) = (tmp_path / "search" / "specs").iterdir()
    assert json.loads(spec.read_text())["variant"] == asdict(VARIANTS["released-stream"])
    recipe = ["--recipe.epochs=1", "--recipe.batch_size=16", "--recipe.test_frames=4", "--threads=1", "--workers=0"]
    call_json(capsys, "retrain", spec, f"--data={motion_manifest}", f"--out={tmp_path / 'run'}", *recipe)
    report = call_json(
        capsys, "evaluate", tmp_path / "run", "--data", motion_manifest, "--stream", "--threads=1", "--workers=0"
    )
    assert report["stream"]


def test_a_search_can_start_with_its_mean_cost_at_the_target(capsys, motion_manifest, tmp_path):
    run = tmp_path / "search"
    options = [f"--data={motion_manifest}", f"--out={run}", *SEARCH, "--search.steps=1"]
    call_json(capsys, "search", "--space=nano", "--target=macs=14M/clip", "--search.start=at-target", *options)
    assert "start: at-target" in (run / "config.yaml").read_text()
    policy = read_history(run / "journal.jsonl").policies[0]
    assert len(set(policy.probabilities["block2.depth"])) == 2  # the uniform policy has equal ones
    assert call(capsys, "resume", run)[0] == 0


def test_a_start_that_is_none_is_refused(capsys, motion_manifest, tmp_path):
    options = ["--space=nano", f"--data={motion_manifest}", f"--target={TARGET}", f"--out={tmp_path / 'run'}"]
    code, _, err = call(capsys, "search", *options, "--search.start=middle")
    assert code == 2
    assert "start" in err
    assert not (tmp_path / "run").exists()
