import dataclasses
import itertools
import time

import pytest
import signals
import torch
from made_clips import NUM_CLASSES, BrokenOffError, Stream, batch_of
from made_nets import TINY_SPEC, randomise
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook

from results import interruption
from results.checkpoint import load_newest
from results.journal import read_journal
from results.records import EpochRecord
from results.run_dir import create_run
from results.stopwatch import Stopwatch
from results.telemetry import read_telemetry
from retrain.evaluate import clip_logits, predict, report_of
from retrain.fit import Trainer
from retrain.model_file import CARD, WEIGHTS, ModelCard, load_model, read_card
from retrain.recipe import Recipe
from search_spaces.errors import CheckpointError, UsageError, WeightsError
from search_spaces.spec_json import fingerprint
from search_spaces.variant import Variant
from supernet.frozen import FrozenNet
from supernet.tensors import to_bytes
from supernet.video_net import VideoNet
from video.label_space import LabelSpace

CPU = torch.device("cpu")
CLASSES = ("red", "green", "blue")
CARD_AT_START = ModelCard(
    fingerprint=fingerprint(TINY_SPEC, Variant()),
    arch=TINY_SPEC,
    variant=Variant(),
    class_names=CLASSES,
    num_frames=4,
    rate_fps=4.0,
    short_side=14,
    resolution=12,
    epoch=0,
    val_top1=None,
)
RECIPE = Recipe(
    epochs=3,
    batch_size=4,
    learning_rate=0.01,
    warmup_epochs=1.0,
    ema_decay=0.9,
    evaluations=2,
    calibration_batches=2,
    checkpoint_every=3,
)
NUM_VIDEOS = 16
NUM_STEPS = 12
"""Four steps in each of three epochs; checkpoints after 3, 6, 9 and 12; evaluations after epochs 1 and 2."""


def accuracy(net, *, num_frames=4):
    """On 24 clips of other noise, in batches of 12."""
    batches = [batch_of(number, size=12, num_frames=num_frames, seed=9) for number in range(2)]
    logits = clip_logits(net, batches, device=CPU)
    predictions = predict(logits, num_videos=24, space=LabelSpace(class_names=CLASSES), num_views=1)
    return report_of(predictions, space=LabelSpace(class_names=CLASSES), views="1x1").top1


class Bench:
    """A trainer as a new process makes it."""

    def __init__(self, *, recipe=RECIPE, measure=accuracy, stream=None, seed=5, amp_dtype=None):
        self.net = VideoNet(
            TINY_SPEC,
            Variant(),
            num_classes=NUM_CLASSES,
            seed=3,
            dropout=recipe.dropout,
            drop_path=recipe.stochastic_depth,
        )
        randomise(self.net)
        self.stream = stream or Stream(size=recipe.batch_size, seed=1)
        self.stopwatch = Stopwatch()
        self.trainer = Trainer(
            self.net,
            recipe,
            num_videos=NUM_VIDEOS,
            card=CARD_AT_START,
            train_batches=self.stream,
            accuracy=measure,
            seed=seed,
            amp_dtype=amp_dtype,
        )


def new_run(path):
    return create_run(path, kind="retrain", files={})


def train(run, **options):
    """Train from the newest checkpoint on; the records of this process, and the trainer."""
    bench = Bench(**options)
    return list(bench.trainer.fit(run, load_newest(run.checkpoints_path), bench.stopwatch)), bench


def outcome(run):
    """Everything that must be equal: journal, checkpoints, model; to the byte."""
    newest = load_newest(run.checkpoints_path)
    return {
        "journal": run.journal_path.read_bytes(),
        "blobs": dict(newest.blobs),
        "numbers": (newest.number, newest.num_records),
        "folders": sorted(path.name for path in run.checkpoints_path.iterdir()),
        **{name: (run.model_path / name).read_bytes() for name in (CARD, WEIGHTS)},
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run = new_run(tmp_path_factory.mktemp("undisturbed") / "run")
    train(run)
    torch.set_num_threads(before)
    return outcome(run)


def test_an_easy_task_is_learnt(tmp_path):
    run = new_run(tmp_path / "run")
    recipe = dataclasses.replace(RECIPE, epochs=12, batch_size=8, learning_rate=0.02, evaluations=3)
    records, _ = train(run, recipe=recipe)
    assert records[-1].train_loss < 0.75 * records[0].train_loss
    assert records[-1].train_top1 >= 0.75  # chance is a third
    net, card = load_model(run.model_path)
    assert card.val_top1 >= 0.85
    assert accuracy(net) == card.val_top1


def test_epochs_are_recorded_as_they_end(tmp_path):
    run = new_run(tmp_path / "run")
    records, _ = train(run)
    assert read_journal(run.journal_path) == records
    assert [(record.epoch, record.step) for record in records] == [(0, 4), (1, 8), (2, 12)]
    assert [record.val_top1 is None for record in records] == [True, False, False]
    assert all(0.0 <= record.train_top1 <= 1.0 and record.train_loss > 0.0 for record in records)


def test_the_record_of_an_epoch_by_hand(tmp_path):
    """A rate of almost nothing: each epoch has the loss of its own four batches under the initial weights."""
    run = new_run(tmp_path / "run")
    records, _ = train(run, recipe=dataclasses.replace(RECIPE, epochs=2, learning_rate=1e-12, evaluations=1))
    for record, numbers in zip(records, (range(4), range(4, 8)), strict=True):
        assert_record_by_hand(record, numbers)


def assert_record_by_hand(record, numbers):
    net = Bench().net.train()
    losses, correct = [], 0
    for number in numbers:
        batch = batch_of(number, size=4, seed=1)
        logits_BK = net((batch.frames_BTHWC / 255).movedim(4, 1)).detach()
        log_softmax_BK = logits_BK - logits_BK.exp().sum(dim=1, keepdim=True).log()
        right_B = log_softmax_BK.gather(1, batch.labels_B[:, None])[:, 0]
        losses.append(float(-(0.9 * right_B + 0.1 * log_softmax_BK.mean(dim=1)).mean()))
        correct += int((logits_BK.argmax(dim=1) == batch.labels_B).sum())
    assert record.train_loss == pytest.approx(sum(losses) / 4, rel=1e-4)
    assert record.train_top1 == correct / 16


def test_the_same_training_twice_is_equal_to_the_byte(tmp_path, undisturbed):
    run = new_run(tmp_path / "run")
    train(run)
    assert outcome(run) == undisturbed


@pytest.mark.parametrize("step", range(NUM_STEPS))
def test_stopped_before_any_step_and_resumed_it_ends_in_the_same(tmp_path, step, undisturbed):
    run = new_run(tmp_path / "run")
    with pytest.raises(BrokenOffError):
        train(run, stream=broken_at(step))
    newest = load_newest(run.checkpoints_path)
    assert (0 if newest is None else newest.number) == step // 3 * 3
    records, bench = train(run)
    assert bench.stream.opened[0] == step // 3 * 3
    assert outcome(run) == undisturbed
    assert read_journal(run.journal_path)[-len(records) :] == records


@pytest.mark.parametrize("stops", [(0,), (6,), (7,), (11,), (8, 9, 10)])
def test_told_to_end_it_saves_the_step_and_ends_in_the_same(tmp_path, stops, undisturbed):
    run = new_run(tmp_path / "run")
    with signals.listened():
        for stop in stops:
            with pytest.raises(KeyboardInterrupt):
                train(run, stream=told_at(stop))
            assert load_newest(run.checkpoints_path).number == stop + 1
        train(run)
    assert outcome(run) == undisturbed


def test_told_to_end_in_a_long_evaluation_it_saves_the_step_before(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr(interruption, "GRACE_S", 0.2)

    def endless(net):
        signals.tell()
        time.sleep(60)

    run = new_run(tmp_path / "run")
    with signals.listened(), pytest.raises(KeyboardInterrupt):
        train(run, measure=endless)
    assert load_newest(run.checkpoints_path).number == 7
    train(run)
    assert outcome(run) == undisturbed


def told_at(step):
    class Told(Stream):
        def _from(self, position):
            for number, batch in enumerate(super()._from(position), start=position):
                if number == step:
                    signals.tell()
                yield batch

    return Told(size=4, seed=1)


def broken_at(step):
    stream = Stream(size=4, seed=1)
    stream.breaks_at = step
    return stream


def test_stopped_again_and_again_it_ends_in_the_same(tmp_path, undisturbed):
    run = new_run(tmp_path / "run")
    for stops_at in (2, 5, 5, 7, 11):
        with pytest.raises(BrokenOffError):
            train(run, stream=broken_at(stops_at))
    train(run)
    assert outcome(run) == undisturbed


def test_stopped_while_evaluating_it_ends_in_the_same(tmp_path, undisturbed):
    run = new_run(tmp_path / "run")

    def broken(net):
        raise BrokenOffError

    with pytest.raises(BrokenOffError):
        train(run, measure=broken)
    assert len(read_journal(run.journal_path)) == 1
    train(run)
    assert outcome(run) == undisturbed


def test_with_dropout_a_stopped_training_ends_in_the_same(tmp_path, undisturbed):
    recipe = dataclasses.replace(RECIPE, dropout=0.2, stochastic_depth=0.2)
    runs = [new_run(tmp_path / name) for name in ("left alone", "stopped")]
    torch.manual_seed(1)
    train(runs[0], recipe=recipe)
    torch.manual_seed(2)
    for stops_at in (2, 5, 7, 10):
        with pytest.raises(BrokenOffError):
            train(runs[1], recipe=recipe, stream=broken_at(stops_at))
    train(runs[1], recipe=recipe)
    assert outcome(runs[0]) == outcome(runs[1])
    assert outcome(runs[0])["blobs"]["net.safetensors"] != undisturbed["blobs"]["net.safetensors"]


@pytest.mark.parametrize("name", ["dropout", "stochastic_depth"])
def test_what_is_dropped_depends_on_seed_and_step_alone(tmp_path, name):
    losses = set()
    for number, (seed, ambient) in enumerate(((5, 1), (5, 2), (6, 1))):
        bench = Bench(recipe=dataclasses.replace(RECIPE, epochs=1, **{name: 0.5}), seed=seed)
        torch.manual_seed(ambient)
        before = torch.get_rng_state()
        (record,) = bench.trainer.fit(new_run(tmp_path / str(number)), None, bench.stopwatch)
        assert torch.equal(torch.get_rng_state(), before)
        losses.add(record.train_loss)
    assert len(losses) == 2


def test_a_network_that_comes_in_evaluation_mode_is_trained_all_the_same(tmp_path, undisturbed):
    run = new_run(tmp_path / "run")
    bench = Bench()
    bench.net.eval()
    list(bench.trainer.fit(run, None, bench.stopwatch))
    assert outcome(run) == undisturbed


def test_records_beyond_the_checkpoint_are_computed_again(tmp_path, undisturbed):
    run = new_run(tmp_path / "run")
    with pytest.raises(BrokenOffError):
        train(run, stream=broken_at(5))
    assert len(read_journal(run.journal_path)) == 1
    assert load_newest(run.checkpoints_path).num_records == 0
    records, _ = train(run)
    assert [record.epoch for record in records] == [0, 1, 2]
    assert outcome(run) == undisturbed


def test_a_finished_run_that_is_resumed_stays_as_it_is(tmp_path, undisturbed):
    run = new_run(tmp_path / "run")
    train(run)
    records, bench = train(run)
    assert records == []
    assert bench.stream.opened == [12]
    assert outcome(run) == undisturbed


def scripted(values):
    """Accuracies of the evaluations, one after the other, and the networks they were asked about."""
    seen = []

    def measure(net):
        seen.append(to_bytes(net.state_dict()))
        return values[len(seen) - 1]

    return measure, seen


@pytest.mark.parametrize(
    ("values", "best"),
    [((0.2, 0.9, 0.4), 1), ((0.9, 0.2, 0.4), 0), ((0.1, 0.2, 0.3), 2), ((0.5, 0.5, 0.1), 1), ((0.0, 0.0, 0.0), 2)],
)
def test_the_best_on_the_validation_split_is_kept_the_later_of_equals(tmp_path, values, best):
    run = new_run(tmp_path / "run")
    measure, seen = scripted(values)
    records, _ = train(run, recipe=dataclasses.replace(RECIPE, evaluations=3), measure=measure)
    assert [record.val_top1 for record in records] == list(values)
    net, card = load_model(run.model_path)
    assert (card.epoch, card.val_top1) == (best, values[best])
    assert to_bytes(net.state_dict()) == seen[best]


def test_the_best_outlives_a_stop(tmp_path):
    run = new_run(tmp_path / "run")
    recipe = dataclasses.replace(RECIPE, evaluations=3, checkpoint_every=1)
    measure, seen = scripted((0.9,))
    with pytest.raises(BrokenOffError):
        train(run, recipe=recipe, measure=measure, stream=broken_at(6))
    train(run, recipe=recipe, measure=lambda net: 0.1)
    net, card = load_model(run.model_path)
    assert (card.epoch, card.val_top1) == (0, 0.9)
    assert to_bytes(net.state_dict()) == seen[0]


def test_without_a_validation_split_the_last_is_kept(tmp_path):
    run = new_run(tmp_path / "run")
    seen = []
    records, _ = train(run, measure=lambda net: seen.append(to_bytes(net.state_dict())))
    assert [record.val_top1 for record in records] == [None, None, None]
    net, card = load_model(run.model_path)
    assert (card.epoch, card.val_top1) == (2, None)
    assert to_bytes(net.state_dict()) == seen[-1]


def test_the_card_says_what_the_network_is(tmp_path):
    run = new_run(tmp_path / "run")
    records, _ = train(run)
    card = read_card(run.model_path)
    assert card == dataclasses.replace(CARD_AT_START, epoch=card.epoch, val_top1=records[card.epoch].val_top1)


def test_clips_of_training_and_test_may_differ_in_length(tmp_path):
    run = new_run(tmp_path / "run")
    lengths = set()

    def measure(net):
        handle = register_module_forward_pre_hook(
            lambda module, inputs: lengths.add(inputs[0].shape[2]) if isinstance(module, FrozenNet) else None
        )
        top1 = accuracy(net, num_frames=7)
        handle.remove()
        return top1

    records, _ = train(run, measure=measure, stream=Stream(size=4, seed=1, num_frames=2))
    assert lengths == {7}
    assert 0.0 <= records[-1].val_top1 <= 1.0


def test_the_network_that_is_measured_is_the_average_with_statistics_of_its_own(tmp_path):
    """Its weights are not the newest, and its running statistics are those of calibration batches 0 and 1."""
    run = new_run(tmp_path / "run")
    seen = []

    def measure(net):
        seen.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
        assert not net.training
        return 0.5

    _, bench = train(run, measure=measure)
    newest = bench.net.state_dict()
    assert not any(torch.equal(seen[-1][name], newest[name]) for name in newest if name.endswith("weight"))
    average = VideoNet(TINY_SPEC, Variant(), num_classes=NUM_CLASSES)
    average.load_state_dict(seen[-1])
    average.stem.momentum = 1.0
    means = []
    for number in range(2):
        average.train()((batch_of(number, size=4, seed=1).frames_BTHWC / 255).movedim(4, 1))
        means.append(average.stem.running_mean.clone())
    torch.testing.assert_close(seen[-1]["stem.running_mean"], (means[0] + means[1]) / 2, rtol=1e-4, atol=1e-6)
    assert bench.stream.opened == [0, 0, 0]


def test_the_rate_rises_then_falls(tmp_path):
    run = new_run(tmp_path / "run")
    rates = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: rates.append([group["lr"] for group in optimizer.param_groups])
    )
    train(run)
    handle.remove()
    firsts = [first for first, _ in rates]
    assert all(first == second for first, second in rates)
    assert firsts[:5] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])
    assert all(first > second for first, second in itertools.pairwise(firsts[4:]))
    assert len(firsts) == NUM_STEPS


def test_a_warmup_longer_than_the_training_ends_with_it(tmp_path):
    run = new_run(tmp_path / "run")
    records, _ = train(run, recipe=dataclasses.replace(RECIPE, warmup_epochs=50.0))
    assert len(records) == 3


def test_phases_are_timed(tmp_path):
    run = new_run(tmp_path / "run")
    train(run)
    events = [event for event in read_telemetry(run.telemetry_path) if event["kind"] == "phase_times"]
    assert [event["step"] for event in events] == list(range(NUM_STEPS))
    assert set(events[0]["seconds"]) == {"data", "train"}
    assert set(events[-1]["seconds"]) == {"data", "train", "evaluate", "journal", "checkpoint"}


def test_autocast_trains_weights_in_full_precision(tmp_path):
    run = new_run(tmp_path / "run")
    records, bench = train(run, recipe=dataclasses.replace(RECIPE, epochs=1), amp_dtype=torch.bfloat16)
    assert all(isinstance(record, EpochRecord) for record in records)
    assert {parameter.dtype for parameter in bench.net.parameters()} == {torch.float32}


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    run = new_run(tmp_path / "run")
    with pytest.raises(
        UsageError, match=r"the loss must stay finite, but got nan in step 1; choose a learning_rate below 1e\+30"
    ):
        train(run, recipe=dataclasses.replace(RECIPE, learning_rate=1e30, warmup_epochs=0.0))
    assert read_journal(run.journal_path) == []


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    run = new_run(tmp_path / "run")
    train(run)
    checkpoint = load_newest(run.checkpoints_path)
    bench = Bench()
    foreign = dataclasses.replace(checkpoint, blobs={"supernet.safetensors": b""})
    with pytest.raises(CheckpointError, match="a checkpoint of retraining must hold trainer.json, but it does not"):
        next(bench.trainer.fit(run, foreign, bench.stopwatch))
    net = VideoNet(TINY_SPEC, Variant(), num_classes=NUM_CLASSES + 1)
    other = dataclasses.replace(checkpoint, blobs={**checkpoint.blobs, "net.safetensors": to_bytes(net.state_dict())})
    with pytest.raises(WeightsError, match="weights must fit the network, but in the checkpoint head.classifier"):
        next(bench.trainer.fit(run, other, bench.stopwatch))
    assert len(read_journal(run.journal_path)) == 3
