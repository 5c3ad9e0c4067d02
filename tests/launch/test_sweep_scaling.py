"""`movinas sweep scaling`: plan, table, members, failures, options that cannot be."""

import json

import pytest
from program import call, call_json

from results.journal import read_journal

TINY = [
    "--space=docs/spaces/scaling-demo.json",
    "--candidates=2",
    "--architectures=1",
    "--top=2",
    "--recipe.epochs=1",
    "--recipe.batch_size=16",
    "--recipe.calibration_batches=1",
    "--recipe.train_frames=2",
    "--recipe.test_frames=2",
]


@pytest.fixture(scope="module")
def sweep(motion_manifest, tmp_path_factory):
    """A finished sweep of two trainings, and what it printed."""
    from launch.cli import main

    out = tmp_path_factory.mktemp("scaling") / "sweep"
    assert main(["sweep", "scaling", f"--data={motion_manifest}", f"--out={out}", *TINY]) == 0
    return out


def test_a_sweep_trains_every_architecture_and_averages_the_best(capsys, sweep):
    document = call_json(capsys, "inspect", sweep)
    assert document["trained"] == 2
    assert not document["missing"]
    assert not document["failed"]
    first, second = document["candidates"]
    assert first["top1_mean"] >= second["top1_mean"]
    for name in ("depth", "width", "resolution", "frame_rate"):
        assert document["average"][name] == pytest.approx((first[name] + second[name]) / 2)
        assert (first[name] * 100) % 5 == pytest.approx(0, abs=1e-9) or (first[name] * 100) % 5 == pytest.approx(5)
    table = json.loads((sweep / "table.json").read_text())
    assert table["candidates"] == document["candidates"]
    assert (sweep / "table.csv").read_text().count("\n") == 3
    report = (sweep / "report.html").read_text()
    assert "Accuracy against each coefficient" in report


def test_members_are_retrainings_without_the_checkpoints_that_nobody_needs(capsys, sweep):
    members = list((sweep / "members").iterdir())
    assert {record.name for record in read_journal(sweep / "journal.jsonl")} == {path.name for path in members}
    for member in members:
        assert call_json(capsys, "inspect", member)["status"] == "finished"
        assert not list((member / "checkpoints").iterdir())


def test_a_resumed_sweep_trains_what_the_journal_lacks_and_no_more(capsys, sweep, tmp_path):
    journal, table = sweep / "journal.jsonl", (sweep / "table.json").read_bytes()
    whole = journal.read_bytes()
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("members/*/model/*")}
    journal.write_bytes(whole.splitlines(keepends=True)[0])
    assert call(capsys, "resume", sweep)[0] == 0
    assert journal.read_bytes() == whole
    assert (sweep / "table.json").read_bytes() == table
    assert {path: path.stat().st_mtime_ns for path in sweep.glob("members/*/model/*")} == before


def test_the_report_is_written_anew(capsys, sweep):
    (sweep / "report.html").unlink()
    assert call(capsys, "report", sweep)[0] == 0
    assert (sweep / "report.html").exists()


def test_the_plan_counts_trainings_and_spaces_and_writes_nothing(capsys, motion_manifest, tmp_path):
    document = call_json(
        capsys, "sweep", "scaling", f"--data={motion_manifest}", f"--out={tmp_path / 'sweep'}", *TINY, "--plan"
    )
    assert document["trainings"] == 2
    assert document["different_spaces"] == 2
    assert document["estimated_s"] > 0
    assert not (tmp_path / "sweep").exists()


def test_a_failed_training_is_told_and_tried_again(capsys, motion_manifest, tmp_path):
    out = tmp_path / "sweep"
    options = ["--recipe.learning_rate=1e30", "--recipe.warmup_epochs=0", "--recipe.epochs=2"]
    arguments = [f"--data={motion_manifest}", f"--out={out}", *TINY, *options]
    code, shown, err = call(capsys, "sweep", "scaling", *arguments, "--json")
    assert code == 2
    assert err.splitlines()[-1].startswith("movinas: every member of a sweep must end, but d1.")
    assert "the loss must stay finite" in err.splitlines()[-1]
    document = json.loads(shown)
    assert len(document["missing"]) == len(document["failed"]) == 2
    assert document["average"] is None
    code, _, err = call(capsys, "resume", out)
    assert code == 2
    assert "and 1 more" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--candidates=500"], "415 of 4096 are within 0.05 and 500 were asked for"),
        (["--tolerance=2"], "tolerance of candidates must be in (0, 1), but got 2"),
        (["--architectures=0"], "at least 1, but got 2, 0 and 2"),
        (["--sampler=grid"], "sampler"),
        (["--sampler=random", "--candidates=null"], "candidates must be a number where the sampler is random"),
        (["--parallel=2"], "must go with --executor ray or tune, but got inline"),
        (["--executor=ray", "--gpus=1.5"], "gpus must be a share below 1 or a whole number, but got 1.5"),
        (["--executor=ray", "--gpus=0.5", "--parallel=40"], "must have the GPUs of all workers"),
        (["--threads=0"], "threads must be at least 1"),
        (["--executor=ray", "--ray-address=127.0.0.1:1"], "127.0.0.1:1: a Ray cluster must answer at ray_address"),
        (["--executor=ray", "--ray-address=ray://head:10001"], "must be auto or host:port"),
    ],
)
def test_options_that_cannot_be(capsys, motion_manifest, tmp_path, options, text):
    arguments = [f"--data={motion_manifest}", f"--out={tmp_path / 'sweep'}", *TINY, *options]
    code, _, err = call(capsys, "sweep", "scaling", *arguments)
    assert code == 2
    assert text in err.splitlines()[-1]


def test_a_sweep_that_finds_no_cluster_leaves_no_folder(capsys, motion_manifest, tmp_path):
    where = ["--executor=ray", "--ray-address=127.0.0.1:1"]
    call(capsys, "sweep", "scaling", f"--data={motion_manifest}", f"--out={tmp_path / 'sweep'}", *TINY, *where)
    assert not (tmp_path / "sweep").exists()


def test_a_folder_that_cannot_be_made_is_told(capsys, motion_manifest):
    code, _, err = call(capsys, "sweep", "scaling", f"--data={motion_manifest}", "--out=/proc/sweep", *TINY)
    assert code == 2
    assert "/proc/sweep: must be a folder that can be made" in err


def test_executors_go_with_sweeps_alone(capsys, search_run):
    code, _, err = call(capsys, "resume", search_run, "--executor=ray")
    assert code == 2
    assert "must go with a sweep, but" in err
