"""Sub-clips and GRW-smoothing in a step of retraining."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from made_clips import NUM_CLASSES, batch_of
from made_nets import TINY_SPEC, randomise
from made_spaces import frame_wise

from launch.bench.subclips import most_kept
from retrain.embeddings import check_objective
from retrain.grw import GRWSmoothing, frame_embeddings
from retrain.objective import Objective
from retrain.recipe import Recipe
from search_spaces.errors import SpecError, UsageError
from search_spaces.temporal_head import TemporalHead
from search_spaces.variant import VARIANTS, Variant
from supernet.inputs import network_input
from supernet.video_net import VideoNet
from video.label_space import LabelSpace

CPU = torch.device("cpu")
STREAM = VARIANTS["released-stream"]
HEAD = dataclasses.replace(STREAM, temporal_head=TemporalHead(embed_dim=8, heads=2, mlp_dim=8, window=3))
BATCH = batch_of(0, size=4, num_frames=7)
SPACE = LabelSpace(class_names=tuple(map(str, range(NUM_CLASSES))))


def made(variant=STREAM, spec=TINY_SPEC, **options):
    net = VideoNet(spec, variant, num_classes=NUM_CLASSES, **options)
    randomise(net)
    return net.train()


def answer(net, batch=BATCH, *, step=0, seed=0, **recipe):
    objective = Objective(recipe=Recipe(**recipe), seed=seed, device=CPU, amp_dtype=None, space=SPACE)
    return objective.backward(net, batch, step=step)


def gradients(net):
    return {name: parameter.grad for name, parameter in net.named_parameters()}


@pytest.mark.parametrize("variant", [STREAM, VARIANTS["paper-stream"], HEAD])
def test_a_sub_clip_as_long_as_the_clip_is_the_clip(variant):
    whole, piece = made(variant), made(variant)
    wanted, found = answer(whole), answer(piece, subclip_frames=7)
    torch.testing.assert_close(found.loss, wanted.loss)
    assert found.num_correct == wanted.num_correct
    torch.testing.assert_close(gradients(piece), gradients(whole), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("variant", [STREAM, HEAD])
@pytest.mark.parametrize("length", [1, 3])
def test_gradients_of_sub_clips_add_up_and_do_not_cross_their_boundary(variant, length):
    """Beside the same pieces run one by one, each of which knows only the numbers that the one before handed over."""
    net, other = made(variant), made(variant)
    found = answer(net, subclip_frames=length, label_smoothing=0.2)
    clips_BCTHW, labels_B = network_input(BATCH, CPU)
    state, total = other.init_state(4, *clips_BCTHW.shape[3:]), 0.0
    for piece_BCTHW in clips_BCTHW.split(length, dim=2):
        logits_BK, state = other.step(piece_BCTHW, state)
        state = {name: tensor.detach().clone() for name, tensor in state.items()}
        loss = F.cross_entropy(logits_BK, labels_B, label_smoothing=0.2) * piece_BCTHW.shape[2] / 7
        loss.backward()
        total += float(loss.detach())
    assert float(found.loss) == pytest.approx(total)
    assert found.num_correct == (logits_BK.argmax(dim=1) == labels_B).sum()
    torch.testing.assert_close(gradients(net), gradients(other))


def test_memory_follows_the_sub_clip():
    batch = batch_of(0, size=2, num_frames=16)
    whole, halves, short = (
        most_kept(lambda net=net, frames=frames: answer(net, batch, subclip_frames=frames), apart=net.parameters())
        for net, frames in ((made(), None), (made(), 8), (made(), 2))
    )
    assert halves < 0.65 * whole
    assert short < 0.3 * whole


def test_what_is_drawn_for_a_clip_holds_for_all_its_sub_clips():
    """Frames that are all equal, through a network that sees each for itself: pieces differ in what is drawn alone."""
    still = dataclasses.replace(BATCH, frames_BTHWC=BATCH.frames_BTHWC[:, :1].expand(-1, 6, -1, -1, -1).contiguous())
    variant, spec = Variant(causal=True, se="none"), frame_wise(TINY_SPEC)
    losses = [
        answer(made(variant, spec, dropout=0.5, drop_path=0.5), still, subclip_frames=frames).loss
        for frames in (None, 1, 2)
    ]
    torch.testing.assert_close(losses[1:], losses[:1] * 2)
    other = answer(made(variant, spec, dropout=0.5, drop_path=0.5), still, step=1)
    assert abs(other.loss - losses[0]) > 1e-3


def test_sub_clips_of_a_network_that_looks_ahead_are_refused():
    with pytest.raises(SpecError, match="must be causal, with no global pool in se"):
        answer(made(Variant()), subclip_frames=2)


def embeddings_in(net, clips_BCTHW):
    found = []
    with net.head.temporal.embed.register_forward_hook(lambda module, inputs, output: found.append(output)):
        net(clips_BCTHW)
    return found[0]


def test_smoothing_adds_its_weighted_loss_of_the_embeddings_and_leaves_the_answers():
    plain, smooth = answer(made(HEAD)), answer(made(HEAD), grw_weight=0.3, grw_window=7, grw_alpha=0.2)
    embeddings_BTC = embeddings_in(made(HEAD), network_input(BATCH, CPU)[0])
    wanted = GRWSmoothing(7, alpha=0.2)(embeddings_BTC).loss
    assert float(smooth.loss - plain.loss) == pytest.approx(0.3 * float(wanted.detach()), rel=1e-4)
    assert smooth.num_correct == plain.num_correct


@pytest.mark.parametrize(("sigma", "used"), [(None, None), (2.0, 2.0)])
def test_smoothing_of_layers_pools_and_normalises_what_they_give(sigma, used):
    layers = ("stem", "block2.layer2", "head")
    base = Variant()
    plain = answer(made(base))
    smooth = answer(made(base), grw_weight=0.5, grw_window=7, grw_layers=layers, grw_sigma=sigma)
    net, maps = made(base), []
    for module in (net.stem, net.blocks[0][1], net.head.conv):
        module.register_forward_hook(lambda module, inputs, output: maps.append(output))
    net(network_input(BATCH, CPU)[0])
    maps_BCTHW = [x_NCHW.unflatten(0, (4, 7)).transpose(1, 2) for x_NCHW in maps]
    wanted = sum(float(GRWSmoothing(7, sigma=used)(frame_embeddings(x)).loss.detach()) for x in maps_BCTHW)
    assert float(smooth.loss - plain.loss) == pytest.approx(0.5 * wanted, rel=1e-4)


def test_smoothing_reaches_the_weights_and_leaves_no_hook_behind():
    net, plain = made(HEAD), made(HEAD)
    answer(net, grw_weight=0.5, grw_window=3)
    answer(plain)
    assert not torch.allclose(net.head.temporal.embed.weight.grad, plain.head.temporal.embed.weight.grad)
    assert not torch.allclose(net.stem.weight.grad, plain.stem.weight.grad)
    assert not any(module._forward_hooks for module in net.modules())


def test_the_weight_rises_over_the_warm_up_and_windows_move_from_step_to_step():
    plain = float(answer(made(HEAD)).loss)

    def extra(step, **recipe):
        return float(answer(made(HEAD), step=step, grw_weight=0.4, **recipe).loss) - plain

    steps = range(12)
    first = [extra(step, grw_window=5) for step in steps]
    assert len({round(value, 4) for value in first}) == 3  # 7 frames leave room for offsets 0, 1 and 2
    warm = [extra(step, grw_window=5, grw_warmup_steps=10) for step in steps]
    ratios = [part / whole for part, whole in zip(warm, first, strict=True)]
    assert ratios == pytest.approx([min(1.0, (step + 1) / 10) for step in steps], rel=1e-3)


def test_sub_clips_are_smoothed_one_by_one():
    plain = answer(made(HEAD), subclip_frames=3)
    smooth = answer(made(HEAD), subclip_frames=3, grw_weight=1.0, grw_window=3)
    net, extra = made(HEAD), 0.0
    clips_BCTHW, _ = network_input(BATCH, CPU)
    state = net.init_state(4, *clips_BCTHW.shape[3:])
    found = []
    net.head.temporal.embed.register_forward_hook(lambda module, inputs, output: found.append(output.detach()))
    for piece_BCTHW in clips_BCTHW.split(3, dim=2):
        _, state = net.step(piece_BCTHW, state)
    extra = sum(float(GRWSmoothing(3)(piece_BTC).loss) * piece_BTC.shape[1] / 7 for piece_BTC in found)
    assert float(smooth.loss - plain.loss) == pytest.approx(extra, rel=1e-4)  # the last frame fills no window


@pytest.mark.parametrize(
    ("recipe", "variant", "message"),
    [
        ({"subclip_frames": 2}, Variant(), "subclip_frames needs a network that streams: .* causal False and se 3d"),
        ({"grw_weight": 0.1}, STREAM, "but got 'embedding', which needs a temporal_head in the variant"),
        (
            {"grw_weight": 0.1, "grw_layers": ("block9.layer1",)},
            HEAD,
            "must be of stem, block2.layer1, .*, embedding, ",
        ),
        ({"grw_weight": 0.1}, HEAD, "grw_window must be at most the 4 frames of a clip, but got 5"),
    ],
)
def test_a_recipe_that_a_network_cannot_be_trained_with_is_refused(recipe, variant, message):
    with pytest.raises(UsageError, match=message):
        check_objective(Recipe(**recipe), TINY_SPEC, variant, clip=TINY_SPEC.clip)


def test_a_recipe_that_fits_is_not():
    for recipe in (
        Recipe(),
        Recipe(subclip_frames=2),
        Recipe(grw_weight=0.1, train_frames=5),
        Recipe(grw_weight=0.1, grw_window=4, grw_layers=("head", "stem")),
    ):
        check_objective(recipe, TINY_SPEC, HEAD, clip=TINY_SPEC.clip)
