"""The clips of a search, and a whole search that decides on them."""

import json
import multiprocessing
import re
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from program import SEARCH, call, call_json

from launch.cli import main
from launch.clips import ClipConfig, Tally
from launch.compute import Compute
from launch.search_clips import SearchClips
from results.genotypes import unpack
from results.history import read_history
from results.journal import iter_journal
from results.records import StepRecord
from search_spaces.clip_choices import ClipChoices
from search_spaces.movinet import NANO
from search_spaces.space_json import space_document
from search_spaces.spec import ClipGeometry
from search_spaces.strict_json import pretty
from search_spaces.target import parse_target
from search_spaces.variant import Variant
from supernet.distributed import ALONE, Ranks
from supernet.evaluator import WeightConfig
from video.manifest import load_manifest

SPACE = replace(
    NANO,
    name="clips",
    clip=ClipGeometry(num_frames=4, resolution=32, rate_fps=4.0),
    clip_choices=ClipChoices(num_frames=(4, 6), resolutions=(24, 32), rates_fps=(4.0, 8.0)),
)
RATE = "macs=6M/s"
OPTIONS = [option for option in SEARCH if not option.startswith("--proxy")]


@pytest.fixture(scope="module")
def space_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "clips.json"
    path.write_text(pretty(space_document(SPACE)))
    return path


@pytest.fixture(scope="module")
def clips_run(tmp_path_factory, motion_manifest, space_file):
    out = tmp_path_factory.mktemp("clips") / "run"
    arguments = [f"--space={space_file}", f"--data={motion_manifest}", f"--target={RATE}", f"--out={out}"]
    assert main(["search", *arguments, *OPTIONS]) == 0
    return out


def search_clips(motion_manifest, geometries, *, workers=0, ranks=ALONE):
    items = load_manifest(motion_manifest).of("train")
    return SearchClips(
        items[:20],
        items[20:26],
        config=ClipConfig(),
        weights=WeightConfig(batch_size=4, reward_batch_size=3),
        compare_clips=5,
        seed=0,
        geometries=geometries,
        compute=Compute(device=torch.device("cpu"), num_threads=1, num_workers=workers, amp_dtype=None),
        num_ahead=2,
        tally=Tally(ClipConfig(), num_videos=len(items)),
        ranks=ranks,
    )


def test_a_position_is_the_same_videos_at_every_geometry(motion_manifest):
    clips = search_clips(motion_manifest, {clip: clip for clip in SPACE.clips}, workers=2)
    small, large = SPACE.clips[0], SPACE.clips[-1]
    for stream in (clips.train, clips.reward, lambda _, clip: clips.compare(clip)):
        for one, other in islice(zip(stream(3, small), stream(3, large), strict=True), 2):
            assert one.indices == other.indices
            assert one.labels_B.tolist() == other.labels_B.tolist()
            assert one.frames_BTHWC.shape[1:4] == (4, 24, 24)
            assert other.frames_BTHWC.shape[1:4] == (6, 32, 32)
            assert not multiprocessing.active_children()  # that read ahead, of clips nobody may want
    fast, slow = (next(clips.reward(0, replace(large, rate_fps=rate))).frames_BTHWC for rate in (8.0, 4.0))
    assert not torch.equal(fast, slow)


def test_rewards_are_of_the_middle_of_a_video_and_training_of_any_place(motion_manifest):
    clips = search_clips(motion_manifest, {clip: clip for clip in SPACE.clips})
    clip = ClipGeometry(num_frames=4, resolution=24, rate_fps=8.0)
    for stream, num_batches, same in ((clips.reward, 2, True), (clips.train, 5, False)):
        epochs = []
        for epoch in range(2):
            batches = list(islice(stream(epoch * num_batches, clip), num_batches))
            frames = zip(
                (i for batch in batches for i in batch.indices),
                (f for b in batches for f in b.frames_BTHWC),
                strict=True,
            )
            epochs.append(dict(frames))
        assert set(epochs[0]) == set(epochs[1])
        assert all(torch.equal(epochs[0][index], epochs[1][index]) for index in epochs[0]) == same


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_of_two_ranks_each_reads_every_second_batch(motion_manifest, workers):
    clip = SPACE.clips[0]
    whole = search_clips(motion_manifest, {clip: clip})
    parts = [
        search_clips(motion_manifest, {clip: clip}, workers=workers, ranks=Ranks(rank=rank, size=2))
        for rank in range(2)
    ]
    for name in ("train", "reward"):
        batches = list(islice(getattr(whole, name)(0, clip), 4))
        for rank, part in enumerate(parts):
            for expected, found in zip(batches[rank::2], getattr(part, name)(rank, clip), strict=False):
                assert found.indices == expected.indices
                assert torch.equal(found.frames_BTHWC, expected.frames_BTHWC)


def test_a_proxy_is_read_in_place_of_the_clip_that_networks_are_meant_for(motion_manifest):
    proxy = replace(NANO.clip, num_frames=2, resolution=16)
    clips = search_clips(motion_manifest, {NANO.clip: proxy})
    assert next(clips.train(0, NANO.clip)).frames_BTHWC.shape == (4, 2, 16, 16, 3)
    assert [len(batch.indices) for batch in clips.compare(NANO.clip)] == [5]  # though rewards have fewer


def test_a_search_decides_on_the_clip_and_journals_it(clips_run):
    history = read_history(clips_run / "journal.jsonl")
    target = parse_target(RATE)
    assert history.start.decisions["clip.rate_fps"] == (4.0, 8.0)
    records = list(iter_journal(clips_run / "journal.jsonl"))
    trials = [trial for record in records if isinstance(record, StepRecord) for trial in record.trials]
    genotypes = [unpack(trial.genotype, history.start.decisions) for trial in trials]
    assert {genotype["clip.num_frames"] for genotype in genotypes} == {4, 6}
    assert {genotype["clip.resolution"] for genotype in genotypes} == {24, 32}
    for trial, genotype in zip(trials, genotypes, strict=True):
        spec = SPACE.decode(genotype, Variant()).spec
        assert spec.clip.rate_fps == genotype["clip.rate_fps"]
        assert trial.cost == pytest.approx(target.cost(spec, Variant(), num_classes=8))
    assert len(history.entropy["clip"]) == 8


def test_such_a_search_resumes_to_the_same_bytes(capsys, clips_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(clips_run, run)
    shutil.rmtree(max((run / "checkpoints").glob("step_*")))
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (run / "journal.jsonl").write_text("".join(lines[:-8]))
    assert call(capsys, "resume", run)[0] == 0
    assert (run / "journal.jsonl").read_bytes() == (clips_run / "journal.jsonl").read_bytes()
    weights = "supernet.safetensors"
    again = max((run / "checkpoints").glob("step_*")) / weights
    assert again.read_bytes() == (max((clips_run / "checkpoints").glob("step_*")) / weights).read_bytes()


def test_what_it_finds_is_exported_and_retrained_at_its_own_clip(capsys, clips_run, motion_manifest, tmp_path):
    (row,) = call_json(capsys, "export", clips_run, "--top=1", "--out", tmp_path / "specs")
    document = json.loads(Path(row["path"]).read_text())
    clip, genotype = document["arch"]["clip"], document["genotype"]
    assert clip == {name: genotype[f"clip.{name}"] for name in ("num_frames", "resolution", "rate_fps")}
    recipe = ["--recipe.epochs=1", "--recipe.batch_size=16", "--threads=1", "--workers=0"]
    run = tmp_path / "retrain"
    for init in ("scratch", f"supernet:{clips_run}"):
        call_json(capsys, "retrain", row["path"], "--data", motion_manifest, "--out", run, f"--init={init}", *recipe)
        card = json.loads((run / "model" / "model.json").read_text())
        assert card["arch"]["clip"] == clip
        shutil.rmtree(run)


def test_its_report_and_its_inspection_show_the_clip(capsys, clips_run):
    assert "num_frames" in (clips_run / "report.html").read_text()
    place = next(place for place in call_json(capsys, "inspect", clips_run)["layers"] if place["name"] == "clip")
    assert set(place["choices"]) == {"num_frames", "resolution", "rate_fps"}
    assert re.search(r"clip\.num_frames [46] [▁▂▃▄▅▆▇█] *\d+%, clip\.", call(capsys, "inspect", clips_run)[1])


def test_a_proxy_is_refused_where_the_clip_is_decided(capsys, space_file, motion_manifest, tmp_path):
    arguments = [f"--space={space_file}", f"--data={motion_manifest}", f"--target={RATE}", f"--out={tmp_path / 'run'}"]
    code, _, err = call(capsys, "search", *arguments, "--proxy=frames=2")
    assert code == 2
    assert "a space that decides on its clip must have no proxy, but got 'frames=2'" in err
    assert not (tmp_path / "run").exists()


def test_a_plan_tries_every_network_on_its_own_clips(capsys, space_file, motion_manifest, tmp_path):
    arguments = [f"--space={space_file}", f"--data={motion_manifest}", f"--target={RATE}", f"--out={tmp_path / 'run'}"]
    assert call_json(capsys, "search", *arguments, "--plan", "--threads=1", "--weights.batch_size=2")["estimated_s"] > 0
