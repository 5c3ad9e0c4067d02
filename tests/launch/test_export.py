"""`movinas export`: the best architectures as files, and runs for other viewers."""

import sys

from program import TARGET, call, call_json

from launch.bench.made_search import make_search
from search_spaces.movinet import NANO
from search_spaces.spec_json import read_spec


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


def test_for_the_viewers_of_others(capsys, tmp_path):
    run = make_search(tmp_path / "run", NANO, num_steps=20, done=10)
    document = call_json(
        capsys,
        "export",
        run.path,
        f"--optuna={tmp_path / 'study.log'}",
        f"--tensorboard={tmp_path / 'tb'}",
        "--trials=7",
    )
    events = tmp_path / "tb" / "run" / "events.out.tfevents.0.movinas"
    assert document == {"optuna": str(tmp_path / "study.log"), "trials": 7, "tensorboard": str(events)}
    assert (tmp_path / "study.log").stat().st_size > 0
    code, out, err = call(capsys, "export", run.path, f"--tensorboard={tmp_path / 'tb'}")
    assert (code, out, err) == (0, "", f"tensorboard: {events}\n")


def test_what_is_not_asked_for_clearly_is_refused(capsys, tmp_path):
    run = make_search(tmp_path / "run", NANO, num_steps=20, done=10)
    for arguments, text in (
        ([], "one of --out DIR, --optuna FILE or --tensorboard DIR must be given"),
        (["--top=0", f"--out={tmp_path / 'specs'}"], "top and trials must be at least 1, but got 0 and 1000"),
    ):
        code, _, err = call(capsys, "export", run.path, *arguments)
        assert (code, text in err) == (2, True)


def test_without_tensorboard_the_extra_is_named(capsys, tmp_path, monkeypatch):
    run = make_search(tmp_path / "run", NANO, num_steps=4, done=2)
    monkeypatch.setitem(sys.modules, "results.tensorboard_events", None)
    code, _, err = call(capsys, "export", run.path, f"--tensorboard={tmp_path / 'tb'}")
    assert (code, "pip install 'movinas[viewer]'" in err) == (2, True)
