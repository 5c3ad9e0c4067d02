"""Sub-clips and soft targets: what one architecture is asked in a step."""

import contextlib
import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_clips import noise
from made_nets import STREAMS, randomise
from made_spaces import TINY

from search_spaces.errors import SpecError
from search_spaces.movinet import KERNELS
from search_spaces.spec import layer_name
from search_spaces.variant import VARIANTS, Variant
from supernet.extract import extract
from supernet.objective import Objective, Teacher
from supernet.supernet import Supernet
from supernet.video_net import VideoNet

SPACE = dataclasses.replace(TINY, kernels=KERNELS, se=(True, False), conv_choices=("3d", "3d_2plus1d"))
STREAM = VARIANTS["paper-stream"]
CLIPS_BCTHW = noise(2, num_frames=7, height=15, width=12)
LABELS_B = torch.tensor([0, 2])


def made(variant=STREAM, **options):
    supernet = Supernet(SPACE, variant, num_classes=3, **options)
    randomise(supernet)
    return supernet


def candidates(num, *, variant=STREAM):
    rows_ND = SPACE.sample_indices(np.random.default_rng(4), num)
    rows_ND[::2, -1] = 1  # both forms
    return [SPACE.decode(SPACE.genotype(row_D), variant) for row_D in rows_ND]


def objective(supernet, *, subclip_frames=None, teacher=None):
    return Objective(
        supernet=supernet,
        label_smoothing=0.1,
        subclip_frames=subclip_frames,
        teacher=teacher,
        autocast=contextlib.nullcontext,
    )


def layers_of(spec):
    return [layer_name(number, layer) for number, block in enumerate(spec.blocks) for layer in range(len(block.layers))]


def gradients(net):
    return {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("name", ["paper-stream", "released-stream", "encoded"])
def test_a_piece_of_a_sub_network_is_that_of_its_copy_bit_for_bit(name):
    supernet = made(STREAMS[name])
    for candidate in candidates(4, variant=STREAMS[name]):
        net = extract(supernet, candidate.spec, candidate.variant).train()
        own, state = None, net.init_state(2, 15, 12)
        for piece_BCTHW in CLIPS_BCTHW.split(3, dim=2):
            found_BK, own = supernet.step(piece_BCTHW, candidate.spec, own, variant=candidate.variant)
            wanted_BK, state = net.step(piece_BCTHW, state)
            assert torch.equal(found_BK, wanted_BK)
            assert not any(tensor.requires_grad for tensor in own.values())


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("checkpointing", ["none", "all"])
def test_a_sub_clip_as_long_as_the_clip_is_the_clip(mixed, checkpointing):
    whole, pieces = made(), made(checkpointing=checkpointing)
    for candidate in candidates(2):
        layers = frozenset(layers_of(candidate.spec) if mixed else [])
        losses = [
            objective(supernet, subclip_frames=frames).backward(candidate, layers, CLIPS_BCTHW, LABELS_B, share=0.5)
            for supernet, frames in ((whole, None), (pieces, 7))
        ]
        assert torch.equal(*losses)
    found, wanted = gradients(pieces), gradients(whole)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)  # sums of encodings in another order


@pytest.mark.parametrize("checkpointing", ["none", "mixed"])
@pytest.mark.parametrize("mixed", [False, True])
def test_gradients_of_sub_clips_add_up_and_do_not_cross_their_boundary(checkpointing, mixed):
    """Beside the same pieces run one by one, each a leaf of its own that knows only what the one before handed over."""
    supernet, other = made(checkpointing=checkpointing), made()
    (candidate,) = candidates(1)
    layers = frozenset(layers_of(candidate.spec) if mixed else [])
    loss = objective(supernet, subclip_frames=3).backward(candidate, layers, CLIPS_BCTHW, LABELS_B, share=0.5)
    state, total = None, 0.0
    for start, end in ((0, 3), (3, 6), (6, 7)):
        logits_BK, state = other.step(
            CLIPS_BCTHW[:, :, start:end], candidate.spec, state, layers, variant=candidate.variant
        )
        part = F.cross_entropy(logits_BK, LABELS_B, label_smoothing=0.1) * (end - start) / 7
        (0.5 * part).backward()
        state = {name: tensor.detach().clone() for name, tensor in state.items()}
        total += float(part.detach())
    assert float(loss) == pytest.approx(total, rel=1e-6)
    found, wanted = gradients(supernet), gradients(other)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_an_answer_is_that_after_all_frames():
    supernet = made()
    (candidate,) = candidates(1)
    found_BK = objective(supernet, subclip_frames=3).logits(candidate, CLIPS_BCTHW)
    net = extract(supernet, candidate.spec, candidate.variant).train()
    state = net.init_state(2, 15, 12)
    with torch.no_grad():
        for piece_BCTHW in CLIPS_BCTHW.split(3, dim=2):
            wanted_BK, state = net.step(piece_BCTHW, state)
        alone_BK = net(CLIPS_BCTHW[:, :, 6:])
    assert torch.equal(found_BK, wanted_BK)
    assert not torch.allclose(found_BK, alone_BK, rtol=1e-2)


def test_pieces_are_of_networks_that_stream():
    supernet = made(Variant())
    (candidate,) = candidates(1, variant=Variant())
    with pytest.raises(SpecError, match="variant: must stream, for a clip in pieces"):
        objective(supernet, subclip_frames=3).logits(candidate, CLIPS_BCTHW)


def test_a_variant_must_be_one_that_the_supernet_holds():
    (candidate,) = candidates(1)
    for variant in (None, dataclasses.replace(STREAM, conv="2plus1d"), Variant()):
        with pytest.raises(SpecError, match="variant: must be one that the supernet holds"):
            made()(CLIPS_BCTHW, candidate.spec, variant=variant)


def test_soft_targets_are_weighed_against_labels():
    supernet = made()
    (candidate,) = candidates(1)
    net = VideoNet(candidate.spec, candidate.variant, num_classes=3, seed=5)
    randomise(net)
    teacher = Teacher(net=net.eval(), weight=0.3, temperature=3.0)
    found = objective(supernet, teacher=teacher).backward(candidate, frozenset(), CLIPS_BCTHW, LABELS_B, share=1.0)
    with torch.no_grad():
        taught_BK = (net(CLIPS_BCTHW) / 3.0).softmax(dim=1)
        logits_BK = supernet(CLIPS_BCTHW, candidate.spec, variant=candidate.variant)
        own_BK = (logits_BK / 3.0).softmax(dim=1)
        distance = (taught_BK * (taught_BK / own_BK).log()).sum(dim=1).mean()
        hard = F.cross_entropy(logits_BK, LABELS_B, label_smoothing=0.1)
    assert float(found) == pytest.approx(float(0.7 * hard + 0.3 * 9.0 * distance), rel=1e-5)
    assert not any(parameter.grad is not None for parameter in net.parameters())


def test_who_answers_as_the_teacher_does_has_nothing_to_learn():
    supernet = made()
    (candidate,) = candidates(1)
    net = extract(supernet, candidate.spec, candidate.variant).train()  # with the statistics of the batch
    teacher = Teacher(net=net, weight=1.0, temperature=2.0)
    loss = objective(supernet, teacher=teacher).backward(candidate, frozenset(), CLIPS_BCTHW, LABELS_B, share=1.0)
    assert float(loss) == pytest.approx(0.0, abs=1e-6)
    assert max(float(gradient.abs().max()) for gradient in gradients(supernet).values()) < 1e-5
