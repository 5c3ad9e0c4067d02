"""Whatever comes from outside is checked where it enters: one clear line, exit 2 or 3, nothing damaged."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program import SEARCH, TARGET, call

from results.run_dir import lock, open_run
from search_spaces.movinet import NANO
from search_spaces.randomness import generator
from search_spaces.spec_json import make_spec_file, write_spec
from search_spaces.variant import Variant


def tree(folder: Path) -> dict[str, str]:
    """Name and content hash of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def refused(capsys, *arguments, code=2) -> str:
    """The one line of a refusal."""
    found, out, err = call(capsys, *arguments)
    lines = [line for line in err.splitlines() if not line.startswith("check ")]
    assert found == code, err
    assert out == ""
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


def search(manifest, out, target=TARGET, space="nano"):
    return ["search", f"--space={space}", f"--data={manifest}", f"--target={target}", f"--out={out}", *SEARCH]


@pytest.fixture
def manifest(motion_manifest, tmp_path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(motion_manifest.parent, tmp_path / "data")
    return tmp_path / "data" / "manifest.jsonl"


@pytest.fixture
def spec(tmp_path) -> Path:
    candidate = NANO.decode(NANO.sample(generator(0, "test")), Variant())
    return write_spec(make_spec_file(candidate.spec, Variant(), genotype=candidate.genotype), tmp_path / "specs")


def test_a_missing_manifest(capsys, tmp_path):
    line = refused(capsys, *search(tmp_path / "no.jsonl", tmp_path / "run"))
    assert f"{tmp_path}/no.jsonl: " in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: [], "manifest.jsonl"),
        (lambda lines: [lines[0], "{not json", *lines[1:]], "manifest.jsonl:2: "),
        (
            lambda lines: [
                lines[0].replace('"schema": 1', '"schema": 9').replace('"schema":1', '"schema":9'),
                *lines[1:],
            ],
            "schema",
        ),
        (lambda lines: [*lines, lines[-1]], f"manifest.jsonl:{82}: "),
    ],
)
def test_an_unreadable_manifest(capsys, manifest, tmp_path, damage, message):
    manifest.write_text("".join(line + "\n" for line in damage(manifest.read_text().splitlines())))
    before = tree(manifest.parent)
    assert message in refused(capsys, *search(manifest, tmp_path / "run"))
    assert tree(manifest.parent) == before
    assert not (tmp_path / "run").exists()


def test_a_video_that_is_no_video(capsys, manifest, tmp_path):
    for path in sorted((manifest.parent / "videos" / "zoom_in").iterdir())[:4]:
        path.write_text("no video")
    line = refused(capsys, *search(manifest, tmp_path / "run"))
    assert "at most 1.00% of" in line
    assert "zoom_in" in line
    assert not (tmp_path / "run").exists()


def test_a_bad_video_below_the_limit_is_replaced_and_counted(capsys, manifest, tmp_path):
    train = [json.loads(line) for line in manifest.read_text().splitlines()[1:] if '"train"' in line]
    (manifest.parent / train[0]["path"]).write_text("no video")
    code, _, err = call(capsys, *search(manifest, tmp_path / "run"), "--clips.max_bad_fraction=0.05")
    assert code == 0, err
    code, out, _ = call(capsys, "inspect", tmp_path / "run", "--json")
    assert json.loads(out)["num_bad_videos"] <= 1


def test_bad_videos_are_listed_wherever_a_run_is_looked_at(capsys, manifest, spec, tmp_path):
    header, *lines = manifest.read_text().splitlines(keepends=True)
    train = [json.loads(line) for line in lines if '"train"' in line][::2]
    manifest.write_text(header + "".join(json.dumps(line) + "\n" for line in train))
    (manifest.parent / train[0]["path"]).write_text("no video")
    run = tmp_path / "run"
    command = ["retrain", spec, f"--data={manifest}", f"--out={run}", "--threads=1", "--workers=0"]
    command += ["--recipe.epochs=1", "--recipe.batch_size=8", "--recipe.train_frames=2", "--recipe.test_frames=2"]
    command += ["--recipe.calibration_batches=1"]
    code, _, err = call(capsys, *command, "--clips.max_bad_fraction=0.05")
    assert code == 0, err
    code, out, _ = call(capsys, "inspect", run, "--json")
    assert json.loads(out)["bad_videos"] == [train[0]["id"]]
    code, out, _ = call(capsys, "inspect", run)
    assert f"1 videos could not be decoded: {train[0]['id']}" in out
    assert train[0]["id"] in (run / "report.html").read_text()


def test_an_empty_class(capsys, manifest, tmp_path):
    (manifest.parent / "videos" / "zoom_sideways").mkdir()
    line = refused(capsys, "data", "index", manifest.parent / "videos", tmp_path / "new.jsonl")
    assert "zoom_sideways" in line
    assert not (tmp_path / "new.jsonl").exists()


def test_an_existing_manifest_is_not_overwritten(capsys, manifest):
    before = tree(manifest.parent)
    refused(capsys, "data", "index", manifest.parent / "videos", manifest)
    assert tree(manifest.parent) == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace('"schema": 1', '"schema": 2'), "schema: must be 1, but got 2"),
        (lambda text: text.replace('"dense_width"', '"dense_with"'), "arch.dense_with: must be a known field"),
        (
            lambda text: text.replace('"stem_width": 8', '"stem_width": 8, "stem_width": 8'),
            "'stem_width' more than once",
        ),
        (
            lambda text: text.replace('"stem_width": 8', '"stem_width": 0'),
            "arch.stem_width: must be in [1, 16384], but got 0",
        ),
        (lambda text: text.replace('"rate_fps": 8.0', '"rate_fps": NaN'), "a number must be finite, but got NaN"),
        (lambda text: text.replace('"stem_width": 8', f'"stem_width": {"[" * 100_000}'), "must nest at most 32 deep"),
        (
            lambda text: text.replace('"stem_width": 8', '"stem_width": 16'),
            "fingerprint: must be that of arch and variant",
        ),
        (lambda text: text[: len(text) // 2], "a document must be JSON"),
        (lambda text: "x" * (1 << 21), "a document must have at most"),
    ],
)
def test_a_spec_that_is_none(capsys, spec, tmp_path, motion_manifest, damage, message):
    spec.write_text(damage(spec.read_text()))
    before = tree(tmp_path)
    for command in (["cost", spec], ["retrain", spec, f"--data={motion_manifest}", f"--out={tmp_path / 'run'}"]):
        line = refused(capsys, *command)
        assert message in line
        assert str(spec) in line
    assert tree(tmp_path) == before


@pytest.mark.parametrize("target", ["12500000", "macs=12500000", "macs=12M/hour", "flops=1G/clip", "macs=0/clip"])
def test_a_target_without_a_unit(capsys, motion_manifest, tmp_path, target):
    line = refused(capsys, *search(motion_manifest, tmp_path / "run", target=target))
    assert "a target" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("target", ["macs=1M/clip", "macs=1G/clip", "params=10"])
def test_a_target_the_space_cannot_meet(capsys, motion_manifest, tmp_path, target):
    line = refused(capsys, *search(motion_manifest, tmp_path / "run", target=target), code=3)
    assert all(word in line for word in ("target must lie within space nano", "min", "median", "max", target))
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_exists(capsys, motion_manifest, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("precious")
    before = tree(tmp_path)
    assert "must not exist yet" in refused(capsys, *search(motion_manifest, tmp_path / "run"))
    assert tree(tmp_path) == before


def test_a_run_folder_in_use(capsys, search_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(search_run, run)
    before = tree(run)
    program = (
        "import sys, pathlib; from results.run_dir import lock, open_run\n"
        f"with lock(open_run(pathlib.Path({str(run)!r}))): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert holder.stdout.readline() == b"held\n"
    assert f"must not be in use, but process {holder.pid} holds it" in refused(capsys, "resume", run)
    holder.communicate()
    assert tree(run) == before
    with lock(open_run(run)):
        pass


def test_no_run_folder(capsys, tmp_path, search_run, retrain_run):
    for verb in ("resume", "inspect", "report"):
        assert "must be a run folder, but got nothing there" in refused(capsys, verb, tmp_path / "no")
    assert "must be a search run, but got a retrain run" in refused(capsys, "export", retrain_run, "--out", tmp_path)
    assert "must be a retrain run, but got a search run" in refused(
        capsys, "evaluate", search_run, "--data", tmp_path / "m.jsonl"
    )


def test_corrupt_checkpoints(capsys, search_run, motion_manifest, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(search_run, run)
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    for blob in (run / "checkpoints").glob("step_*/*"):
        blob.write_bytes(b"broken")
    before = tree(run)
    spec = next((search_run / "specs").iterdir())
    commands = (
        ["resume", run],
        ["resume", run],
        ["retrain", spec, f"--data={motion_manifest}", f"--out={tmp_path / 'r'}", f"--init=supernet:{run}"],
    )
    for command in commands:
        line = refused(capsys, *command)
        assert "must hold a checkpoint that verifies, but got step_" in line
        assert tree(run) == before


def test_a_corrupt_journal(capsys, search_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(search_run, run)
    data = bytearray((run / "journal.jsonl").read_bytes())
    data[data.index(b"train_loss") + 14] ^= 1
    (run / "journal.jsonl").write_bytes(data)
    before = tree(run)
    assert "journal.jsonl:2: " in refused(capsys, "resume", run)
    code, out, err = call(capsys, "inspect", run)  # shows what can be read, and tells what cannot
    assert (code, "journal.jsonl:2: " in err, "step 7 of 8" in out) == (2, True, True)
    assert tree(run) == before
    code, _, err = call(capsys, "report", run)  # likewise, in its own files
    assert (code, "journal.jsonl:2: " in err) == (2, True)
    assert {name for name, digest in tree(run).items() if before.get(name) != digest} <= {
        name for name in tree(run) if name.startswith("report")
    }


def test_a_corrupt_configuration(capsys, search_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(search_run, run)
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    (run / "config.yaml").write_text("space: [")
    assert "must hold a readable configuration" in refused(capsys, "resume", run)


def test_an_unfinished_search_cannot_be_exported(capsys, search_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(search_run, run)
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    assert "must be a finished search" in refused(capsys, "export", run, "--out", tmp_path / "specs")


def test_other_classes(capsys, retrain_run, search_run, manifest, tmp_path):
    shutil.rmtree(manifest.parent / "videos" / "zoom_in")
    manifest.unlink()
    assert call(capsys, "data", "index", manifest.parent / "videos", manifest)[0] == 0
    assert "must have the classes of the network" in refused(capsys, "evaluate", retrain_run, "--data", manifest)
    spec = next((search_run / "specs").iterdir())
    line = refused(
        capsys, "retrain", spec, "--data", manifest, f"--out={tmp_path / 'r'}", "--init", f"supernet:{search_run}"
    )
    assert "weights must know the classes at hand, 7 from 'move_down' on, but know 8 from 'move_down' on" in line
    assert not (tmp_path / "r").exists()


def test_starts_that_are_none(capsys, retrain_run, motion_manifest, tmp_path, search_run):
    spec = next((search_run / "specs").iterdir())
    weights = retrain_run / "model" / "model.safetensors"
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(weights.read_bytes()[:1000])
    for init, message in (
        ("weights", "init must be scratch, supernet:RUN, retrain:RUN or weights:FILE"),
        (f"weights:{tmp_path / 'no'}", "must be a readable file"),
        (f"weights:{broken}", "weights must be safetensors"),
        (f"supernet:{tmp_path / 'no'}", "must be a run folder"),
    ):
        line = refused(capsys, "retrain", spec, f"--data={motion_manifest}", f"--out={tmp_path / 'r'}", "--init", init)
        assert message in line
    arguments = ["published:A0", f"--data={motion_manifest}", f"--out={tmp_path / 'r'}", "--init", f"weights:{weights}"]
    code, out, err = call(capsys, "retrain", *arguments)
    *named, line = err.splitlines()
    assert (code, out) == (2, "")
    assert "weights must fit the network" in line
    assert all(name.startswith(("missing: ", "unknown: ", "of another shape: ")) for name in named)


def test_a_video_to_predict_that_is_none(capsys, retrain_run, motion_manifest, tmp_path):
    (tmp_path / "x.mp4").write_text("no video")
    assert "x.mp4: " in refused(capsys, "predict", retrain_run, tmp_path / "x.mp4")
    good = next((motion_manifest.parent / "videos" / "zoom_in").iterdir())
    code, out, err = call(capsys, "predict", retrain_run, tmp_path / "x.mp4", good, "--json")
    assert code == 2
    assert [document["failed"] for document in json.loads(out)] == [True, False]
    assert err.count("\n") == 1


def test_a_network_that_looks_ahead_does_not_stream(capsys, retrain_run, motion_manifest):
    good = next((motion_manifest.parent / "videos" / "zoom_in").iterdir())
    before = tree(retrain_run)
    for command in (["stream", retrain_run, good], ["evaluate", retrain_run, "--data", motion_manifest, "--stream"]):
        line = refused(capsys, *command)
        assert "must be a network that streams, but this one also looks at later frames" in line
    assert tree(retrain_run) == before


def test_sources_of_a_stream_that_are_none(capsys, stream_run, search_run, tmp_path):
    (tmp_path / "x.mp4").write_text("no video")
    for source, message in (
        (tmp_path / "no.mp4", "no.mp4: must be a readable video, but got FileNotFoundError"),
        (tmp_path / "x.mp4", "x.mp4: must be a readable video, but got InvalidDataError"),
        (tmp_path, "must be a readable video, but got IsADirectoryError"),
        ("camera:/dev/null", "/dev/null: must be a readable video, but got OSError: Inappropriate ioctl for device"),
        ("http://127.0.0.1:9/x", "http://127.0.0.1:9/x: must be a readable video, but got Connection"),
        ("ftp://127.0.0.1/x", "a source must be a video file, a camera such as /dev/video0, or an address of http"),
    ):
        assert message in refused(capsys, "stream", stream_run, source)
    assert "must be a retrain run, but got a search run" in refused(capsys, "stream", search_run, tmp_path / "x.mp4")


def test_settings_of_a_stream(capsys, stream_run, tmp_path):
    for option, message in (
        ("--top=0", "top, every, max_frames and reset_every must be at least 1, but got top=0"),
        ("--reset_every=0", "must be at least 1, but got top=5, every=1, max_frames=None, reset_every=0"),
        ("--live.size=640", "size must be written as width x height"),
        ("--live.size=640x480", "size, rate_fps and pixels must be left out where there is no camera"),
        ("--live.transport=smoke", "live.transport"),
    ):
        assert message in refused(capsys, "stream", stream_run, tmp_path / "x.mp4", option)


def test_a_budget_that_no_architecture_keeps_though_each_bound_is_kept_by_some(capsys, motion_manifest, tmp_path):
    given = search(motion_manifest, tmp_path / "run", target="macs=53M/clip")
    line = refused(capsys, *given, "--max=params=60k", code=3)
    assert all(word in line for word in ("min", "median", "max", "found none for macs=53M/clip, at most params=60k"))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_diverges(capsys, motion_manifest, tmp_path):
    line = refused(capsys, *search(motion_manifest, tmp_path / "run"), "--weights.learning_rate=1e30")
    assert "the loss must stay finite" in line


def test_numbers_of_classes_and_shares_that_are_none(capsys, manifest, tmp_path):
    assert "classes must be in [1, 1000000], but got 0" in refused(capsys, "cost", "published:A0", "--classes=0")
    assert "classes must be in" in refused(capsys, "space", "show", "nano", "--classes=-1")
    for split in ("0.7,0.7,nan", "0.5,0.5", "a,b,c", "inf,0,0"):
        assert "share" in refused(
            capsys, "data", "index", manifest.parent / "videos", tmp_path / "m.jsonl", f"--split={split}"
        )


def test_settings_of_a_search(capsys, motion_manifest, tmp_path):
    for option, message in (
        ("--proxy=frames", "proxy must be written as"),
        ("--proxy=size=3", "proxy must be written as"),
        ("--held_out=1.5", "held_out must be in (0, 1)"),
        ("--search.beta=0.3", "beta must be negative"),
        ("--search.warmup.op_fraction=0.5", "warm-up must end before the policy learns"),
        ("--variant=bass", "did you mean base?"),
    ):
        assert message in refused(capsys, *search(motion_manifest, tmp_path / "run"), option)
    assert "did you mean nano?" in refused(capsys, *search(motion_manifest, tmp_path / "run", space="nanu"))
    assert not (tmp_path / "run").exists()
