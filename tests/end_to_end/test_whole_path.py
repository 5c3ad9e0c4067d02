"""Every verb on real files, in the order people use them, and the JSON they promise."""

import json
import shutil

import pytest
from program import TARGET, call, call_json

from search_spaces.spec_json import read_spec


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


def test_inspect(capsys, search_run):
    document = call_json(capsys, "inspect", search_run)
    assert {"status", "steps_done", "steps_total", "target", "argmax", "best", "quality", "entropy", "reward"} <= set(
        document
    )
    assert (document["status"], document["steps_done"], document["target"]) == ("finished", 8, TARGET)
    assert {"fingerprint", "macs", "ratio"} <= set(document["argmax"])
    assert [row["part"] for row in document["network"]][:2] == ["stem", "block2.layer1"]
    code, out, _ = call(capsys, "inspect", search_run)
    assert code == 0
    assert "Share of time" in out
    assert "all but forward and backward passes" in out


def test_export(capsys, search_run, tmp_path):
    documents = call_json(capsys, "export", search_run, "--top", 3, "--out", tmp_path / "specs")
    assert 1 <= len(documents) <= 3
    for document in documents:
        assert {"path", "fingerprint", "macs", "ratio", "quality"} <= set(document)
        spec_file = read_spec(tmp_path / "specs" / f"{document['fingerprint']}.json")
        assert spec_file.provenance.target == TARGET
    assert all(abs(document["ratio"] - 1) <= 0.03 for document in documents)
    assert call(capsys, "export", search_run, "--top", 2, "--out", tmp_path / "more")[0] == 0


def test_cost_of_what_was_exported_is_what_the_search_said(capsys, search_run, tmp_path):
    exported = call_json(capsys, "export", search_run, "--out", tmp_path)[0]
    costs = call_json(capsys, "cost", exported["path"], "--classes", 8, "--verify")[0]
    assert costs["macs"] == exported["macs"]
    assert costs["fingerprint"] == exported["fingerprint"]


def test_report(capsys, search_run, retrain_run):
    for run in (search_run, retrain_run):
        path = call_json(capsys, "report", run)["report"]
        assert path == str(run / "report.html")
        assert (run / "report.html").stat().st_size < 8e6


def test_retrain_leaves_a_model(capsys, retrain_run):
    card = json.loads((retrain_run / "model" / "model.json").read_text())
    assert len(card["class_names"]) == 8
    assert card["num_frames"] == 6
    document = call_json(capsys, "inspect", retrain_run)
    assert (document["status"], document["epochs"]) == ("finished", 2)
    assert call(capsys, "inspect", retrain_run)[0] == 0


def test_evaluate(capsys, retrain_run, motion_manifest):
    document = call_json(capsys, "evaluate", retrain_run, "--data", motion_manifest, "--views", "2x1", "--threads", 1)
    assert {"top1", "top5", "num_videos", "num_failed"} <= set(document)
    assert document["num_videos"] == sum(map(sum, document["confusion"]))
    assert document["num_failed"] == 0
    assert json.loads((retrain_run / "test.json").read_text()) == document
    code, out, _ = call(capsys, "evaluate", retrain_run, "--data", motion_manifest, "--split", "val")
    assert code == 0
    assert "top-1" in out


def test_predict(capsys, retrain_run, motion_manifest):
    videos = sorted((motion_manifest.parent / "videos" / "zoom_in").iterdir())[:2]
    documents = call_json(capsys, "predict", retrain_run, *videos, "--top", 8)
    assert [document["video"] for document in documents] == [str(video) for video in videos]
    for document in documents:
        assert sum(entry["probability"] for entry in document["classes"]) == pytest.approx(1.0)
    assert call(capsys, "predict", retrain_run, videos[0])[0] == 0


def test_retrain_from_the_supernet_and_from_weights(capsys, search_run, retrain_run, motion_manifest, tmp_path):
    spec = next((search_run / "specs").iterdir())
    options = ["--recipe.epochs=1", "--recipe.batch_size=8", "--threads=1", "--workers=0"]
    weights = retrain_run / "model" / "model.safetensors"
    for name, init in (("a", f"supernet:{search_run}"), ("b", f"weights:{weights}")):
        document = call_json(
            capsys, "retrain", spec, "--data", motion_manifest, "--out", tmp_path / name, "--init", init, *options
        )
        assert {"run", "spec", "steps", "best"} <= set(document)
        assert document["spec"] == spec.stem
        assert "top1" in document["best"]


def test_plans_stop_before_anything_is_written(capsys, search_run, motion_manifest, tmp_path):
    spec = next((search_run / "specs").iterdir())
    for command in (
        ["search", "--space=nano", f"--target={TARGET}", "--weights.batch_size=4", "--weights.reward_batch_size=4"],
        ["retrain", spec, "--recipe.batch_size=4"],
    ):
        document = call_json(
            capsys, *command, "--data", motion_manifest, "--out", tmp_path / "run", "--plan", "--threads=1"
        )
        assert document["steps"] > 0
        assert min(document[key] for key in ("estimated_s", "peak_memory_bytes", "disk_bytes")) > 0
        assert not (tmp_path / "run").exists()


def test_data_check(capsys, motion_manifest, tmp_path):
    document = call_json(capsys, "data", "check", motion_manifest)
    assert document == {"num_videos": 80, "num_bad": 0, "bad": []}
    shutil.copytree(motion_manifest.parent, tmp_path / "copy")
    victim = sorted((tmp_path / "copy" / "videos" / "zoom_in").iterdir())[0]
    victim.write_bytes(b"no video")
    code, out, _ = call(capsys, "data", "check", tmp_path / "copy" / "manifest.jsonl")
    assert code == 2
    assert "zoom_in" in out
    assert "1 of them cannot be decoded" in out


def test_space_verbs(capsys, tmp_path):
    document = call_json(capsys, "space", "show", "nano", "--classes", 8, "--target", TARGET)
    assert {"name", "size_log10", "decisions", "macs", "target"} <= set(document)
    assert document["macs"]["min"] < document["macs"]["median"] < document["macs"]["max"]
    assert document["target"]["feasible"] is True
    assert 0 < document["target"]["percentile"] < 50
    assert call(capsys, "space", "show", "a2", "--target", "macs=1M/clip")[0] == 0
    documents = call_json(capsys, "space", "sample", "nano", "-n", 3, "--seed", 5, "--out", tmp_path)
    assert len({read_spec(tmp_path / f"{entry['fingerprint']}.json").fingerprint for entry in documents}) == 3
    again = call_json(capsys, "space", "sample", "nano", "-n", 3, "--seed", 5, "--out", tmp_path)
    assert again == documents


def test_bench_cost(capsys):
    document = call_json(capsys, "bench", "cost", "--num", 20000, "--repeats", 3)
    assert document["genotypes_per_s"] > 100_000  # 300,000 promised; this machine may be busy
    assert call(capsys, "bench", "cost", "--num", 2000, "--repeats", 1)[0] == 0


def test_resume_of_a_finished_run_changes_nothing_that_counts(capsys, search_run, retrain_run):
    for run in (search_run, retrain_run):
        before = (run / "journal.jsonl").read_bytes()
        assert call(capsys, "resume", run)[0] == 0
        assert (run / "journal.jsonl").read_bytes() == before
