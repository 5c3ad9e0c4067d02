import dataclasses

import numpy as np
import pytest
import torch
from made_clips import batch_of
from made_nets import TINY_SPEC, randomise

from retrain import evaluate
from retrain.evaluate import Predictions, clip_logits, predict, report_of
from search_spaces.variant import Variant
from supernet.frozen import FrozenNet
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.clips import ClipBatch
from video.label_space import LabelSpace

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _told_needs_no_freezing(monkeypatch):
    monkeypatch.setattr(evaluate, "FrozenNet", lambda net: net if isinstance(net, Told) else FrozenNet(net))


class Told(torch.nn.Module):
    """Says what the pixels tell it: the logit of a class is the first colour of the frame of that number."""

    def forward(self, clips_BCTHW):
        self.was_training = self.training
        return clips_BCTHW[:, 0, :, 0, 0] * 255


def told(*clips, num_failed=0):
    """A batch of (video, label, logits), logits being whole numbers from 0 to 255."""
    num_classes = len(clips[0][2]) if clips else 3
    frames_BTHWC = torch.zeros(len(clips), num_classes, 8, 8, 3, dtype=torch.uint8)
    for frames_THWC, (_, _, logits) in zip(frames_BTHWC, clips, strict=True):
        frames_THWC[:, 0, 0, 0] = torch.tensor(logits)
    return ClipBatch(
        frames_BTHWC=frames_BTHWC,
        labels_B=torch.tensor([label for _, label, _ in clips], dtype=torch.int64),
        indices=tuple(index for index, _, _ in clips),
        num_failed=num_failed,
    )


def space_of(num_classes):
    return LabelSpace(class_names=tuple("abcdef"[:num_classes]))


def softmax(*logits):
    powers = np.exp(np.array(logits, dtype=np.float64) - max(logits))
    return powers / powers.sum()


def predicted(batches, *, num_videos, num_views=1, num_classes=3):
    logits = clip_logits(Told(), batches, device=CPU)
    return predict(logits, num_videos=num_videos, space=space_of(num_classes), num_views=num_views)


def test_logits_come_batch_by_batch():
    net = Told().train()
    batches = [told((4, 2, (1, 0, 3)), (0, 1, (0, 0, 0))), told((1, 0, (9, 9, 0)))]
    found = list(clip_logits(net, batches, device=CPU))
    assert [batch.indices for batch in found] == [(4, 0), (1,)]
    assert [batch.labels_B.tolist() for batch in found] == [[2, 1], [0]]
    np.testing.assert_allclose(found[0].logits_BK, [(1, 0, 3), (0, 0, 0)], rtol=1e-6)
    np.testing.assert_allclose(found[1].logits_BK, [(9, 9, 0)], rtol=1e-6)
    assert found[0].logits_BK.dtype == torch.float64
    assert not net.was_training


def test_a_prediction_is_the_softmax_of_the_logits():
    found = predicted([told((1, 2, (1, 0, 3)), (0, 1, (0, 0, 0)))], num_videos=2)
    np.testing.assert_allclose(found.probabilities_NK, [softmax(0, 0, 0), softmax(1, 0, 3)], rtol=1e-6)
    assert found.probabilities_NK.dtype == np.float64


def test_views_of_a_video_are_averaged_whatever_their_batch():
    batches = [told((0, 2, (5, 0, 0)), (0, 2, (0, 0, 1))), told((1, 1, (0, 2, 0))), told((1, 1, (0, 0, 2)))]
    found = predicted(batches, num_videos=2, num_views=2)
    np.testing.assert_allclose(found.probabilities_NK[0], (softmax(5, 0, 0) + softmax(0, 0, 1)) / 2, rtol=1e-6)
    np.testing.assert_allclose(found.probabilities_NK[1], (softmax(0, 2, 0) + softmax(0, 0, 2)) / 2, rtol=1e-6)
    assert found.labels_N.tolist() == [2, 1]
    assert not found.failed_N.any()
    np.testing.assert_allclose(found.probabilities_NK.sum(axis=1), 1.0)


def test_a_video_that_misses_a_view_has_failed():
    batches = [told((0, 1, (0, 9, 0)), (0, 1, (0, 9, 0)), (2, 1, (0, 9, 0)))]
    found = predicted(batches, num_videos=3, num_views=2)
    assert found.failed_N.tolist() == [False, True, True]
    assert not found.probabilities_NK[1:].any()


def test_a_batch_in_which_every_video_failed_is_empty():
    batches = [told(num_failed=2), told((2, 0, (4, 0, 0)))]
    found = predicted(batches, num_videos=3)
    assert found.failed_N.tolist() == [True, True, False]
    net = VideoNet(TINY_SPEC, Variant(), num_classes=3)
    (batch,) = clip_logits(net, [told(num_failed=2)], device=CPU)
    assert batch.indices == ()


def test_a_network_is_evaluated_with_its_running_statistics():
    net = VideoNet(TINY_SPEC, Variant(), num_classes=3)
    randomise(net)
    batch = batch_of(0, size=4)
    clips_BCTHW, labels_B = network_input(batch, CPU)
    with torch.no_grad():
        wanted_BK = net.eval()(clips_BCTHW).double().softmax(dim=1).numpy()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = predict(clip_logits(net.train(), [batch], device=CPU), num_videos=4, space=space_of(3), num_views=1)
    np.testing.assert_allclose(found.probabilities_NK, wanted_BK, rtol=1e-5)
    np.testing.assert_array_equal(found.labels_N, labels_B.numpy())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_logits_under_autocast_come_in_full_precision():
    net = VideoNet(TINY_SPEC, Variant(), num_classes=3)
    randomise(net)
    batch = batch_of(0, size=4)
    (full,) = clip_logits(net, [batch], device=CPU)
    (half,) = clip_logits(net, [batch], device=CPU, amp_dtype=torch.bfloat16)
    assert half.logits_BK.dtype == torch.float64
    np.testing.assert_allclose(half.logits_BK, full.logits_BK, atol=0.1 * full.logits_BK.abs().max())
    assert (half.logits_BK != full.logits_BK).any()


def predictions(rows, labels, *, failed=()):
    probabilities_NK = np.array(rows, dtype=np.float64)
    failed_N = np.isin(np.arange(len(labels)), failed)
    return Predictions(probabilities_NK=probabilities_NK, labels_N=np.array(labels), failed_N=failed_N)


def test_a_report_by_hand():
    """Six classes: the fourth video's class comes sixth, the fifth failed."""
    rows = [
        (0.5, 0.1, 0.1, 0.1, 0.1, 0.1),  # right
        (0.5, 0.2, 0.1, 0.1, 0.05, 0.05),  # class 1, second
        (0.0, 0.0, 0.9, 0.1, 0.0, 0.0),  # right
        (0.3, 0.2, 0.2, 0.2, 0.1, 0.0),  # class 5, last
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        (0.1, 0.8, 0.1, 0.0, 0.0, 0.0),  # right
    ]
    report = report_of(
        predictions(rows, (0, 1, 2, 5, 3, 1), failed=[4]),
        space=LabelSpace(class_names=("a", "b", "c", "d", "e", "f")),
        views="2x1",
    )
    assert (report.top1, report.top5) == (3 / 5, 4 / 5)
    assert (report.num_videos, report.num_failed, report.views) == (5, 1, "2x1")
    assert report.class_names == ("a", "b", "c", "d", "e", "f")
    assert report.per_class == {"a": 1.0, "b": 0.5, "c": 1.0, "f": 0.0}
    assert report.per_class_videos == {"a": 1, "b": 2, "c": 1, "f": 1}
    assert report.confusion == (
        (1, 0, 0, 0, 0, 0),
        (1, 1, 0, 0, 0, 0),
        (0, 0, 1, 0, 0, 0),
        (0, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0, 0),
        (1, 0, 0, 0, 0, 0),
    )
    assert all(type(count) is int for row in report.confusion for count in row)


def test_with_fewer_than_five_classes_all_are_among_the_first_five():
    report = report_of(
        predictions([(0.9, 0.1), (0.9, 0.1)], (0, 1)), space=LabelSpace(class_names=("a", "b")), views="1x1"
    )
    assert (report.top1, report.top5) == (0.5, 1.0)


def test_a_tie_counts_for_the_lower_number():
    """So a network that always says the same is right as often as the first class occurs."""
    names = tuple(f"class {number}" for number in range(40))
    report = report_of(predictions([(0.2,) * 40] * 40, range(40)), space=LabelSpace(class_names=names), views="1x1")
    assert (report.top1, report.top5) == (1 / 40, 5 / 40)
    assert [row[0] for row in report.confusion] == [1] * 40


@pytest.mark.parametrize("failed", [[], [0, 1]])
def test_without_a_video_there_is_no_accuracy(failed):
    rows = np.zeros((len(failed), 2))
    report = report_of(
        predictions(rows, np.zeros(len(failed), dtype=np.int64), failed=failed),
        space=LabelSpace(class_names=("a", "b")),
        views="1x1",
    )
    assert (report.top1, report.top5, report.num_videos, report.num_failed) == (0.0, 0.0, 0, len(failed))
    assert report.per_class == {}
    assert report.confusion == ((0, 0), (0, 0))


def test_a_report_can_be_written_as_json():
    report = report_of(predictions([(0.9, 0.1)], (0,)), space=LabelSpace(class_names=("a", "b")), views="1x1")
    values = dataclasses.asdict(report)
    assert {type(values[name]) for name in ("top1", "top5")} == {float}
    assert {type(values[name]) for name in ("num_videos", "num_failed")} == {int}
    assert {type(value) for value in values["per_class"].values()} == {float}
