import errno
import json
import math
import os
import time
import zlib
from dataclasses import replace

import faults
import made_runs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results import records
from results.journal import KINDS, Journal, encode, iter_journal, num_complete, read_journal
from search_spaces import strict_json
from search_spaces.errors import JournalError
from search_spaces.scaling import PUBLISHED_COEFFICIENTS

ALL = [*made_runs.search_records(steps=4, every=2), *made_runs.epochs(2)]
ALL += [
    records.ScalingRecord(
        name="d1.36-w1.18-r1.16-f1.24-0",
        coefficients=PUBLISHED_COEFFICIENTS,
        fingerprint="f" * 64,
        macs_per_frame=1234.5,
        top1=0.625,
    ),
    records.MemberRecord(
        name="nano_macs-16M-clip_seed0",
        space="nano",
        target="macs=16M/clip",
        seed=0,
        found="f" * 64,
        found_ratio=1.01,
        found_quality=0.5,
        found_macs=16_160_000,
        found_state_bytes=4096,
        argmax_ratio=0.98,
        random_quality=0.25,
    ),
    records.SharedRecord(name="band1-01-shared", fingerprint="0" * 64, batch=0.5, recalibrated=0.25, num_clips=40),
    records.AuditRecord(name="band1-01-seed1", fingerprint="0" * 64, seed=1, top1=0.375),
    records.TrainedRecord(
        name="member1", fingerprint="f" * 64, seed=1, offset_frames=0.5, val_top1=0.5, metric="action top-1"
    ),
]

finite = st.floats(allow_nan=False, allow_infinity=False)
choices = st.one_of(st.text(max_size=8), finite, st.booleans(), st.integers(-(2**62), 2**62))
genotypes = st.dictionaries(st.text(max_size=20), choices, max_size=6)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def write(path, items):
    with Journal.open(path) as journal:
        for record in items:
            journal.append(record)
    return path.read_bytes()


def test_every_kind_comes_back_equal(path):
    write(path, ALL)
    assert read_journal(path) == ALL
    assert {type(record) for record in ALL} == set(KINDS.values()) == set(records.Record.__args__)


@given(genotype=genotypes, cost=finite, reward=finite)
@settings(max_examples=200)
def test_values_come_back_exactly(tmp_path_factory, genotype, cost, reward):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    trial = replace(made_runs.trial(1, 0.5), genotype=genotype, cost=cost, reward=reward)
    record = replace(made_runs.step(0), trials=(trial,))
    first = write(path, [record])
    (back,) = read_journal(path)
    assert back == record
    assert [type(value) for value in back.trials[0].genotype.values()] == [
        type(genotype[k]) for k in back.trials[0].genotype
    ]
    assert math.copysign(1.0, back.trials[0].cost) == math.copysign(1.0, cost)
    assert encode(back) == first


def test_a_line_is_canonical_and_carries_its_checksum():
    line = encode(made_runs.step(3))
    document = strict_json.loads(line)
    assert line.decode() == strict_json.canonical(document) + "\n"
    body = strict_json.canonical({"kind": "step", "record": document["record"]})
    assert document["crc32"] == f"{zlib.crc32(body.encode()):08x}"
    assert document["kind"] == "step"


def test_equal_records_give_equal_bytes():
    record = made_runs.epochs(2)[1]
    same = replace(record, train_loss=np.float64(record.train_loss), val_top1=float(record.val_top1))
    assert encode(replace(record, train_loss=1)) == encode(replace(record, train_loss=1.0))
    assert encode(same) == encode(record)
    shuffled = replace(made_runs.step(1), entropy=dict(reversed(made_runs.step(1).entropy.items())))
    assert encode(shuffled) == encode(made_runs.step(1))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_and_the_journal_goes_on(path, value):
    with Journal.open(path) as journal:
        with pytest.raises(JournalError, match=r"journal.jsonl:1: step.train_loss: .* finite .* but got (nan|-?inf)"):
            journal.append(replace(made_runs.step(0), train_loss=value))
        journal.append(made_runs.step(0))
    assert read_journal(path) == [made_runs.step(0)]


def test_what_a_reader_would_refuse_is_not_written():
    with pytest.raises(JournalError, match=r"epoch.step: .* integer, but got '1.5'"):
        encode(replace(made_runs.epochs(1)[0], step=1.5))
    with pytest.raises(JournalError, match=r"step.trials\[0\].quality: .* but got array"):
        encode(replace(made_runs.step(0), trials=(replace(made_runs.trial(0, 0), quality=np.zeros(1)),)))
    with pytest.raises(JournalError, match=r"a record must be one of start, step, .*, but got Measurement"):
        encode(records.Measurement(quality=0.5, num_clips=1))


def test_cut_at_every_byte_of_the_last_three_records(path):
    data = write(path, ALL)
    ends = [0, *(index + 1 for index, byte in enumerate(data) if byte == 0x0A)]
    for cut in range(ends[-4], len(data) + 1):
        complete = sum(end <= cut for end in ends) - 1
        path.write_bytes(data[:cut])
        assert len(read_journal(path)) == complete
        with Journal.open(path) as journal:
            assert journal.num_records == complete
        assert path.read_bytes() == data[: ends[complete]]
    for cut in (ends[-2] - 1, len(data) - 1):
        path.write_bytes(data[:cut])
        missing = ALL[sum(end <= cut for end in ends) - 1 :]
        assert write(path, missing) == data


def test_a_flipped_bit_is_never_read(path):
    data = write(path, ALL[:3])
    last = data[:-1].rindex(b"\n") + 1
    for position in range(0, len(data) - 1, 7):
        for bit in (0x01, 0x20, 0x80):
            damaged = bytearray(data)
            damaged[position] ^= bit
            path.write_bytes(damaged)
            if position >= last:
                assert read_journal(path) == ALL[:2]
            else:
                with pytest.raises(JournalError, match=r"journal.jsonl:\d: "):
                    read_journal(path)
                with pytest.raises(JournalError, match=r"journal.jsonl:\d: "):
                    Journal.open(path, keep=3)
                assert path.read_bytes() == damaged


def test_complete_records_are_counted_up_to_the_first_damage(path, tmp_path):
    lines = write(path, ALL[:3]).splitlines(keepends=True)
    assert num_complete(path) == 3
    path.write_bytes(b"".join(lines)[:-1])
    assert num_complete(path) == 2
    path.write_bytes(lines[0] + b"hello\n" + lines[2])
    assert num_complete(path) == 1
    assert num_complete(tmp_path / "nowhere") == 0


def test_a_damaged_line_is_named(path):
    lines = write(path, ALL[:3]).splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"step":0', b'"step":1') + lines[2])
    with pytest.raises(
        JournalError, match=r"journal.jsonl:2: a line must have the CRC-32 it states, \w{8}, but got \w{8}"
    ):
        read_journal(path)
    path.write_bytes(b"hello\n" + lines[0])
    with pytest.raises(JournalError, match=r'journal.jsonl:1: a line must be {"crc32".*but got .hello'):
        read_journal(path)
    path.write_bytes(lines[0] + b"hello\n")
    assert read_journal(path) == ALL[:1]


def sealed(kind, record):
    body = strict_json.canonical({"kind": kind, "record": record})
    return b'{"crc32":"%08x",%b\n' % (zlib.crc32(body.encode()), body[1:].encode())


def test_an_intact_line_of_another_version_is_an_error_even_at_the_end(path):
    good = json.loads(encode(made_runs.epochs(1)[0]))["record"]
    path.write_bytes(sealed("epoch", good) + sealed("era", good))
    with pytest.raises(JournalError, match=r"journal.jsonl:2: a kind must be one of start, .*, but got 'era'"):
        read_journal(path)
    path.write_bytes(sealed("epoch", {**good, "colour": "red"}))
    with pytest.raises(
        JournalError, match=r"journal.jsonl:1: epoch.colour: unexpected keyword argument, but got 'red'"
    ):
        read_journal(path)
    path.write_bytes(sealed("epoch", {**good, "epoch": "1"}))
    with pytest.raises(JournalError, match=r"journal.jsonl:1: epoch.epoch: .* valid integer, but got '1'"):
        read_journal(path)


def test_open_keeps_the_first_records(path):
    data = write(path, ALL)
    with Journal.open(path, keep=4) as journal:
        assert journal.num_records == 4
        for record in ALL[4:]:
            journal.append(record)
        assert journal.num_records == len(ALL)
    assert path.read_bytes() == data
    Journal.open(path, keep=0).close()
    assert path.read_bytes() == b""


def test_damage_behind_the_kept_records_is_cut(path):
    lines = write(path, ALL).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], b"rubbish\n", *lines[6:]]))
    Journal.open(path, keep=5).close()
    assert read_journal(path) == ALL[:5]


def test_fewer_records_than_to_keep_is_an_error(path):
    data = write(path, ALL[:3]) + b'{"crc'
    path.write_bytes(data)
    with pytest.raises(JournalError, match="must hold at least 4 complete records, but got 3"):
        Journal.open(path, keep=4)
    assert path.read_bytes() == data


def test_missing_unreadable_and_closed(path, tmp_path):
    with pytest.raises(JournalError, match=r"journal.jsonl: a journal must be a readable file, but got No such file"):
        next(iter_journal(path))
    with pytest.raises(JournalError, match="a journal must be a writable file, but got Is a directory"):
        Journal.open(tmp_path)
    journal = Journal.open(path)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="must be open to append to it, but it is closed"):
        journal.append(ALL[0])


def test_a_reader_needs_no_lock_while_a_record_is_being_written(path):
    data = write(path, ALL[:3])
    with Journal.open(path):
        with path.open("ab") as file:
            file.write(encode(ALL[3])[:-5])
        assert read_journal(path) == ALL[:3]
    assert path.read_bytes().startswith(data)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("number", [1, 2])
def test_a_failing_disk_leaves_the_records_before(path, number, code):
    data = write(path, ALL[:3])
    journal = Journal.open(path)
    message = f"journal.jsonl: a journal must be a writable file, but got {os.strerror(code)}"
    with faults.at_call(number, faults.fails(code)), pytest.raises(JournalError, match=message):
        journal.append(ALL[3])
    with pytest.raises(JournalError, match="it is closed"):
        journal.append(ALL[3])
    assert path.read_bytes() == data
    with Journal.open(path) as journal:
        journal.append(ALL[3])
    assert read_journal(path) == ALL[:4]


def test_a_disk_that_takes_half_a_line(path, monkeypatch):
    data = write(path, ALL[:3])
    real = os.write

    def half(descriptor, line):
        if len(line) <= 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, line[: len(line) // 2])

    with Journal.open(path) as journal:
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(JournalError, match=r"journal.jsonl: .* but got No space left on device"):
            journal.append(ALL[3])
    assert path.read_bytes() == data
    monkeypatch.setattr(os, "write", lambda descriptor, line: real(descriptor, line[:10]))
    write(path, [ALL[3]])
    assert read_journal(path) == ALL[:4]


def test_killed_while_appending(path):
    data = write(path, ALL[:3])

    def append():
        with Journal.open(path) as journal:
            journal.append(ALL[3])

    for number in range(1, 10):
        path.write_bytes(data + b"torn")
        killed = faults.killed_at(number, append)
        assert read_journal(path)[:3] == ALL[:3]
        with Journal.open(path, keep=3) as journal:
            journal.append(ALL[3])
        assert read_journal(path) == ALL[:4]
        if not killed:
            return
    pytest.fail("the child never ended by itself")


def test_reads_thirty_thousand_steps_in_seconds(path):
    path.write_bytes(b"".join(encode(made_runs.step(number)) for number in range(100)) * 300)
    before_s = time.process_time()
    assert sum(1 for _ in iter_journal(path)) == 30_000
    assert time.process_time() - before_s < 10


def test_records_that_nobody_waited_for_are_read_at_once_and_cut_off_where_the_disk_fails(path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Journal.open(path) as journal:
        journal.append(ALL[0])
        synced = path.read_bytes()
        monkeypatch.setattr(os, "fsync", fail)
        journal.append(ALL[1], sync=False)
        assert read_journal(path) == ALL[:2]
        with pytest.raises(JournalError, match="Input/output error"):
            journal.sync()
        assert path.read_bytes() == synced
        with pytest.raises(JournalError, match="open"):
            journal.sync()


def forged(body: bytes) -> bytes:
    """A line with the checksum that it should have."""
    return b'{"crc32":"%08x",%b\n' % (zlib.crc32(b"{" + body), body)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"step":0', b'"step":0,"step":1', "step: a field must stand once, but got 'step' more than once"),
        (b'"step":0', b'"step":99999999999999999999', "step: an integer must have at most 63 bits"),
        (b'"step":0', b'"step":' + b"[" * 40 + b"]" * 40, "step: a document must nest at most 32 deep"),
    ],
)
def test_forged_lines_are_refused(path, old, new, message):
    body = encode(made_runs.step(0))[20:-1]
    assert body.count(old) == 1
    path.write_bytes(forged(body.replace(old, new)) + encode(made_runs.step(1)))
    with pytest.raises(JournalError, match=f"journal.jsonl:1: {message}"):
        read_journal(path)


def test_a_line_without_end_is_refused(path, monkeypatch):
    monkeypatch.setattr("results.journal.MAX_LINE_BYTES", 4096)
    line = encode(made_runs.step(0))
    path.write_bytes(line + b"x" * 9000 + b"\n" + line)
    with pytest.raises(JournalError, match=r"journal.jsonl:2: a line must have at most 4096 bytes, but got more"):
        read_journal(path)
    with pytest.raises(JournalError, match=r"start: a record must take at most 4096 bytes"):
        encode(made_runs.start(class_names=("x" * 5000,)))
