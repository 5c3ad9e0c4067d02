"""What a finished search found, for people."""

import shutil
from pathlib import Path

from launch.found import best_specs, random_spec
from results.run_dir import open_run
from search_spaces.variant import Variant


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
