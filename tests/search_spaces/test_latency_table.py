"""Tables of measured times: sums, populations, and files that are what they must be."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_spaces import TINY, TINY_CHOSEN, TINY_CLIPS, every_row, spaces_and_indices
from made_tables import STREAM, made_table

from search_spaces.cost_table import CostTable
from search_spaces.errors import LatencyTableError, TargetError
from search_spaces.latency_table import CALL, keys_of, read_table, table_document, write_table
from search_spaces.mean_cost import uniform_chances
from search_spaces.movinet import NANO
from search_spaces.strict_json import digest, pretty
from search_spaces.target import parse_target
from search_spaces.variant import Variant

GENOTYPE = {
    "block2.depth": 1,
    "block2.width": 0.75,
    "block2.layer1.kernel": "5x1x1",
    "block2.layer1.expansion": 1.5,
    "block2.layer1.se": True,
    "block3.depth": 2,
    "block3.width": 1.25,
    "block3.layer1.kernel": "1x3x3",
    "block3.layer1.expansion": 3.0,
    "block3.layer1.se": True,
    "block3.layer2.kernel": "1x3x3",
    "block3.layer2.expansion": 1.5,
    "block3.layer2.se": True,
    "head.width": 1.25,
}
KEYS = [
    "stem 8",
    "8@15 5x1x1/2 24 se 16",
    "16@8 1x3x3/1 96 se 40",
    "40@8 1x3x3/1 48 se 40",
    "head 40@8 80 32",
]
TABLE = made_table(TINY, lambda number: number)


def spec_of(space, row_D):
    return space.decode(space.genotype(row_D), STREAM).spec


def test_a_latency_is_the_sum_of_the_call_and_the_parts():
    spec = TINY.decode(GENOTYPE, STREAM).spec
    assert keys_of(spec) == KEYS
    times = dict.fromkeys(TABLE.seconds, 100.0) | {key: 10.0**-number for number, key in enumerate((CALL, *KEYS))}
    table = dataclasses.replace(TABLE, seconds=times)
    assert table.latency_s(spec, STREAM, num_classes=7) == pytest.approx(1.11111)


def test_a_table_has_exactly_what_its_space_asks_for():
    asked = {key for row_D in every_row(TINY) for key in keys_of(spec_of(TINY, row_D))}
    assert set(TABLE.seconds) == {CALL, *asked}


@settings(max_examples=50)
@given(spaces_and_indices(), st.integers(0, 2**32))
def test_populations_have_the_latencies_of_their_networks(drawn, seed):
    space, indices_ND = drawn
    assume(len(space.forms(STREAM)) == 1)
    times = np.random.default_rng(seed).integers(10**7, size=100_000)
    table = made_table(space, lambda number: int(times[number]))
    costs_N = CostTable(space, STREAM, metric="macs", num_classes=7, latency=table).costs(indices_ND)
    singles = [table.latency_s(spec_of(space, row_D), STREAM, num_classes=7) for row_D in indices_ND]
    assert costs_N.tolist() == [round(1e9 * single) for single in singles]


@pytest.mark.parametrize("space", [TINY, TINY_CHOSEN], ids=["base", "chosen"])
def test_a_target_of_latency_has_costs_bounds_and_mean_in_seconds(space, tmp_path):
    times = np.random.default_rng(3).integers(10**6, size=1000)
    table = made_table(space, lambda number: int(times[number]))
    write_table(table, tmp_path / "table.json")
    target = parse_target("latency=2.5ms/frame@table.json", folder=tmp_path)
    assert (target.metric, target.value, target.per, target.table) == ("latency", 2.5e-3, "frame", table)
    costs_N = target.costs(space, STREAM, every_row(space), num_classes=7)
    spec = spec_of(space, every_row(space)[11])
    assert costs_N[11] == pytest.approx(target.cost(spec, STREAM, num_classes=7))
    assert target.bounds(space, STREAM, num_classes=7) == pytest.approx((costs_N.min(), costs_N.max()))
    mean, _ = target.mean(space, STREAM, uniform_chances(space), num_classes=7)
    rows_ND = space.sample_indices(np.random.default_rng(1), 20_000)
    assert mean == pytest.approx(target.costs(space, STREAM, rows_ND, num_classes=7).mean(), rel=0.01)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2s", 2.0), ("3.5ms", 3.5e-3), ("40us", 4e-5), ("700ns", 7e-7)],
)
def test_times_have_suffixes(text, value, tmp_path):
    write_table(dataclasses.replace(TABLE, per="clip"), tmp_path / "a table@2.json")
    target = parse_target(f"latency={text}/clip@{tmp_path}/a table@2.json")
    assert target.value == pytest.approx(value)
    assert target.scale(TINY.clip) == 1


NO_TIMES = ("10ms@t.json", "10/frame@t.json", "0ms/frame@t.json", "10ms/frame", "10ms/s@t.json", "1e1ms/frame@t.json")


@pytest.mark.parametrize("text", [f"latency={text}" for text in (*NO_TIMES, "10MHz/frame@t.json", "-1ms/frame@t.json")])
def test_what_is_no_target_of_latency_is_refused(text):
    with pytest.raises(TargetError, match=r"must be a time above 0 in s, ms, us or ns, /frame or /clip, and the table"):
        parse_target(text)


def test_the_unit_is_that_of_the_table(tmp_path):
    write_table(TABLE, tmp_path / "table.json")
    with pytest.raises(TargetError, match=r"must be per frame, as its table, but got 'latency=1ms/clip@table.json'"):
        parse_target("latency=1ms/clip@table.json", folder=tmp_path)


def test_networks_that_the_times_are_not_of_are_refused():
    spec = spec_of(TINY, every_row(TINY)[0])
    with pytest.raises(LatencyTableError, match=r"must be of the space that is asked about, .*, but is of tiny, "):
        CostTable(NANO, STREAM, metric="macs", num_classes=7, latency=TABLE)
    with pytest.raises(LatencyTableError, match=r"is of another one: causal True and not False"):
        CostTable(TINY, Variant(), metric="macs", num_classes=7, latency=TABLE)
    with pytest.raises(LatencyTableError, match=r"of 8 classes, but is of 7; measure one with --classes 8"):
        TABLE.latency_s(spec, STREAM, num_classes=8)
    wider = dataclasses.replace(spec, dense_width=64)
    with pytest.raises(LatencyTableError, match=r"must have every part that is asked for, but lacks 'head .* 64'"):
        TABLE.latency_s(wider, STREAM, num_classes=7)
    longer, larger = (
        dataclasses.replace(spec, clip=dataclasses.replace(spec.clip, **{name: 32}))
        for name in ("num_frames", "resolution")
    )
    assert TABLE.latency_s(longer, STREAM, num_classes=7) == TABLE.latency_s(spec, STREAM, num_classes=7)
    with pytest.raises(LatencyTableError, match=r"must be of the network's clip, .*resolution=32"):
        TABLE.latency_s(larger, STREAM, num_classes=7)
    with pytest.raises(LatencyTableError, match=r"must be of the network's clip, .*resolution=24"):
        CostTable(TINY_CLIPS, STREAM, metric="macs", num_classes=7, latency=made_table(TINY_CLIPS, int))
    per_clip = dataclasses.replace(TABLE, per="clip")
    with pytest.raises(LatencyTableError, match=r"must be of the network's clip, .*num_frames=32"):
        per_clip.latency_s(longer, STREAM, num_classes=7)


def test_files_read_back(tmp_path):
    write_table(TABLE, tmp_path / "tables" / "table.json")
    assert read_table(tmp_path / "tables" / "table.json") == TABLE


def changed(**parts):
    document = json.loads(pretty(table_document(TABLE))) | parts
    return pretty(document | {"fingerprint": digest({k: v for k, v in document.items() if k not in HEADER})})


HEADER = ("schema", "kind", "fingerprint")
TEXT = pretty(table_document(TABLE))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"table\.json: a document must be JSON"),
        (TEXT[:-10], r"table\.json: a document must be JSON"),
        ("[]", r"must be an object, but got \[\]"),
        (TEXT.replace("movinas.latency-table", "movinas.spec"), r"kind: must be 'movinas.latency-table'"),
        (TEXT.replace('"schema": 1', '"schema": 2'), r"schema: must be 1, but got 2"),
        (TEXT.replace('"call": 0.0', '"call": NaN'), r"a number must be finite, but got NaN"),
        (TEXT.replace('"call": 0.0', '"call": 0.0, "call": 1.0'), r"a field must stand once, but got 'call'"),
        (TEXT.replace('"call": 0.0', '"call": 1.0'), r"fingerprint: must be that of the other fields"),
        (TEXT.replace('"call": 0.0', '"call": "0"'), r"seconds\.call: .*valid number, but got '0'"),
        (changed(seconds={"stem 8": -1.0}), r"must be in \[0, 3600\] seconds, but got -1\.0"),
        (changed(seconds={"call": -4000.0}), r"must be in \[-3600, 3600\] seconds, but got -4000\.0"),
        (changed(seconds={"stem 8": 4000.0}), r"must be in \[0, 3600\] seconds, but got 4000\.0"),
        (changed(per="second"), r"per: .*'frame' or 'clip', but got 'second'"),
        (changed(extra=1), r"extra: must be a known field"),
        (TEXT.replace('"num_classes": 7,', ""), r"num_classes: must be given, but is missing"),
    ],
)
def test_what_is_no_table_is_refused(text, message, tmp_path):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(LatencyTableError, match=message) as caught:
        read_table(path)
    assert caught.value.path == path


def test_files_that_are_not_there_or_cannot_be_written(tmp_path):
    with pytest.raises(LatencyTableError, match=r"must be a readable file, but got No such file"):
        read_table(tmp_path / "table.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(LatencyTableError, match=r"must be a writable file"):
        write_table(TABLE, tmp_path / "file" / "table.json")
