import made_runs
import pytest

from results.journal import encode
from results.journal_reader import JournalReader, read_leniently
from search_spaces.errors import JournalError

LINES = [encode(made_runs.step(number)) for number in range(4)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def test_a_last_line_that_is_torn_or_damaged_is_not_there_yet(path):
    reader = JournalReader(path)
    for tail in (LINES[1][:20], b"x" * 20 + b"\n"):
        path.write_bytes(LINES[0] + tail)
        assert [line.kind for line in reader.new_lines()] in (["step"], [])
        assert (reader.num_lines, reader.damages) == (1, [])
    path.write_bytes(LINES[0] + LINES[1] + LINES[2])
    assert reader.continues()
    assert [line.record for line in reader.new_lines()] == [
        line[line.index(b'"record":') + 9 : -2] for line in LINES[1:3]
    ]


def test_another_history_is_not_continued(path):
    path.write_bytes(b"".join(LINES))
    reader = JournalReader(path)
    assert len(list(reader.new_lines())) == 4
    path.write_bytes(b"".join(LINES[:3]) + LINES[0])
    assert not reader.continues()
    path.write_bytes(b"")
    assert not reader.continues()
    path.unlink()
    assert not reader.continues()
    with pytest.raises(JournalError, match=r"journal.jsonl: a journal must be a readable file, but got No such file"):
        list(reader.new_lines())


def test_damage_is_raised_or_noted(path):
    path.write_bytes(LINES[0] + b"nothing of ours\n" + LINES[1])
    with pytest.raises(JournalError, match=r"journal.jsonl:2: a line must be"):
        list(JournalReader(path).new_lines())
    reader = JournalReader(path, lenient=True)
    assert len(list(reader.new_lines())) == 2
    assert len(reader.damages) == 1
    assert "journal.jsonl:2: " in reader.damages[0]


def test_records_around_damage(path):
    path.write_bytes(LINES[0] + LINES[1].replace(b'"step":1', b'"step":2') + LINES[2] + LINES[3][:-9])
    records, damages = read_leniently(path)
    assert records == [made_runs.step(0), made_runs.step(2)]
    assert ["journal.jsonl:2: " in damage for damage in damages] == [True]
