import pytest

from retrain.deploy.int8 import Accuracy, Int8Bounds, judged
from search_spaces.errors import DeployError

BOUNDS = Int8Bounds(max_difference=0.05, max_drop=0.01)


def judge(difference, accuracy=None):
    return judged(BOUNDS, difference, accuracy, num_layers=7, num_frames=24, path="net.onnx")


def accuracy(top1, fp32_top1):
    return Accuracy(top1=top1, fp32_top1=fp32_top1, num_videos=100)


def test_logits_decide_where_there_are_no_videos():
    found = judge(0.049)
    assert (found.num_layers, found.difference, found.top1, found.num_videos) == (7, 0.049, None, 0)
    for much in (0.05, 0.3, float("nan")):
        with pytest.raises(DeployError, match=r"net.onnx: int8 must move logits by less than 0.05 .* but .* 24 frames"):
            judge(much)


def test_accuracy_decides_where_there_are_videos():
    found = judge(0.3, accuracy(0.75, 0.75))
    assert (found.difference, found.top1, found.fp32_top1, found.num_videos) == (0.3, 0.75, 0.75, 100)
    assert judge(0.3, accuracy(0.8, 0.7)).top1 == 0.8
    with pytest.raises(DeployError, match="but moves them by inf over 24 frames"):
        judge(float("inf"), accuracy(0.75, 0.75))
    with pytest.raises(DeployError, match=r"0.01 of accuracy, but takes it from 0.7700 to 0.7500 on 100 videos"):
        judge(0.0, accuracy(0.75, 0.77))
