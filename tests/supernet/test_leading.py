import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from supernet.leading import leading


def test_leading_is_the_first_part_or_the_tensor_itself():
    weight = torch.arange(24.0).view(4, 3, 2)
    assert leading(weight, 4, 3) is weight
    assert leading(weight, 4) is weight
    part = leading(weight, 2, 1)
    assert torch.equal(part, weight[:2, :1])
    assert part.is_contiguous()


@pytest.mark.parametrize("sizes", [(5, 4), (3, 4), (3,), (3, 2), (5, 2), (2, 4, 2)])
def test_the_gradient_of_the_leading_part_is_zero_elsewhere(sizes):
    weight = nn.Parameter(torch.randn(5, 4, 3))
    wanted = torch.zeros_like(weight)
    for factor in (1.0, 2.0):  # the second is added to the first
        part = leading(weight, *sizes)
        gradient = factor * torch.randn(part.shape)
        part.backward(gradient)
        wanted[tuple(slice(0, size) for size in sizes)] += gradient
    torch.testing.assert_close(weight.grad, wanted, rtol=0, atol=0)


def test_parts_of_one_weight_in_one_graph_add_up():
    weight = nn.Parameter(torch.zeros(4, 4))
    (leading(weight, 2, 3).sum() + 2 * leading(weight, 3, 2).sum()).backward()
    assert weight.grad.tolist() == [[3, 3, 1, 0], [3, 3, 1, 0], [2, 2, 0, 0], [0, 0, 0, 0]]


def test_only_the_first_part_of_a_step_makes_a_tensor_of_full_size():
    weight = nn.Parameter(torch.zeros(64, 64))
    largest = []
    for _ in range(2):
        with Made() as made:
            leading(weight, 8, 16).sum().backward()
        largest.append(made.largest)
    assert largest == [64 * 64, 8 * 16]


class Made(TorchDispatchMode):
    """The largest tensor that an operator made: one whose memory none of its arguments has."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {arg.data_ptr() for arg in args if isinstance(arg, torch.Tensor)}
        if isinstance(result, torch.Tensor) and result.data_ptr() not in given:
            self.largest = max(self.largest, result.numel())
        return result
