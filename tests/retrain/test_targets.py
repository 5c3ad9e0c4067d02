import math

import pytest
import torch
import torch.nn.functional as F

from retrain.targets import num_right, probabilities, target_loss
from video.label_space import LabelSpace

SINGLE = LabelSpace(class_names=("a", "b", "c"))
MULTI = LabelSpace(class_names=("a", "b", "c"), multi_label=True)
EPIC = LabelSpace.of_heads({"action": ["a", "b"], "noun": ["x", "y", "z"]})


def test_sigmoid_cross_entropy_by_hand():
    """Logits log 3 and -log 3 are probabilities 3/4 and 1/4; the mean over six classes."""
    logits_BK = torch.tensor([[math.log(3), -math.log(3), 0.0], [0.0, 0.0, math.log(3)]])
    labels_BK = torch.tensor([[True, True, False], [False, False, False]])
    wanted = (-math.log(3 / 4) - math.log(1 / 4) + math.log(2) + 2 * math.log(2) - math.log(1 / 4)) / 6
    found = target_loss(logits_BK, labels_BK, MULTI, label_smoothing=0.1)  # of which sigmoids have none
    assert float(found) == pytest.approx(wanted)


def test_one_class_each_is_softmax_cross_entropy():
    logits_BK, labels_B = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    found = target_loss(logits_BK, labels_B, SINGLE, label_smoothing=0.1)
    assert torch.equal(found, F.cross_entropy(logits_BK, labels_B, label_smoothing=0.1))
    shares_BK = F.one_hot(labels_B, 3).float()
    torch.testing.assert_close(target_loss(logits_BK, shares_BK, SINGLE, label_smoothing=0.1), found)


def test_heads_are_the_mean_of_each_ones_loss():
    torch.manual_seed(0)
    logits_BK = torch.randn(4, 5)
    verbs_B, nouns_B = torch.tensor([0, 1, 1, 0]), torch.tensor([2, 1, 0, 0])
    labels_BK = torch.cat([F.one_hot(verbs_B, 2), F.one_hot(nouns_B, 3)], dim=1).bool()
    verb, noun = (
        F.cross_entropy(logits, labels, label_smoothing=0.1)
        for logits, labels in ((logits_BK[:, :2], verbs_B), (logits_BK[:, 2:], nouns_B))
    )
    torch.testing.assert_close(target_loss(logits_BK, labels_BK, EPIC, label_smoothing=0.1), (verb + noun) / 2)
    right_B = (logits_BK[:, :2].argmax(1) == verbs_B) & (logits_BK[:, 2:].argmax(1) == nouns_B)
    assert int(num_right(logits_BK, labels_BK, EPIC)) == int(right_B.sum())


def test_two_classifiers_on_the_same_features_are_one():
    """What one classifier split by head rests on: the same logits, loss and gradients as a classifier per head."""
    torch.manual_seed(0)
    features_BC = torch.randn(6, 8)
    verb, noun, both = torch.nn.Linear(8, 2), torch.nn.Linear(8, 3), torch.nn.Linear(8, 5)
    with torch.no_grad():
        both.weight.copy_(torch.cat([verb.weight, noun.weight]))
        both.bias.copy_(torch.cat([verb.bias, noun.bias]))
    verbs_B, nouns_B = torch.randint(2, (6,)), torch.randint(3, (6,))
    apart = (F.cross_entropy(verb(features_BC), verbs_B) + F.cross_entropy(noun(features_BC), nouns_B)) / 2
    labels_BK = torch.cat([F.one_hot(verbs_B, 2), F.one_hot(nouns_B, 3)], dim=1).bool()
    together = target_loss(both(features_BC), labels_BK, EPIC)
    torch.testing.assert_close(together, apart)
    torch.autograd.backward([apart, together])
    torch.testing.assert_close(both.weight.grad, torch.cat([verb.weight.grad, noun.weight.grad]))


def test_right_answers():
    logits_BK = torch.tensor([[3.0, 2.0, 1.0], [0.0, 2.0, 1.0]])
    assert int(num_right(logits_BK, torch.tensor([0, 2]), SINGLE)) == 1
    labels_BK = torch.tensor([[True, False, True], [True, False, True]])
    assert int(num_right(logits_BK, labels_BK, MULTI)) == 1


@pytest.mark.parametrize("shape", [(4, 5), (4, 7, 5)])
def test_probabilities(shape):
    logits = torch.randn(shape, dtype=torch.float64)
    found = probabilities(logits, EPIC)
    torch.testing.assert_close(found[..., :2], logits[..., :2].softmax(-1))
    torch.testing.assert_close(found[..., 2:].sum(-1), torch.ones(shape[:-1], dtype=torch.float64))
    several = LabelSpace(class_names=tuple("abcde"), multi_label=True)
    torch.testing.assert_close(probabilities(logits, several), logits.sigmoid())
