"""Embeddings of frames: observed in passing, measured over a test, and projected."""

import dataclasses

import pytest
import torch
from made_clips import NUM_CLASSES, batch_of
from made_nets import TINY_SPEC, randomise, settled

from retrain.embeddings import MAX_TRAJECTORIES, layer_names, measure, observed, of_frames, principal_axes
from retrain.grw import GRWSmoothing, normalised
from retrain.recipe import Recipe
from search_spaces.temporal_head import TemporalHead
from search_spaces.variant import VARIANTS, Variant
from supernet.inputs import network_input
from supernet.video_net import VideoNet

CPU = torch.device("cpu")
HEAD = dataclasses.replace(
    VARIANTS["released-stream"], temporal_head=TemporalHead(embed_dim=8, heads=2, mlp_dim=8, window=3)
)


def made(variant=HEAD):
    net = VideoNet(TINY_SPEC, variant, num_classes=NUM_CLASSES)
    randomise(net)
    return settled(net, height=12, width=12)


def test_names_of_what_can_be_smoothed():
    layers = ("stem", "block2.layer1", "block2.layer2", "block3.layer1", "head")
    assert layer_names(TINY_SPEC, Variant()) == layers
    assert layer_names(TINY_SPEC, HEAD) == (*layers, "embedding")


@torch.no_grad()
def test_every_name_is_that_of_its_layer():
    net, clips_BCTHW = made(), network_input(batch_of(0, size=2, num_frames=5), CPU)[0]
    modules = [net.stem, *net.blocks[0], *net.blocks[1], net.head.conv, net.head.temporal.embed]
    for name, module in zip(layer_names(TINY_SPEC, HEAD), modules, strict=True):
        outputs = []
        with module.register_forward_hook(lambda module, inputs, output, kept=outputs: kept.append(output)):
            net(clips_BCTHW)
        with observed(net, (name,)) as found:
            net(clips_BCTHW)
        assert torch.equal(found[name], outputs[0])
        frames_BTC = of_frames(found[name], num_clips=2)
        assert frames_BTC.shape[:2] == (2, 5)
        if name != "embedding":
            torch.testing.assert_close(frames_BTC[1, 3], outputs[0][8].mean(dim=(1, 2)))
    assert not any(module._forward_hooks for module in net.modules())


def test_points_on_a_plane_are_shown_whole_and_in_order_of_variance():
    across = torch.linspace(-1, 1, 12)
    x_BTC = torch.zeros(3, 4, 6)
    x_BTC[..., 1] = -3 * across.view(3, 4)
    x_BTC[..., 4] = across.view(3, 4).square()
    points_BT2, explained = principal_axes(x_BTC + 5.0)
    assert explained == pytest.approx(1.0)
    assert points_BT2.shape == (3, 4, 2)
    assert points_BT2.flatten(0, 1).std(dim=0)[0] > points_BT2.flatten(0, 1).std(dim=0)[1]
    torch.testing.assert_close(points_BT2[..., 0].abs().float(), (3 * across.view(3, 4)).abs(), atol=1e-5, rtol=0)
    x_BTC[..., 5] = 2.0 * torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert principal_axes(x_BTC)[1] < 0.999
    assert principal_axes(torch.ones(1, 4, 1))[0].shape == (1, 4, 2)


@pytest.mark.parametrize("layer", ["embedding", "block3.layer1"])
def test_what_is_measured_is_the_smoothness_of_all_clips_together(layer):
    net, recipe = made(), Recipe(grw_window=4, grw_alpha=0.25)
    batches = [batch_of(number, size=3, num_frames=9) for number in range(2)]
    report = measure(net, batches, recipe, layer=layer, device=CPU)
    with torch.no_grad(), observed(net, (layer,)) as outputs:
        kept = []
        for batch in batches:
            net(network_input(batch, CPU)[0])
            kept.append(of_frames(outputs[layer], num_clips=3))
    x_BTC = torch.cat(kept)
    if layer != "embedding":
        x_BTC = normalised(x_BTC)
    found = GRWSmoothing(4, sigma=1.0 if layer == "embedding" else None)(x_BTC)
    assert (report.layer, report.window, report.num_windows) == (layer, 4, 12)
    assert [report.acceleration_ratio, report.order_nll, report.velocity] == pytest.approx(
        [float(found.acceleration_ratio), float(found.order), float(found.velocity)], rel=1e-5
    )
    scaled = GRWSmoothing(4, sigma=float(found.velocity) ** 0.5 * (1.0 if layer == "embedding" else 16**0.5))(x_BTC)
    assert float(scaled.velocity) == pytest.approx(1.0, rel=1e-4)
    assert report.scaled_order_nll == pytest.approx(float(scaled.order), rel=1e-4)
    assert len(report.trajectories) == 6
    assert [each.label for each in report.trajectories] == [int(k) for batch in batches for k in batch.labels_B]
    assert all(len(each.points) == 9 for each in report.trajectories)


def test_a_figure_has_a_few_clips_of_every_class():
    batches = [batch_of(number, size=20, num_frames=3) for number in range(3)]
    report = measure(made(), batches, Recipe(grw_window=3), layer="embedding", device=CPU)
    labels = [each.label for each in report.trajectories]
    assert {labels.count(label) for label in range(NUM_CLASSES)} == {MAX_TRAJECTORIES // NUM_CLASSES}


def test_nothing_is_measured_of_clips_without_a_window():
    assert measure(made(), [batch_of(0, size=2)], Recipe(), layer="embedding", device=CPU) is None
    assert measure(made(), [], Recipe(), layer="embedding", device=CPU) is None


def test_a_figure_shows_clips_of_several_labels_under_their_first():
    batch = batch_of(0, size=4, num_frames=4)
    labels_BK = torch.tensor([[0, 1, 1], [0, 0, 0], [1, 0, 1], [0, 0, 1]], dtype=torch.bool)
    report = measure(
        made(), [dataclasses.replace(batch, labels_B=labels_BK)], Recipe(grw_window=3), layer="embedding", device=CPU
    )
    assert report.num_windows == 4
    assert [each.label for each in report.trajectories] == [1, 0, 2]
