"""`movinas inspect` of a search: what stands on its screen, fast, while it runs, and when it is damaged."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from program import call, call_json

from launch.bench.made_search import make_search
from results.journal import Journal, iter_journal
from results.records import ResultRecord
from results.run_dir import lock
from results.telemetry import Telemetry
from search_spaces.movinet import NANO


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_search(tmp_path_factory.mktemp("made") / "run", NANO, num_steps=100)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    return make_search(tmp_path_factory.mktemp("half") / "run", NANO, num_steps=100, done=60)


def test_the_screen_of_a_finished_search(capsys, made):
    code, out, err = call(capsys, "inspect", made.path)
    assert (code, err) == (0, "")
    assert f"{made.path}: search finished, step 100 of 100" in out
    for label in ("reward", "quality", "cost/target", "entropy of kernel", "raw argmax", "Selected network"):
        assert label in out
    assert re.search(r"reward +0\.\d{3} +baseline 0\.\d{3} +[▁▂▃▄▅▆▇█]{48}", out)
    assert re.search(r"quality +0\.\d{3} +random 0\.\d{3}, best 0\.\d{3} .* 0\.\d{3} to 0\.\d{3}", out)
    network = call_json(capsys, "inspect", made.path)["network"]
    for row in network:
        line = next(line for line in out.splitlines() if line.strip().startswith(row["part"]))
        assert f"{row['MACs']:,}" in line
        assert f"{row['state bytes']:,}" in line
        if "layer" in row["part"]:
            assert re.search(rf"{row['kernel']} [▁▂▃▄▅▆▇█] *\d+%", line)
    assert "time    train 61.9% ███" in out
    assert "bad videos: 0" in out


def test_the_screen_of_a_search_on_its_way(capsys, half):
    with lock(half):
        _, out, _ = call(capsys, "inspect", half.path)
        document = call_json(capsys, "inspect", half.path)
    assert "search running, step 60 of 100, 39 s left" in out
    assert "Most likely network so far" in out
    assert "Best of the final comparison" not in out
    assert (document["status"], document["seconds_per_step"]) == ("running", pytest.approx(0.97))
    assert document["argmax"]["macs"] == document["argmax"]["cost"]
    assert set(document["entropy_trends"]) == {"depth", "width", "kernel", "expansion", "se"}


def test_what_has_stopped_can_go_on(capsys, half):
    _, out, _ = call(capsys, "inspect", half.path)
    assert f"search stopped, step 60 of 100; movinas resume {half.path} goes on with it" in out.replace("\n", "")


def test_warnings_stand_out(capsys, tmp_path):
    run = make_search(tmp_path / "run", NANO, num_steps=20)
    records = list(iter_journal(run.journal_path))
    run.journal_path.write_bytes(b"")
    with Journal.open(run.journal_path) as journal:
        for record in records:
            missed = isinstance(record, ResultRecord)
            journal.append(replace(record, argmax_ratio=1.3, random_quality_mean=0.9) if missed else record)
    Telemetry(run.telemetry_path).append("memory", used_bytes=99, limit_bytes=100)
    Telemetry(run.telemetry_path).append("bad_videos", ids=[f"{number:03}.mp4" for number in range(100)])
    _, out, _ = call(capsys, "inspect", run.path)
    marked = [line for line in out.splitlines() if line.startswith("! ")]
    kinds = ["target missed", "no gain", "bad videos", "memory near the limit"]
    assert [line[2:].partition(":")[0] for line in marked] == kinds
    assert "100 videos could not be decoded: 000.mp4, 001.mp4" in out
    assert "009.mp4 and 90 more" in out
    assert len(call_json(capsys, "inspect", run.path)["warnings"]) == 4


def test_a_damaged_journal_is_named_and_the_rest_is_shown(capsys, tmp_path):
    run = make_search(tmp_path / "run", NANO, num_steps=50)
    lines = run.journal_path.read_bytes().splitlines(keepends=True)
    lines[20] = b"scrambled\n"
    run.journal_path.write_bytes(b"".join(lines) + lines[3][:40])
    code, out, err = call(capsys, "inspect", run.path)
    assert code == 2
    assert "search finished, step 49 of 50" in out or "search finished, step 50 of 50" in out
    assert "Selected network" in out
    start = "movinas: the journal is damaged, and what is shown was made of the rest: "
    assert err.startswith(start)
    assert "journal.jsonl:21: a line must be" in err
    code, out, _ = call(capsys, "inspect", run.path, "--json")
    assert code == 2
    assert len(json.loads(out)["damages"]) == 1


def test_a_foreign_journal_and_a_missing_space_leave_what_there_is(capsys, tmp_path):
    run = make_search(tmp_path / "run", NANO, num_steps=10)
    run.space_path.write_text("{}")
    code, out, err = call(capsys, "inspect", run.path)
    assert (code, err) == (0, "")
    assert "! no network can be shown: " in out
    assert "cost/target" in out
    run.journal_path.write_bytes(b'{"level":"info"}\n{"level":"warning"}\n{"level":"info"}\n')
    code, out, err = call(capsys, "inspect", run.path)
    assert code == 2
    assert "step 0 of ?" in out
    assert "journal.jsonl:1: a line must be" in err
    run.journal_path.unlink()
    code, _, err = call(capsys, "inspect", run.path)
    assert code == 2
    assert "a journal must be a readable file, but got No such file or directory" in err


def test_thirty_thousand_steps_in_two_seconds_without_torch(tmp_path):
    source = make_search(tmp_path / "source", NANO, num_steps=30_000, done=300)
    lines = source.journal_path.read_bytes().splitlines(keepends=True)
    steps = [line for line in lines if b'"kind":"step"' in line]
    policies = [line for line in lines if b'"kind":"policy"' in line]
    source.journal_path.write_bytes(lines[0] + b"".join((steps * 100)[:30_000]) + b"".join((policies * 101)[:101]))
    source.telemetry_path.write_bytes(source.telemetry_path.read_bytes() * 100)
    code = (
        "import sys; from launch.cli import main; code = main(['inspect', sys.argv[1]]); "
        "print(code, sorted({'torch', 'ray', 'av', 'pandas', 'optuna', 'plotly'} & set(sys.modules)), file=sys.stderr)"
    )
    before = os.times()
    done = subprocess.run([sys.executable, "-c", code, source.path], capture_output=True, text=True, check=True)
    after = os.times()
    assert done.stderr.strip() == "0 []"
    assert "step 30,000 of 30,000" in done.stdout
    cpu_s = after.children_user - before.children_user + after.children_system - before.children_system
    assert cpu_s < 3  # 1.2 s on a machine of its own


def test_it_watches_until_the_search_ends(capsys, half, made):
    lines = made.journal_path.read_bytes()
    command = [sys.executable, "-m", "launch", "inspect", str(half.path), "--watch", "--every=0.1", "--json"]
    before = half.journal_path.read_bytes()
    try:
        with lock(half):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            first = json.loads(process.stdout.readline())
            assert (first["status"], first["steps_done"]) == ("running", 60)
            half.journal_path.write_bytes(lines)
            while (found := json.loads(process.stdout.readline()))["steps_done"] == 60:
                time.sleep(0.01)
        assert (found["status"], found["steps_done"]) == ("finished", 100)
        assert process.wait(60) == 0
    finally:
        half.journal_path.write_bytes(before)
        process.kill()
        process.stdout.close()


def test_whoever_interrupts_a_watch_has_seen_enough(half):
    command = [sys.executable, "-m", "launch", "inspect", str(half.path), "--watch", "--every=60"]
    with (
        lock(half),
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert "search running, step 60 of 100" in process.stdout.readline()
        while "bad videos" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_a_watch_of_what_has_ended_is_one_look(capsys, made):
    code, out, _ = call(capsys, "inspect", made.path, "--watch")
    assert (code, out.count("search finished")) == (0, 1)
    code, _, err = call(capsys, "inspect", made.path, "--watch", "--every=0")
    assert (code, "every must be from 0.1 to 86400 seconds, but got 0.0" in err) == (2, True)
