import dataclasses

import numpy as np
import pytest
import torch
from made_clips import batch_of
from made_nets import TINY_SPEC, randomise

from retrain.by_frame import frame_logits, points_by_frame
from retrain.ensemble import mean_logits
from retrain.evaluate import clip_logits, predict, report_of
from search_spaces.errors import SpecError
from search_spaces.variant import VARIANTS, Variant
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.clips import ClipBatch
from video.label_space import LabelSpace

CPU = torch.device("cpu")
SPACE = LabelSpace(class_names=("a", "b", "c"))
FRAMES = 6


def made_net(variant, *, num_classes=3):
    """A network whose answers differ from clip to clip and from frame to frame."""
    net = VideoNet(TINY_SPEC, variant, num_classes=num_classes)
    randomise(net)
    with torch.no_grad():
        logits_BTK = net.eval().frame_logits(network_input(batches()[0], CPU)[0])
        net.head.classifier.bias -= logits_BTK.mean(dim=(0, 1))
    return net


def batches(*, num_frames=FRAMES, labels=None):
    """Frames of one colour each, so that the answer may change with every one."""
    colours_NTC = torch.randint(256, (24, FRAMES, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = [
        dataclasses.replace(
            batch_of(number, size=8, num_frames=FRAMES, seed=4),
            frames_BTHWC=colours_NTC[8 * number : 8 * number + 8, :num_frames, None, None].expand(-1, -1, 12, 12, -1),
        )
        for number in range(3)
    ]
    if labels is None:
        return found
    return [dataclasses.replace(batch, labels_B=labels[8 * i : 8 * i + 8]) for i, batch in enumerate(found)]


def points(net, kind, *, space=SPACE, labels=None, num_videos=24):
    logits = frame_logits(net, batches(labels=labels), kind, device=CPU)
    return points_by_frame(logits, kind, num_videos=num_videos, space=space, num_frames=FRAMES, rate_fps=4.0)


def report(net, *, num_frames, space=SPACE, labels=None):
    logits = clip_logits(net, batches(num_frames=num_frames, labels=labels), device=CPU)
    return report_of(predict(logits, num_videos=24, space=space, num_views=1), space=space, views="1x1")


@pytest.mark.parametrize("name", ["paper-stream", "released-stream"])
def test_a_stream_says_after_a_frame_what_it_says_of_the_clip_cut_off_there(name):
    """Two independent ways: logits after each frame of one pass, and evaluations of clips of 1, 2, ... frames."""
    net = made_net(VARIANTS[name])
    found = points(net, "so_far")
    for number, point in enumerate(found):
        cut = report(net, num_frames=number + 1)
        assert (point.frame, point.top1, point.top5) == (number, cut.top1, cut.top5)
    assert len({point.top1 for point in found}) > 1  # else the frames would not matter


def test_several_labels_by_frame():
    space = LabelSpace(class_names=("a", "b", "c"), multi_label=True)
    labels_NK = torch.rand(24, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    net = made_net(VARIANTS["paper-stream"])
    for number, point in enumerate(points(net, "so_far", space=space, labels=labels_NK)):
        cut = report(net, num_frames=number + 1, space=space, labels=labels_NK)
        assert point.mean_average_precision == pytest.approx(cut.mean_average_precision, abs=1e-6)
        assert point.top1 == cut.top1
        assert point.quality == point.mean_average_precision


def test_one_frame_alone_is_the_clip_of_one_frame():
    for name in ("base", "paper-stream"):
        net, batch = made_net(VARIANTS[name]), batches(num_frames=1)[0]
        (alone,) = frame_logits(net, [batch], "alone", device=CPU)
        (clip,) = clip_logits(net, [batch], device=CPU)
        torch.testing.assert_close(alone.logits_BK[:, 0], clip.logits_BK, rtol=1e-5, atol=1e-6)


def test_alone_is_the_classifier_on_the_features_of_each_frame():
    """The mean over frames of what goes into the dense layer gives the answer of the clip (paper, C.4)."""
    net, seen = made_net(Variant()), []
    clips_BCTHW = network_input(batches()[0], CPU)[0]
    with torch.no_grad():
        alone_BTK = net.frame_logits(clips_BCTHW)
        hook = net.head.conv.register_forward_hook(lambda *args: seen.append(args[-1]))
        clip_BK = net(clips_BCTHW)
        hook.remove()
        features_BTC = seen[0].mean(dim=(2, 3)).view(8, FRAMES, -1)

        def classified(features_XC):
            dense = torch.nn.functional.linear(features_XC, net.head.dense_weight, net.head.dense_bias)
            return net.head.classifier(torch.nn.functional.silu(dense))

        torch.testing.assert_close(alone_BTK, classified(features_BTC), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(clip_BK, classified(features_BTC.mean(dim=1)), rtol=1e-4, atol=1e-5)


def test_failed_videos_are_counted_and_members_averaged():
    net = made_net(Variant())
    empty = ClipBatch(
        frames_BTHWC=torch.zeros(0, FRAMES, 12, 12, 3, dtype=torch.uint8),
        labels_B=torch.zeros(0, dtype=torch.int64),
        indices=(),
        num_failed=2,
    )
    logits = frame_logits(net, [empty, *batches()], "alone", device=CPU)
    found = points_by_frame(logits, "alone", num_videos=26, space=SPACE, num_frames=FRAMES, rate_fps=4.0)
    assert {(point.num_videos, point.num_failed) for point in found} == {(24, 2)}
    twice = mean_logits([frame_logits(net, batches(), "alone", device=CPU) for _ in range(2)])
    again = points_by_frame(twice, "alone", num_videos=24, space=SPACE, num_frames=FRAMES, rate_fps=4.0)
    assert [point.top1 for point in again] == [point.top1 for point in found]


def test_a_network_that_looks_ahead_says_nothing_so_far():
    with pytest.raises(SpecError, match="must be causal"):
        points(made_net(Variant()), "so_far")


def test_without_a_video_there_is_no_accuracy():
    found = points_by_frame([], "alone", num_videos=3, space=SPACE, num_frames=2, rate_fps=4.0)
    assert [(point.top1, point.num_videos, point.num_failed) for point in found] == [(0.0, 0, 3)] * 2
    several = LabelSpace(class_names=("a",), multi_label=True)
    (point,) = points_by_frame([], "alone", num_videos=1, space=several, num_frames=1, rate_fps=4.0)
    assert np.isclose(point.quality, 0.0)
