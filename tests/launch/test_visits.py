"""What a measurement has found so far, kept through kills."""

import pytest

from launch.bench.latency import Visit
from launch.bench.visits import Visits
from search_spaces.errors import LatencyTableError

FIRST, SECOND = Visit(parts=(0.1, 0.2), rest=0.05), Visit(parts=(0.3, 0.4, 0.5), rest=0.0)
OF = {"space_hash": "0" * 64, "calls": 3}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "folder" / ".table.json.partial"
    visits = Visits(path, of=OF)
    visits.append(FIRST)
    visits.append(SECOND)
    return path


def test_what_was_found_is_there_again(path):
    assert Visits(path, of=OF).done == [FIRST, SECOND]


def test_every_byte_that_a_kill_leaves_is_gone_on_from(path):
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for length in range(start, len(whole) + 1):
        path.write_bytes(whole[:length])
        visits = Visits(path, of=OF)
        assert visits.done in ([], [FIRST], [FIRST, SECOND])
        for visit in (FIRST, SECOND)[len(visits.done) :]:
            visits.append(visit)
        assert path.read_bytes() == whole


def test_another_measurement_is_refused(path):
    before = path.read_bytes()
    with pytest.raises(LatencyTableError, match=r"of the same measurement on the same device, .* delete it") as caught:
        Visits(path, of={**OF, "calls": 4})
    assert caught.value.path == path
    assert path.read_bytes() == before


def test_a_folder_in_its_place_is_refused(path):
    path.unlink()
    path.mkdir()
    with pytest.raises(LatencyTableError, match="must be a file to read and write"):
        Visits(path, of=OF)
