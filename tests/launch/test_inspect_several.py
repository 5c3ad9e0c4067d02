"""`movinas inspect RUN RUN ...` and `movinas report RUN RUN ... --out FILE`."""

import pytest
from program import call, call_json

from launch.bench.made_search import make_search
from launch.inspect_several import SeveralView
from results.run_dir import create_run, lock
from search_spaces.movinet import NANO


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [
        make_search(folder / f"run{number}", NANO, num_steps=30, done=None if number else 10, seed=number).path
        for number in range(6)
    ]


def test_the_course_goes_on_to_its_end(capsys, tmp_path):
    made = [make_search(tmp_path / name, NANO, num_steps=100).path for name in ("one", "two")]
    _, out, _ = call(capsys, "inspect", *made)
    (line,) = [line for line in out.splitlines() if line.startswith("course")]
    first = line.split()[1]
    assert len(first) == 24
    assert first[-1] in "▇█"


def test_a_few_runs_have_a_column_each(capsys, runs):
    code, out, _ = call(capsys, "inspect", *runs[:3])
    assert code == 0
    heading = next(line for line in out.splitlines() if "run0" in line)
    assert heading.split() == ["run0", "run1", "run2"]
    lines = {line.split("  ")[0].strip(): line for line in out.splitlines()}
    assert lines["status"].split() == ["status", "stopped", "finished", "finished"]
    assert "10 of 30" in lines["steps or epochs"]
    document = call_json(capsys, "inspect", *runs[:3])
    assert [row["name"] for row in document["runs"]] == ["run0", "run1", "run2"]
    assert document["retrained"] == []


def test_many_runs_have_a_row_each(capsys, runs):
    _, out, _ = call(capsys, "inspect", *runs)
    assert sum(line.strip().startswith("run") for line in out.splitlines()) == 7
    assert "Strategies, means over finished searches" in out


def test_a_watch_of_several_ends_when_all_have(capsys, runs):
    code, out, _ = call(capsys, "inspect", *runs[:2], "--watch")
    assert code == 0
    assert "run1" in out


def test_a_sweep_that_has_no_member_yet_goes_on(tmp_path):
    family = create_run(tmp_path / "family", kind="family", files={})
    view = SeveralView([family])
    with lock(family):
        assert not view.look().ended
    assert view.look().ended


def test_damage_of_one_is_told(capsys, runs, tmp_path):
    run = make_search(tmp_path / "run", NANO, num_steps=5)
    run.journal_path.write_bytes(b"x\n" + run.journal_path.read_bytes())
    code, out, err = call(capsys, "inspect", runs[1], run.path)
    assert code == 2
    assert "journal.jsonl:1: " in err
    assert "finished" in out


def test_a_report_of_several(capsys, runs, tmp_path):
    out = tmp_path / "page.html"
    assert call_json(capsys, "report", *runs[:2], f"--out={out}") == {"report": str(out)}
    assert "2 runs side by side" in out.read_text()
    for arguments in ([*runs[:2]], [runs[0], f"--out={out}"]):
        code, _, err = call(capsys, "report", *arguments)
        assert (code, "--out FILE goes with several runs" in err) == (2, True)
