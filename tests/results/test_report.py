import csv
import hashlib
import json
import re
import time
from dataclasses import replace

import made_runs
import pytest
from test_cost_axes import made_run
from test_page import EVIL, Reader

from results.journal import encode
from results.network_drawing import drawing
from results.records import CandidateRecord, StepRecord
from results.report import write_search_report
from results.retrain_report import write_retrain_report
from results.run_dir import create_run, lock
from results.summary import summarise_search
from results.telemetry import Telemetry
from search_spaces.errors import DocumentError, JournalError
from search_spaces.movinet import NANO
from search_spaces.variant import Variant

TEST = {
    "top1": 0.75,
    "top5": 1.0,
    "num_videos": 20,
    "num_failed": 1,
    "views": "10x3",
    "class_names": [EVIL, "jump"],
    "per_class": {EVIL: 0.8, "jump": 0.7},
    "confusion": [[8, 2], [3, 7]],
}


def read(path):
    return Reader(path.read_text(encoding="utf-8"))


def headings(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_the_report_of_a_finished_search(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40), timed=40)
    path = write_search_report(run)
    text = path.read_text(encoding="utf-8")
    assert path == run.report_path
    assert path.stat().st_size < 8_000_000
    assert headings(text) == [
        "Reward, quality and cost",
        "Sampled costs",
        "How undecided the policy is",
        "Entropy of every decision",
        "Probability of every choice",
        "The network, choice by choice",
        "Final comparison",
        "Training of the shared weights",
        "Where the time goes",
        "Provenance",
    ]
    for shown in (
        "macs=6M/clip",
        "finished, 40 of 40 steps",
        "67.0 %",
        "50.0 % mean, 55.0 % best",
        "steps: 40",
    ):
        assert shown in text
    drawn = [figure["name"] for figure in json.loads(read(path).scripts[0])]
    assert drawn == [
        "curves",
        "sampled",
        "entropy",
        "decisions",
        *(f"policy-{attribute}" for attribute in ("depth", "width", "kernel", "expansion", "se")),
        "comparison",
        "training",
        "strip",
        "time",
    ]


def test_limits_and_what_they_cost_are_told(tmp_path):
    limited = {"limits": ("state=64KiB@fp16", "params=3M"), "strategy": "evolution"}
    records = [replace(made_runs.start(), **limited), *made_runs.search_records()[1:-1]]
    records = [
        replace(each, limit_ratios=(0.5, 0.25))
        if isinstance(each, CandidateRecord)
        else replace(each, argmax_limit_ratios=(0.75, 0.125))
        if isinstance(each, StepRecord)
        else each
        for each in records
    ]
    result = replace(
        made_runs.result(),
        found_limit_ratios=(0.875, 0.25),
        argmax_limit_ratios=(1.5, 0.5),
        unlimited_quality_mean=0.54,
        unlimited_quality_best=0.58,
    )
    run = made_runs.make_run(tmp_path / "run", [*records, result])
    page = write_search_report(run).read_text()
    for text in (
        "Cost / limit state=64KiB@fp16",
        "0.875",
        "Raw argmax, cost / target and limits",
        "1.010, 1.500, 0.500",
        "the limits cost 4.0 points of the mean",
        "evolution",
    ):
        assert text in page
    summary = summarise_search(run).to_json()
    assert summary["limits"] == ["state=64KiB@fp16", "params=3M"]
    assert summary["found"]["limit_ratios"] == [0.875, 0.25]
    assert summary["argmax"]["limit_ratios"] == [0.75, 0.125]
    assert (summary["unlimited_quality"], summary["unlimited_quality_best"]) == (0.54, 0.58)


def test_every_figure_has_its_place(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40), timed=4)
    page = read(write_search_report(run))
    places = [div["id"] for div in page.named("div") if "id" in div]
    assert places == [f"figure-{figure['name']}" for figure in json.loads(page.scripts[0])]
    (slider,) = page.named("input")
    assert json.loads(slider["data-labels"])[-1] == "step 40"


def test_without_layers_the_choices_are_shown(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40))
    text = write_search_report(run).read_text(encoding="utf-8")
    assert "The network, choice by choice" in headings(text)
    assert "1x3x3 (93 %)" in text
    assert "yes (95 %)" in text


def test_a_search_that_has_just_begun(tmp_path):
    run = create_run(tmp_path / "run", kind="search", files={})
    text = write_search_report(run).read_text(encoding="utf-8")
    assert headings(text) == ["Reward, quality and cost", "Provenance"]
    assert "No step has been recorded yet." in text


@pytest.mark.parametrize("done", [0, 1, 2, 13])
def test_a_search_half_way(tmp_path, done):
    records = made_runs.search_records(steps=40, done=done)
    run = made_runs.make_run(tmp_path / "run", records, timed=done)
    with lock(run):
        text = write_search_report(run).read_text(encoding="utf-8")
    assert f"running, {done} of 40 steps" in text
    assert ("Most likely so far" in text) == (done > 0)
    assert (", about 4 min left" in text) == (done == 13)
    assert "Final comparison" not in text


def test_the_numbers_behind_every_figure_lie_beside_it(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40), timed=40)
    folder = run.path / "report_csv"
    folder.mkdir()
    (folder / "old.csv").write_text("x")
    (folder / "mine.txt").write_text("x")
    page = read(write_search_report(run))
    names = [f"{figure['name']}.csv" for figure in json.loads(page.scripts[0])]
    assert {path.name for path in folder.iterdir()} == {*names, "mine.txt"}
    for name in names:
        heading, *rows = csv.reader((folder / name).read_text(encoding="utf-8").splitlines())
        assert len(set(heading)) == len(heading) > 1
        assert rows
        assert {len(row) for row in rows} == {len(heading)}
        assert any(f"report_csv/{name}" in text for text in page.texts)
    curves = list(csv.DictReader((folder / "curves.csv").read_text(encoding="utf-8").splitlines()))
    assert [int(float(row["step"])) for row in curves] == list(range(40))
    assert float(curves[7]["quality"]) == sum(trial.quality for trial in made_runs.step(7).trials) / 2


def test_the_network_is_drawn_where_the_folder_holds_its_space(tmp_path):
    run, history = made_run(tmp_path / "run")
    text = write_search_report(run).read_text(encoding="utf-8")
    assert "The network, layer by layer" in headings(text)
    assert "The network, choice by choice" not in headings(text)
    assert text.count('<svg class="drawing"') == 1
    spec = NANO.decode(history.candidates[2].genotype, Variant()).spec
    assert drawing(spec, Variant(), num_classes=2) in text
    drawn = [figure["name"] for figure in json.loads(read(run.report_path).scripts[0])]
    assert [name for name in drawn if name.startswith("comparison")] == ["comparison", "comparison-state"]


def test_where_a_run_came_from_is_told(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(done=1))
    run.manifest_path.write_text("videos")
    texts = read(write_search_report(run)).texts
    assert hashlib.sha256(b"videos").hexdigest() in texts
    assert f"movinas search --config {run.config_path} --out ANOTHER" in texts
    assert {"2.13", "scratch", "steps: 40\n"} <= set(texts)


def test_a_report_is_written_anew(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(done=1))
    first = write_search_report(run).read_bytes()
    assert write_search_report(run).read_bytes() == first
    assert {path.name for path in run.path.iterdir()} >= {"report.html", "run.json"}
    assert not list(run.path.glob(".*tmp*"))


def test_a_long_search_is_small_and_soon_there(tmp_path):
    num_steps = 30_000
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=num_steps, done=0), timed=5000)
    lines = [encode(made_runs.step(number, num_steps)) for number in range(num_steps)]
    policies = [encode(made_runs.policy(number, num_steps)) for number in range(0, num_steps, 300)]
    run.journal_path.write_bytes(run.journal_path.read_bytes() + b"".join(lines + policies))
    began_s = time.process_time()
    path = write_search_report(run)
    assert time.process_time() - began_s < 10
    assert path.stat().st_size < 8_000_000
    curves = json.loads(read(path).scripts[0])[0]
    assert max(len(trace["x"]) for trace in curves["data"]) == 5000
    assert (run.path / "report_csv" / "curves.csv").read_text().count("\n") == num_steps + 1


def test_everything_of_a_user_is_escaped(tmp_path):
    start, *rest = made_runs.search_records(steps=4)
    start = replace(
        start,
        space=EVIL,
        target=EVIL,
        class_names=(EVIL, "jump"),
        decisions={**start.decisions, f"{EVIL}.{EVIL}": (EVIL, "x")},
    )
    rest = [
        replace(record, probabilities={**record.probabilities, f"{EVIL}.{EVIL}": (0.5, 0.5)})
        if hasattr(record, "probabilities")
        else record
        for record in rest
    ]
    rest[0] = replace(rest[0], entropy={EVIL: 0.5})
    run = made_runs.make_run(tmp_path / "<i>run", [start, *rest])
    run.config_path.write_text(EVIL)
    run.env_path.write_text(json.dumps({EVIL: EVIL}))
    page = read(write_search_report(run))
    assert len(page.named("script")) == 3
    assert not page.named("i")
    assert sum(EVIL in text for text in page.texts) >= 5
    assert "<script" not in page.scripts[0]
    for figure in json.loads(page.scripts[0]):
        assert all("<" not in trace.get("name", "") for trace in figure["data"])
        assert "<" not in json.dumps(figure["layout"])


def test_unreadable_provenance_is_left_out(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.search_records(done=1))
    run.env_path.write_text("{")
    run.config_path.write_bytes(b"\xff" * 300_000)
    assert "<summary>Configuration" not in write_search_report(run).read_text(encoding="utf-8")
    run.env_path.write_text("[1]")
    run.config_path.unlink()
    write_search_report(run)


def test_the_report_of_a_retraining(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.epochs(6), kind="retrain")
    run.test_path.write_text(json.dumps(TEST))
    path = write_retrain_report(run)
    page = read(path)
    assert path.stat().st_size < 8_000_000
    assert headings(path.read_text(encoding="utf-8")) == ["Loss and accuracy", "Test", "Provenance"]
    assert len(page.named("script")) == 3
    assert "75.0 %, 100.0 %" in page.texts
    assert "20, 1 unreadable (10x3 views)" in page.texts
    epochs, confusion = json.loads(page.scripts[0])
    assert epochs["name"] == "epochs"
    assert "<" not in confusion["layout"]["xaxis"]["ticktext"][0]


def test_the_report_tells_how_embeddings_move(tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.epochs(2), kind="retrain")
    names = TEST["class_names"]
    embeddings = {
        "layer": "embedding",
        "window": 5,
        "num_windows": 1200,
        "acceleration_ratio": 0.6512,
        "order_nll": 0.1513,
        "order_accuracy": 0.95,
        "scaled_order_nll": 0.1724,
        "velocity": 1.1,
        "explained": 0.863,
        "trajectories": [{"label": len(names) - 1, "points": [[0.0, 1.0], [1.0, 2.0]]}],
    }
    run.test_path.write_text(json.dumps(TEST | {"embeddings": embeddings}))
    page = read(write_retrain_report(run))
    text = run.report_path.read_text(encoding="utf-8")
    assert headings(text) == ["Loss and accuracy", "Test", "How the embeddings of frames move", "Provenance"]
    said = " ".join(page.texts)
    for figure in ("1,200 windows of 5 frames", "0.651", "0.151", "0.172", "95.0 %", "86.3 %"):
        assert figure in said
    *_, figure = json.loads(page.scripts[0])
    assert figure["name"] == "trajectories"
    run.test_path.write_text(json.dumps(TEST | {"embeddings": embeddings | {"window": "5"}}))
    with pytest.raises(DocumentError, match=r"test.json: embeddings.window: must be a test report"):
        write_retrain_report(run)


def test_a_retraining_that_has_just_begun(tmp_path):
    run = made_runs.make_run(tmp_path / "run", kind="retrain")
    text = write_retrain_report(run).read_text(encoding="utf-8")
    assert headings(text) == ["Provenance"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"test.json: a document must be JSON"),
        (
            json.dumps(TEST | {"top1": "x"}),
            r"test.json: top1: must be a test report, but got: Input should be a valid number",
        ),
        (json.dumps(TEST | {"more": 1}), r"test.json: more: must be a test report, but got: Unexpected"),
    ],
)
def test_a_malformed_test_report_is_said(tmp_path, text, message):
    run = made_runs.make_run(tmp_path / "run", made_runs.epochs(2), kind="retrain")
    run.test_path.write_text(text)
    with pytest.raises(DocumentError, match=message):
        write_retrain_report(run)


@pytest.mark.parametrize("kind", ["start", "step", "policy", "candidate", "result"])
def test_of_a_damaged_journal_the_rest_is_shown(tmp_path, kind):
    limited = [
        replace(each, limit_ratios=(0.5,)) if isinstance(each, CandidateRecord) else each
        for each in [replace(made_runs.start(), limits=("params=3M",)), *made_runs.search_records()[1:-1]]
    ]
    result = replace(made_runs.result(), found_limit_ratios=(0.875,), argmax_limit_ratios=(0.5,))
    run = made_runs.make_run(tmp_path / "run", [*limited, result])
    lines = run.journal_path.read_bytes().splitlines(keepends=True)
    number, line = next((number, line) for number, line in enumerate(lines) if b'"kind":"%s"' % kind.encode() in line)
    lines[number] = line.replace(b'"kind"', b'"<b>"')
    run.journal_path.write_bytes(b"".join([*lines, b"torn"]))
    with pytest.raises(JournalError, match=rf"report.html shows what could be read; .*journal.jsonl:{number + 1}: "):
        write_search_report(run)
    text = run.report_path.read_text()
    assert "<li>damaged: " in text
    assert "&lt;b&gt;" in text
    assert "Sampled costs" in headings(text)


def test_of_a_foreign_journal_there_is_a_page(tmp_path):
    for write, kind in ((write_search_report, "search"), (write_retrain_report, "retrain")):
        run = made_runs.make_run(tmp_path / kind, kind=kind)
        run.journal_path.write_bytes(bytes(range(1, 256)) * 20 + b"\n{}\n\n")
        with pytest.raises(JournalError, match=r"journal.jsonl:1: .* more lines"):
            write(run)
        assert "Provenance" in headings(run.report_path.read_text())


def test_what_looks_wrong_stands_at_the_head_of_the_page(tmp_path):
    records = [*made_runs.search_records()[:-1], replace(made_runs.result(), found_quality=0.4)]
    text = write_search_report(made_runs.make_run(tmp_path / "run", records)).read_text()
    assert text.index("<li>no gain: ") < text.index("<h2>")


@pytest.mark.parametrize("kind", ["search", "retrain"])
def test_unreadable_videos_are_listed(tmp_path, kind):
    records = made_runs.search_records(steps=10) if kind == "search" else made_runs.epochs(2)
    run = made_runs.make_run(tmp_path / "run", records, kind=kind)
    write = write_search_report if kind == "search" else write_retrain_report
    assert "Unreadable videos" not in write(run).read_text()
    Telemetry(run.telemetry_path).append("bad_videos", ids=[f"{index:04d}.mp4" for index in range(1200)])
    Telemetry(run.telemetry_path).append("bad_videos", ids=["<script>alert(1)</script>"])
    text = write(run).read_text()
    assert "1,201 videos could not be decoded" in text
    assert "0000.mp4" in text
    assert "and 201 more" in text
    assert "<script>alert" not in text
