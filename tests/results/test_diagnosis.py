from dataclasses import replace

import made_runs
import pytest

from results.diagnosis import learned_from_noise, machine_warnings, memory_share, never_learned, share_done, warnings_of
from results.history import read_history


def history_of(tmp_path, records):
    return read_history(made_runs.make_run(tmp_path / "run", records).journal_path)


def test_a_search_that_goes_well_has_none(tmp_path):
    records = [each for each in made_runs.search_records(steps=40) if not hasattr(each, "probabilities")]
    assert warnings_of(history_of(tmp_path, records), []) == []
    assert warnings_of(history_of(tmp_path / "empty", []), []) == []


def test_entropy_that_collapses_early(tmp_path):
    steps = [
        replace(made_runs.step(number), entropy={"kernel": 0.5, "se": 0.5 if number < 12 else 0.04})
        for number in range(30)
    ]
    (warning,) = warnings_of(history_of(tmp_path, [made_runs.start(), *steps]), [])
    assert warning.startswith("entropy collapsed: se was settled at step 12 of 40 already")
    late = [replace(step, entropy={"se": 0.5 if step.step < 20 else 0.04}) for step in steps]
    assert warnings_of(history_of(tmp_path / "late", [made_runs.start(), *late]), []) == []
    population = replace(made_runs.start(), strategy="evolution")
    assert warnings_of(history_of(tmp_path / "population", [population, *steps]), []) == []


def test_decisions_that_were_never_learned(tmp_path):
    start, steps = made_runs.start(), [made_runs.step(number) for number in range(40)]
    settled = made_runs.policy(40)
    chances = {**settled.probabilities, "head.width": (0.34, 0.33, 0.33), "block1.layer1.se": (0.6, 0.4)}
    policy = replace(settled, probabilities=chances)
    history = history_of(tmp_path, [start, *steps, policy])
    assert never_learned(history) == ["block1.layer1.se", "head.width"]
    (warning,) = warnings_of(history, [])
    assert warning.startswith("never learned: 2 of 17 decisions")
    assert "block1.layer1.se, head.width" in warning
    early = history_of(tmp_path / "early", [start, *steps[:35], policy])
    assert (share_done(early), warnings_of(early, [])) == (35 / 40, [])
    undirected = replace(start, strategy="uniform")
    assert warnings_of(history_of(tmp_path / "uniform", [undirected, *steps, policy]), []) == []


@pytest.mark.parametrize("ended", [False, True])
def test_a_target_that_is_missed(tmp_path, ended):
    steps = [replace(made_runs.step(number), argmax_ratio=1.2) for number in range(40)]
    records = [made_runs.start(), *steps]
    if ended:
        records.append(replace(made_runs.result(), argmax_ratio=1.2, found_ratio=1.02))
    (warning,) = warnings_of(history_of(tmp_path, records), [])
    assert warning.startswith("target missed: the likeliest network costs 1.200 of macs=6M/clip")
    assert ("so that another one was selected" in warning) == ended
    if ended:
        records[-1] = replace(made_runs.result(), argmax_ratio=1.01, found_ratio=0.9)
        (warning,) = warnings_of(history_of(tmp_path / "found", records), [])
        assert warning.startswith("target missed: the selected network costs 0.900")


def test_a_limit_that_is_exceeded(tmp_path):
    start = replace(made_runs.start(), limits=("state=1KiB@fp16",))
    steps = [replace(made_runs.step(number), argmax_limit_ratios=(1.3,)) for number in range(40)]
    (warning,) = warnings_of(history_of(tmp_path, [start, *steps]), [])
    assert warning == "limit exceeded: the likeliest network costs 1.300 of at most state=1KiB@fp16"


def test_a_search_no_better_than_chance(tmp_path):
    records = [made_runs.start(), made_runs.step(39), replace(made_runs.result(), random_quality_mean=0.7)]
    (warning,) = warnings_of(history_of(tmp_path, records), [])
    assert warning.startswith("no gain: ")


def test_many_bad_videos(tmp_path):
    history = history_of(tmp_path, [made_runs.start()])
    assert warnings_of(history, [{"kind": "bad_videos", "ids": ["a"]}]) == []
    (warning,) = warnings_of(history, [{"kind": "bad_videos", "ids": ["a", "b"]}])
    assert warning.startswith("bad videos: 2 of 150 could not be decoded")


def test_what_a_machine_is_short_of():
    assert machine_warnings({"train": 0.7, "data": 0.3}, 0.9) == []
    waiting, memory = machine_warnings({"data": 0.31}, 0.97)
    assert waiting.startswith("waiting for clips: 31% of the time")
    assert memory == "memory near the limit: 97% of what there is was in use"


def test_the_most_memory_since_the_latest_start():
    def used(share):
        return {"kind": "memory", "used_bytes": share * 100, "limit_bytes": 100}

    assert memory_share([]) is None
    assert memory_share([used(0.9), {"kind": "resume"}, used(0.2), used(0.5), used(0.4)]) == 0.5
    assert (
        memory_share([{"kind": "memory", "used_bytes": 3}, {"kind": "memory", "used_bytes": 1, "limit_bytes": 0}])
        is None
    )


@pytest.mark.parametrize(("before", "told"), [(0.3, True), (0.6, False)])
def test_a_policy_that_learns_before_the_weights_do(tmp_path, before, told):
    start = replace(made_runs.start(), class_names=("a", "b", "c", "d"))  # chance 0.25, a tenth of the way 0.325
    steps = []
    for number in range(20):
        step = replace(made_runs.step(number), learning_rate=0.0 if number < 10 else 0.1)
        quality = before if number < 10 else 0.9
        steps.append(replace(step, trials=tuple(replace(trial, quality=quality) for trial in step.trials)))
    warnings = learned_from_noise(history_of(tmp_path, [start, *steps]))
    assert len(warnings) == told
    assert not told or warnings[0].startswith("learned from noise: the policy began to learn in step 10 of 40")
    assert learned_from_noise(history_of(tmp_path / "early", [start, *steps[:10]])) == []
    assert learned_from_noise(history_of(tmp_path / "other", [replace(start, strategy="evolution"), *steps])) == []
