import time
from dataclasses import replace
from itertools import pairwise

import made_runs
import numpy as np
import pytest

from results import history
from results.genotypes import unpack
from results.history import (
    HistoryReader,
    bad_videos,
    overhead_share,
    phase_shares,
    read_history,
    seconds_per_step,
)
from results.journal import Journal, encode
from search_spaces.errors import JournalError


def read(tmp_path, records):
    return read_history(made_runs.make_run(tmp_path / "run", records).journal_path)


def test_a_whole_search(tmp_path):
    records = made_runs.search_records(steps=40)
    found = read(tmp_path, records)
    assert found.num_steps == 40
    assert found.start == records[0]
    assert found.result == records[-1]
    assert [policy.step for policy in found.policies] == [0, 10, 20, 30, 40]
    assert list(found.candidates) == made_runs.candidates()
    assert found.last == made_runs.step(39)
    np.testing.assert_array_equal(found.columns["step"], np.arange(40))
    qualities = [trial.quality for trial in made_runs.step(7).trials]
    assert found.columns["quality"][7] == pytest.approx(sum(qualities) / 2)
    assert {name: column.shape for name, column in found.columns.items()} == dict.fromkeys(found.columns, (40,))


def test_every_trial_has_its_numbers_and_where_asked_for_its_architecture(tmp_path):
    path = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=40)).journal_path
    trials = [trial for number in range(40) for trial in made_runs.step(number).trials]
    found = read_history(path, architectures=True)
    for name in ("cost", "ratio", "quality", "reward"):
        assert found.trials[name].tolist() == [getattr(trial, name) for trial in trials]
    assert found.trials["step"].tolist() == [number // 2 for number in range(80)]
    assert [each.fingerprint for each in found.architectures] == [trial.fingerprint for trial in trials]
    genotypes = [unpack(each.genotype, found.start.decisions) for each in found.architectures]
    assert genotypes == [made_runs.genotype(number) for number in range(80)]
    assert read_history(path).architectures == ()


def test_a_reader_goes_on_where_it_stopped(tmp_path):
    records = made_runs.search_records(steps=12, every=3)
    whole = made_runs.make_run(tmp_path / "whole", records).journal_path.read_bytes()
    path = made_runs.make_run(tmp_path / "run").journal_path
    reader = HistoryReader(path, architectures=True)
    for end in range(0, len(whole) + 1, 997):
        path.write_bytes(whole[:end])
        found = reader.read()
        assert repr(found) == repr(read_history(path, architectures=True))
    path.write_bytes(whole)
    assert reader.read().result == records[-1]


def test_a_reader_begins_anew_where_a_resumed_run_cut_the_journal(tmp_path):
    path = made_runs.make_run(tmp_path / "run", [made_runs.start(), *map(made_runs.step, range(9))]).journal_path
    reader = HistoryReader(path)
    assert reader.read().num_steps == 9
    with Journal.open(path, keep=4) as journal:
        for number in range(3, 20):
            journal.append(replace(made_runs.step(number), train_loss=7.0))
    found = reader.read()
    assert found.columns["step"].tolist() == list(range(20))
    assert set(found.columns["train_loss"][3:]) == {7.0}


def test_what_is_damaged_is_stepped_over_and_named(tmp_path):
    path = made_runs.make_run(tmp_path / "run", made_runs.search_records(steps=8, every=4)).journal_path
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"step":1', b'"step":9')
    lines[5:5] = [b"hello\n", encode(made_runs.epochs(1)[0])]
    path.write_bytes(b"".join(lines) + b'{"torn')
    with pytest.raises(JournalError, match=r"journal.jsonl:4: a line must have the CRC-32"):
        read_history(path)
    found = read_history(path, lenient=True)
    assert found.columns["step"].tolist() == [0, 2, 3, 4, 5, 6, 7]
    assert found.result == made_runs.result()
    assert [damage.partition("journal.jsonl:")[2][:2] for damage in found.damages] == ["4:", "6:", "7:"]
    assert "must hold records of one, but got 'epoch'" in found.damages[2]


def test_a_step_that_is_none_is_named_though_its_checksum_holds(tmp_path):
    path = made_runs.make_run(tmp_path / "run", [made_runs.start(), made_runs.step(0)]).journal_path
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("results.journal.parse_record", lambda kind, text: made_runs.step(1))
        patch.setattr("results.journal._plain", lambda value, where: {"step": 1, "trials": [{"quality": "high"}]})
        line = encode(made_runs.step(1))
    with path.open("ab") as file:
        file.write(line)
    with pytest.raises(JournalError, match=r"journal.jsonl:3: step\.trials\[0\]\."):
        read_history(path)


def test_reads_a_long_search_in_a_second(tmp_path):
    path = made_runs.make_run(tmp_path / "run", [made_runs.start()]).journal_path
    with path.open("ab") as file:
        file.write(b"".join(encode(made_runs.step(number)) for number in range(100)) * 300)
    before_s = time.process_time()
    assert read_history(path).num_steps == 30_000
    assert time.process_time() - before_s < 4  # a second, on a machine that nobody else uses


def test_an_empty_journal(tmp_path):
    found = read(tmp_path, [])
    assert (found.start, found.last, found.result, found.num_steps) == (None, None, None, 0)
    assert (len(found.policies), len(found.candidates), len(found.entropy)) == (0, 0, 0)


def test_a_group_that_comes_and_goes_has_gaps(tmp_path):
    steps = [
        replace(made_runs.step(number), entropy=entropy)
        for number, entropy in enumerate([{"a": 0.5}, {"a": 0.4, "b": 1.0}, {"b": 0.9}])
    ]
    found = read(tmp_path, [made_runs.start(), *steps])
    np.testing.assert_array_equal(found.entropy["a"], [0.5, 0.4, np.nan])
    np.testing.assert_array_equal(found.entropy["b"], [np.nan, 1.0, 0.9])


def test_a_step_without_trials_counts(tmp_path):
    found = read(tmp_path, [replace(made_runs.step(0), trials=())])
    assert found.columns["quality"].tolist() == [0.0]


@pytest.mark.parametrize("num", [0, 1, 7, 8, 9, 31, 32, 33, 100])
def test_policies_are_thinned_evenly(tmp_path, monkeypatch, num):
    monkeypatch.setattr(history, "MAX_POLICIES", 8)
    steps = [policy.step for policy in read(tmp_path, [made_runs.policy(n) for n in range(num)]).policies]
    assert len(steps) <= 8
    if num:
        assert (steps[0], steps[-1]) == (0, num - 1)
        assert len({b - a for a, b in pairwise(steps[:-1])}) <= 1


def timed(step, **seconds):
    return {"kind": "phase_times", "t": 0.0, "step": step, "seconds": seconds}


def test_shares_of_time():
    events = [timed(1, train=6.0, measure=2.0), timed(2, data=1.0, policy=1.0), {"kind": "end", "t": 1.0}]
    shares = phase_shares(events)
    assert list(shares.items()) == [("train", 0.6), ("measure", 0.2), ("data", 0.1), ("policy", 0.1)]
    assert overhead_share(shares) == pytest.approx(0.2)
    assert phase_shares([]) == {}
    assert phase_shares([timed(1)]) == {}
    assert overhead_share({}) is None


def test_malformed_times_are_skipped():
    events = [{"kind": "phase_times", "t": 0.0}, timed(1, train="NaN", data=1.0), {**timed(2), "seconds": 3}]
    assert phase_shares(events) == {"data": 1.0}


def test_pace():
    assert seconds_per_step([]) is None
    assert seconds_per_step([timed(5, train=2.0)]) == 2.0
    slow_start = [timed(0, train=100.0), timed(1, train=2.0), timed(2, train=4.0)]
    assert seconds_per_step(slow_start) == 3.0
    assert seconds_per_step([timed(0, train=9.0), timed(10, train=20.0), timed(20, train=40.0)]) == 3.0
    assert seconds_per_step([*slow_start, timed(1, train=50.0), timed(2, train=1.0)]) == 1.0
    assert seconds_per_step([timed(n, train=1.0 if n >= 100 else 9.0) for n in range(200)]) == 1.0


def test_bad_videos_count_once():
    events = [{"kind": "bad_videos", "ids": ["a", "b"]}, {"kind": "bad_videos", "ids": ["b"]}, {"kind": "bad_videos"}]
    assert bad_videos(events) == {"a", "b"}
