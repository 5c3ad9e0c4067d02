"""Scores with shared weights: the search's own come out again; recalibrated ones are those of extracted networks."""

import re
import shutil
from itertools import islice

import pytest
import torch
from made_spaces import TINY

from launch import search, shared_weights
from launch.clips import Tally, hold_out
from launch.compute import set_up
from launch.runs import load_supernet, options_of, variant_of
from launch.search_clips import SearchClips, clip_geometry
from launch.shared_weights import shared_scores
from results.history import read_history
from results.run_dir import open_run
from search_spaces.errors import RunFolderError, SpaceError, WeightsError
from search_spaces.randomness import generator
from search_spaces.space_json import read_space
from supernet.calibrate import calibrate
from supernet.extract import extract
from supernet.inputs import network_input
from video.manifest import load_manifest


@pytest.fixture(scope="module")
def run(search_run):
    return open_run(search_run, kind="search")


@pytest.fixture(scope="module")
def compared(run):
    """What the search compared in the end, and the candidates."""
    space, variant = read_space(run.space_path), variant_of(run)
    records = read_history(run.journal_path).candidates
    return records, [space.decode(record.genotype, variant) for record in records]


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


def test_batch_statistics_give_what_the_search_wrote_down(run, compared):
    records, candidates = compared
    before = bytes_of(run)
    found = shared_scores(run, candidates, statistics="batch")
    assert [(each.quality, each.num_clips) for each in found] == [(each.quality, each.num_clips) for each in records]
    assert bytes_of(run) == before


def test_recalibrated_statistics_are_those_of_each_extracted_network(run, compared, monkeypatch):
    """By hand, one network after the other; in two parts with the last one shorter."""
    candidates = compared[1][:3]
    options = options_of(run, search.Options)
    items = load_manifest(run.manifest_path).of("train")
    kept, held = hold_out(items, fraction=options.held_out, seed=options.seed)
    clip = candidates[0].spec.clip
    clips = SearchClips(
        kept,
        held,
        config=options.clips,
        weights=options.weights,
        compare_clips=options.compare_clips,
        seed=options.seed,
        geometries={clip: clip_geometry(options.proxy, clip)},
        compute=set_up(options),
        num_ahead=1,
        tally=Tally(options.clips, num_videos=len(items)),
    )
    supernet, expected = load_supernet(run), []
    for candidate in candidates:
        net = extract(supernet, candidate.spec, candidate.variant)
        calibrate(net, islice(clips.train(0, clip), shared_weights.CALIBRATION_BATCHES), device=torch.device("cpu"))
        net.eval()
        right = [
            bool(net(clips_BCTHW).argmax(dim=1) == labels_B)
            for batch in clips.compare(clip)
            for clips_1BCTHW, labels in [network_input(batch, torch.device("cpu"))]
            for clips_BCTHW, labels_B in zip(clips_1BCTHW.split(1), labels.split(1), strict=True)
        ]
        expected.append((sum(right) / len(right), len(held)))
    monkeypatch.setattr(shared_weights, "NETS_AT_ONCE", 2)
    found = shared_scores(run, candidates, statistics="recalibrated")
    assert [(each.quality, each.num_clips) for each in found] == expected
    assert shared_scores(run, candidates[::-1], statistics="recalibrated") == found[::-1]


def test_what_cannot_be_scored(run, compared, tmp_path):
    other = TINY.decode(TINY.sample(generator(0, "other")), variant_of(run))
    with pytest.raises(SpaceError, match="genotype"):
        shared_scores(run, [other], statistics="batch")
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run.path, unfinished)
    lines = (unfinished / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (unfinished / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(RunFolderError, match=re.escape("must be a finished search (movinas resume goes on with one)")):
        shared_scores(open_run(unfinished), compared[1], statistics="batch")
    (unfinished / "journal.jsonl").write_bytes(b"".join(lines))
    shutil.rmtree(unfinished / "checkpoints")
    (unfinished / "checkpoints").mkdir()
    with pytest.raises(WeightsError, match="must have a checkpoint"):
        shared_scores(open_run(unfinished), compared[1], statistics="batch")
