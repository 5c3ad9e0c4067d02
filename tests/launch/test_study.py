"""Studies: their statistics, the ground truth that lies in benchmarks, and each of them whole on next to nothing."""

import gzip
import json
import os
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from launch.cli import main
from launch.study import common, compute, mechanisms, micro, retrained, searches, truth
from launch.study.common import StudyOptions, check, interval, percentile, results_of
from launch.study.compute import best_of
from launch.study.planted import with_shuffled_labels
from launch.study.predictions import differences, verdict
from launch.study.replay import ALL, FEW, random_choice, replay
from launch.study.table import TruthTable, read_table, write_table
from launch.study.training import Training
from nas.audit import ceiling
from nas.executor import Unit
from nas.reinforce import Reinforce
from nas.select import SelectionConfig
from nas.warmup import WarmupConfig
from results.estimate import Estimate
from results.run_dir import RunDir, lock
from retrain.recipe import Recipe
from search_spaces.errors import DocumentError, RunFolderError, SweepError, UsageError
from supernet.evaluator import WeightConfig
from video.manifest import load_manifest, write_manifest

TABLE = Path(__file__).parents[2] / "benchmarks" / "2026-11-21-micro-truth.json.gz"


@pytest.fixture(scope="module")
def table():
    return read_table(TABLE)


def test_an_interval_is_students_and_one_value_has_none():
    found = interval([1.0, 2.0, 3.0])  # 4.303 is the 97.5 % quantile of t with two degrees of freedom
    half = 4.302652729911275 / 3**0.5
    assert (found.mean, found.num) == (2.0, 3)
    assert (found.low, found.high) == (pytest.approx(2 - half), pytest.approx(2 + half))
    assert str(interval([0.5])) == "0.500 (n=1)"


def test_percentiles_as_high_by_chance():
    assert retrained.by_chance([1.0], num=9) == pytest.approx(0.1, abs=0.01)
    assert retrained.by_chance([0.5, 0.5], num=10) == pytest.approx(0.545, abs=0.01)  # 66 of 121 pairs of ranks


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_best_of_single_trainings_is_marked_as_flattered(seeds, capsys):
    row = {
        "name": "a",
        "found": [0.9] * seeds,
        "found_ratio": 1.0,
        "randoms": [0.5, 0.7],
        "percentile": 1.0,
        "low": 0.4,
        "high": 1.0,
        "alone": {"n": 2, "top1": 0.7},
    }
    retrained.show([row], as_json=False)
    shown = capsys.readouterr().out
    assert ("0.700 (N=2)*" in shown) == (seeds == 1)
    assert ("* flattered: of one training each" in shown) == (seeds == 1)


def test_a_percentile_counts_equals_half():
    assert percentile(2.0, np.array([1.0, 2.0, 3.0, 4.0])) == 0.375
    assert percentile(9.0, np.array([1.0, 2.0])) == 1.0


def test_the_micro_space_has_one_cost_and_a_ground_truth_of_all_of_it(table):
    rows_ND = micro.architectures("cpu")
    assert len(np.unique(rows_ND, axis=0)) == len(rows_ND) == 132
    assert np.abs(micro.problem("cpu").ratios(rows_ND) - 1).max() <= micro.TOLERANCE
    candidates = [micro.problem("cpu").candidate(row_D) for row_D in rows_ND]
    assert table.fingerprints == tuple(candidate.fingerprint for candidate in candidates)
    assert table.macs_N.max() / table.macs_N.min() < 1.03
    assert TABLE.stat().st_size < 5 << 20


def test_two_trainings_of_the_ground_truth_agree_well_enough_to_rank_by(table):
    found = ceiling(list(table.accuracies().T), rng=np.random.default_rng(0)).spearman
    assert isinstance(found, Estimate)
    assert found.value >= 0.6  # what a task must reach to be of use (issue of the audit)
    assert found.low > 0.6


def test_architectures_that_see_one_frame_at_a_time_are_at_chance(table):
    blind = [
        number
        for number, genotype in enumerate(table.genotypes)
        if all(str(value).startswith("1x") for name, value in genotype.items() if name.endswith(".kernel"))
    ]
    assert blind
    assert table.truth()[blind].max() < 0.2
    assert table.truth().max() > 0.9


def test_a_table_reads_back_as_it_was_written(table, tmp_path):
    write_table(table, tmp_path / "a.json.gz")
    again = read_table(tmp_path / "a.json.gz")
    assert (again.correct_NSC == table.correct_NSC).all()
    assert (again.fingerprints, again.provenance) == (table.fingerprints, table.provenance)
    assert gzip.decompress((tmp_path / "a.json.gz").read_bytes()) == gzip.decompress(TABLE.read_bytes())


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_damaged_table_is_refused_in_one_line(damage, tmp_path):
    data = bytearray(TABLE.read_bytes())
    if damage == "flipped":
        data[2000] ^= 255
    if damage != "missing":
        (tmp_path / "b.json.gz").write_bytes(data[:-9] if damage == "cut" else data)
    with pytest.raises(DocumentError, match="table of ground truth, as movinas study truth makes it"):
        read_table(tmp_path / "b.json.gz")


@pytest.mark.parametrize("strategy", ["reinforce", "uniform", "evolution"])
def test_a_replay_is_a_function_of_its_seed_and_beats_a_random_architecture(table, strategy, monkeypatch):
    monkeypatch.setitem(searches.SEARCH, "cpu", replace(searches.SEARCH["cpu"], steps=40))
    truth_N = table.truth()
    found = [replay(table, "cpu", strategy, seed=seed) for seed in (0, 1)]
    assert found[0] == replay(table, "cpu", strategy, seed=0)
    assert np.mean([percentile(truth_N[number], truth_N) for number in found]) > 0.6


def test_random_choice_in_a_replay_is_a_function_of_its_seed_and_better_from_more(table):
    truth_N = table.truth()
    few, all_of_them = (
        [percentile(truth_N[random_choice(table, "cpu", name, seed=seed)], truth_N) for seed in range(8)]
        for name in (FEW, ALL)
    )
    assert few[:2] == [percentile(truth_N[random_choice(table, "cpu", FEW, seed=seed)], truth_N) for seed in (0, 1)]
    assert 0.65 < np.mean(few) < 0.95  # 5/6 where nothing is noisy
    assert min(all_of_them) > 0.8


def test_the_best_of_more_is_better_and_the_best_of_one_is_any(table):
    one, nine = best_of(table, 1), best_of(table, 9)
    assert one["mean"] == pytest.approx(0.5, abs=0.02)
    assert 0.75 < nine["mean"] < 0.95  # 0.9 where nothing is noisy


def test_shuffled_labels_keep_every_class_as_frequent_and_every_video(tmp_path):
    options = StudyOptions(out=tmp_path)
    videos = replace(truth.VIDEOS["cpu"], videos_per_class=8, size=16, num_frames=4)
    manifest = load_manifest(videos.manifest(options, "videos"))
    shuffled = with_shuffled_labels(manifest, seed=0)
    assert [item.id for item in shuffled.items] == [item.id for item in manifest.items]
    for split in ("train", "val", "test"):
        before, after = ([item.labels for item in each.of(split)] for each in (manifest, shuffled))
        assert before != after
        assert sorted(before) == sorted(after)


@dataclass(frozen=True, kw_only=True)
class Number:
    """A task of its own: a number to double, and a folder that is needed until the result is there."""

    value: int
    folder: Path | None = None

    def origin(self):
        return self.value

    def leftovers(self):
        return [self.folder] if self.folder and self.folder.exists() else []


def double(task):
    if task.value < 0:
        raise SweepError("a task must not be negative")
    if task.folder is not None:
        task.folder.mkdir(exist_ok=True)
        with (task.folder.parent / "times").open("a") as file:
            file.write("x")
    return {"twice": 2 * task.value}


def test_results_stay_and_only_what_is_missing_is_computed(tmp_path):
    options = StudyOptions(out=tmp_path)
    units = [Unit(name="a", task=Number(value=1)), Unit(name="b", task=Number(value=-1))]
    with pytest.raises(SweepError, match="b: a task must not be negative"):
        results_of(options, double, units, label="doubled")
    assert set(json.loads((tmp_path / "results" / "a.json").read_text())) == {"origin", "twice"}
    (tmp_path / "results" / "a.json").write_text('{"twice": 5}')
    again = results_of(options, double, [units[0], Unit(name="b", task=Number(value=3))], label="doubled")
    assert again == {"a": {"twice": 5}, "b": {"twice": 6}}


@pytest.mark.parametrize(("killed_at", "computed"), [("replace_file", "xx"), ("remove_folder", "x")])
def test_what_a_unit_goes_on_with_is_dropped_after_its_result_is_there(killed_at, computed, tmp_path, monkeypatch):
    options, work = StudyOptions(out=tmp_path / "study"), tmp_path / "work"
    check(options)
    units = [Unit(name="a", task=Number(value=1, folder=work))]

    def killed(path, *_):
        raise KeyboardInterrupt(path)

    with monkeypatch.context() as patches:
        patches.setattr(common, killed_at, killed)
        with pytest.raises(KeyboardInterrupt):
            results_of(options, double, units, label="doubled")
    assert work.exists()
    assert (tmp_path / "study" / "results" / "a.json").exists() == (killed_at == "remove_folder")
    assert results_of(options, double, units, label="doubled") == {"a": {"twice": 2}}
    assert not work.exists()
    assert (tmp_path / "times").read_text() == computed


def answered(task):
    return {"seed": task.options.seed}


@pytest.fixture
def few_searches(table, tmp_path, monkeypatch):
    """What makes the results of a study's searches, without searching."""
    monkeypatch.setitem(truth.VIDEOS, "cpu", replace(truth.VIDEOS["cpu"], videos_per_class=4, size=16, num_frames=4))

    def results(out=tmp_path / "study", **options):
        study = mechanisms.Options(out=out, seeds=1, **options)
        return results_of(study, answered, mechanisms.search_units(study, table), label="searched")

    return results


def test_results_are_gone_on_with_wherever_and_by_whomever_they_were_computed(few_searches, tmp_path):
    found = few_searches()
    files = {path: path.read_bytes() for path in (tmp_path / "study" / "results").iterdir()}
    assert set(found["motion-frozen-0"]) == {"seed"}
    assert few_searches(threads=2, workers=3, device="cpu", max_failures=1, json=True) == found
    older = tmp_path / "study" / "results" / "motion-frozen-0.json"
    older.write_text('{"seed": 7}')  # without a digest, as all were once
    assert few_searches()["motion-frozen-0"] == {"seed": 7}
    assert {path: path.read_bytes() for path in files} == files | {older: b'{"seed": 7}'}
    (tmp_path / "study").rename(tmp_path / "moved")
    assert few_searches(out=tmp_path / "moved")["motion-frozen-0"] == {"seed": 7}


@pytest.mark.parametrize("changed", ["search", "weights", "space", "amp", "labels", "videos"])
def test_results_of_something_else_are_refused_by_name(changed, few_searches, tmp_path, monkeypatch):
    few_searches()
    options, named = {}, "results/motion-reinforce-0.json"
    if changed == "search":
        monkeypatch.setitem(searches.SEARCH, "cpu", replace(searches.SEARCH["cpu"], beta_ramp=2.0))
    if changed == "weights":
        monkeypatch.setitem(searches.WEIGHTS, "cpu", replace(searches.WEIGHTS["cpu"], learning_rate=0.5))
    if changed == "space":
        monkeypatch.setitem(micro.CLIPS, "cpu", replace(micro.MICRO.clip, rate_fps=4.0))
        named = "micro.json"
    if changed == "amp":
        options = {"amp": "bf16"}
    if changed == "labels":
        path = tmp_path / "study" / "motions.jsonl"
        shuffled = with_shuffled_labels(load_manifest(path), seed=0)
        write_manifest(shuffled, path, overwrite=True)
    if changed == "videos":
        monkeypatch.setitem(truth.VIDEOS, "cpu", replace(truth.VIDEOS["cpu"], num_frames=5))
        named = "motions.videos.json"
    with pytest.raises(UsageError, match=f"study/{named}: must come from the options, recipe, space and videos"):
        few_searches(**options)


def test_one_process_writes_to_a_study_and_others_read_what_is_there(few_searches, tmp_path, capsys):
    found, held = few_searches(), lock(RunDir(path=tmp_path / "study", kind="study"))
    gone = tmp_path / "study" / "results" / "motion-frozen-0.json"
    told = f"study: must not be in use, but process {os.getpid()} holds it"
    with held:
        assert few_searches() == found
        gone.unlink()
        with pytest.raises(RunFolderError, match=told):
            few_searches()
        assert not gone.exists()
        assert main(["study", "truth", "--out", str(tmp_path / "study")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "study" / "members").exists()
    assert few_searches() == found
    gone.write_text("[]")
    with pytest.raises(DocumentError, match="motion-frozen-0.json: must be a result of a study"):
        few_searches()


def test_every_kind_of_search_differs_from_the_full_one_in_what_it_knocks_out(table, tmp_path, monkeypatch):
    monkeypatch.setitem(truth.VIDEOS, "cpu", replace(truth.VIDEOS["cpu"], videos_per_class=4, size=16, num_frames=4))
    units = mechanisms.search_units(mechanisms.Options(out=tmp_path, seeds=1), table)
    options = {unit.name: replace(unit.task.options, out=tmp_path) for unit in units}
    full = options["motion-reinforce-0"]
    others = {
        name.removeprefix("motion-").removesuffix("-0"): each for name, each in options.items() if "other" not in name
    }
    assert others["soft-reward"].search.reward == "mnas"
    assert others["no-op-warmup"].search.warmup == WarmupConfig(op_fraction=0.0)
    assert others["no-filter-warmup"].search.warmup == WarmupConfig(filter_fraction=0.0)
    assert others["small-batch"].weights == replace(full.weights, reward_batch_size=mechanisms.SMALL_BATCH)
    assert len({repr(each) for each in options.values()}) == len(options) == 12
    policy = Reinforce(micro.MICRO, others["frozen"].search.controller, num_steps=full.search.steps)
    assert {policy.learning_rate(step) for step in range(full.search.steps)} == {0.0}


def test_a_verdict_follows_from_the_interval_alone():
    above, wide, below = interval([0.1, 0.2, 0.15]), interval([-0.1, 0.4]), interval([-0.1, -0.2, -0.15])
    assert [verdict(each, "above") for each in (above, wide, below)] == [
        "came true",
        "not told apart from zero at n=2",
        "did not come true",
    ]
    assert verdict(below, "below") == "came true"
    assert verdict(above, "above", also=False) == "did not come true: on that side of zero, but not by as much"
    assert verdict(interval([0.5]), "above") == "not told apart from zero at n=1"
    assert verdict(interval([]), "above") == "not told apart from zero at n=0"
    assert str(interval([])) == "none"
    assert differences([3.0, None, 5.0], [1.0, 2.0, None]) == [2.0]


def test_compute_tests_each_of_its_predictions(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(truth.VIDEOS, "cpu", replace(truth.VIDEOS["cpu"], videos_per_class=4, size=16, num_frames=4))
    monkeypatch.setitem(searches.SEARCH, "cpu", replace(searches.SEARCH["cpu"], steps=10))
    monkeypatch.setattr(compute, "NUM_DRAWS", 200)
    places = {"reinforce": (60, 90, 131), "uniform": (0, 1, 2), "evolution": (130, 130, 131)}
    results = {
        f"motion-{strategy}-{seed}": searched(table, seed=seed)
        | {"found": table.fingerprints[np.argsort(table.truth())[place]], "genotype": table.genotypes[0]}
        | {"scores": {"batch": table.truth().tolist(), "recalibrated": table.truth().tolist()}}
        for strategy, by_seed in places.items()
        for seed, place in enumerate(by_seed)
    }
    document = compute.document_of(compute.Options(out=tmp_path, seeds=3, replays=2), table, results)
    told = {row["prediction"]: row for row in document["predictions"]}
    assert told["(1) evolution - a random architecture"]["verdict"] == "came true"
    assert told["(1) uniform - a random architecture"]["verdict"] == "did not come true"
    (counted, alone), *_ = document["alone"].items()
    second = told[f"(2) reinforce - stand-alone best of {alone['n']} ({counted})"]
    expected = [value - alone["mean"] for value in document["percentiles"]["reinforce"]]
    assert second["difference"]["values"] == pytest.approx(expected)
    assert second["verdict"] == "not told apart from zero at n=3"
    third = told["(3) replay of evolution - random, best of 5"]["difference"]["values"]
    assert third == pytest.approx(np.subtract(document["replay"]["evolution"], document["replay"][FEW]).tolist())
    assert {len(values) for values in document["replay"].values()} == {2}
    compute.show(document, as_json=False)
    shown = capsys.readouterr().out
    assert "(2) reinforce - stand-alone" in shown
    assert ALL in shown
    compute.show(document, as_json=True)
    assert json.loads(capsys.readouterr().out) == document


RATIOS, GAINS = (0.97, 1.02, 1.0), (0.1, 0.5, 0.3)


def searched(table, *, seed, found=10, ratio=0.0, gain=0.0, noise=0.0):
    """A result as files hold it: with such differences to the full search of the same seed, which differ by seed."""
    scores_N = table.truth() + noise * np.random.default_rng(seed).standard_normal(len(table.genotypes))
    return {
        "found": table.fingerprints[np.argsort(table.truth())[found + 20 * seed]],
        "argmax_ratio": RATIOS[seed] + ratio + 0.001 * seed,
        "own": 16,
        "fresh_found": 0.2 + GAINS[seed] + gain + 0.001 * seed,
        "fresh_random": [0.1, 0.3],
        "temporal": 0.5,
        "scores": {"batch": scores_N.tolist()},
    }


def test_mechanisms_are_judged_by_differences_between_searches_of_one_seed_and_target(table, tmp_path, capsys):
    changed = {
        "soft-reward": {"ratio": 0.2},
        "no-op-warmup": {"noise": 0.5},
        "frozen": {"found": 40, "gain": -0.05, "ratio": -0.3},  # worse by its gain, better by the truth
    }
    results = {
        f"{target}-{kind}-{seed}": searched(table, seed=seed, **changed.get(kind, {}))
        for seed in range(3)
        for target in ("motion", "motion-other")
        for kind in mechanisms.kinds_of("cpu")
    }
    for seed in range(3):  # elsewhere by less than predicted, and once without anything to rank by
        results[f"motion-other-soft-reward-{seed}"]["argmax_ratio"] = RATIOS[seed] + 0.03 + 0.001 * seed
    results["motion-no-filter-warmup-0"]["scores"]["batch"] = [0.5] * len(table.genotypes)
    document = mechanisms.document_of(mechanisms.Options(out=tmp_path), table, results)
    soft = document["differences"]["soft-reward"]["motion"]
    assert soft["argmax_ratio"]["values"] == pytest.approx([0.2, 0.2, 0.2])
    assert soft["argmax_error"]["values"] == pytest.approx([0.14, 0.2, 0.2], abs=0.005)
    assert soft["gain"]["values"] == pytest.approx([0.0, 0.0, 0.0])
    assert document["differences"]["no-filter-warmup"]["motion"]["tau"]["num"] == 2
    assert set(document["differences"]["frozen"]["motion-other"]) == {"gain"}
    told = {row["prediction"]: row["verdict"] for row in document["predictions"]}
    assert told == {
        "(1) soft-reward: argmax/target, macs=6.1M/clip": "came true",
        "(1) soft-reward: argmax/target, macs=7.5M/clip": "did not come true: on that side of zero, but not by as much",
        "(2) no-op-warmup: tau, macs=6.1M/clip": "came true",
        "(2) no-filter-warmup: tau, macs=6.1M/clip": "not told apart from zero at n=2",
        "(3) frozen: percentile, macs=6.1M/clip": "did not come true",
        "(3) frozen: gain on fresh clips, macs=6.1M/clip": "came true",
        "(3) frozen: gain on fresh clips, macs=7.5M/clip": "came true",
        "(4) small-batch: percentile, macs=6.1M/clip": "not told apart from zero at n=3",
        "(4) small-batch: gain on fresh clips, macs=6.1M/clip": "not told apart from zero at n=3",
        "(4) small-batch: gain on fresh clips, macs=7.5M/clip": "not told apart from zero at n=3",
    }
    mechanisms.show(document, as_json=False)
    assert "did not come true" in capsys.readouterr().out
    mechanisms.show(document, as_json=True)
    assert json.loads(capsys.readouterr().out) == document


def test_a_study_keeps_its_size_and_counts(tmp_path, capsys):
    check(StudyOptions(out=tmp_path))
    with pytest.raises(UsageError, match="begun with, cpu, but got gpu"):
        check(StudyOptions(out=tmp_path, size="gpu"))
    assert main(["study", "compute", "--out", str(tmp_path / "b"), "--seeds", "0"]) == 2
    assert "seeds must be at least 1, but got 0" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.fixture
def next_to_nothing(monkeypatch):
    """Every study at the size of a test: six architectures, two steps."""
    videos = replace(truth.VIDEOS["cpu"], videos_per_class=10, size=36, num_frames=6, split="0.6,0.1,0.3")
    monkeypatch.setitem(truth.VIDEOS, "cpu", videos)
    monkeypatch.setattr(micro, "MICRO", replace(micro.MICRO, kernels=("1x3x3", "5x1x1")))
    monkeypatch.setitem(micro.CLIPS, "cpu", replace(micro.MICRO.clip, num_frames=4, resolution=32))
    monkeypatch.setitem(micro.TARGETS, "cpu", "macs=1.5M/clip")
    monkeypatch.setitem(mechanisms.OTHER_TARGETS, "cpu", "macs=1.6M/clip")
    monkeypatch.setattr(micro, "TOLERANCE", 0.004)
    monkeypatch.setattr(truth, "RECIPE", Recipe(epochs=1, batch_size=16, evaluations=1, calibration_batches=1))
    selection = SelectionConfig(num_policy=2, num_random=2, tolerance=0.004, random_tolerance=0.004)
    config = replace(searches.SEARCH["cpu"], steps=2, architectures_per_step=2, selection=selection)
    weights = WeightConfig(batch_size=4, reward_batch_size=4)
    monkeypatch.setitem(searches.SEARCH, "cpu", config)
    monkeypatch.setitem(searches.WEIGHTS, "cpu", weights)
    setting = replace(
        retrained.SETTINGS["cpu"],
        targets=("macs=8M/clip",),
        videos=videos,
        search=replace(config, selection=SelectionConfig(num_policy=2, num_random=2)),
        weights=weights,
        recipe=truth.RECIPE,
        real_recipe=truth.RECIPE,
    )
    monkeypatch.setitem(retrained.SETTINGS, "cpu", setting)


@pytest.mark.slow
@pytest.mark.usefixtures("next_to_nothing")
def test_every_study_ends_in_figures_and_goes_on_with_what_is_there(tmp_path, capsys):
    def document(*arguments):
        assert main(["study", *arguments, "--out", str(tmp_path), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    found = document("truth")
    assert found["seeds"] == 2
    num = found["architectures"]
    assert 3 <= num <= 20
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()}
    assert len(before) == 2 * num
    assert document("truth") == found
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()} == before

    compared = document("compute", "--seeds", "1", "--replays", "1")
    assert {len(values) for values in compared["percentiles"].values()} == {1}
    assert compared["tau"]["reinforce, batch"][0]["num"] == num
    causes = document("planted", "--seeds", "1")
    assert set(causes["gains"]) == {"motion", "appearance", "labels"}
    assert set(document("mechanisms", "--seeds", "1")["kinds"]) == set(mechanisms.kinds_of("cpu"))
    judged = document("retrained", "--seeds", "1", "--randoms", "2")
    assert [len(each["randoms"]) for each in judged["comparisons"]] == [2]
    assert not list(tmp_path.glob("searches/*/checkpoints/*"))


@pytest.mark.usefixtures("next_to_nothing")
def test_a_unit_of_a_relative_folder_is_computed_alike_in_another_working_folder(tmp_path, monkeypatch):
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    options = truth.Options(out=Path("study"))
    task = Training(
        name="a",
        candidate=micro.problem("cpu").candidate(micro.architectures("cpu")[0]),
        seed=0,
        manifest=truth.VIDEOS["cpu"].manifest(options, "motions"),
        recipe=truth.RECIPE,
        study=options,
        kept=False,
    )
    sent = pickle.dumps(task)
    monkeypatch.chdir(elsewhere)  # as trials of Ray Tune have
    assert len(truth.train_and_test(pickle.loads(sent))["correct"]) == 24
    assert {path.name for path in (tmp_path / "study").iterdir()} >= {"members", "specs", "cache"}
    assert not list(elsewhere.iterdir())
    with pytest.raises(UsageError, match="members/a: must come from the options, recipe, space and videos"):
        truth.train_and_test(replace(task, recipe=replace(truth.RECIPE, epochs=2)))


@pytest.mark.usefixtures("next_to_nothing")
def test_a_truth_of_next_to_nothing_is_whole(tmp_path, monkeypatch, capsys):
    assert main(["study", "truth", "--out", str(tmp_path)]) == 0
    found = read_table(tmp_path / truth.TABLE)
    assert found.correct_NSC.shape[1:] == (2, 24)
    assert "between two seeds: Kendall" in capsys.readouterr().out
    assert not list((tmp_path / "members").iterdir())
    monkeypatch.setattr(truth, "RECIPE", replace(truth.RECIPE, epochs=2))
    assert main(["study", "truth", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"{tmp_path}/results/" in told
    assert "must come from the options, recipe, space and videos that the study is given now" in told


@pytest.mark.usefixtures("next_to_nothing")
def test_a_search_that_was_killed_before_its_result_was_written_ends_with_one(tmp_path, monkeypatch):
    options = StudyOptions(out=tmp_path)
    check(options)
    manifest = truth.VIDEOS["cpu"].manifest(options, "motions")
    task = searches.SearchTask(options=searches.micro_search(options, "a", manifest=manifest, seed=0))
    units, checkpoints = [Unit(name="a", task=task)], tmp_path / "searches" / "a" / "checkpoints"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patches:
        patches.setattr(common, "replace_file", killed)
        with pytest.raises(KeyboardInterrupt):
            results_of(options, searches.carry_out, units, label="searched")
    assert list(checkpoints.glob("step_*"))
    other = replace(task, options=replace(task.options, search=replace(task.options.search, beta=-0.5)))
    with pytest.raises(SweepError, match="searches/a: must come from the options, recipe, space and videos"):
        results_of(options, searches.carry_out, [Unit(name="a", task=other)], label="searched")
    assert results_of(options, searches.carry_out, units, label="searched")["a"]["found"]
    assert not list(checkpoints.glob("step_*"))


def test_a_table_of_other_architectures_is_refused(table, tmp_path, capsys):
    other = TruthTable(
        fingerprints=table.fingerprints[:3],
        genotypes=table.genotypes[:3],
        correct_NSC=table.correct_NSC[:3],
        macs_N=table.macs_N[:3],
        provenance={},
    )
    write_table(other, tmp_path / "other.json.gz")
    arguments = ["study", "compute", "--out", str(tmp_path), "--table", str(tmp_path / "other.json.gz")]
    assert main(arguments) == 2
    assert "must be of the micro space at size cpu" in capsys.readouterr().err
