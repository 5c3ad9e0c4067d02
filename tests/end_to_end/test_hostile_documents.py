"""Documents that people exchange, mutated: read, or refused by one printable line of ours, at once, in little room."""

import gc
import json
import re
import resource
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from launch.specs import find_variant
from results.checkpoint import load_newest, save_checkpoint
from results.journal import encode, read_journal
from results.records import EpochRecord, StepRecord, TrialRecord
from results.telemetry import read_telemetry
from search_spaces import strict_json
from search_spaces.cost import cost
from search_spaces.ensemble import temporal_ensemble
from search_spaces.ensemble_json import make_ensemble_file, read_ensemble, read_spec_or_ensemble
from search_spaces.errors import MovinasError
from search_spaces.latency_table import Device, LatencyTable, Measurement, keys_of, read_table, table_document
from search_spaces.movinet import NANO
from search_spaces.space_json import read_space, space_document
from search_spaces.spec_json import make_spec_file, read_spec
from search_spaces.strict_yaml import read_yaml
from search_spaces.variant import VARIANTS, Variant
from video.manifest import load_manifest

Mutation = tuple[str, list[tuple[int, int, int, int]], bool]
"""Kind of document, edits, and whether checksums are made right afterwards."""
PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)
MAX_S = 0.2
MAX_GROWTH_KIB = 200 << 10
MAX_MESSAGE = 2000

GENOTYPE = NANO.sample(np.random.default_rng(0))
FOUND = NANO.decode(GENOTYPE, Variant())
STREAM = VARIANTS["paper-stream"]
DEVICE = Device(
    processor="abacus",
    device="cpu",
    backend="native",
    kernels="0" * 32,
    dtype="fp32",
    threads=1,
    torch="2.13.0",
    movinas="0.1.0",
)
MEASURED = Measurement(date="2026-11-21", command="bench table", networks=1, rounds=1, calls=1, seed=0, spread=0.1)
TABLE = LatencyTable(
    space="nano",
    space_hash=NANO.hash,
    variant=STREAM,
    num_classes=7,
    clip=NANO.clip,
    per="frame",
    device=DEVICE,
    measurement=MEASURED,
    seconds=dict.fromkeys(["call", *keys_of(FOUND.spec)], 1e-5),
)
TRIAL = TrialRecord(genotype=GENOTYPE, fingerprint="f" * 64, cost=1.5, ratio=0.9, quality=0.5, reward=0.25)
STEP = StepRecord(
    step=0,
    trials=(TRIAL,),
    train_loss=2.5,
    op_warmup=0.5,
    filter_warmup=0.5,
    learning_rate=0.01,
    baseline=0.25,
    entropy={"kernel": 0.9},
    argmax_fingerprint="f" * 64,
    argmax_cost=1.5,
    argmax_ratio=0.9,
)
JOURNAL = b"".join(
    map(encode, (STEP, EpochRecord(epoch=1, step=2, train_loss=1.0, train_top1=0.5, val_top1=None), STEP))
)
MANIFEST = (
    '{"schema":1,"kind":"movinas.manifest","class_names":{"verb":["open","close"],"noun":["door","cup"]}}\n'
    '{"id":"a","path":"run/a.mp4","labels":{"verb":0,"noun":1},"split":"train","start_s":0.5,"end_s":2,"group":"g"}\n'
    '{"id":"b","path":"/x/b.mp4","labels":{"verb":1,"noun":0},"split":"test"}\n'
)
CONFIG = "search:\n  steps: 300\n  reward: absolute\ntarget: macs=12M/clip\nmax: [state=64KiB@fp16]\nseed: 0\n"
TELEMETRY = b'{"kind":"start","t":1.5}\n{"kind":"phase_times","seconds":{"train":1.5},"step":3,"t":2.5}\n'


def text_of(document: object) -> bytes:
    return strict_json.pretty(document).encode()


DOCUMENTS: Mapping[str, tuple[str, bytes]] = {
    "spec": (
        "s.json",
        text_of(asdict(make_spec_file(FOUND.spec, Variant(), genotype=GENOTYPE, metrics={"macs": 1.0}))),
    ),
    "ensemble": (
        "e.json",
        text_of(asdict(make_ensemble_file(temporal_ensemble(FOUND.spec, STREAM), models=("a/model", "b/model")))),
    ),
    "space": ("n.json", text_of(space_document(NANO))),
    "variant": ("v.json", text_of(asdict(STREAM))),
    "table": ("t.json", text_of(table_document(TABLE))),
    "manifest": ("m.jsonl", MANIFEST.encode()),
    "journal": ("journal.jsonl", JOURNAL),
    "telemetry": ("telemetry.jsonl", TELEMETRY),
    "config": ("c.yaml", CONFIG.encode()),
    "checkpoint": ("MANIFEST.json", b""),  # made anew for each
}


def use_space(path: Path) -> None:
    space = read_space(path)
    space.decode(space.sample(np.random.default_rng(0)), Variant())
    assert space.size > 0


def use_spec(path: Path) -> None:
    for spec_file in (read_spec(path), read_spec_or_ensemble(path)):
        cost(spec_file.arch, spec_file.variant)


READERS: Mapping[str, Callable[[Path], object]] = {
    "spec": use_spec,
    "ensemble": read_ensemble,
    "space": use_space,
    "variant": lambda path: find_variant(str(path)),
    "table": read_table,
    "manifest": load_manifest,
    "journal": read_journal,
    "telemetry": read_telemetry,
    "config": read_yaml,
    "checkpoint": lambda path: load_newest(path.parents[1], set_aside=False),
}

STRANGE = [
    *("NaN", "Infinity", "-Infinity", "1e999", "1e308", "-0.0", "9" * 400, str(1 << 63), "-1", "0", "1.5", "16384"),
    *("null", "true", '""', "[]", "{}", '"\\ud800"', '"\\u0000"', '"\u202e"', '"\\u001b[2J"', '"../../../etc/passwd"'),
    *('"/etc/passwd"', f'"{"a" * 70_000}"', "[" * 5000, '{"a":' * 200, f"[{'0,' * 20_000}0]", f"[{'{},' * 9000}{{}}]"),
    *(
        '"<script>alert(1)</script>"',
        '"=cmd()"',
        '"C:\\\\CON"',
        "\ufeff",
        "\0",
        "\n",
        "\r\n\n",
        ",",
        ":",
        '"',
        "\\",
        "}",
    ),
    *("*a", "&a [*a]", "!!python/object/apply:os.system [id]", "- - - -", "<<: {}", ".inf", "٣", "0x10", " " * 200_000),
    *('"' + '\\"' * 9000, "{" + ",".join(f'"{number}":{number}' for number in [*range(3000), 7]) + "}"),
]
VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[\w/.=]+')
FIELD = re.compile(rb'"\w+":\s?(?:"[^"]*"|[0-9.]+|true|false|null)|\b\w+: \w+\n')
EDIT = st.tuples(st.integers(0, 8), st.integers(0, 1 << 30), st.integers(0, 1 << 30), st.integers(0, len(STRANGE) - 1))
MUTATION = st.tuples(st.sampled_from(sorted(DOCUMENTS)), st.lists(EDIT, min_size=1, max_size=4), st.booleans())


def edited(data: bytes, kind: int, at: int, to: int, strange: int) -> bytes:
    """One edit: a value, name or place replaced, doubled, moved, cut; bits turned; something strange put in."""
    put = STRANGE[strange].encode("utf-8", "surrogatepass")
    values, fields = list(VALUE.finditer(data)), list(FIELD.finditer(data))
    first, last = sorted((at % (len(data) + 1), to % (len(data) + 1)))
    start = end = len(data) * (to % 2)  # where nothing else is said, put in front or behind
    match kind:
        case 0 | 1 if values:
            start, end = values[at % len(values)].span()
        case 2 if values:
            (start, until), (since, end) = sorted((values[at % len(values)].span(), values[to % len(values)].span()))
            put = data[since:end] + data[until:since] + data[start:until]
        case 3 if fields:  # the same name twice, with this value and that
            found = fields[at % len(fields)]
            start = end = found.end()
            put = b"," + found[0].partition(b":")[0] + b":" + put
        case 4:
            start = end = first
        case 5:
            start, end, put = first, min(last, first + 40), b""
        case 6:
            start, end, put = last, last, data[first:last] * (to % 3)
        case 7 if data:
            start = at % len(data)
            end, put = start + 1, bytes([data[start] ^ (1 << to % 8)])
    return data[:start] + put + data[end:]


def consistent(name: str, data: bytes) -> bytes:
    """The same with checksums that are right, as whoever forges a file would have them."""
    if name == "journal":
        lines = []
        for line in data.split(b"\n"):
            body = line[20:] if line.startswith(b'{"crc32":"') else line
            lines.append(b'{"crc32":"%08x",%b' % (zlib.crc32(b"{" + body), body) if body else line)
        return b"\n".join(lines)
    if name == "checkpoint":
        try:
            document = json.loads(data)
            document.pop("sha256", None)
            return text_of({**document, "sha256": strict_json.digest(document)})
        except (ValueError, AttributeError, TypeError, RecursionError):
            return data
    return data


def read_mutated(folder: Path, mutation: Mutation) -> tuple[str, float]:
    """What became of a document: its kind with `read` or `refused`; and processor seconds of reading."""
    name, edits, forged = mutation
    file, data = DOCUMENTS[name]
    path = folder / file
    if name == "checkpoint":
        path = save_checkpoint(folder / "checkpoints", 3, {"a.bin": b"abc", "b.json": b"{}"}, num_records=2) / file
        data = path.read_bytes()
    for edit in edits:
        data = edited(data, *edit)
    path.write_bytes(consistent(name, data) if forged else data)
    gc.disable()  # what hypothesis keeps of thousands of examples is not the reader's to collect
    begin_s = time.process_time()
    message = ""
    try:
        READERS[name](path)
    except MovinasError as error:
        message = str(error)
    finally:
        gc.enable()
    seconds = time.process_time() - begin_s
    assert message.isprintable()
    assert len(message) < MAX_MESSAGE
    return f"{name} {'refused' if message else 'read'}", seconds


def hold(tmp_path: Path, *, num: int) -> Counter[str]:
    """Try so many mutations; what became of them."""
    counts: Counter[str] = Counter()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(max_examples=num, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=PHASES)
    @given(MUTATION)
    def each(mutation: Mutation) -> None:
        outcome, seconds = read_mutated(tmp_path, mutation)
        counts[outcome] += 1
        counts["slowest, us"] = max(counts["slowest, us"], round(1e6 * seconds))
        assert seconds < MAX_S

    each()
    counts["growth, KiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert counts["growth, KiB"] < MAX_GROWTH_KIB
    return counts


def test_undamaged_documents_are_read(tmp_path):
    for name in DOCUMENTS:
        assert read_mutated(tmp_path, (name, [], True))[0] == f"{name} read"
        assert read_mutated(tmp_path, (name, [], False))[0] == f"{name} read"


def test_mutated_documents_are_read_or_refused(tmp_path):
    hold(tmp_path, num=300)


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_ten_thousand_mutated_documents(tmp_path):
    counts = hold(tmp_path, num=10_000)
    sys.stdout.write(f"{dict(sorted(counts.items()))}\n")
    assert min(counts[f"{name} refused"] for name in set(DOCUMENTS) - {"telemetry"}) > 300
