import dataclasses
import math
import warnings

import evaluator_contract
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_clips import NUM_CLASSES, Stream, batch_of
from made_nets import STREAMS, randomise, reference_logits
from made_spaces import TINY
from torch.overrides import TorchFunctionMode

from results.records import Measurement
from results.stopwatch import Stopwatch
from search_spaces.errors import UsageError, WeightsError
from search_spaces.spec import layer_name
from search_spaces.variant import Variant
from supernet.evaluator import OPTIMIZER, WEIGHTS, SupernetEvaluator, WeightConfig
from supernet.extract import extract
from supernet.inputs import network_input
from supernet.optim import cosine_with_warmup
from supernet.supernet import Supernet
from supernet.tensors import from_bytes

SPACE = dataclasses.replace(TINY, se=(True, False))
INDICES_ND = SPACE.sample_indices(np.random.default_rng(0), 3)
CANDIDATES = [SPACE.decode(SPACE.genotype(indices_D), Variant()) for indices_D in INDICES_ND]
BASE = Variant()
CONFIG = WeightConfig(batch_size=6, reward_batch_size=8)
CPU = torch.device("cpu")
NO_WARMUP = [frozenset()] * len(CANDIDATES)

BASE = Variant()


class Bench:
    """An evaluator with everything a test wants to look at."""

    def __init__(self, config=CONFIG, *, num_steps=20, amp_dtype=None, variant=BASE, device=CPU):
        self.supernet = Supernet(SPACE, variant, num_classes=NUM_CLASSES, checkpointing=config.checkpointing)
        randomise(self.supernet)
        self.supernet.to(device)
        self.train = Stream(size=config.batch_size, seed=1)
        self.reward = Stream(size=config.reward_clips, seed=2)
        self.compared = [batch_of(number, size=5 + number, seed=3) for number in range(2)]
        self.stopwatch = Stopwatch()
        self.evaluator = SupernetEvaluator(
            self.supernet,
            config,
            num_steps=num_steps,
            train_batches=self.train,
            reward_batches=self.reward,
            compare_batches=lambda _clip: iter(self.compared),
            stopwatch=self.stopwatch,
            amp_dtype=amp_dtype,
        )

    def state(self):
        return {name: tensor.clone() for name, tensor in self.supernet.state_dict().items()}


PAPER = dataclasses.replace(
    CONFIG, quality="probability", optimizer="rmsprop", learning_rate=0.1, max_gradient_norm=None, checkpointing="mixed"
)


@pytest.mark.parametrize("config", [CONFIG, PAPER], ids=["ordinary", "paper"])
@pytest.mark.parametrize("check", evaluator_contract.CHECKS, ids=lambda check: check.__name__)
def test_the_supernet_keeps_the_contract(check, config):
    check(lambda: Bench(config).evaluator, CANDIDATES)


def test_rewards_are_measured_on_four_training_batches():
    assert WeightConfig().reward_clips == 64
    assert WeightConfig(batch_size=6, reward_multiple=3).reward_clips == 18
    assert WeightConfig(batch_size=6, reward_batch_size=7).reward_clips == 7


def test_quality_may_be_the_mean_probability_of_the_true_class():
    bench = Bench(PAPER)
    candidate, batch = CANDIDATES[0], batch_of(0, size=8, seed=2)
    clips_BCTHW, labels_B = network_input(batch, CPU)
    with torch.no_grad():
        chances_BK = bench.supernet(clips_BCTHW, candidate.spec).softmax(dim=1)
    wanted = sum(float(chance_K[label]) for chance_K, label in zip(chances_BK, labels_B, strict=True)) / 8
    (measured,) = bench.evaluator.measure(0, [candidate])
    assert (measured.quality, measured.num_clips) == (pytest.approx(wanted, rel=1e-5), 8)
    assert 0.05 < wanted < 0.95


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_only_what_was_run_decays(optimizer):
    """By AdamW at a rate so small that only the decay, as large as the rate is small, can be seen."""
    rate, decay = (1e-9, 0.3e9) if optimizer == "adamw" else (1e-3, 1e3)
    config = dataclasses.replace(
        CONFIG, optimizer=optimizer, learning_rate=rate, weight_decay=decay, warmup_fraction=0, max_gradient_norm=None
    )
    still = dataclasses.replace(config, weight_decay=0.0)
    moved = []
    for one in (config, still):
        bench = Bench(one)
        before = bench.state()
        bench.evaluator.train(0, CANDIDATES[:1], [frozenset({"block2.layer1"})])
        moved.append({name: tensor - before[name] for name, tensor in bench.state().items()})
    run = {name for name in moved[0] if not torch.equal(moved[0][name], moved[1][name])}
    extracted = extract(bench.supernet, CANDIDATES[0].spec).state_dict()
    kernels = {name for name, tensor in extracted.items() if tensor.dim() > 1} - {"head.classifier.weight"}
    kernels |= {f"blocks.0.0.depthwise.{kernel}.conv.weight" for kernel in SPACE.kernels}
    assert run == kernels
    name = "blocks.0.0.expand.weight"
    inner, width = extracted[name].shape[:2]
    weight, shrunk = before[name], moved[0][name]
    assert not torch.equal(shrunk[:inner, :width], moved[1][name][:inner, :width])
    assert torch.equal(shrunk[inner:], moved[1][name][inner:])
    assert torch.equal(shrunk[:, width:], moved[1][name][:, width:])
    if optimizer == "adamw":
        torch.testing.assert_close(shrunk[:inner, :width], -0.3 * weight[:inner, :width], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("checkpointing", ["mixed", "all"])
def test_checkpointing_changes_no_bit(checkpointing):
    plain, lean = Bench(), Bench(dataclasses.replace(CONFIG, checkpointing=checkpointing))
    mixed = [frozenset({"block2.layer1", "block3.layer1"})] * 3
    for step in range(2):
        losses = [float(each.evaluator.train(step, CANDIDATES, mixed)) for each in (plain, lean)]
        assert losses[0] == losses[1]
    assert dict(plain.evaluator.state()) == dict(lean.evaluator.state())


def test_gradients_are_the_mean_over_the_candidates():
    """Each with a batch of its own; where a candidate has no gradient, it counts as zero."""
    config = dataclasses.replace(CONFIG, max_gradient_norm=1e9)
    bench, other = Bench(config), Bench(config)
    mixed = [frozenset(), frozenset({"block2.layer1"}), frozenset()]
    loss = float(bench.evaluator.train(2, CANDIDATES, mixed))
    sums = {name: torch.zeros_like(parameter) for name, parameter in other.supernet.named_parameters()}
    touched, losses = set(), []
    for number, (candidate, names) in enumerate(zip(CANDIDATES, mixed, strict=True)):
        clips_BCTHW, labels_B = network_input(batch_of(2 * 3 + number, size=6, seed=1), CPU)
        other.supernet.zero_grad(set_to_none=True)
        logits_BK = other.supernet(clips_BCTHW, candidate.spec, names)
        one = F.cross_entropy(logits_BK, labels_B, label_smoothing=0.1)
        one.backward()
        losses.append(float(one.detach()))
        for name, parameter in other.supernet.named_parameters():
            if parameter.grad is not None:
                touched.add(name)
                sums[name] += parameter.grad
    assert loss == pytest.approx(sum(losses) / 3, rel=1e-6)
    for name, parameter in bench.supernet.named_parameters():
        assert (parameter.grad is not None) == (name in touched)
        if name in touched:
            torch.testing.assert_close(parameter.grad, sums[name] / 3, rtol=1e-4, atol=1e-6)
    assert len(touched) < len(sums)


def test_gradients_are_scaled_down_to_the_stated_norm():
    bench = Bench(dataclasses.replace(CONFIG, max_gradient_norm=1e-3))
    bench.evaluator.train(0, CANDIDATES, NO_WARMUP)
    gradients = [parameter.grad for parameter in bench.supernet.parameters() if parameter.grad is not None]
    assert float(torch.nn.utils.get_total_norm(gradients)) == pytest.approx(1e-3, rel=1e-3)


def test_only_what_was_sampled_moves():
    """In a later step too: what is not sampled again has no momentum that would carry it on."""
    bench = Bench()
    sampled = [depthwise_weights(candidate.spec) for candidate in CANDIDATES]
    assert sampled[0] - sampled[1]
    for step in range(2):
        before = bench.state()
        bench.evaluator.train(step, [CANDIDATES[step]], [frozenset()])
        moved = {name for name, tensor in bench.state().items() if not torch.equal(tensor, before[name])}
        assert {name for name in moved if ".depthwise." in name and name.endswith("weight")} == sampled[step]


def depthwise_weights(spec):
    return {
        f"blocks.{number}.{position}.depthwise.{'x'.join(map(str, layer.kernel))}.conv.weight"
        for number, block in enumerate(spec.blocks)
        for position, layer in enumerate(block.layers)
    }


def test_the_rate_follows_the_schedule():
    """AdamW moves a scalar by its rate in a first step, whatever the gradient."""
    for step in (0, 2, 4, 19):
        bench = Bench(dataclasses.replace(CONFIG, learning_rate=0.01, warmup_fraction=0.2))
        before = bench.state()["blocks.0.0.rezero"]
        bench.evaluator.train(step, CANDIDATES, NO_WARMUP)
        moved = float((bench.state()["blocks.0.0.rezero"] - before).abs())
        assert moved == pytest.approx(0.01 * cosine_with_warmup(step, num_steps=20, warmup_steps=4), rel=1e-3)


def test_the_loss_falls_and_the_quality_rises_on_an_easy_task():
    bench = Bench(WeightConfig(batch_size=16, reward_batch_size=32, learning_rate=0.01), num_steps=30)
    before = bench.evaluator.measure(99, CANDIDATES)
    losses = [float(bench.evaluator.train(step, CANDIDATES, NO_WARMUP)) for step in range(30)]
    after = bench.evaluator.measure(99, CANDIDATES)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert min(measurement.quality for measurement in after) >= 0.75
    assert max(measurement.quality for measurement in before) < 0.6


def num_correct(bench, candidate, batch):
    clips_BCTHW, labels_B = network_input(batch, CPU)
    with torch.no_grad():
        return int((bench.supernet(clips_BCTHW, candidate.spec).argmax(dim=1) == labels_B).sum())


@pytest.mark.parametrize("name", STREAMS)
def test_networks_that_stream_are_trained_and_measured_as_such(name):
    bench, losses, measured = Bench(variant=STREAMS[name]), [], []
    tensors = bench.state()
    candidates = [dataclasses.replace(candidate, variant=STREAMS[name]) for candidate in CANDIDATES]
    for number, candidate in enumerate(candidates):
        for stream, size in ((1, 6), (2, 8)):
            clips_BCTHW, labels_B = network_input(batch_of(number, size=size, seed=stream), CPU)
            logits_BK = reference_logits(tensors, clips_BCTHW, candidate.spec, STREAMS[name])
            if stream == 1:
                losses.append(float(F.cross_entropy(logits_BK, labels_B, label_smoothing=0.1)))
            else:
                measured.append(int((logits_BK.argmax(dim=1) == labels_B).sum()) / size)
    assert [one.quality for one in bench.evaluator.measure(0, candidates)] == measured
    assert float(bench.evaluator.train(0, candidates, NO_WARMUP)) == pytest.approx(sum(losses) / 3, rel=1e-5)


def test_every_candidate_is_measured_on_clips_of_its_own():
    bench = Bench()
    wanted = [
        Measurement(quality=num_correct(bench, candidate, batch_of(4 * 3 + number, size=8, seed=2)) / 8, num_clips=8)
        for number, candidate in enumerate(CANDIDATES)
    ]
    assert bench.evaluator.measure(4, CANDIDATES) == wanted
    assert bench.reward.opened == [12]
    assert bench.train.opened == []


def test_candidates_are_compared_over_all_clips_of_the_same_batches():
    bench = Bench()
    wanted = [
        Measurement(
            quality=sum(num_correct(bench, candidate, batch) for batch in bench.compared) / 11,
            num_clips=11,
        )
        for candidate in CANDIDATES
    ]
    assert list(bench.evaluator.compare(CANDIDATES)) == wanted
    assert bench.reward.opened == []


def test_a_stream_is_read_on_and_opened_anew_only_where_the_order_breaks():
    bench = Bench()
    for step in (0, 1, 2):
        bench.evaluator.train(step, CANDIDATES, NO_WARMUP)
        bench.evaluator.measure(step, CANDIDATES)
    assert bench.train.opened == bench.reward.opened == [0]
    bench.evaluator.train(5, CANDIDATES, NO_WARMUP)
    bench.evaluator.train(6, CANDIDATES, NO_WARMUP)
    assert bench.train.opened == [0, 15]


def test_a_restored_evaluator_opens_its_streams_where_the_first_one_stood():
    first, second = Bench(), Bench()
    for step in range(3):
        first.evaluator.train(step, CANDIDATES, NO_WARMUP)
    second.evaluator.restore(first.evaluator.state())
    losses = [bench.evaluator.train(3, CANDIDATES, NO_WARMUP) for bench in (first, second)]
    assert float(losses[0]) == float(losses[1])
    assert second.evaluator.measure(3, CANDIDATES) == first.evaluator.measure(3, CANDIDATES)
    assert (second.train.opened, second.reward.opened) == ([9], [9])
    assert dict(second.evaluator.state()) == dict(first.evaluator.state())


def test_the_state_is_safetensors_of_weights_and_moments():
    bench = Bench()
    bench.evaluator.train(0, CANDIDATES[:1], NO_WARMUP[:1])
    blobs = bench.evaluator.state()
    assert set(blobs) == {WEIGHTS, OPTIMIZER}
    assert set(from_bytes(blobs[WEIGHTS])) == set(bench.supernet.state_dict())
    num_sampled = sum(parameter.grad is not None for parameter in bench.supernet.parameters())
    assert len(from_bytes(blobs[OPTIMIZER])) == 3 * num_sampled


def test_weights_of_another_space_are_refused():
    bench = Bench()
    other = Supernet(dataclasses.replace(SPACE, head_width=128), Variant(), num_classes=NUM_CLASSES)
    blobs = SupernetEvaluator(
        other,
        CONFIG,
        num_steps=1,
        train_batches=bench.train,
        reward_batches=bench.reward,
        compare_batches=lambda _clip: iter(()),
        stopwatch=Stopwatch(),
    ).state()
    with pytest.raises(
        WeightsError, match=r"weights must fit the network, but in the checkpoint head.dense_weight must be \(32, 80\)"
    ):
        bench.evaluator.restore(blobs)


def test_waiting_for_clips_is_booked_as_such():
    bench = Bench()
    with bench.stopwatch.phase("train"):
        bench.evaluator.train(0, CANDIDATES, NO_WARMUP)
    with bench.stopwatch.phase("measure"):
        bench.evaluator.measure(0, CANDIDATES)
    assert set(bench.stopwatch.take()) == {"train", "measure", "data", "optimizer"}


def test_a_step_waits_for_the_device_once():
    """What comes over is a quality and a loss per candidate; nothing else is looked at from the host."""
    batches = [batch_of(number, size=6) for number in range(3)]
    evaluator = SupernetEvaluator(
        Supernet(SPACE, BASE, num_classes=NUM_CLASSES),
        CONFIG,
        num_steps=20,
        train_batches=lambda *_: iter(batches),
        reward_batches=lambda *_: iter(batches),
        compare_batches=lambda _: iter(batches),
        stopwatch=Stopwatch(),
    )
    with Transfers() as transfers:
        loss = evaluator.train(0, CANDIDATES, NO_WARMUP)
        assert transfers.shapes == []
        evaluator.measure(0, CANDIDATES)
        float(loss)
    assert transfers.shapes == [(2 * len(CANDIDATES),)]
    with Transfers() as transfers:
        evaluator.compare(CANDIDATES)
    assert transfers.shapes == [(len(CANDIDATES),)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("amp_dtype", [None, torch.bfloat16])
def test_a_step_on_cuda_synchronises_once(amp_dtype):
    bench = Bench(device=torch.device("cuda"), amp_dtype=amp_dtype)
    for step in range(2):  # the first may choose kernels
        torch.cuda.set_sync_debug_mode("warn" if step else "default")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                loss = bench.evaluator.train(step, CANDIDATES, NO_WARMUP)
                bench.evaluator.measure(step, CANDIDATES)
                float(loss)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert len([warning for warning in caught if "synchronizing" in str(warning.message)]) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_on_cuda_is_near_that_on_the_cpu():
    here, there = Bench(), Bench(device=torch.device("cuda"))
    losses = [float(bench.evaluator.train(0, CANDIDATES, NO_WARMUP)) for bench in (here, there)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


class Transfers(TorchFunctionMode):
    """Shapes of the tensors whose numbers were asked for, by which a host waits for its device."""

    asking = frozenset(
        getattr(torch.Tensor, name)
        for name in ("item", "tolist", "numpy", "cpu", "nonzero", "__float__", "__int__", "__bool__", "__index__")
    )

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in self.asking:
            self.shapes.append(tuple(args[0].shape))
        return function(*args, **(kwargs or {}))


def test_a_loss_that_is_not_finite_is_told_when_it_is_asked_for():
    bench = Bench(dataclasses.replace(CONFIG, learning_rate=1e30, warmup_fraction=0.0))
    bench.evaluator.train(0, CANDIDATES, NO_WARMUP)
    loss = bench.evaluator.train(1, CANDIDATES, NO_WARMUP)
    bench.evaluator.measure(1, CANDIDATES)
    message = r"the loss must stay finite, but got nan in step 1; a smaller weights.learning_rate than 1e\+30 may help"
    with pytest.raises(UsageError, match=message):
        float(loss)


def test_autocast_is_near_and_its_loss_is_in_full_precision():
    full, half = Bench(), Bench(amp_dtype=torch.bfloat16)
    losses = [float(bench.evaluator.train(0, CANDIDATES, NO_WARMUP)) for bench in (full, half)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    assert all(tensor.dtype == torch.float32 for tensor in half.state().values())


def test_each_candidate_needs_its_warmup():
    with pytest.raises(ValueError, match="shorter"):
        Bench().evaluator.train(0, CANDIDATES, NO_WARMUP[:2])


def test_mixed_layers_train_all_their_kernels():
    bench = Bench()
    before = bench.state()
    candidate = CANDIDATES[0]
    mixed = frozenset(layer_name(0, position) for position in range(len(candidate.spec.blocks[0].layers)))
    loss = float(bench.evaluator.train(0, [candidate], [mixed]))
    assert math.isfinite(loss)
    moved = {name for name, tensor in bench.state().items() if not torch.equal(tensor, before[name])}
    assert {f"blocks.0.0.depthwise.{kernel}.conv.weight" for kernel in SPACE.kernels} <= moved


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"batch_size": 1},
            "batch sizes must be at least 2, for batch norm .* but got batch_size=1, reward_multiple=4, ",
        ),
        ({"reward_batch_size": 0}, "batch sizes must be at least 2, .* reward_multiple=4, reward_batch_size=0"),
        ({"reward_multiple": 0}, "batch sizes must be at least 2, .* reward_multiple=0, reward_batch_size=None"),
        ({"quality": "loss"}, r"weights\.quality must be one of accuracy, probability, but got 'loss'"),
        ({"optimizer": "sgd"}, r"weights\.optimizer must be one of adamw, rmsprop, but got 'sgd'"),
        ({"checkpointing": "some"}, r"weights\.checkpointing must be one of none, mixed, all, but got 'some'"),
        ({"learning_rate": 0.0}, "learning_rate and max_gradient_norm must be positive .*learning_rate=0.0"),
        ({"learning_rate": math.nan}, "learning_rate and max_gradient_norm must be positive .*learning_rate=nan"),
        ({"max_gradient_norm": -1.0}, "learning_rate and max_gradient_norm must be positive .*max_gradient_norm=-1.0"),
        ({"weight_decay": -0.1}, "weight_decay at least 0, but got .*weight_decay=-0.1"),
        ({"warmup_fraction": 1.5}, r"warmup_fraction must be in \[0, 1\] .*, but got .*warmup_fraction=1.5"),
        ({"label_smoothing": 1.0}, r"label_smoothing in \[0, 1\), but got .*label_smoothing=1.0"),
    ],
)
def test_a_configuration_that_cannot_train_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        WeightConfig(**change)


def test_each_candidate_sees_clips_of_the_geometry_it_is_meant_for():
    clips = [dataclasses.replace(TINY.clip, num_frames=num_frames) for num_frames in (2, 4, 2)]
    candidates = [
        dataclasses.replace(candidate, spec=dataclasses.replace(candidate.spec, clip=clip))
        for candidate, clip in zip(CANDIDATES, clips, strict=True)
    ]
    bench = Bench()
    bench.evaluator.train(0, candidates, NO_WARMUP)
    bench.evaluator.measure(1, candidates)
    assert list(zip(bench.train.opened, bench.train.clips, strict=True)) == list(zip((0, 1, 2), clips, strict=True))
    assert list(zip(bench.reward.opened, bench.reward.clips, strict=True)) == list(zip((3, 4, 5), clips, strict=True))
    bench.evaluator.measure(2, [candidates[2]] * 3)  # follows on, at the same geometry
    assert bench.reward.opened == [3, 4, 5]
    bench.evaluator.measure(3, [candidates[0]] * 3)
    assert bench.reward.opened == [3, 4, 5]


def test_the_comparison_reads_once_for_each_geometry():
    clips = [dataclasses.replace(TINY.clip, num_frames=num_frames) for num_frames in (2, 4, 2)]
    candidates = [
        dataclasses.replace(candidate, spec=dataclasses.replace(candidate.spec, clip=clip))
        for candidate, clip in zip(CANDIDATES, clips, strict=True)
    ]
    supernet, asked = Bench().supernet, []

    def compared(clip):
        asked.append(clip)
        return iter([batch_of(9, size=5 + clip.num_frames, num_frames=clip.num_frames)])

    evaluator = SupernetEvaluator(
        supernet,
        CONFIG,
        num_steps=1,
        train_batches=Stream(size=6),
        reward_batches=Stream(size=8),
        compare_batches=compared,
        stopwatch=Stopwatch(),
    )
    found = evaluator.compare(candidates)
    assert asked == clips[:2]
    for measurement, candidate in zip(found, candidates, strict=True):
        num_frames = candidate.spec.clip.num_frames
        batch = batch_of(9, size=5 + num_frames, num_frames=num_frames)
        clips_BCTHW, labels_B = network_input(batch, CPU)
        with torch.no_grad():
            correct = (supernet(clips_BCTHW, candidate.spec).argmax(dim=1) == labels_B).float().mean()
        assert measurement.num_clips == 5 + num_frames
        assert measurement.quality == pytest.approx(float(correct))
