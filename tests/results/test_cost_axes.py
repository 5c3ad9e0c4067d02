import json
from dataclasses import asdict, replace

import made_runs
import pytest

from results.cost_axes import cost_axes, decoder_of, published_costs
from results.history import read_history
from search_spaces.cost import cost
from search_spaces.movinet import NANO, find_space
from search_spaces.published import published
from search_spaces.randomness import generator
from search_spaces.space_json import space_document
from search_spaces.variant import VARIANTS, Variant


def made_run(path, *, space=NANO, variant=None, target="macs=6M/clip", limits=()):
    """A finished search whose genotypes are of a real space, in a folder that holds it."""
    start = replace(made_runs.start(), space_hash=space.hash, target=target, limits=limits)
    genotypes = [space.sample(generator(number, "networks")) for number in range(12)]
    candidates = [
        replace(
            each,
            genotype=genotype,
            fingerprint=space.decode(genotype, variant or Variant()).fingerprint,
            limit_ratios=(0.5,) * len(limits),
        )
        for each, genotype in zip(made_runs.candidates(), genotypes, strict=True)
    ]
    result = replace(made_runs.result(), found=candidates[2].fingerprint)
    run = made_runs.make_run(path, [start, made_runs.step(0), *candidates, result])
    run.space_path.write_text(json.dumps(space_document(space)))
    run.variant_path.write_text(json.dumps(asdict(variant or Variant())))
    return run, read_history(run.journal_path)


@pytest.mark.parametrize("damage", ["absent", "another", "torn", "variant"])
def test_without_its_own_space_a_run_decodes_nothing(tmp_path, damage):
    run, history = made_run(tmp_path / "run")
    assert decoder_of(run, None) is None
    match damage:
        case "absent":
            run.space_path.unlink()
        case "another":
            run.space_path.write_text(json.dumps(space_document(find_space("a2"))))
        case "torn":
            run.space_path.write_text(run.space_path.read_text()[:-9])
        case "variant":
            run.variant_path.write_text('{"conv": "4d"}')
    assert decoder_of(run, history.start) is None
    assert [axis.name for axis in cost_axes(history, None)] == ["comparison"]


@pytest.mark.parametrize(
    ("target", "title", "names"),
    [
        ("macs=6M/clip", "MACs per clip", ["comparison", "comparison-state"]),
        ("macs=1M/frame", "MACs per frame", ["comparison", "comparison-macs", "comparison-state"]),
        ("state=1MiB@fp16", "state bytes, fp16", ["comparison", "comparison-macs"]),
        ("params=1M", "parameters", ["comparison", "comparison-macs", "comparison-state"]),
        ("latency=9ms/clip@t.json", "seconds per clip", ["comparison", "comparison-macs", "comparison-state"]),
        (
            "activations=1MiB/clip@fp16",
            "peak activation bytes per clip, fp16",
            ["comparison", "comparison-macs", "comparison-state"],
        ),
    ],
)
def test_every_cost_is_shown_once(tmp_path, target, title, names):
    run, history = made_run(tmp_path / "run", target=target, limits=("latency=9ms/clip@t.json",))
    axes = cost_axes(history, decoder_of(run, history.start))
    assert [axis.name for axis in axes] == [*names, "comparison-limit0"]
    assert list(axes[-1].values) == [0.5] * 12
    assert axes[0].bound == made_runs.TARGET
    assert axes[0].title == title


def test_costs_are_those_of_the_decoded_networks(tmp_path):
    variant = VARIANTS["released-stream"]
    run, history = made_run(tmp_path / "run", target="params=1M", variant=variant)
    axes = {axis.name: axis for axis in cost_axes(history, decoder_of(run, history.start))}
    for number, each in enumerate(history.candidates):
        found = cost(NANO.decode(each.genotype, variant).spec, variant, num_classes=2)
        assert axes["comparison-macs"].values[number] == found.macs
        assert axes["comparison-state"].values[number] == found.stream_state_bytes
    assert axes["comparison-macs"].published == {}


def test_published_networks_are_shown_beside_those_of_their_clip(tmp_path):
    space = find_space("a2")
    run, history = made_run(tmp_path / "run", space=space)
    axis = cost_axes(history, decoder_of(run, history.start))[0]
    expected = cost(published("A2"), Variant(), num_classes=2).macs
    assert axis.published == {"published A2": expected}


def test_state_of_what_does_not_stream_is_that_of_its_release(tmp_path):
    run, history = made_run(tmp_path / "run", space=find_space("a1"))
    macs, state = published_costs(decoder_of(run, history.start))["published A1"]
    assert macs == cost(published("A1"), Variant(), num_classes=2).macs
    released = replace(VARIANTS["released-stream"], head_activation="hard_swish")
    assert state == cost(published("A1"), released, num_classes=2).stream_state_bytes
