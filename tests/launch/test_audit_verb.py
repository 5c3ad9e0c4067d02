"""`movinas audit`: the whole verb on a search of seconds, killed and resumed, moved, reported, refused."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from program import call, call_json
from scipy import stats

from launch import audit_units, search
from launch.cli import INTERRUPTED, main
from launch.clips import hold_out
from launch.runs import options_of, variant_of
from launch.search_clips import clip_geometry
from launch.shared_weights import shared_scores
from results.audit import read_audit
from results.audit_figures import audit_sections
from results.journal import read_journal
from results.records import AuditRecord, SharedRecord
from results.run_dir import open_run
from search_spaces.space_json import read_space
from search_spaces.spec_json import read_spec
from video.manifest import load_manifest

QUICK = [
    "--architectures=4",
    "--bands=2",
    "--recipe.epochs=1",
    "--recipe.evaluations=1",
    "--recipe.batch_size=16",
    "--recipe.calibration_batches=1",
]


@pytest.fixture(scope="module")
def audited(tmp_path_factory, search_run):
    """A finished audit of four architectures and two seeds, whose search has gone since it began to train."""
    folder = tmp_path_factory.mktemp("audit")
    moved = folder / "search"
    shutil.copytree(search_run, moved)
    assert main(["audit", str(moved), *QUICK]) == 0
    shutil.rmtree(moved)
    return folder / "search-audit"


def test_every_architecture_is_scored_both_ways_and_trained_from_both_seeds(capsys, audited, search_run):
    records = list(read_journal(audited / "journal.jsonl"))
    names = [f"band{band}-0{place}" for band in (1, 2) for place in (1, 2)]
    assert [record.name for record in records if isinstance(record, SharedRecord)] == [
        f"{name}-shared" for name in names
    ]
    trained = [record for record in records if isinstance(record, AuditRecord)]
    assert [record.name for record in trained] == [f"{name}-seed{seed}" for seed in (0, 1) for name in names]
    document = call_json(capsys, "inspect", audited)
    assert (document["missing"], document["failed"], document["seeds"]) == ([], {}, [0, 1])
    run = open_run(search_run)
    space, variant = read_space(run.space_path), variant_of(run)
    rows = document["architectures"]
    candidates = [space.decode(row["sampled"]["genotype"], variant) for row in rows]
    for statistics in ("batch", "recalibrated"):
        shared = shared_scores(run, candidates, statistics=statistics)
        assert [row[statistics] for row in rows] == [each.quality for each in shared]
        assert {each.num_clips for each in shared} == {document["num_clips"]}
    for row, candidate in zip(rows, candidates, strict=True):
        assert row["sampled"]["fingerprint"] == candidate.fingerprint
        own = [call_json(capsys, "inspect", audited / "members" / f"{row['sampled']['name']}-seed{s}") for s in (0, 1)]
        assert row["top1s"] == [each["top1"] for each in own]


def test_trained_on_the_searchs_videos_and_clips_and_scored_on_those_it_held_out(audited, search_run):
    run = open_run(search_run)
    options = options_of(run, search.Options)
    kept, held = hold_out(load_manifest(run.manifest_path).of("train"), fraction=options.held_out, seed=options.seed)
    for path in (audited / "manifest.jsonl", audited / "members/band1-01-seed0/manifest.jsonl"):
        manifest = load_manifest(path)
        assert {item.id for item in manifest.of("train")} == {item.id for item in kept}
        assert {item.id for item in manifest.of("val")} == {item.id for item in held}
        assert not manifest.of("test")
    spec = read_spec(audited / "members/band1-01-seed0/spec.json")
    space = read_space(run.space_path)
    assert spec.arch.clip == clip_geometry(options.proxy, space.clip) != space.clip
    assert space.contains(replace(spec.arch, clip=space.clip))


def test_correlations_are_those_of_scipy_and_never_without_interval_and_number(capsys, audited):
    found = read_audit(audited / "audit.json")
    total = found.agreements[0]
    means = [sum(each.top1s) / 2 for each in found.architectures]
    for name in ("batch", "recalibrated"):
        scores = [getattr(each, name) for each in found.architectures]
        kendall = getattr(total, name).kendall
        if len(set(scores)) > 1 < len(set(means)):
            assert kendall.value == pytest.approx(stats.kendalltau(scores, means).statistic)
            assert (kendall.num, -1 <= kendall.low <= kendall.high <= 1) == (4, True)
    code, out, _ = call(capsys, "inspect", audited)
    assert code == 0
    assert f"{total.batch.kendall}" in out.replace("\n", " ")
    assert out.count("none, n = 2") == 16  # of two bands
    report = (audited / "report.html").read_text()
    assert str(total.batch.kendall) in report
    assert report.count('"name": "audit-') + report.count('"name":"audit-') == 2
    assert [len(section.figures) for section in audit_sections(audited)] == [1, 1]
    assert audit_sections(audited / "nothing") == []
    rows = list(csv.reader((audited / "audit.csv").read_text().splitlines()))
    assert rows[0][-2:] == ["top1_seed0", "top1_seed1"]
    assert [row[0] for row in rows[1:]] == [each.sampled.name for each in found.architectures]


def test_killed_at_any_time_it_ends_in_the_same_journal(capsys, audited, tmp_path, monkeypatch):
    """Before the first score, in the middle of the scores, in the middle of the trainings; the search is gone."""
    whole = (audited / "journal.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    folder = tmp_path / "audit"
    for num_kept in (0, 2, 5):
        shutil.copytree(audited, folder)
        for name in ("audit.json", "audit.csv", "report.html"):
            (folder / name).unlink()
        (folder / "journal.jsonl").write_bytes(b"".join(lines[:num_kept]) + lines[num_kept][:20])
        shutil.rmtree(folder / "members/band2-02-seed1")
        if num_kept == 2:
            train, calls = audit_units.train, []

            def interrupted(task, train=train, calls=calls):
                calls.append(task.name)
                if len(calls) == 4:
                    raise KeyboardInterrupt
                return train(task)

            with monkeypatch.context() as patch:
                patch.setattr(audit_units, "train", interrupted)
                assert call(capsys, "resume", folder)[0] == INTERRUPTED
            assert whole.startswith((folder / "journal.jsonl").read_bytes())
        assert call(capsys, "resume", folder)[0] == 0
        assert (folder / "journal.jsonl").read_bytes() == whole
        assert (folder / "audit.json").read_bytes() == (audited / "audit.json").read_bytes()
        assert (folder / "report.html").exists()
        shutil.rmtree(folder)


def test_an_audit_may_begin_again_where_its_weights_were_not_yet_copied(capsys, audited, search_run, tmp_path):
    folder = tmp_path / "audit"
    shutil.copytree(audited, folder)
    shutil.rmtree(folder / "search/checkpoints")
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[1:]))
    code, _, err = call(capsys, "resume", folder)
    assert (code, "must be a run folder, but got nothing there" in err) == (2, True)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace(str(audited.with_name("search")), str(search_run)))
    assert call(capsys, "resume", folder)[0] == 0
    assert sorted((folder / "journal.jsonl").read_bytes().splitlines(keepends=True)) == sorted(lines)


def test_of_a_finished_one_no_cluster_is_asked(capsys, audited, tmp_path):
    folder = tmp_path / "audit"
    shutil.copytree(audited, folder)
    (folder / "report.html").unlink()
    assert call(capsys, "resume", folder, "--executor=ray", "--ray-address=127.0.0.1:1")[0] == 0
    assert (folder / "report.html").exists()


def test_the_report_is_written_anew(capsys, audited):
    before = (audited / "report.html").read_bytes()
    (audited / "report.html").unlink()
    assert call(capsys, "report", audited)[0] == 0
    assert (audited / "report.html").read_bytes() == before


def test_the_search_shows_the_audit_beside_it(capsys, audited, search_run):
    moved = audited.with_name("search")
    shutil.copytree(search_run, moved)
    heading = "Shared weights against stand-alone training: batch statistics"
    assert call(capsys, "report", moved)[0] == 0
    assert heading in (moved / "report.html").read_text()
    assert heading not in (search_run / "report.html").read_text()
    shutil.rmtree(moved)


@pytest.mark.slow
def test_killed_on_ray_and_resumed_in_one_process_it_comes_to_the_same(audited, search_run, tmp_path):
    out = tmp_path / "audit"
    command = [sys.executable, "-m", "launch", "audit", str(search_run), *QUICK, f"--out={out}"]
    process = subprocess.Popen([*command, "--executor=ray", "--parallel=2"], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 250
    while not (out / "journal.jsonl").exists() or (out / "journal.jsonl").read_bytes().count(b"\n") < 7:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = (out / "journal.jsonl").read_bytes()
    assert 7 <= before.count(b"\n") < 12
    assert main(["resume", str(out), "--executor=inline"]) == 0
    assert (out / "journal.jsonl").read_bytes().startswith(before)
    assert (out / "audit.json").read_bytes() == (audited / "audit.json").read_bytes()


def test_the_plan_counts_trainings_and_writes_nothing(capsys, search_run):
    before = sorted(search_run.parent.rglob("*"))
    document = call_json(capsys, "audit", search_run, *QUICK, "--seeds=3", "--plan")
    assert (document["architectures"], document["trainings"]) == (4, 12)
    assert document["steps_each"] == round(len(load_manifest(search_run / "manifest.jsonl").of("train")) * 0.7 / 16)
    assert document["estimated_s"] == pytest.approx(sum(document["parts_s"].values()))
    assert min(document["parts_s"].values()) > 0
    assert call(capsys, "audit", search_run, *QUICK, "--plan")[0] == 0
    assert sorted(search_run.parent.rglob("*")) == before


def test_a_failed_training_is_told_and_tried_again(capsys, search_run, tmp_path):
    out = tmp_path / "audit"
    options = ["--architectures=1", "--bands=1", "--seeds=1", "--recipe.learning_rate=1e30", "--recipe.warmup_epochs=0"]
    code, shown, err = call(
        capsys, "audit", search_run, *QUICK, *options, "--recipe.epochs=2", f"--out={out}", "--json"
    )
    assert code == 2
    assert "the loss must stay finite" in err.splitlines()[-1]
    document = json.loads(shown)
    assert document["missing"] == list(document["failed"]) == ["band1-01-seed0"]
    assert document["architectures"][0]["top1s"] == [None]
    assert document["agreements"][0]["batch"]["kendall"] == {"num": 0, "reason": "fewer than 3 architectures"}
    assert "Failed" in (out / "report.html").read_text()
    code, _, err = call(capsys, "resume", out)
    assert (code, "the loss must stay finite" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--bands=9"], "bands must be 1 to 8, but got 9"),
        (["--bands=5"], "architectures must be at least one of each of 5 bands, but got 4"),
        (["--edges=[1.2,0.8]"], "rising values of cost/target above 0, but got [1.2, 0.8]"),
        (["--edges=[50,60]"], "band of cost/target from 50.000 to 60.000 must have 4 different architectures, but 0"),
        (["--seeds=0"], "seeds must be at least 1, but got 0"),
        (["--geometry=clip"], "geometry"),
        (["--parallel=2"], "must go with --executor ray or tune, but got inline"),
        (["--device=tpu9"], "device must be one that torch finds here"),
        (["--recipe.grw_weight=0.1"], "embedding"),
    ],
)
def test_options_that_cannot_be(capsys, search_run, tmp_path, options, text):
    code, _, err = call(capsys, "audit", search_run, f"--out={tmp_path / 'audit'}", *QUICK, *options)
    assert (code, len(err.splitlines())) == (2, 1)
    assert text in err
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_audited(capsys, search_run, retrain_run, audited, tmp_path):
    unfinished = tmp_path / "unfinished"
    shutil.copytree(search_run, unfinished)
    lines = (unfinished / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (unfinished / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    bare = tmp_path / "bare"
    shutil.copytree(search_run, bare)
    shutil.rmtree(bare / "checkpoints")
    for run, text in (
        (tmp_path / "nothing", "must be a run folder, but got nothing there"),
        (retrain_run, "must be a search run, but got a retrain run"),
        (unfinished, "must be a finished search (movinas resume goes on with one)"),
        (bare, "must have its last checkpoint to be audited, but has none"),
    ):
        code, _, err = call(capsys, "audit", run, *QUICK)
        assert (code, text in err) == (2, True), err
    code, _, err = call(capsys, "audit", search_run, *QUICK, f"--out={audited}")
    assert (code, "must not exist yet" in err) == (2, True)
