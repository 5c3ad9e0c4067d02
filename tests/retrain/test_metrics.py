import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from retrain.metrics import average_precision, average_precisions, confusion_of, first_hits, recalls
from video.label_space import LabelSpace

EPIC = LabelSpace.of_heads({"action": ["a", "b"], "noun": ["x", "y", "z"]})
LARGE = LabelSpace.of_heads({"action": list("abcdefg"), "noun": list("uvwxyz")})


def precision(scores, truth):
    return average_precision(np.array(scores, dtype=np.float64), np.array(truth, dtype=bool))


def test_average_precision_by_hand():
    """True at ranks 1, 3 and 6 of seven: (1/1 + 2/3 + 3/6) / 3."""
    assert precision([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], [1, 0, 1, 0, 0, 1, 0]) == pytest.approx(13 / 18)
    assert precision([0.1, 0.2, 0.9], [0, 0, 1]) == 1.0
    assert precision([0.9, 0.8, 0.7], [0, 0, 1]) == pytest.approx(1 / 3)
    assert precision([0.9, 0.8], [0, 0]) is None
    assert precision([0.9, 0.8], [1, 1]) == 1.0


def test_equal_scores_come_at_once():
    """Two of four at one score, one of them true: precision 1/2, whichever of them comes first in the file."""
    assert precision([0.9, 0.5, 0.5, 0.1], [0, 1, 0, 0]) == precision([0.9, 0.5, 0.5, 0.1], [0, 0, 1, 0])
    assert precision([0.9, 0.5, 0.5, 0.1], [0, 1, 0, 0]) == pytest.approx(1 / 3)
    assert precision([0.5] * 4, [1, 0, 0, 0]) == 0.25


@given(st.data())
def test_average_precision_equals_the_sum_over_true_ones(data):
    """Without ties: the mean over true videos of the share of true ones among those scored at least as high."""
    size = data.draw(st.integers(1, 12))
    scores_N = np.array(data.draw(st.permutations(range(size))), dtype=np.float64)
    truth_N = data.draw(nps.arrays(np.bool_, size))
    found = average_precision(scores_N, truth_N)
    wanted = [truth_N[scores_N >= score].mean() for score in scores_N[truth_N]]
    assert found == (pytest.approx(np.mean(wanted)) if wanted else None)


def test_classes_without_a_true_video_are_left_out():
    scores_NK = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.5]])
    truth_NK = np.array([[False, False, True], [True, False, False]])
    assert average_precisions(scores_NK, truth_NK, ("a", "b", "c")) == {"a": 0.5, "c": 0.5}


def by_all_pairs(scores_NK, truth_NK):
    """Ranks of the products of every verb and noun, all of them."""
    first, among = [], []
    for scores_K, truth_K in zip(scores_NK, truth_NK, strict=True):
        products = (scores_K[:7, None] * scores_K[None, 7:]).ravel()
        right = (truth_K[:7, None] & truth_K[None, 7:]).ravel()
        order = np.argsort(-products, kind="stable")
        first.append(right[order[0]])
        among.append(right[order[:5]].any())
    return first, among


@given(st.integers(0, 10**6))
def test_actions_are_pairs_by_their_product(seed):
    generator = np.random.default_rng(seed)
    scores_NK = generator.random((60, 13))
    truth_NK = np.zeros((60, 13), dtype=bool)
    truth_NK[range(60), generator.integers(0, 7, 60)] = True
    truth_NK[range(60), generator.integers(7, 13, 60)] = True
    first_N, among_N = first_hits(scores_NK, truth_NK, LARGE)
    wanted_first, wanted_among = by_all_pairs(scores_NK, truth_NK)
    assert first_N.tolist() == wanted_first
    assert among_N.tolist() == wanted_among


def test_an_action_is_right_where_both_are():
    scores_NK = np.array([[0.9, 0.1, 0.2, 0.7, 0.1]] * 3)
    truth_NK = np.array([[1, 0, 0, 1, 0], [1, 0, 1, 0, 0], [0, 1, 0, 1, 0]], dtype=bool)
    assert first_hits(scores_NK, truth_NK, EPIC)[0].tolist() == [True, False, False]


def test_one_of_several_labels_first():
    space = LabelSpace(class_names=tuple("abcdefg"), multi_label=True)
    scores_NK = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]] * 3)
    truth_NK = np.array([[0, 0, 0, 0, 1, 0, 1], [1, 0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0]], dtype=bool)
    first_N, among_N = first_hits(scores_NK, truth_NK, space)
    assert first_N.tolist() == [True, False, False]
    assert among_N.tolist() == [True, True, False]


def test_confusion_and_recalls():
    confusion_KK = confusion_of(np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.1, 0.9, 0]]), np.array([0, 1, 1]))
    assert confusion_KK.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert recalls(confusion_KK, ("a", "b", "c")) == {"a": 1.0, "b": 0.5}
