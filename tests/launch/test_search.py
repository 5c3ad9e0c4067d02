"""`movinas search`: what a run leaves."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from program import SEARCH, TARGET, call, call_json

from nas.strategies import STRATEGIES
from results.history import read_history
from results.run_dir import open_run
from search_spaces.cost import cost
from search_spaces.spec_json import read_spec
from search_spaces.variant import VARIANTS
from supernet.video_net import VideoNet


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


STATE_LIMIT = 48 * 1024
LIMITS = ["--max=state=48KiB@fp16", "--max", "params=300k", "--variant=released-stream"]


def state_bytes(spec):
    """Bytes of the state of a running stream in half precision, measured on the network after a step of a frame."""
    net = VideoNet(spec.arch, spec.variant, num_classes=8).half().eval()
    clip = spec.arch.clip
    frame = torch.zeros(1, 3, clip.resolution, clip.resolution, dtype=torch.float16)
    with torch.inference_mode():
        _, state = net.step(frame, net.init_state(1, clip.resolution, clip.resolution))
    return sum(tensor.nbytes for tensor in state.values())


def test_a_limit_on_the_state_holds_on_the_running_network(capsys, motion_manifest, tmp_path):
    """At equal MACs, within 2 %; without the limit most networks of these MACs remember more."""
    run = tmp_path / "run"
    options = [f"--data={motion_manifest}", f"--out={run}", *LIMITS, "--search.selection.tolerance=0.02", *SEARCH]
    result = call_json(capsys, "search", "--space=nano", f"--target={TARGET}", *options)
    specs = call_json(capsys, "export", run, "--top=4", f"--out={tmp_path / 'specs'}")
    assert len(specs) > 1
    for document in specs:
        spec = read_spec(tmp_path / "specs" / f"{document['fingerprint']}.json")
        found = cost(spec.arch, spec.variant, num_classes=8, dtype="fp16")
        assert abs(found.macs / 16e6 - 1) <= 0.02
        assert state_bytes(spec) == found.stream_state_bytes <= STATE_LIMIT
        assert found.params <= 300_000
        assert spec.metrics["limit_ratio state=48KiB@fp16"] == found.stream_state_bytes / STATE_LIMIT
    assert max(result["found_limit_ratios"]) <= 1
    candidates = read_history(open_run(run).journal_path).candidates
    free = [candidate.limit_ratios[0] for candidate in candidates if candidate.origin == "unlimited"]
    assert max(free) > 1
    assert max(candidate.limit_ratios[0] for candidate in candidates if candidate.origin == "random") <= 1
    assert "limits cost" in (run / "report.html").read_text()
    assert "at most state=48KiB@fp16, at most params=300k" in call(capsys, "inspect", run)[1]
    document = call_json(capsys, "inspect", run)
    assert document["limits"] == ["state=48KiB@fp16", "params=300k"]
    assert len(document["argmax"]["limit_ratios"]) == 2


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (["--max=params=1k"], "a limit must be at least the minimum of space nano, whose params have min"),
        (
            ["--max=params=1M", "--max=params=35k"],
            f"but found none for {TARGET}, at most params=1M, at most params=35k; take higher limits",
        ),
    ],
)
def test_what_no_network_can_be_is_said_before_training(capsys, motion_manifest, tmp_path, limits, message):
    options = [f"--data={motion_manifest}", f"--out={tmp_path / 'run'}", *limits, *SEARCH]
    code, _, err = call(capsys, "search", "--space=nano", f"--target={TARGET}", *options)
    assert code == 3
    assert message in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["nsga2", *(pytest.param(name, marks=pytest.mark.slow) for name in STRATEGIES[1:4])])
def test_every_strategy_searches_and_stands_beside_random_networks(capsys, motion_manifest, tmp_path, name):
    run = tmp_path / "run"
    options = [f"--data={motion_manifest}", f"--out={run}", f"--search.strategy={name}", *SEARCH]
    population = ["--search.population.size=4", "--search.population.tournament=2"]
    result = call_json(capsys, "search", "--space=nano", f"--target={TARGET}", *options, *population)
    assert abs(result["found_ratio"] - 1) <= 0.03
    assert result["num_random"] == 3
    report = (run / "report.html").read_text()
    assert "Quality of 3 random ones" in report
    assert "Raw argmax, cost / target" in report
    assert call_json(capsys, "inspect", run)["strategy"] == name


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


def test_limits_a_start_at_the_target_and_decided_clips_go_together(capsys, motion_manifest, tmp_path):
    run = tmp_path / "search"
    options = [option for option in SEARCH if not option.startswith("--proxy")]
    options += [f"--data={motion_manifest}", f"--out={run}", "--clip_choices=frames=4:8,resolution=24:32"]
    options += ["--variant=released-stream", "--max=activations=60kB/frame@fp16", "--search.start=at-target"]
    result = call_json(capsys, "search", "--space=nano", "--target=macs=850k/frame", *options)
    arch = read_spec(Path(result["spec"])).arch
    found = cost(arch, VARIANTS["released-stream"], num_classes=8, dtype="fp16")
    assert (arch.clip.num_frames, arch.clip.resolution) in {(4, 24), (4, 32), (8, 24), (8, 32)}
    assert result["found_ratio"] == pytest.approx(found.macs / arch.clip.num_frames / 850e3)
    assert abs(result["found_ratio"] - 1) <= 0.03
    assert result["found_limit_ratios"] == [found.step_peak_activation_bytes / 60e3]
    compared = read_history(run / "journal.jsonl").candidates
    inside = [candidate.limit_ratios[0] for candidate in compared if candidate.origin in ("policy", "random")]
    assert max(inside) <= 1


def test_peak_activations_have_no_start_at_the_target(capsys, motion_manifest, tmp_path):
    options = [f"--data={motion_manifest}", f"--out={tmp_path / 'run'}", "--target=activations=1253376@fp16", *SEARCH]
    code, _, err = call(capsys, "search", "--space=nano", "--search.start=at-target", *options)
    assert code == 2
    assert "peak activations are not, but got activations=1253376@fp16" in err
    assert not (tmp_path / "run").exists()
