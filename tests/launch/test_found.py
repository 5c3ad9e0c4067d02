"""What a finished search found, for people."""

import shutil
from pathlib import Path

from launch.found import best_specs, layer_rows, random_spec
from results.run_dir import open_run
from search_spaces.cost import cost
from search_spaces.published import published
from search_spaces.variant import VARIANTS, Variant


def test_rows_add_up_to_the_network():
    stream = VARIANTS["released-stream"]
    rows = layer_rows(published("A0"), stream, num_classes=600)
    assert [row["part"] for row in rows[:3]] == ["stem", "block2.layer1", "block3.layer1"]
    assert len(rows) == published("A0").num_layers + 2
    costs = cost(published("A0"), stream)
    assert sum(row["MACs"] for row in rows) == costs.macs
    assert sum(row["parameters"] for row in rows) == costs.params


def test_every_spec_is_built_as_the_search_was(search_run: Path, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(search_run, copy)
    (copy / "variant.json").write_text('{"activation": "hard_swish"}')
    run = open_run(copy)
    assert random_spec(run).variant == Variant(activation="hard_swish")
    assert {found.variant for found in best_specs(run, top=9, tolerance=0.03)} == {Variant(activation="hard_swish")}


def test_the_selected_architecture_comes_first_and_random_ones_stay_apart(search_run: Path):
    run = open_run(search_run)
    best = best_specs(run, top=10, tolerance=0.03)
    (written,) = (search_run / "specs").iterdir()
    assert best[0].fingerprint == written.stem
    assert all(spec_file.provenance.origin in ("argmax", "policy") for spec_file in best)
    drawn = random_spec(run)
    assert drawn.provenance.origin == "random"
    assert abs(drawn.metrics["cost_ratio"] - 1) <= 0.02
