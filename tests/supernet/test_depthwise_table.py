"""Which backend a convolution gets: what was measured, if it is usable here, else the rule."""

import dataclasses
import json
import time

import pytest
import torch

import supernet.depthwise
from search_spaces.errors import SpecError
from supernet import native
from supernet.depthwise import depthwise_conv, table
from supernet.depthwise.geometry import Geometry
from supernet.depthwise.table import Entry, chosen, class_of, read_table, table_digest, write_table

SMALL = Geometry(clips=1, input_THW=(1, 6, 6), channels=8, kernel=(1, 3, 3), stride=1, padding=((0, 0), (1, 1), (1, 1)))
ENTRY = Entry(
    device="cpu",
    parallel=False,
    dtype="float32",
    kernel=(1, 3, 3),
    stride=1,
    symmetric=True,
    size="small",
    work="forward",
    times={"cpp": 2.0, "taps": 1.0, "view2d": 1.5},
    shapes=3,
    machine="made up",
)


@pytest.fixture
def in_force(monkeypatch, tmp_path):
    """Puts entries in force until the test ends."""

    def put(*entries):
        path = tmp_path / "table.json"
        write_table(entries, path)
        monkeypatch.setenv(table.VARIABLE, str(path))
        forget()

    def forget():
        for cached in (table.table, table._rankings, supernet.depthwise._plan):
            cached.cache_clear()

    yield put
    monkeypatch.undo()
    forget()


def test_the_fastest_that_was_measured_is_taken(in_force):
    in_force(ENTRY)
    assert chosen(SMALL, "cpu", torch.float32, "forward") == "taps"
    in_force(dataclasses.replace(ENTRY, times={"hybrid": 1.0, "view2d": 1.2, "taps": 1.1}))
    assert chosen(SMALL, "cpu", torch.float32, "forward") == "hybrid"
    too_wide = dataclasses.replace(SMALL, padding=((0, 0), (3, 3), (1, 1)))
    assert class_of(too_wide) == class_of(SMALL)
    assert chosen(too_wide, "cpu", torch.float32, "forward") == "taps"  # hybrid cannot do it


def test_each_part_of_the_key_counts(in_force):
    in_force(ENTRY)
    kept = chosen(SMALL, "cpu", torch.float32, "input_gradient")
    assert kept == ("cpp" if native.library() else "view2d")
    for change in (
        {"stride": 2},
        {"kernel": (1, 3, 5)},
        {"input_THW": (1, 600, 600)},
        {"padding": ((0, 0), (1, 1), (1, 0))},
    ):
        other = dataclasses.replace(SMALL, **change)
        assert chosen(other, "cpu", torch.float32, "forward") == kept
    assert chosen(SMALL, "cpu", torch.bfloat16, "forward") == "view2d"
    torch.set_num_threads(2)
    assert chosen(SMALL, "cpu", torch.float32, "forward") == kept


def test_the_rule_where_nothing_was_measured(in_force, monkeypatch):
    in_force()
    deep = dataclasses.replace(SMALL, kernel=(3, 3, 3))
    assert chosen(deep, "mps", torch.float32, "forward") == "torch3d"
    assert chosen(SMALL, "mps", torch.float32, "forward") == "view2d"
    assert chosen(deep, "cuda", torch.bfloat16, "weight_gradient") == "triton"
    assert chosen(deep, "cuda", torch.float64, "weight_gradient") == "torch3d"
    monkeypatch.setattr("supernet.depthwise.own_kernels._has_triton", lambda: False)
    assert chosen(deep, "cuda", torch.bfloat16, "weight_gradient") == "torch3d"
    monkeypatch.setattr(native, "library", lambda: None)
    assert chosen(deep, "cpu", torch.float32, "weight_gradient") == "hybrid"
    assert chosen(dataclasses.replace(deep, stride=2), "cpu", torch.float32, "forward") == "torch3d"


def test_kernels_that_are_gone_are_not_called(monkeypatch):
    x, weight = torch.randn(1, 2, 4, 4, 8), torch.randn(8, 1, 1, 3, 3)
    first = depthwise_conv(x, weight, stride=1, padding=((0, 0), (1, 1), (1, 1)))
    monkeypatch.setattr(native, "library", lambda: None)
    second = depthwise_conv(x, weight, stride=1, padding=((0, 0), (1, 1), (1, 1)))
    assert torch.allclose(first, second, atol=1e-5)


def test_a_table_reads_back_and_its_digest_is_that_of_its_choices(in_force, tmp_path):
    in_force(ENTRY)
    before = table_digest()
    assert read_table(tmp_path / "table.json") == (ENTRY,)
    in_force(dataclasses.replace(ENTRY, times={"cpp": 3.0, "taps": 1.0, "view2d": 1.1}, machine="another"))
    assert table_digest() == before
    in_force(dataclasses.replace(ENTRY, times={"cpp": 1.0, "taps": 2.0, "view2d": 1.1}))
    assert table_digest() != before


def test_the_shipped_table_names_what_can_run_here():
    entries = table.table()
    assert len({entry.key for entry in entries}) == len(entries) > 50
    for entry in entries:
        assert (entry.device, entry.dtype) == ("cpu", "float32")
        assert min(entry.times.values()) == 1.0
    assert {entry.kernel for entry in entries} >= {(1, 3, 3), (1, 5, 5), (3, 3, 3), (5, 3, 3), (3, 1, 1), (5, 1, 1)}


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"kind": "table"}, "kind", "must be 'movinas.depthwise_table', but got 'table'"),
        ({"extra": 1}, "", "must hold kind, schema and entries, but got entries, extra, kind, schema"),
        ({"entries": [{"times": {"fast": 1.0}}]}, "[0].times", "must be of cpp, triton, .*, but got 'fast'"),
        ({"entries": [{"size": "tiny"}]}, "[0].size", "'small', 'medium', 'large' or 'huge', but got 'tiny'"),
    ],
)
def test_a_table_that_is_none_is_refused(monkeypatch, tmp_path, change, where, message):
    path = tmp_path / "table.json"
    write_table([ENTRY], path)
    document = json.loads(path.read_text())
    if "entries" in change:
        change = {"entries": [document["entries"][0] | change["entries"][0]]}
    path.write_text(json.dumps(document | change))
    with pytest.raises(SpecError, match=message) as raised:
        read_table(path)
    assert (raised.value.where or "") == where
    assert raised.value.path == path


def test_choosing_costs_next_to_nothing():
    """Beside the call of any operator of torch, of which the cheapest takes about a microsecond."""
    x, weight = torch.zeros(1, 1, 6, 6, 8), torch.zeros(8, 1, 1, 3, 3)
    padding = ((0, 0), (1, 1), (1, 1))
    choose = supernet.depthwise._plan
    here = ("cpu", False, True)
    plan = choose(x.shape, weight.shape, 1, padding, x.dtype, here)
    start = time.perf_counter()
    for _ in range(10_000):
        assert choose(x.shape, weight.shape, 1, padding, x.dtype, here) is plan
    assert (time.perf_counter() - start) / 10_000 < 20e-6
