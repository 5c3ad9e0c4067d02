"""Annotations, names of classes and manifests with random damage: our own errors only, at once, and no path outside."""

import json
import re
import resource
import time
from pathlib import Path

import pytest
from datasets import index

from search_spaces.errors import MovinasError
from search_spaces.randomness import generator
from video.annotations.formats import FORMATS
from video.manifest import load_manifest

MAX_S = 0.2
MAX_BYTES = 200 << 20
VIDEOS = (
    "run/a_000001_000011.mp4",
    "run/v_run_g01_c01.avi",
    "jump/v_jump_g02_c01.avi",
    "jump/x_jump_f_cm_np1_ba_bad_8.avi",
    "78687.webm",
    "46GP8.mp4",
    "P01_01.mp4",
    "jump/b c.mp4",
)
FILES = {
    "kinetics": (
        "train.csv",
        'label,youtube_id,time_start,time_end,split,is_cc\nrun,a,1,11,train,0\n"jump, high",b c,0,10,val,1\n',
    ),
    "mmaction2": ("list.txt", "run/a_000001_000011.mp4 0\njump/b c.mp4 1\n46GP8.mp4 0 1\n"),
    "pyslowfast": ("val.csv", 'run/a_000001_000011.mp4 0\n"jump/b c.mp4",1\n46GP8.mp4 12 1\n'),
    "ucf101": ("trainlist01.txt", "run/v_run_g01_c01.avi 2\njump/v_jump_g02_c01.avi 1\n"),
    "hmdb51": ("jump_test_split1.txt", "x_jump_f_cm_np1_ba_bad_8.avi 1 \nv_jump_g02_c01.avi 2 \n"),
    "something": ("train.json", '[{"id": "78687", "template": "Holding [something]"}, {"id": 46, "label": "x"}]'),
    "charades": ("Charades_v1_test.csv", "id,subject,actions,length\n46GP8,HR43,c092 11.90 21.20;c147 0.00 12.60,24\n"),
    "moments": ("trainingSet.csv", "run/a_000001_000011.mp4,run,3,0\njump/b c.mp4,jump,3,1\n"),
    "epic-kitchens": (
        "EPIC_100_train.csv",
        "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n"
        "P01_01_0,P01,P01_01,00:00:01.1,00:00:02.25,1,2\n",
    ),
    "manifest": (
        "m.jsonl",
        '{"schema":1,"kind":"movinas.manifest","class_names":{"verb":["open"],"noun":["door","cup"]}}\n'
        '{"id":"a","path":"run/a.mp4","labels":{"verb":0,"noun":1},"split":"train","start_s":0.5,"end_s":2,"group":"g"}\n'
        '{"id":"b","path":"/x/b.mp4","labels":{"verb":0,"noun":0},"split":"test"}\n',
    ),
    "classes": ("classInd.txt", "1 jump\n2 run\n"),
}
TOKENS = [
    *("", " ", ",", ";", '"', "'", "\\", "\t", "\r", "\n\n", "\0", "/", "..", "../../../etc/passwd", "/etc/passwd"),
    *("-1", "0", "1e999", "NaN", "Infinity", "-0.0", "9" * 400, "0x10", "٣", "1_0", "1.5", "00:00:99", "99:99:99.9"),
    *("null", "true", "{}", "[]", "[" * 5000, '{"a":' * 200, '"id":', '"split":"train",', "\ud800", "\u202e", "\ufeff"),
    *("a" * 70_000, "é", "\U0001f3a5", "=cmd()", "<script>", "%s%n", "train", "val", "c999 1 2;", "run/../x.mp4 0\n"),
]


def mutated(text: str, random) -> bytes:
    """One to four edits: a token put in or in place of a field, a piece cut, doubled or moved, bits turned."""
    for _ in range(int(random.integers(1, 5))):
        at, to = sorted(int(number) for number in random.integers(0, len(text) + 1, size=2))
        match int(random.integers(0, 6)):
            case 0:
                text = text[:at] + TOKENS[int(random.integers(len(TOKENS)))] + text[at:]
            case 1:
                fields = [match.span() for match in re.finditer(r'[^,;\s"{}\[\]:]+', text)] or [(at, to)]
                start, end = fields[int(random.integers(len(fields)))]
                text = text[:start] + TOKENS[int(random.integers(len(TOKENS)))] + text[end:]
            case 2:
                text = text[:at] + text[min(to, at + 20) :]
            case 3:
                text = text[:to] + text[at:to] * int(random.integers(1, 4)) + text[to:]
            case 4:
                lines = text.splitlines(keepends=True)
                text = "".join(lines[int(index)] for index in random.permutation(len(lines)))
            case _:
                data = bytearray(text.encode("utf-8", "surrogatepass"))
                if data:
                    data[at % len(data)] ^= 1 << int(random.integers(8))
                text = data.decode("utf-8", "replace") if random.integers(2) else data.decode("latin-1")
    return text.encode("utf-8", "surrogatepass")


def read(name: str, path: Path, root: Path, *, forced: bool) -> list[Path]:
    """The paths that a file leads to."""
    if name == "manifest":
        return [item.path for item in load_manifest(path).items if item.path.is_relative_to(root)]
    if name == "classes":
        index(path.with_name("list.txt"), videos=root, format_name="mmaction2", read={"classes": path})
        return []
    read = {"segments": forced} if name == "charades" else {}
    format_name = name if forced else None
    return [
        item.path
        for item in index(path, videos=root, format_name=format_name, read=read, max_missing=1.0).manifest.items
    ]


def outcome(name: str, path: Path, root: Path, *, forced: bool) -> tuple[list[Path], str | None]:
    """The paths, or the error; any error but ours fails the test."""
    try:
        return read(name, path, root, forced=forced), None
    except MovinasError as error:
        return [], str(error)


def check(tmp_path: Path, seeds: range) -> dict[str, int]:
    root = tmp_path / "videos"
    for video in VIDEOS:
        (root / video).parent.mkdir(parents=True, exist_ok=True)
        (root / video).touch()
    slowest, counts = 0.0, {"read": 0, "refused": 0}
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    names = sorted(FILES)
    for seed in seeds:
        random = generator(seed, "mutation")
        name = names[seed % len(names)]
        file, text = FILES[name]
        folder = tmp_path / "lists"
        folder.mkdir(exist_ok=True)
        (folder / "list.txt").write_text(FILES["mmaction2"][1])
        path = folder / file
        path.write_bytes(mutated(text, random))
        start_s = time.process_time()
        paths, message = outcome(name, path, root, forced=bool(random.integers(2)))
        slowest = max(slowest, time.process_time() - start_s)
        counts["read" if message is None else "refused"] += 1
        assert message is None or ("\n" not in message and (name == "manifest" or len(message) < 1500)), seed
        assert name == "manifest" or all(found.resolve().is_relative_to(root.resolve()) for found in paths), seed
        path.unlink()
    assert slowest < MAX_S, slowest
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) * 1024 < MAX_BYTES
    return counts


def test_every_format_is_mutated():
    assert set(FORMATS) < set(FILES)
    assert json.loads(FILES["something"][1])


def test_undamaged_files_are_read(tmp_path):
    check(tmp_path, range(0))
    folder = tmp_path / "lists"
    folder.mkdir()
    for name, (file, text) in FILES.items():
        (folder / file).write_text(text)
        if name not in ("classes", "manifest"):
            assert read(name, folder / file, tmp_path / "videos", forced=True), name


def test_damage_is_refused_or_harmless(tmp_path):
    counts = check(tmp_path, range(1100))
    assert min(counts.values()) > 100


@pytest.mark.long
def test_ten_thousand_damaged_files(tmp_path):
    check(tmp_path, range(1100, 11_100))
