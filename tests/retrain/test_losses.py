"""The loss, by hand, and what an objective makes of it."""

import math

import pytest
import torch
from made_clips import NUM_CLASSES, batch_of
from made_nets import TINY_SPEC

from retrain.losses import balancing_weights, class_loss
from retrain.objective import Objective
from retrain.recipe import Recipe
from retrain.targets import one_hot
from search_spaces.errors import UsageError
from search_spaces.variant import Variant
from supernet.video_net import VideoNet
from video.augment import AugmentConfig
from video.label_space import LabelSpace

LOGITS_BK = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])


def nats(row, number):
    exponentials = [math.exp(value) for value in row]
    return -math.log(exponentials[number] / sum(exponentials))


def test_hard_targets_by_hand():
    loss = class_loss(LOGITS_BK, torch.tensor([1, 2]))
    assert float(loss) == pytest.approx((nats([2, 0, -1], 1) + math.log(3)) / 2)


def test_smoothing_by_hand():
    loss = class_loss(LOGITS_BK[:1], torch.tensor([1]), label_smoothing=0.3)
    terms = [nats([2, 0, -1], number) for number in range(3)]
    assert float(loss) == pytest.approx(0.7 * terms[1] + 0.3 * sum(terms) / 3)


@pytest.mark.parametrize("weights_K", [None, torch.tensor([0.5, 2.0, 1.0])])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_one_hot_targets_are_hard_ones(weights_K, label_smoothing):
    labels_B = torch.tensor([1, 2])
    options = {"label_smoothing": label_smoothing, "class_weights_K": weights_K}
    hard = class_loss(LOGITS_BK, labels_B, **options)
    torch.testing.assert_close(class_loss(LOGITS_BK, one_hot(labels_B, space_of(3)), **options), hard)


def test_soft_targets_by_hand():
    loss = class_loss(LOGITS_BK[:1], torch.tensor([[0.25, 0.0, 0.75]]))
    assert float(loss) == pytest.approx(0.25 * nats([2, 0, -1], 0) + 0.75 * nats([2, 0, -1], 2))


def test_weights_of_classes_by_hand():
    weights_K = torch.tensor([0.5, 2.0, 1.0])
    loss = class_loss(LOGITS_BK, torch.tensor([1, 2]), class_weights_K=weights_K)
    assert float(loss) == pytest.approx((2.0 * nats([2, 0, -1], 1) + math.log(3)) / 2)
    mixed = class_loss(LOGITS_BK[:1], torch.tensor([[0.5, 0.5, 0.0]]), class_weights_K=weights_K)
    assert float(mixed) == pytest.approx(1.25 * (nats([2, 0, -1], 0) + nats([2, 0, -1], 1)) / 2)


def test_two_halves_have_the_loss_of_the_whole():
    logits_BK = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    labels_B, weights_K = torch.tensor([0, 0, 0, 0, 1, 2, 2, 1]), torch.tensor([0.1, 3.0, 1.0])
    whole = class_loss(logits_BK, labels_B, class_weights_K=weights_K)
    halves = [
        class_loss(logits_BK[part], labels_B[part], class_weights_K=weights_K) for part in (slice(4), slice(4, 8))
    ]
    torch.testing.assert_close(sum(halves) / 2, whole)


def test_the_loss_is_computed_in_full_precision():
    logits_BK = LOGITS_BK.bfloat16()
    torch.testing.assert_close(class_loss(logits_BK, torch.tensor([1, 2])), class_loss(LOGITS_BK, torch.tensor([1, 2])))


def test_balancing_weights_by_hand():
    """6, 2 and 1 of 9 clips in three classes, none in the fourth."""
    weights_K = balancing_weights([(0,)] * 6 + [(1,)] * 2 + [(3,)], space_of(4))
    assert weights_K.tolist() == pytest.approx([9 / 18, 9 / 6, 0.0, 9 / 3])
    assert sum(float(weights_K[label]) for label in [0] * 6 + [1] * 2 + [3]) == pytest.approx(9)
    assert balancing_weights([(1,), (0,), (0,), (1,)], space_of(2)).tolist() == [1.0, 1.0]
    with pytest.raises(UsageError, match="labels to balance must be at least one, but got none"):
        balancing_weights([], space_of(3))


def answer_of(recipe, *, step=0, number=0, weights_K=None):
    """What an objective says of a batch, and the gradient of the classifier's bias."""
    net = VideoNet(TINY_SPEC, Variant(), num_classes=NUM_CLASSES)
    objective = Objective(
        recipe=recipe,
        seed=4,
        device=torch.device("cpu"),
        amp_dtype=None,
        space=space_of(NUM_CLASSES),
        class_weights_K=weights_K,
    )
    answer = objective.backward(net, batch_of(number, size=6), step=step)
    return float(answer.loss), net.head.classifier.bias.grad


@pytest.mark.parametrize("mix", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_an_objective_mixes_as_seed_step_and_clips_say(mix):
    recipe = Recipe(augment=AugmentConfig(**mix))
    first, gradient = answer_of(recipe)
    assert answer_of(recipe)[0] == first
    others = [answer_of(recipe, step=1)[0], answer_of(Recipe())[0], answer_of(recipe, number=1)[0]]
    assert len({first, *others}) == 4
    assert float(gradient.sum()) == pytest.approx(0.0, abs=1e-6)  # targets sum to 1


def test_an_objective_weighs_classes():
    labels_B = batch_of(0, size=6).labels_B
    weights_K = torch.tensor([2.0, 0.0, 1.0])
    loss, _ = answer_of(Recipe(label_smoothing=0.0), weights_K=weights_K)
    # without a trained classifier all classes are nearly as likely
    assert loss == pytest.approx(math.log(3) * float(weights_K[labels_B].mean()), rel=0.05)


def test_balancing_weights_hold_within_each_head_and_not_for_several_labels():
    space = LabelSpace.of_heads({"noun": ["cup", "door", "hand"], "verb": ["open", "close"]})
    weights_K = balancing_weights([(0, 3), (0, 3), (1, 3), (0, 4)], space)
    assert weights_K.tolist() == pytest.approx([4 / (2 * 3), 4 / 2, 0, 4 / (2 * 3), 4 / 2])
    with pytest.raises(UsageError, match="balance loss must go with one class per video, or per head"):
        balancing_weights([(0, 1)], LabelSpace(class_names=("a", "b"), multi_label=True))


def space_of(num_classes):
    return LabelSpace(class_names=tuple(map(str, range(num_classes))))
