"""The preset `paper`: its constants, their scaling, and that explicit options win."""

import pytest
from program import TARGET, call, call_json

from launch.cli import main
from launch.presets import paper
from launch.runs import options_of
from launch.search import Options
from nas.reinforce import MAX_LEARNING_RATE
from results.run_dir import open_run


def test_at_the_scale_of_tunas_the_constants_are_tunas_own():
    # 1,231,121 images, 32 x 128 of them per step (tunas.md 1.5, 1.6); its 27,050 steps are 90 epochs of whole batches
    videos = {"num_train_videos": 1_231_121, "num_held_out": 50_046}
    preset = paper(**videos, batch_size=128, architectures_per_step=32, steps=27_050, bf16=False)
    assert preset.values["search.steps"] == pytest.approx(27_050, rel=1e-3)
    assert preset.values["search.controller.learning_rate"] == pytest.approx(0.0048)
    assert preset.values["weights.learning_rate"] == pytest.approx(2.64)
    assert preset.values["weights.weight_decay"] == 4e-5
    assert preset.values["held_out"] == pytest.approx(50_046 / (50_046 + 1_231_121))
    assert (preset.values["search.beta"], preset.values["search.reward"]) == (-0.1, "absolute")
    assert preset.values["search.beta_ramp"] == 1.0
    assert preset.values["weights.reward_multiple"] == 4


def test_it_is_scaled_to_batch_steps_and_precision():
    preset = paper(num_train_videos=800, num_held_out=40, batch_size=8, architectures_per_step=4, steps=5000, bf16=True)
    assert preset.values["search.steps"] == 90 * 800 / 32
    assert preset.values["search.controller.learning_rate"] == pytest.approx(0.0048 * 27_050 / 5000)
    assert preset.values["weights.learning_rate"] == pytest.approx(0.165 * 32 / 256)
    assert preset.values["weights.weight_decay"] == 3e-5
    assert "search.steps: 90 epochs x 800 videos / 32 = 2,250" in preset.arithmetic
    assert any(line.endswith("at least one; here 40 of 840") for line in preset.arithmetic)
    short = paper(num_train_videos=8, num_held_out=2, batch_size=8, architectures_per_step=4, steps=100, bf16=False)
    assert short.values["search.controller.learning_rate"] == MAX_LEARNING_RATE
    assert any("at most 0.1 = 0.1" in line for line in short.arithmetic)


def test_a_search_keeps_it_and_what_was_given_wins(capsys, motion_manifest, tmp_path):
    arguments = ["search", "--space=nano", f"--data={motion_manifest}", f"--target={TARGET}", "--preset=paper"]
    given = ["--weights.batch_size=4", "--search.steps=3", "--search.beta=-0.2", "--proxy=frames=4,resolution=32"]
    selection = ["--search.selection.num_policy=2", "--search.selection.num_random=2"]
    code, _, err = call(
        capsys, *arguments, *given, *selection, f"--out={tmp_path / 'run'}", "--threads=1", "--workers=0"
    )
    assert code == 0, err
    assert "preset paper: batch: 2 architectures x 4 clips = 8 (TuNAS: 32 x 128 = 4,096)" in err
    assert "preset paper: controller.learning_rate: 0.0048 x 27,050 / 3 steps, but at most 0.1 = 0.1" in err
    given = [line for line in err.splitlines() if line.startswith("preset paper: ") and line.endswith(", as given")]
    assert given == [
        "preset paper: search.steps is 3, as given",
        "preset paper: search.beta is -0.2, as given",
    ]
    kept = options_of(open_run(tmp_path / "run"), Options)
    assert (kept.search.steps, kept.search.beta, kept.weights.batch_size) == (3, -0.2, 4)
    assert (kept.weights.optimizer, kept.weights.max_gradient_norm, kept.weights.rezero_init) == ("rmsprop", None, 0)
    assert kept.weights.learning_rate == pytest.approx(0.165 * 8 / 256)
    assert kept.weights.reward_clips == 16
    assert kept.held_out == pytest.approx(0.039, abs=1e-3)


def test_its_steps_follow_the_data_where_none_are_given(capsys, motion_manifest, tmp_path):
    arguments = ["search", "--space=nano", f"--data={motion_manifest}", f"--target={TARGET}", "--preset=paper"]
    rest = ["--weights.batch_size=2", "--proxy=frames=2,resolution=32", "--threads=1", "--plan"]
    document = call_json(capsys, *arguments, *rest, f"--out={tmp_path / 'run'}")
    # 10 videos of each of 8 classes, of which 7 are for training, and of these 1 is held out
    assert document["steps"] == 90 * 8 * 6 / (2 * 2)


def test_an_unknown_preset_is_refused(capsys, motion_manifest, tmp_path):
    arguments = ["search", "--space=nano", f"--data={motion_manifest}", f"--target={TARGET}", "--preset=movie"]
    assert main([*arguments, f"--out={tmp_path / 'run'}"]) == 2
    assert "preset must be one of paper, but got 'movie'" in capsys.readouterr().err
