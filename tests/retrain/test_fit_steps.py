"""What a step is made of: micro-batches, scaled gradients; and what of a training is kept."""

import dataclasses

import pytest
import torch
from made_clips import BrokenOffError, Stream, batch_of
from test_fit import NUM_STEPS, RECIPE, Bench, broken_at, new_run, outcome, train
from torch.optim.optimizer import register_optimizer_step_pre_hook

from results.checkpoint import load_newest
from results.journal import read_journal
from retrain.model_file import load_model
from retrain.objective import Objective
from search_spaces.strict_json import loads
from supernet.tensors import from_bytes, to_bytes
from video.label_space import LabelSpace


def gradients_before_steps(run, **options):
    """Gradients, after clipping, that each step of a training sees; and its bench."""
    seen = []
    bench = Bench(**options)

    def keep(*_):
        seen.append({name: weight.grad.clone() for name, weight in bench.net.named_parameters()})

    handle = register_optimizer_step_pre_hook(keep)
    records = list(bench.trainer.fit(run, None, bench.stopwatch))
    handle.remove()
    return seen, records, bench


def test_a_step_takes_the_mean_of_its_micro_batches_by_hand(tmp_path):
    """Of gradients, of losses, and of how far the running statistics move."""
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=16, accumulation=2, max_gradient_norm=1e9)
    stream = Stream(size=8, seed=1)
    seen, (record,), bench = gradients_before_steps(new_run(tmp_path / "run"), recipe=recipe, stream=stream)
    assert len(seen) == 1
    net, losses, means = Bench().net.train(), [], []
    start = net.stem.running_mean.clone()
    for number in range(2):
        batch = batch_of(number, size=8, seed=1)
        net.stem.running_mean.copy_(start)
        logits_BK = net((batch.frames_BTHWC / 255).movedim(4, 1))
        loss = torch.nn.functional.cross_entropy(logits_BK, batch.labels_B, label_smoothing=0.1)
        (loss / 2).backward()
        losses.append(float(loss.detach()))
        means.append(net.stem.running_mean.clone())
    for name, weight in net.named_parameters():
        scale = max(1e-3, float(weight.grad.abs().max()))
        torch.testing.assert_close(seen[0][name], weight.grad, rtol=1e-3, atol=1e-4 * scale, msg=name)
    assert record.train_loss == pytest.approx(sum(losses) / 2, rel=1e-5)
    torch.testing.assert_close(bench.net.stem.running_mean, (means[0] + means[1]) / 2)


def test_a_training_in_micro_batches_goes_on_from_any_step_to_the_same_bytes(tmp_path):
    recipe = dataclasses.replace(RECIPE, accumulation=2, dropout=0.2)
    runs = [new_run(tmp_path / name) for name in ("left alone", "stopped")]
    stepped(runs[0], recipe, breaks_at=None)
    for breaks_at in (3, 11, 18):
        with pytest.raises(BrokenOffError):
            stepped(runs[1], recipe, breaks_at=breaks_at)
    stepped(runs[1], recipe, breaks_at=None)
    assert outcome(runs[0]) == outcome(runs[1])


def stepped(run, recipe, *, breaks_at):
    """Train on a stream of micro-batches, two for each step."""
    micro = Stream(size=2, seed=1)
    micro.breaks_at = breaks_at
    train(run, recipe=recipe, stream=lambda step: micro(2 * step))


def test_micro_batches_of_a_step_have_draws_of_their_own():
    """Else all of them, and so all ranks, would drop the same."""
    recipe = dataclasses.replace(RECIPE, dropout=0.5)
    space = LabelSpace(class_names=("a", "b", "c"))
    objective = Objective(recipe=recipe, seed=5, device=torch.device("cpu"), amp_dtype=None, space=space)
    net, batch = Bench(recipe=recipe).net.train(), batch_of(0, size=4, seed=1)
    losses = [float(objective.backward(net, batch, step=3, micro_batch=number).loss) for number in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]


class Overflowing(Bench):
    """Gradients of so large a classifier leave the range of fp16 at first, until their scale has come down."""

    def __init__(self, **options):
        super().__init__(**options, amp_dtype=torch.float16)
        with torch.no_grad():
            self.net.head.classifier.weight *= 300.0


def scaler_of(run):
    return loads(load_newest(run.checkpoints_path).blobs["trainer.json"])["scaler"]


def test_fp16_leaves_out_steps_whose_gradients_overflow_and_scales_less(tmp_path):
    run = new_run(tmp_path / "run")
    bench = Overflowing()
    first = to_bytes({name: weight.detach() for name, weight in bench.net.named_parameters()})
    weights = []
    recipe_steps = bench.trainer.fit(run, None, bench.stopwatch)
    handle = register_optimizer_step_pre_hook(
        lambda *_: weights.append(to_bytes({name: weight.detach() for name, weight in bench.net.named_parameters()}))
    )
    records = list(recipe_steps)
    handle.remove()
    assert weights[1] == first  # the first step did nothing
    assert weights[-1] != first
    assert scaler_of(run)["scale"] < 65536.0
    assert {parameter.dtype for parameter in bench.net.parameters()} == {torch.float32}
    assert all(torch.isfinite(parameter).all() for parameter in bench.net.parameters())
    assert len(records) == 3


def test_fp16_goes_on_with_its_scale_to_the_same_bytes(tmp_path):
    runs = [new_run(tmp_path / name) for name in ("left alone", "stopped")]
    for run, stops in zip(runs, ((), (4, 7)), strict=True):
        for breaks_at in (*stops, None):
            bench = Overflowing(stream=broken_at(breaks_at))
            fit = bench.trainer.fit(run, load_newest(run.checkpoints_path), bench.stopwatch)
            if breaks_at is None:
                list(fit)
                continue
            with pytest.raises(BrokenOffError):
                list(fit)
            assert scaler_of(run)["scale"] < 65536.0
    assert outcome(runs[0]) == outcome(runs[1])


def test_without_fp16_nothing_is_scaled(tmp_path):
    run = new_run(tmp_path / "run")
    train(run, recipe=dataclasses.replace(RECIPE, epochs=1), amp_dtype=torch.bfloat16)
    assert scaler_of(run) == {}


def test_checkpoints_at_the_end_of_every_kth_epoch_stay(tmp_path):
    """Steps 4, 8 and 12 end epochs; 3, 6, 9 and 12 are due anyway, of which the newest two stay."""
    for keep_every, numbers in ((0, [9, 12]), (1, [4, 8, 9, 12]), (2, [8, 9, 12])):
        run = new_run(tmp_path / str(keep_every))
        train(run, recipe=dataclasses.replace(RECIPE, keep_every=keep_every))
        folders = sorted(path.name for path in run.checkpoints_path.iterdir())
        assert folders == [f"step_{number:08}" for number in numbers]


def test_a_kept_checkpoint_holds_the_average_of_its_epoch(tmp_path):
    run, seen = new_run(tmp_path / "run"), []

    def measure(net):
        seen.append({name: tensor.clone() for name, tensor in net.named_parameters()})
        return 0.5

    train(run, recipe=dataclasses.replace(RECIPE, keep_every=1, evaluations=3), measure=measure)
    kept = from_bytes((run.checkpoints_path / "step_00000004" / "average.safetensors").read_bytes())
    assert all(torch.equal(kept[name], weight) for name, weight in seen[0].items())


def test_the_best_so_far_lies_in_the_folder_while_training_goes_on(tmp_path):
    run = new_run(tmp_path / "run")
    recipe = dataclasses.replace(RECIPE, evaluations=3)
    with pytest.raises(BrokenOffError):
        train(run, recipe=recipe, measure=lambda net: 0.9, stream=broken_at(NUM_STEPS - 2))
    assert len(read_journal(run.journal_path)) == 2
    assert load_model(run.model_path)[1].epoch == 1
