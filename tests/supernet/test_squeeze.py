import pytest
import torch
from made_nets import assert_close

from supernet.squeeze import frame_means, scale_frames


@pytest.mark.parametrize("channels", [1, 8, 24, 29])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 13)])
@pytest.mark.parametrize("threads", [1, 7])
def test_means_and_gates_with_all_their_gradients(way, channels, size, threads):
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, channels, *size, generator=generator)
    weight = torch.randn(channels, channels, generator=generator)
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = (
            x.to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_(),
            weight.to(dtype).requires_grad_(),
        )
        if dtype == torch.float32:
            x_NCHW, means_NC = frame_means(leaves[0])
            y_NCHW = scale_frames(x_NCHW, (means_NC @ leaves[1]).sigmoid())
        else:
            means_NC = leaves[0].mean(dim=(2, 3))
            y_NCHW = leaves[0] * (means_NC @ leaves[1]).sigmoid()[:, :, None, None]
        cotangent = torch.randn(y_NCHW.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        results.append((means_NC, y_NCHW, *torch.autograd.grad(y_NCHW, leaves, cotangent)))
    for found, wanted in zip(*results, strict=True):
        assert_close(found.double(), wanted)


def test_means_alone_have_a_gradient(way):
    x = torch.rand(2, 8, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad(frame_means(x)[1].sum(), x)
    assert_close(gradient, torch.full_like(x, 1 / 9))


def test_frames_alone_have_theirs(way):
    x = torch.rand(2, 8, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad((frame_means(x)[0] * 2).sum(), x)
    assert_close(gradient, torch.full_like(x, 2.0))


def test_means_of_16_bit_frames_are_in_fp32(way):
    x = torch.full((1, 8, 64, 64), 0.37, dtype=torch.bfloat16)
    means_NC = frame_means(x)[1]
    assert means_NC.dtype == torch.float32
    assert_close(means_NC, torch.full((1, 8), float(x[0, 0, 0, 0])))
