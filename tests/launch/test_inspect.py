"""`movinas inspect`: what a run says of itself."""

import shutil

import pytest
from program import SEARCH, TARGET, call, call_json

from results.history import read_history
from results.journal import Journal, iter_journal
from results.records import PolicyRecord, StartRecord, StepRecord
from results.run_dir import open_run
from search_spaces.cost import cost
from search_spaces.space_json import read_space
from search_spaces.variant import Variant


def counted(run, genotype):
    """Fingerprint, multiply-adds and parameters of a genotype of a run."""
    candidate = read_space(run.space_path).decode(genotype, Variant())
    costs = cost(candidate.spec, candidate.variant, num_classes=8)
    return candidate.fingerprint, costs.macs, costs.params


def test_inspect(capsys, search_run):
    document = call_json(capsys, "inspect", search_run)
    assert {"status", "steps_done", "steps_total", "target", "argmax", "best", "quality", "entropy", "reward"} <= set(
        document
    )
    assert (document["status"], document["steps_done"], document["target"]) == ("finished", 8, TARGET)
    assert {"fingerprint", "macs", "ratio"} <= set(document["argmax"])
    for found in (document["argmax"], document["found"], *document["best"]):
        assert found["macs"] == found["cost"]
        assert found["state_bytes"] > 0
    assert 0 < document["memory_share"] < 1
    last = read_history(open_run(search_run).journal_path).last
    assert document["argmax"]["fingerprint"] == last.argmax_fingerprint
    assert document["argmax"]["ratio"] == pytest.approx(last.argmax_ratio)
    assert [row["part"] for row in document["network"]][:2] == ["stem", "block2.layer1"]
    block = next(place for place in document["layers"] if place["name"] == "block2")
    assert set(block["entropy"]) == {"depth", "width"}
    assert all(0 <= value <= 1 for place in document["layers"] for value in place["entropy"].values())
    code, out, _ = call(capsys, "inspect", search_run)
    assert code == 0
    assert "time    " in out
    assert "all but forward and backward passes" in out
    assert f"{document['argmax']['macs']:,} MACs" in out


def test_multiply_adds_are_told_whatever_the_target_counts(capsys, motion_manifest, tmp_path):
    arguments = ["search", "--space=nano", f"--data={motion_manifest}", "--target=params=256k", *SEARCH]
    assert call(capsys, *arguments, f"--out={tmp_path / 'run'}")[0] == 0
    run = open_run(tmp_path / "run")
    history = read_history(run.journal_path)
    genotypes = {candidate.fingerprint: candidate.genotype for candidate in history.candidates}
    document = call_json(capsys, "inspect", run.path)
    assert document["argmax"]["fingerprint"] == history.last.argmax_fingerprint
    for found in (document["argmax"], document["found"], *document["best"]):
        name = found["fingerprint"]
        assert (name, found["macs"], found["cost"]) == counted(run, genotypes[name])
        assert found["ratio"] == pytest.approx(found["cost"] / 256e3)


def test_on_the_way_the_likeliest_is_that_of_the_latest_recorded_policy(capsys, search_run, tmp_path):
    run = open_run(shutil.copytree(search_run, tmp_path / "run"))
    records = list(iter_journal(run.journal_path))
    (first, *_) = (record for record in records if isinstance(record, PolicyRecord))
    run.journal_path.unlink()
    with Journal.open(run.journal_path) as journal:
        for record in records:
            if isinstance(record, StartRecord | StepRecord) or record is first:
                journal.append(record)
    argmax = call_json(capsys, "inspect", run.path)["argmax"]
    assert (argmax["fingerprint"], argmax["macs"]) == counted(run, first.argmax)[:2]
    assert argmax["ratio"] == pytest.approx(argmax["macs"] / 16e6)


def test_a_search_that_has_just_begun_has_none(capsys, search_run, tmp_path):
    run = open_run(shutil.copytree(search_run, tmp_path / "run"))
    run.journal_path.unlink()
    Journal.open(run.journal_path).close()
    document = call_json(capsys, "inspect", run.path)
    assert (document["argmax"], document["found"], document["best"], document["network"]) == (None, None, [], [])


def test_a_retraining(capsys, retrain_run):
    document = call_json(capsys, "inspect", retrain_run)
    assert (document["status"], document["epochs"], document["epochs_total"]) == ("finished", 2, 2)
    assert len(document["curves"]["loss"]) == 2
    assert document["seconds_left"] == 0
    code, out, _ = call(capsys, "inspect", retrain_run)
    assert code == 0
    assert f"{retrain_run}: retraining finished, epoch 2 of 2" in out
    assert "val top-1" in out


def test_what_a_supernet_said_beside_what_training_alone_gave(capsys, search_run, retrain_run):
    document = call_json(capsys, "inspect", search_run, retrain_run)
    (pair,) = document["retrained"]
    found = call_json(capsys, "inspect", search_run)["found"]
    assert (pair["fingerprint"], pair["quality"]) == (found["fingerprint"], found["quality"])
    assert pair["val_accuracy"] == call_json(capsys, "inspect", retrain_run)["best"]["top1"]
    _, out, _ = call(capsys, "inspect", search_run, retrain_run)
    assert "What a supernet said, and what training alone gave" in out
