import numpy as np
import pytest

from launch.bench.made_search import make_search
from results.architectures import STATE_VARIANT, Decoder, layer_rows, shown_network, streaming_variant, with_costs
from results.genotypes import pack
from results.history import read_history
from results.summary import summarise_search
from search_spaces.cost import cost
from search_spaces.errors import SpaceError
from search_spaces.movinet import NANO
from search_spaces.published import published, released_stream
from search_spaces.variant import VARIANTS, Variant


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_search(tmp_path_factory.mktemp("made") / "run", NANO, num_steps=60)


def test_rows_add_up_to_the_network():
    stream = VARIANTS["released-stream"]
    rows = layer_rows(published("A0"), stream, num_classes=600)
    assert [row["part"] for row in rows[:3]] == ["stem", "block2.layer1", "block3.layer1"]
    assert len(rows) == published("A0").num_layers + 2
    costs = cost(published("A0"), stream)
    assert sum(row["MACs"] for row in rows) == costs.macs
    assert sum(row["parameters"] for row in rows) == costs.params
    assert sum(row["state bytes"] for row in rows) == costs.stream_state_bytes


def test_a_network_that_does_not_stream_has_the_state_of_one_that_does():
    base, stream = Variant(), VARIANTS[STATE_VARIANT]
    spec = NANO.decode(NANO.sample(np.random.default_rng(0)), base).spec
    rows = layer_rows(spec, base, num_classes=8)
    assert sum(row["state bytes"] for row in rows) == cost(spec, stream, num_classes=8).stream_state_bytes > 0
    assert sum(row["MACs"] for row in rows) == cost(spec, base, num_classes=8).macs
    assert streaming_variant(published("A3"), base) == released_stream("A3")
    assert streaming_variant(spec, VARIANTS["paper-stream"]) == VARIANTS["paper-stream"]


def test_costs_of_many_are_those_of_each(run):
    history = read_history(run.journal_path, architectures=True)
    decoder = Decoder.of(run, history.start)
    candidates = [decoder.network(each.genotype) for each in history.candidates]
    packed = [pack(each.genotype, decoder.decisions) for each in history.candidates[::2]]
    mixed = [
        packed[number // 2] if number % 2 == 0 else each.genotype for number, each in enumerate(history.candidates)
    ]
    macs_N, state_bytes_N = decoder.population_costs(mixed)
    assert macs_N.tolist() == [decoder.macs(each) for each in candidates]
    assert state_bytes_N.tolist() == [decoder.state_bytes(each) for each in candidates]
    sampled_N, _ = decoder.population_costs([each.genotype for each in history.architectures])
    assert sampled_N.tolist() == history.trials["cost"].tolist()


def test_the_selected_network_is_shown_and_before_it_the_likeliest(run, tmp_path):
    history = read_history(run.journal_path)
    decoder = Decoder.of(run, history.start)
    assert shown_network(decoder, history).fingerprint == history.result.found
    half = make_search(tmp_path / "half", NANO, num_steps=60, done=30)
    found = read_history(half.journal_path)
    assert shown_network(decoder, found).fingerprint == found.last.argmax_fingerprint
    summary = with_costs(summarise_search(half), found, decoder, folder=half.path)
    assert summary.argmax.macs == summary.argmax.cost == found.last.argmax_cost
    assert summary.argmax.state_bytes > 0


def test_a_folder_without_its_space_is_named(run, tmp_path):
    start = read_history(run.journal_path).start
    half = make_search(tmp_path / "half", NANO, num_steps=60, done=1)
    half.space_path.unlink()
    with pytest.raises(SpaceError, match=r"space\.json"):
        Decoder.of(half, start)
