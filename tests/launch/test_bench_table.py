"""`movinas bench table`: measured, killed, checked, searched for."""

import dataclasses
import json

import numpy as np
import pytest
from made_spaces import TINY, TINY_CLIPS
from made_tables import made_table
from program import SEARCH, call, call_json

from launch.bench.cover import cover, entries_of
from launch.bench.latency import Timed
from search_spaces.latency_table import CALL, read_table, write_table
from search_spaces.movinet import NANO
from search_spaces.space_json import space_document
from search_spaces.spec_json import make_spec_file, write_spec
from search_spaces.strict_json import pretty
from search_spaces.variant import VARIANTS

STREAM = VARIANTS["paper-stream"]
QUICK = ("--classes=7", "--rounds=1", "--calls=1")


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(pretty(space_document(TINY)))
    return path


def test_a_plan_measures_little_and_writes_nothing(capsys, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("launch.bench.table.NUM_TRIALS", 2)
    document = call_json(capsys, "bench", "table", tiny, "--plan", *QUICK)
    assert document["entries"] == len(entries_of(TINY)) + 1
    assert document["networks"] == len(cover(TINY, STREAM, rounds=1, seed=0))
    assert document["seconds"] > 0
    assert list(tmp_path.iterdir()) == [tiny]
    assert "entries, each in 1 or more of" in call(capsys, "bench", "table", tiny, "--plan", *QUICK)[1]


def test_a_measurement_that_was_interrupted_goes_on(capsys, tiny, tmp_path, monkeypatch):
    out, visited = tmp_path / "table.json", []
    networks = cover(TINY, STREAM, rounds=1, seed=0)

    def until_the_third(self, *, calls):
        visited.append(self)
        if len(visited) == 3:
            raise KeyboardInterrupt
        return visit(self, calls=calls)

    visit = Timed.visit
    monkeypatch.setattr(Timed, "visit", until_the_third)
    assert call(capsys, "bench", "table", tiny, "--out", out, *QUICK)[0] == 130
    assert not out.exists()
    code, _, err = call(capsys, "bench", "table", tiny, "--out", out, *QUICK, "--seed=1")
    assert code == 2
    assert "must be what was found so far of the same measurement" in err
    document = call_json(capsys, "bench", "table", tiny, "--out", out, *QUICK)
    assert document["networks"] == len(networks) == len(visited) - 1
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.json", "table.json"}
    table = read_table(out)
    assert set(table.seconds) == {CALL, *entries_of(TINY)}
    assert (table.space_hash, table.variant, table.num_classes, table.per) == (TINY.hash, STREAM, 7, "frame")
    assert table.measurement.command.startswith(f"movinas bench table {tiny} --out {out} --variant paper-stream")


def test_a_check_tells_how_far_the_sums_carry(capsys, tiny, tmp_path):
    out = tmp_path / "table.json"
    call_json(capsys, "bench", "table", tiny, "--out", out, *QUICK, "--per=clip", "--variant=base")
    found = call_json(capsys, "bench", "table", tiny, "--check", out, "--networks=4")
    assert found["n"] == len(found["networks"]) == 4
    assert -1 <= found["tau_of_retest"] <= 1
    assert -1 <= found["tau_interval"][0] <= found["tau_interval"][1] <= 1
    errors = [abs(each["predicted_s"] / each["measured_s"] - 1) for each in found["networks"]]
    assert found["mape"] == pytest.approx(sum(errors) / 4)
    code, text, _ = call(capsys, "bench", "table", tiny, "--check", out, "--networks=2")
    assert code == 0
    assert "Kendall tau" in text


def test_no_network_that_a_table_was_made_from_is_checked(capsys, tmp_path):
    space = dataclasses.replace(TINY, blocks=TINY.blocks[:1])  # so small that random draws would meet with them
    (tmp_path / "small.json").write_text(pretty(space_document(space)))
    measure = ("bench", "table", tmp_path / "small.json")
    call_json(capsys, *measure, "--out", tmp_path / "table.json", *QUICK)
    used = {each.fingerprint for each in cover(space, STREAM, rounds=1, seed=0)}
    num = space.size // 2 - len(used)
    found = call_json(capsys, *measure, "--check", tmp_path / "table.json", "--networks", num)
    checked = {each["fingerprint"] for each in found["networks"]}
    assert len(checked) == num
    assert not used & checked
    code, _, err = call(capsys, *measure, "--check", tmp_path / "table.json", "--networks", num + 1)
    assert (code, "must have many more networks than the" in err) == (2, True)


def test_what_cannot_be_measured_or_checked_is_refused(capsys, tiny, tmp_path):
    for arguments, message in (
        (["nano"], "one of --out, --check and --plan must be given"),
        (["nano", "--plan", "--calls=0"], "threads, rounds and calls must be at least 1"),
        (["nano", "--plan", "--variant=base"], "a table per frame must be of a variant that streams, but got base"),
        (["nano", "--check", tmp_path / "none.json"], "none.json: must be a readable file"),
    ):
        code, _, err = call(capsys, "bench", "table", *arguments)
        assert (code, message in err) == (2, True), err
    for space in (TINY_CLIPS, dataclasses.replace(TINY, conv_choices=("3d", "3d_2plus1d"))):
        (tmp_path / "chosen.json").write_text(pretty(space_document(space)))
        code, _, err = call(capsys, "bench", "table", tmp_path / "chosen.json", "--plan")
        assert (code, "must have one clip and decide on no form" in err) == (2, True)
    write_table(made_table(TINY, int), tmp_path / "table.json")
    code, _, err = call(capsys, "bench", "table", tiny, "--check", tmp_path / "table.json")
    assert (code, "must be of this device, but are of another: processor 'abacus'" in err) == (2, True)
    code, _, err = call(capsys, "bench", "table", "nano", "--check", tmp_path / "table.json")
    assert (code, "must be of the space that is asked about" in err) == (2, True)


def test_costs_of_specs_tell_their_latency(capsys, tmp_path):
    table = made_table(TINY, lambda number: 1000 * number)
    write_table(table, tmp_path / "table.json")
    spec = TINY.decode(TINY.genotype(TINY.sample_indices(np.random.default_rng(0), 1)[0]), STREAM).spec
    path = write_spec(make_spec_file(spec, STREAM), tmp_path)
    (found,) = call_json(capsys, "cost", path, "--classes=7", "--table", tmp_path / "table.json")
    assert found["latency_s"] == table.latency_s(spec, STREAM, num_classes=7)
    assert found["latency_per"] == "frame"
    assert "ms per frame" in call(capsys, "cost", path, "--classes=7", "--table", tmp_path / "table.json")[1]
    code, _, err = call(capsys, "cost", path, "--table", tmp_path / "table.json")
    assert (code, "must be of 600 classes, but is of 7" in err) == (2, True)


@pytest.mark.slow
def test_a_search_lands_on_a_measured_latency_and_keeps_the_table(capsys, motion_manifest, tmp_path, monkeypatch):
    table = tmp_path / "table.json"
    call_json(capsys, "bench", "table", "nano", "--out", table, "--classes=8", "--rounds=1", "--calls=1")
    shown = ("space", "show", "nano", "--variant=paper-stream", "--classes=8", "--samples=2000")
    monkeypatch.chdir(tmp_path)
    median = read_table(table)
    costs = sorted(
        median.latency_s(NANO.decode(NANO.genotype(row_D), STREAM).spec, STREAM, num_classes=8)
        for row_D in NANO.sample_indices(np.random.default_rng(0), 101)
    )
    target = f"latency={1e6 * costs[50]:.1f}us/frame@table.json"
    place = call_json(capsys, *shown, "--target", target)["target"]
    assert place["feasible"]
    assert 25 < place["percentile"] < 75
    code, _, err = call(capsys, *shown, "--target", "latency=1s/frame@table.json")
    assert (code, "seconds have min" in err) == (3, True)
    options = ["--space=nano", f"--data={motion_manifest}", "--variant=paper-stream", *SEARCH]
    result = call_json(capsys, "search", f"--target={target}", f"--out={tmp_path / 'run'}", *options)
    assert result["found_ratio"] == pytest.approx(1, abs=0.05)
    found = json.loads(next((tmp_path / "run" / "specs").iterdir()).read_text())
    assert found["metrics"]["cost"] == pytest.approx(costs[50], rel=0.05)
    table.unlink()
    monkeypatch.chdir("/")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert call(capsys, "resume", tmp_path / "moved")[0] == 0
    assert call_json(capsys, "inspect", tmp_path / "moved")["argmax"]["ratio"] > 0
