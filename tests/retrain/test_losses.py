"""The loss, by hand."""

import math

import pytest
import torch

from retrain.losses import balancing_weights, class_loss, one_hot
from search_spaces.errors import UsageError

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
    torch.testing.assert_close(class_loss(LOGITS_BK, one_hot(labels_B, 3), **options), hard)


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
    weights_K = balancing_weights([0] * 6 + [1] * 2 + [3], 4)
    assert weights_K.tolist() == pytest.approx([9 / 18, 9 / 6, 0.0, 9 / 3])
    assert sum(float(weights_K[label]) for label in [0] * 6 + [1] * 2 + [3]) == pytest.approx(9)
    assert balancing_weights([1, 0, 0, 1], 2).tolist() == [1.0, 1.0]
    with pytest.raises(UsageError, match="labels to balance must be at least one, but got none"):
        balancing_weights([], 3)
