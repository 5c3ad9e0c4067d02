import json
from dataclasses import replace

import made_runs
import pytest

from results.run_dir import lock
from results.summary import Architecture, summarise_retrain, summarise_search
from results.telemetry import Telemetry
from search_spaces.errors import JournalError


def test_a_finished_search(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40), timed=40)
    Telemetry(run.telemetry_path).append("resume", differences=[])
    Telemetry(run.telemetry_path).append("bad_videos", ids=["a", "b"])
    document = summarise_search(run).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    expected = {
        "status": "finished",
        "steps_done": 40,
        "steps_total": 40,
        "target": "macs=6M/clip",
        "target_cost": made_runs.TARGET,
        "entropy": made_runs.step(39).entropy,
        "baseline": made_runs.step(39).baseline,
        "random_quality": 0.5,
        "seconds_left": 0.0,
        "num_bad_videos": 2,
        "bad_videos": ["a", "b"],
        "num_resumes": 1,
    }
    assert {name: document[name] for name in expected} == expected
    cost = made_runs.TARGET * 1.01
    assert document["argmax"] == {"fingerprint": f"{39:064x}", "cost": cost, "ratio": 1.01}
    assert document["found"]["fingerprint"] == made_runs.result().found


def test_the_best_of_the_final_comparison_come_first(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40))
    best = summarise_search(run).to_json()["best"]
    qualities = [entry["quality"] for entry in best]
    assert qualities == sorted(qualities, reverse=True)
    assert [entry["origin"] for entry in best].count("argmax") == 1
    assert {entry["origin"] for entry in best} == {"argmax", "policy"}
    assert len(best) == 6
    assert set(best[0]) == {"fingerprint", "cost", "ratio", "quality", "origin"}
    assert best[0]["fingerprint"] == made_runs.result().found


def test_multiply_adds_are_told_where_they_are_known():
    known = Architecture(fingerprint="5" * 64, cost=2.5e6, ratio=0.5, macs=7_000_000)
    assert known.to_json() == {"fingerprint": "5" * 64, "cost": 2.5e6, "ratio": 0.5, "macs": 7_000_000}


def test_means_of_the_last_tenth_and_trends(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=450))
    summary = summarise_search(run)
    trials = [trial for number in range(405, 450) for trial in made_runs.step(number, 450).trials]
    assert summary.quality == pytest.approx(sum(trial.quality for trial in trials) / 90)
    assert summary.reward == pytest.approx(sum(trial.reward for trial in trials) / 90)
    assert summary.cost_ratio == pytest.approx(sum(trial.ratio for trial in trials) / 90)
    assert set(summary.trends) == {"quality", "reward", "cost_ratio"}
    for points in summary.trends.values():
        steps = [step for step, _ in points]
        assert len(points) == 200
        assert (steps, steps[-1]) == (sorted(set(steps)), 449)


def test_shares_of_time_name_the_overhead(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(done=3), timed=3)
    shares = summarise_search(run).to_json()["time_shares"]
    assert shares["train"] == pytest.approx(0.6)
    assert shares["other_than_forward_backward"] == pytest.approx(0.1)
    assert sum(shares.values()) == pytest.approx(1.1)


def test_layers_are_the_likeliest_choices(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40))
    layers = summarise_search(run).to_json()["layers"]
    assert layers[1]["name"] == "block1.layer1"
    assert layers[1]["choices"] == {"kernel": "1x3x3", "expansion": 1.5, "se": True}
    assert layers[1]["certainty"]["se"] == pytest.approx(0.95)


def test_a_search_that_has_just_begun(tmp_path):
    run = made_runs.make_run(tmp_path / "run")
    document = summarise_search(run).to_json()
    assert document["status"] == "stopped"
    assert document["steps_done"] == 0
    for name in ("steps_total", "target", "argmax", "found", "quality", "reward", "baseline", "seconds_left"):
        assert document[name] is None
    for name in ("best", "entropy", "layers", "time_shares"):
        assert not document[name]
    assert document["trends"] == {"quality": [], "reward": [], "cost_ratio": []}


def test_a_search_half_way(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40, done=13), timed=13)
    with lock(run):
        summary = summarise_search(run)
        assert summary.status == "running"
    assert summarise_search(run).status == "stopped"
    assert summary.seconds_left == pytest.approx(27 * 10.0)
    assert (summary.steps_done, summary.steps_total) == (13, 40)
    assert (summary.best, summary.found, summary.random_quality) == ([], None, None)
    assert summary.quality == pytest.approx(sum(trial.quality for trial in made_runs.step(12).trials) / 2)


def test_a_result_is_finished_even_while_the_run_is_held(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=4))
    with lock(run):
        assert summarise_search(run).status == "finished"


def test_a_damaged_journal_is_said(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=4))
    run.journal_path.write_bytes(b"x\n" + run.journal_path.read_bytes())
    with pytest.raises(JournalError, match=r"journal.jsonl:1: "):
        summarise_search(run)


def test_retraining(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.epochs(5), kind="retrain")
    Telemetry(run.telemetry_path).append("bad_videos", ids=["b.mp4", "a.mp4"])
    document = summarise_retrain(run).to_json()
    assert document.pop("curves")["top1"] == [[2, 0.6], [4, 0.7]]
    assert document == {
        "status": "stopped",
        "epochs": 5,
        "steps": 50,
        "loss": 0.4,
        "train_top1": pytest.approx(5 / 6),
        "top1": 0.7,
        "best": {"top1": 0.7, "epoch": 4},
        "num_bad_videos": 2,
        "bad_videos": ["a.mp4", "b.mp4"],
        "metric": "top-1",
        "epochs_total": None,
        "seconds_left": None,
        "time_shares": {},
        "memory_share": None,
        "warnings": [],
        "damages": [],
    }


def test_the_first_of_equal_epochs_is_the_best(tmp_path):
    records = [replace(made_runs.epochs(4)[number], val_top1=top1) for number, top1 in enumerate((0.1, 0.6, 0.6, 0.5))]
    summary = summarise_retrain(made_runs.make_run(tmp_path / "run", records, kind="retrain"))
    assert (summary.best_top1, summary.best_epoch, summary.top1) == (0.6, 2, 0.5)


def test_status_of_a_retraining(tmp_path):
    run = made_runs.make_run(tmp_path / "run", kind="retrain")
    assert summarise_retrain(run).to_json()["best"] == {"top1": None, "epoch": None}
    telemetry = Telemetry(run.telemetry_path)
    telemetry.append("start")
    with lock(run):
        assert summarise_retrain(run).status == "running"
        telemetry.append("end")
        telemetry.append("bad_videos", ids=[])
        assert summarise_retrain(run).status == "finished"
        telemetry.append("resume")
        assert summarise_retrain(run).status == "running"
    assert summarise_retrain(run).status == "stopped"
