import hashlib
import json
from dataclasses import replace

import made_runs
import pytest

from launch.bench.made_search import make_search
from results.compare import ComparisonReader, compare, members_of
from results.compare_page import comparison_sections, write_comparison
from results.history import read_history
from results.journal import Journal
from results.records import ResultRecord
from results.run_dir import create_run, lock
from search_spaces.movinet import NANO
from search_spaces.spec_json import make_spec_file, write_spec
from search_spaces.variant import VARIANTS, Variant


def retraining(path, run, number, *, variant, test=None):
    """A retraining of the search's candidate of that number."""
    candidate = read_history(run.journal_path).candidates[number]
    spec = NANO.decode(candidate.genotype, Variant()).spec
    made = make_spec_file(spec, variant, genotype=candidate.genotype)
    folder = made_runs.make_run(path, made_runs.epochs(4), kind="retrain")
    write_spec(made, path / "specs").rename(folder.spec_path)
    if test is not None:
        folder.test_path.write_text(json.dumps({"top1": test, "mean_average_precision": None}))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    whole = make_search(folder / "whole", NANO, num_steps=40)
    half = make_search(folder / "half", NANO, num_steps=40, done=20, seed=1)
    first = retraining(folder / "first", whole, 0, variant=VARIANTS["released-stream"], test=0.7)
    other = retraining(folder / "other", whole, 20, variant=Variant())
    return whole, half, first, other


def test_rows_of_searches_and_retrainings(runs):
    found = compare(runs)
    assert [(row.name, row.kind) for row in found.rows] == [
        ("whole", "search"),
        ("half", "search"),
        ("first", "retrain"),
        ("other", "retrain"),
    ]
    whole, half, first, other = found.rows
    result = read_history(runs[0].journal_path).result
    assert (whole.fingerprint, whole.quality, whole.ratio) == (result.found, result.found_quality, result.found_ratio)
    assert whole.gain == pytest.approx(result.found_quality - result.random_quality_mean)
    assert (whole.done, whole.total, half.done, half.status) == (40, 40, 20, "stopped")
    assert (half.quality, half.gain) == (None, None)
    assert half.recent_quality > 0
    assert whole.macs == pytest.approx(result.found_cost)
    assert (first.val_accuracy, first.test_accuracy, other.test_accuracy) == (0.7, 0.7, None)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["runs"][0]["fingerprint"] == result.found


def test_what_was_retrained_is_found_by_its_architecture_in_whatever_variant(runs):
    first, other = compare(runs).pairs
    candidates = read_history(runs[0].journal_path).candidates
    assert (first.search, first.retraining, first.origin) == ("whole", "first", "argmax")
    assert (first.fingerprint, first.quality) == (candidates[0].fingerprint, candidates[0].quality)
    assert (other.retraining, other.origin, other.quality) == ("other", "random", candidates[20].quality)
    assert (first.test_accuracy, other.test_accuracy) == (0.7, None)
    assert compare(runs[1:]).pairs == []


def test_strategies_are_means_over_seeds(runs, tmp_path):
    history = read_history(runs[0].journal_path)
    copies = []
    for number, (strategy, quality) in enumerate((("reinforce", 0.6), ("reinforce", 0.7), ("evolution", 0.5))):
        run = made_runs.make_run(tmp_path / f"run{number}")
        with Journal.open(run.journal_path) as journal:
            journal.append(replace(history.start, strategy=strategy, seed=number))
            result = replace(history.result, found_quality=quality, found_ratio=1.02, random_quality_mean=0.4)
            assert isinstance(result, ResultRecord)
            journal.append(result)
        copies.append(run)
    reinforce, evolution = compare(copies).strategies
    assert (reinforce.strategy, reinforce.num_searches) == ("reinforce", 2)
    assert reinforce.quality == pytest.approx(0.65)
    assert reinforce.quality_std == pytest.approx(0.1 / 2**0.5)
    assert reinforce.gain == pytest.approx(0.25)
    assert reinforce.off_target == pytest.approx(0.02)
    assert (evolution.num_searches, evolution.quality_std) == (1, None)


def test_searches_on_other_data_or_with_other_options_are_not_averaged(runs, tmp_path):
    history = read_history(runs[0].journal_path)
    made = []
    for number, (steps, data, cache) in enumerate(((40, "a", "x"), (40, "a", "y"), (80, "a", "x"), (40, "b", "x"))):
        run = made_runs.make_run(tmp_path / f"run{number}")
        run.config_path.write_text(
            f"data: /some/{data}.jsonl\nseed: {number}\nout: run{number}\nsearch:\n  steps: {steps}\n"
            f"  warmup:\n    op_fraction: 0.25\nclips:\n  cache_dir: {cache}\n"
        )
        run.manifest_path.write_text(data)
        with Journal.open(run.journal_path) as journal:
            journal.append(replace(history.start, seed=number))
            journal.append(history.result)
        made.append(run)
    found = compare(made)
    assert [each.num_searches for each in found.strategies] == [2, 1, 1]
    first, longer, other = (dict(each.settings) for each in found.strategies)
    assert first == {"data": f"a.jsonl {hashlib.sha256(b'a').hexdigest()[:8]}", "search.steps": "40"}
    assert (longer["search.steps"], longer["data"]) == ("80", first["data"])
    assert other["data"].startswith("b.jsonl ")
    assert found.strategies[1].settings_text.endswith("search.steps=80")
    (table,) = [each.table for each in comparison_sections(found) if each.heading == "Strategies"]
    assert table.headings[-1] == "where"
    assert compare(made[:2]).strategies[0].settings == {}


def test_a_family_stands_for_its_members(runs, tmp_path):
    family = create_run(tmp_path / "family", kind="family", files={})
    family.members_path.mkdir()
    made = make_search(family.members_path / "b", NANO, num_steps=8)
    make_search(family.members_path / "a", NANO, num_steps=8, done=2)
    (family.members_path / "not yet").mkdir()
    assert [name for name, _ in members_of(family)] == ["family/a", "family/b"]
    rows = compare([family, runs[0]]).rows
    assert [row.name for row in rows] == ["family/a", "family/b", "whole"]
    assert rows[1].fingerprint == read_history(made.journal_path).result.found


def test_a_reader_sees_what_runs_have_grown_by(tmp_path):
    source = make_search(tmp_path / "source", NANO, num_steps=20)
    lines = source.journal_path.read_bytes().splitlines(keepends=True)
    run = make_search(tmp_path / "run", NANO, num_steps=20, done=0)
    run.journal_path.write_bytes(b"".join(lines[:5]))
    reader = ComparisonReader([run])
    with lock(run):
        (before,) = reader.read().rows
    run.journal_path.write_bytes(b"".join(lines))
    (after,) = reader.read().rows
    assert (before.status, before.quality, after.status) == ("running", None, "finished")
    assert 0 < before.done < after.done == 20


def test_damage_and_a_missing_space_leave_the_rest(runs, tmp_path):
    run = make_search(tmp_path / "run", NANO, num_steps=10)
    run.space_path.unlink()
    run.journal_path.write_bytes(run.journal_path.read_bytes().replace(b'"step":3,', b'"step":4,', 1))
    (row,) = compare([run]).rows
    assert row.quality is not None
    assert row.macs is None
    assert len(row.damages) == 1


def test_the_page_has_every_section_and_shows_names_as_text(runs, tmp_path):
    found = compare(runs)
    found = replace(found, rows=[replace(row, name=f"<script>{row.name}") for row in found.rows])
    headings = [section.heading for section in comparison_sections(found)]
    assert headings == [
        "Quality and cost over the steps",
        "Quality against MACs",
        "Strategies",
        "Searched and retrained",
        "Runs",
    ]
    text = write_comparison(tmp_path / "page.html", found).read_text()
    assert "<script>whole" not in text
    assert "4 runs side by side" in text
    for name in ("compare-curves", "compare-found", "compare-retrained"):
        assert name in text
    assert [section.heading for section in comparison_sections(compare(runs[2:3]))] == ["Runs"]
